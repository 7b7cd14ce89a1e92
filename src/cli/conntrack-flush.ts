// --ct-flush: which connections end, and when, in the words of `ovs-ofctl ct-flush` and, for mark and label, of matches.
import type { Tuple } from "../datapath/conntrack-dump.ts";
import { type ConnectionFilter, ZONE_MAX } from "../datapath/conntrack-settings.ts";
import { parsePlainIpv4, parsePlainIpv6 } from "../flow/address-text.ts";
import { CT_LABEL, CT_MARK } from "../flow/field.ts";
import { parseField } from "../flow/field-text.ts";
import { MegaflowError } from "../lib/errors.ts";
import { nearestWord } from "../lib/nearest.ts";
import { secondsToNs, splitAssignment, wholeUpTo } from "./assignment.ts";

export interface ConntrackFlush {
  /** After the first frame. */
  readonly afterNs: number;
  readonly filter: ConnectionFilter;
}

const FORM = "--ct-flush +SECONDS=all, or =zone=Z,ct_mark=V/M,ct_nw_src=A,...";
const KEYS = [
  "zone",
  "ct_mark",
  "ct_label",
  "ct_nw_src",
  "ct_nw_dst",
  "ct_ipv6_src",
  "ct_ipv6_dst",
  "ct_nw_proto",
  "ct_tp_src",
  "ct_tp_dst",
  "icmp_id",
  "icmp_type",
] as const;
type Key = (typeof KEYS)[number];

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** `+SECONDS=all` or `+SECONDS=KEY=VALUE,...`; the fields of a tuple are the original one's. Throws EARGS. */
export function parseConntrackFlush(text: string): ConntrackFlush {
  const [time, what] = splitAssignment(text, FORM);
  const afterNs = secondsToNs(time, FORM);
  if (what === "all") return { afterNs, filter: {} };
  const filter: Mutable<ConnectionFilter> = {};
  const orig: Mutable<Partial<Tuple>> = {};
  const given = new Set<string>();
  for (const part of what.split(",")) {
    const [name, value] = splitAssignment(part, FORM);
    const key = KEYS.find((k) => k === name);
    if (key === undefined) throw new MegaflowError("EARGS", unknownKey(name));
    if (given.has(key)) throw new MegaflowError("EARGS", `--ct-flush: ${key} is given twice`);
    given.add(key);
    readKey(key, value, filter, orig);
  }
  const { src, dst } = orig;
  if (src !== undefined && dst !== undefined && src.length !== dst.length) {
    throw new MegaflowError("EARGS", "--ct-flush: one address is IPv4 and the other IPv6");
  }
  const isIcmp = given.has("icmp_id") || given.has("icmp_type");
  const hasPorts = given.has("ct_tp_src") || given.has("ct_tp_dst");
  if (isIcmp && hasPorts) {
    throw new MegaflowError("EARGS", "--ct-flush: a connection has ports or ICMP fields, not both");
  }
  if (Object.keys(orig).length > 0) filter.orig = orig;
  return { afterNs, filter: isIcmp || hasPorts ? { ...filter, isIcmp } : filter };
}

function readKey(
  key: Key,
  text: string,
  filter: Mutable<ConnectionFilter>,
  orig: Mutable<Partial<Tuple>>,
): void {
  const form = `--ct-flush: ${key}`;
  switch (key) {
    case "zone":
      filter.zone = wholeUpTo(text, ZONE_MAX, form);
      return;
    case "ct_nw_proto":
      filter.proto = wholeUpTo(text, 255, form);
      return;
    case "ct_mark": {
      const { value, mask } = masked(CT_MARK, text);
      filter.mark = { value: word(value), mask: word(mask) };
      return;
    }
    case "ct_label":
      filter.label = masked(CT_LABEL, text);
      return;
    case "ct_nw_src":
    case "ct_ipv6_src":
      if (orig.src !== undefined) throw new MegaflowError("EARGS", "--ct-flush: two sources are given");
      orig.src = address(key, text);
      return;
    case "ct_nw_dst":
    case "ct_ipv6_dst":
      if (orig.dst !== undefined) throw new MegaflowError("EARGS", "--ct-flush: two destinations are given");
      orig.dst = address(key, text);
      return;
    case "ct_tp_src":
    case "icmp_id":
      orig.sport = wholeUpTo(text, 0xffff, form);
      return;
    default:
      orig.dport = wholeUpTo(text, key === "icmp_type" ? 255 : 0xffff, form);
  }
}

function masked(field: typeof CT_MARK, text: string): { value: Uint8Array; mask: Uint8Array } {
  try {
    return parseField(field, text);
  } catch (error) {
    if (!(error instanceof MegaflowError)) throw error;
    throw new MegaflowError("EARGS", `--ct-flush: ${error.message}`);
  }
}

function word(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
}

function address(key: Key, text: string): Uint8Array {
  const six = key.startsWith("ct_ipv6");
  const out = new Uint8Array(six ? 16 : 4);
  if (six ? parsePlainIpv6(text, out) : parsePlainIpv4(text, out)) return out;
  throw new MegaflowError("EARGS", `--ct-flush: ${key}: "${text}" is no ${six ? "IPv6" : "IPv4"} address`);
}

function unknownKey(name: string): string {
  const near = nearestWord(name, KEYS);
  return `--ct-flush: there is no "${name}": ${near === null ? `all, or any of ${KEYS.join(", ")}` : `${near}?`}`;
}
