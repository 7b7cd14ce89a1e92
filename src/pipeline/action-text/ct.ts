// The ct action and the nat inside it (ovs-actions(7), "Connection tracking"): text in.
//
// nat is an action of ct's own: given first it stands beside exec, given after another action OVS has it run after that and
// prints it inside exec(...).

import { parsePlainIpv6 } from "../../flow/address-text.ts";
import { parseSubfield } from "../../flow/subfield.ts";
import type { MegaflowError } from "../../lib/errors.ts";
import type { Action, NatSpec } from "../action.ts";
import { type ActionContext, atValue, type ParseNested } from "./context.ts";
import { readSmallInteger } from "./number.ts";
import { Scanner } from "./scan.ts";
import { tableFromText } from "./table-text.ts";

/** `ct(commit,force,zone=...,table=...,alg=...,nat(...),exec(...))` */
export function parseCt(at: Scanner, context: ActionContext, nested: ParseNested): Action {
  let commit = false;
  let force = false;
  let zone: (Action & { type: "ct" })["zone"] = 0;
  let table: number | null = null;
  let alg: "ftp" | "tftp" | null = null;
  let nat: NatSpec | null = null;
  const exec: Action[] = [];

  const pairs = new Scanner(at.value, at.valueAt);
  while (pairs.next()) {
    const text = pairs.value;
    switch (pairs.key) {
      case "commit":
        commit = true;
        break;
      case "force":
        force = true;
        break;
      case "table":
        table = tableFromText(text, context);
        if (table === null) throw pairs.errorAtValue(`unknown table ${text}`);
        if (table === 255) throw pairs.errorAtValue("invalid table 0xff");
        break;
      case "zone": {
        const number = readSmallInteger(text);
        zone =
          number !== null && number >= 0 && number <= 0xffff
            ? number
            : atValue(pairs, () => parseSubfield(text));
        break;
      }
      case "alg":
        if (text !== "ftp" && text !== "tftp") {
          throw pairs.errorAtValue(`invalid conntrack helper "${text}"`);
        }
        alg = text;
        break;
      case "nat":
        if (nat === null && exec.length === 0) nat = parseNat(pairs);
        else exec.push({ type: "nat", nat: parseNat(pairs) });
        break;
      case "exec":
        exec.push(...nested(text, pairs.valueAt, "ct"));
        if (nat === null && exec[0]?.type === "nat") nat = (exec.shift() as Action & { type: "nat" }).nat;
        break;
      default:
        throw pairs.errorAtKey(`invalid argument to "ct" action: \`${pairs.key}'`);
    }
  }
  if (force && !commit) throw at.errorAtValue('"force" flag requires "commit" flag.');
  return { type: "ct", commit, force, zone, table, alg, nat, exec };
}

/** What stands between nat's parentheses; nothing at all gives "undo", nat for packets of a known connection. */
export function parseNat(at: Scanner): NatSpec {
  let kind: NatSpec["kind"] = "undo";
  let range: NatRange = { minAddr: null, maxAddr: null, minPort: 0, maxPort: 0 };
  let persistent = false;
  let hash = false;
  let random = false;
  const pairs = new Scanner(at.value, at.valueAt);
  while (pairs.next()) {
    switch (pairs.key) {
      case "src":
      case "dst":
        if (kind !== "undo") throw pairs.errorAtKey('May only specify one of "src" or "dst".');
        kind = pairs.key;
        if (pairs.value !== "") range = parseNatRange(pairs);
        break;
      case "persistent":
        persistent = true;
        break;
      case "hash":
        hash = true;
        break;
      case "random":
        random = true;
        break;
      default:
        throw pairs.errorAtKey(`invalid key "${pairs.key}" in "nat" argument`);
    }
  }
  if (kind === "undo" && (persistent || hash || random)) {
    throw at.errorAtValue('Flags allowed only with "src" or "dst".');
  }
  if (hash && random) throw at.errorAtValue('Both "hash" and "random" are not allowed.');
  // Without an address there is nothing for the flags to choose from: OVS forgets them.
  if (range.minAddr === null) persistent = hash = random = false;
  return { kind, ...range, persistent, hash, random };
}

type NatRange = Pick<NatSpec, "minAddr" | "maxAddr" | "minPort" | "maxPort">;

const IPV4 = /^([+-]?\d+)\.([+-]?\d+)\.([+-]?\d+)\.([+-]?\d+)/;
const IPV6_BARE = /^[0-9a-fA-F:.]{1,46}/;
const IPV6_BRACKETED = /^\[([0-9a-fA-F:.]{1,46})\]/;

/** `ADDR[-ADDR][:PORT[-PORT]]`, IPv6 addresses in brackets when a port follows. */
function parseNatRange(at: Scanner): NatRange {
  const text = at.value;
  const wrong = (): MegaflowError => at.errorAtValue(`invalid nat range "${text}"`);
  let pos = 0;
  let minAddr: Uint8Array | null = null;
  let maxAddr: Uint8Array | null = null;

  /** An address at `pos`, of the first one's family when there was one; null when there is none. */
  function address(ipv6: boolean): Uint8Array | null {
    const rest = text.slice(pos);
    if (!ipv6) {
      const m = IPV4.exec(rest);
      if (m === null) return null;
      pos += m[0].length;
      // Each number is cut to 8 bits.
      return Uint8Array.from(m.slice(1), (digits) => Number(BigInt(digits) & 0xffn));
    }
    const m = IPV6_BARE.exec(rest) ?? IPV6_BRACKETED.exec(rest);
    if (m === null) return null;
    pos += m[0].length;
    const bytes = new Uint8Array(16);
    return parsePlainIpv6(m[1] ?? m[0], bytes) ? bytes : null;
  }

  const ipv6 = !IPV4.test(text);
  minAddr = address(ipv6);
  if (minAddr !== null && text[pos] === "-") {
    pos++;
    maxAddr = address(ipv6);
    if (maxAddr === null || compareBytes(minAddr, maxAddr) > 0) throw wrong();
  }
  let minPort = 0;
  let maxPort = 0;
  if (minAddr !== null && text[pos] === ":") {
    const m = /^:([+-]?\d+)(?:(-)([+-]?\d+)?)?/.exec(text.slice(pos));
    if (m === null) throw wrong();
    pos += m[0].length;
    minPort = toPort(m[1]!);
    if (m[2] !== undefined) {
      if (m[3] === undefined) throw wrong();
      maxPort = toPort(m[3]);
      if (minPort > maxPort) throw wrong();
    }
  }
  if (pos !== text.length) {
    throw at.errorAtValue(`garbage (${text.slice(pos)}) after nat range "${text}" (pos: ${pos})`);
  }
  return {
    minAddr,
    maxAddr: maxAddr !== null && compareBytes(minAddr!, maxAddr) !== 0 ? maxAddr : null,
    minPort,
    maxPort: maxPort === minPort ? 0 : maxPort,
  };
}

/** What OVS's scanner keeps of a number in 16 bits. */
function toPort(text: string): number {
  return Number(BigInt.asUintN(16, BigInt(text)));
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return 0;
}
