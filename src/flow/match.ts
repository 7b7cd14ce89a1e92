// Matches: what a flow must be for a rule to apply. Built from the text of ovs-ofctl(8) and ovs-fields(7), field by field.
import { MegaflowError } from "../lib/errors.ts";
import {
  DL_VLAN,
  DL_VLAN_PCP,
  type Field,
  fieldByMatchName,
  ICMP_CODE,
  ICMP_TYPE,
  ICMPV6_CODE,
  ICMPV6_TYPE,
  IPV6_LABEL,
  ND_OPTIONS_TYPE,
  TUN_ERSPAN_VER,
  VLAN_PCP,
  VLAN_VID,
} from "./field.ts";
import { formatFieldValue, getInteger, getNumber, parseFieldInto, parseInteger } from "./field-text.ts";
import { Flow, type Match } from "./flow.ts";
import * as L from "./layout.ts";
import { setPresent } from "./option-bits.ts";
import type { PortResolver } from "./port-text.ts";
import { parseSubfield, readSubfield, writeSubfield, writeSubfield32 } from "./subfield.ts";
import { fitOption, OPTION_SIZE_MAX, type TlvMap } from "./tlv-map.ts";

export { formatFieldValue, parseField } from "./field-text.ts";
export { formatMatch } from "./match-text.ts";
export { normalizeMatch } from "./normalize.ts";

/** The keywords that stand for an Ethernet type and perhaps an IP protocol. */
export const PROTOCOLS: ReadonlyMap<string, readonly [dlType: number, nwProto: number]> = new Map<
  string,
  readonly [dlType: number, nwProto: number]
>([
  ["ip", [0x0800, 0]],
  ["ipv4", [0x0800, 0]],
  ["ip4", [0x0800, 0]],
  ["arp", [0x0806, 0]],
  ["icmp", [0x0800, 1]],
  ["tcp", [0x0800, 6]],
  ["udp", [0x0800, 17]],
  ["sctp", [0x0800, 132]],
  ["ipv6", [0x86dd, 0]],
  ["ip6", [0x86dd, 0]],
  ["icmp6", [0x86dd, 58]],
  ["tcp6", [0x86dd, 6]],
  ["udp6", [0x86dd, 17]],
  ["sctp6", [0x86dd, 132]],
  ["rarp", [0x8035, 0]],
  ["mpls", [0x8847, 0]],
  ["mplsm", [0x8848, 0]],
]);

/** An empty match: every packet. Flow and mask share one buffer. */
export function emptyMatch(): { flow: Flow; mask: Flow } {
  const buffer = new ArrayBuffer(2 * L.FLOW_SIZE);
  return { flow: new Flow(buffer, 0), mask: new Flow(buffer, L.FLOW_SIZE) };
}

/** The match on what `mask` holds of a flow: for a megaflow's text. */
export function maskedMatch(flow: Flow, mask: Flow): Match {
  const match = emptyMatch();
  for (let i = 0; i < mask.words.length; i++) {
    match.mask.words[i] = mask.words[i]!;
    match.flow.words[i] = flow.words[i]! & mask.words[i]!;
  }
  return match;
}

const $value = new Uint8Array(128);
const $mask = new Uint8Array(128);

/** Makes a match from `KEY` and `KEY=VALUE` items, in the order they come; a later one overrides an earlier one. */
export class MatchBuilder {
  readonly flow: Flow;
  readonly mask: Flow;
  /** What a switch says to a match on a tunnel option that its map does not have; null when there is none. */
  refusal: string | null = null;
  /** No version of OpenFlow can carry the match: part of a field that is matched as a whole, or a field without a number. */
  uncarriable = false;
  private readonly ports: PortResolver | undefined;
  private readonly tlvMap: TlvMap | null;
  private options: Set<Field> | null = null;

  constructor(ports?: PortResolver, tlvMap: TlvMap | null = null) {
    const match = emptyMatch();
    this.flow = match.flow;
    this.mask = match.mask;
    this.ports = ports;
    this.tlvMap = tlvMap;
  }

  /**
   * Adds `key` or `key=value` (`value` is "" when there was none). False when `key` is no field, keyword or subfield.
   * Throws ETEXT in OVS's words when the value is bad.
   */
  add(key: string, value: string): boolean {
    const protocol = PROTOCOLS.get(key);
    if (protocol !== undefined) {
      this.flow.set16(L.O_DL_TYPE, protocol[0]);
      this.mask.set16(L.O_DL_TYPE, 0xffff);
      if (protocol[1] !== 0) {
        this.flow.set8(L.O_NW_PROTO, protocol[1]);
        this.mask.set8(L.O_NW_PROTO, 0xff);
      }
      this.defaultPacketType();
      return true;
    }
    if (key === "eth") {
      this.flow.set32(L.O_PACKET_TYPE, 0);
      this.mask.set32(L.O_PACKET_TYPE, 0xffffffff);
      return true;
    }
    const field = fieldByMatchName(key);
    if (field !== undefined) {
      // A name alone asks for nothing, but must be a field that can be written so.
      parseFieldInto(field, value === "" ? "0/0" : value, this.ports, $value, $mask);
      if (field.option >= 0) this.addOption(field, $value, $mask);
      else this.set(field, $value, $mask);
      return true;
    }
    if (key.includes("[")) {
      this.addSubfield(key, value);
      return true;
    }
    return false;
  }

  /** Matches `field` against OXM bytes. The field's bits in the match are replaced. */
  set(field: Field, value: Uint8Array, mask: Uint8Array): void {
    if (field === IPV6_LABEL && ((value[1]! & mask[1]! & 0xf0) | (value[0]! & mask[0]!)) !== 0) {
      this.refusal = "OFPBMC_BAD_VALUE";
      return;
    }
    setMatchField(this, field, value, mask);
    if (field.prereq !== "none") this.defaultPacketType();
  }

  /** A tunnel option: known by name, but only a map (`ovs-ofctl add-tlv-map`) gives it a place. */
  private addOption(field: Field, value: Uint8Array, mask: Uint8Array): void {
    this.options ??= new Set();
    if (this.options.has(field)) throw new MegaflowError("ETEXT", `field ${field.name} set multiple times`);
    this.options.add(field);
    const placed = this.tlvMap?.field(field.option) ?? null;
    if (placed === null) {
      this.refusal ??= "NXFMFC_INVALID_TLV_FIELD";
      return;
    }
    const size = field.valueSize;
    const fitted = fitOption(value.subarray(0, size), mask.subarray(0, size), placed.size);
    setMatchField(this, placed, fitted.value, fitted.mask);
  }

  /** `reg0[0..15]=5` */
  private addSubfield(key: string, text: string): void {
    const sf = parseSubfield(key);
    const fits =
      /^(?:0[xX][0-9a-fA-F]*|[+-]?(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9]\d*))$/.test(text) &&
      parseInteger(text, sf.field.valueSize, $value);
    if (!fits) throw new MegaflowError("ETEXT", `${key}: cannot parse integer value: ${text}`);
    const size = sf.field.valueSize;
    const value = getInteger($value, size);
    if (value >> BigInt(sf.bits) !== 0n) {
      const shown =
        size > 16 ? `0x${value.toString(16)}` : formatFieldValue(sf.field, $value.subarray(0, size));
      throw new MegaflowError("ETEXT", `${key}: value ${shown} does not fit into ${sf.bits} bits`);
    }
    const { field } = sf;
    if (field.option >= 0) {
      const option = (bits: bigint): Uint8Array => {
        const hex = bits.toString(16).padStart(2 * OPTION_SIZE_MAX, "0");
        return Uint8Array.from({ length: OPTION_SIZE_MAX }, (_, i) =>
          Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16),
        );
      };
      this.addOption(
        field,
        option(value << BigInt(sf.ofs)),
        option(((1n << BigInt(sf.bits)) - 1n) << BigInt(sf.ofs)),
      );
      return;
    }
    // vlan_vid has the bit that says there is a tag besides.
    const whole = { field, ofs: 0, bits: field === VLAN_VID ? 13 : field.bits };
    const ones = ((1n << BigInt(sf.bits)) - 1n) << BigInt(sf.ofs);
    const newMask = readSubfield(this.mask, whole) | ones;
    if (!field.maskable && newMask !== (1n << BigInt(8 * field.valueSize)) - 1n) this.uncarriable = true;
    const newValue = (readSubfield(this.flow, whole) & ~ones) | (value << BigInt(sf.ofs));
    for (let i = 0; i < field.valueSize; i++) {
      const shift = BigInt(8 * (field.valueSize - 1 - i));
      $value[i] = Number((newValue >> shift) & 0xffn);
      $mask[i] = Number((newMask >> shift) & 0xffn);
    }
    this.set(field, $value, $mask);
    if (field === VLAN_VID && sf.bits === 12) writeSubfield(this.mask, sf, -1n);
  }

  /** A field of a header, though the match lacks what it needs and it is left out in the end, implies an Ethernet packet unless packet_type was given. */
  private defaultPacketType(): void {
    if (this.mask.get32(L.O_PACKET_TYPE) === 0) this.mask.set32(L.O_PACKET_TYPE, 0xffffffff);
  }
}

/** Splits `key=value,key2,...` as ovs-ofctl does: by commas and blanks, but not inside parentheses. */
export function* splitKeyValues(text: string): Generator<{ key: string; value: string; column: number }> {
  let at = 0;
  for (;;) {
    while (at < text.length && isDelimiter(text.charCodeAt(at))) at++;
    if (at >= text.length) return;
    const start = at;
    while (at < text.length && !isKeyEnd(text.charCodeAt(at))) at++;
    const key = text.slice(start, at);
    const c = text.charCodeAt(at);
    let value = "";
    if (c === EQUALS || c === COLON) {
      const from = ++at;
      at = valueEnd(text, at);
      value = text.slice(from, at);
    } else if (c === OPEN) {
      const from = at + 1;
      at = valueEnd(text, at);
      value = text.slice(from, text.charCodeAt(at - 1) === CLOSE ? at - 1 : at);
    }
    yield { key, value, column: start + 1 };
  }
}

/** Parses a whole match: `tcp,nw_src=10.0.0.0/8`. Throws ETEXT in OVS's words, with the column of the item at fault. */
export function parseMatch(text: string, ports?: PortResolver, tlvMap: TlvMap | null = null): Match {
  const builder = new MatchBuilder(ports, tlvMap);
  for (const { key, value, column } of splitKeyValues(text)) {
    try {
      if (builder.add(key, value)) continue;
    } catch (error) {
      throw error instanceof MegaflowError ? error.at({ column }) : error;
    }
    throw unknownKey(key, value).at({ column });
  }
  if (builder.refusal !== null) throw new MegaflowError("ETEXT", builder.refusal);
  return builder;
}

/** The error for a key that is nothing known. */
export function unknownKey(key: string, value: string): MegaflowError {
  return new MegaflowError("ETEXT", value === "" ? `field ${key} missing value` : `unknown keyword ${key}`);
}

/**
 * Matches `field` against OXM bytes; the field's earlier bits in the match are replaced, and `match.flow` keeps no bit
 * outside the mask. Bits that the field does not have are ignored, as OVS does.
 */
export function setMatchField(
  match: { flow: Flow; mask: Flow },
  field: Field,
  value: Uint8Array,
  mask: Uint8Array,
): void {
  const { flow, mask: bits } = match;
  if (field.size === 0) throw new MegaflowError("ETEXT", "NXFMFC_INVALID_TLV_FIELD");
  if (field.offset === L.O_VLAN0_TCI) {
    setVlan(match, field, getNumber(value, field.valueSize), getNumber(mask, field.valueSize));
    return;
  }
  if (field.valueSize > 4) {
    if (field.option >= 0) {
      setPresent(flow.bytes, field.option);
      setPresent(bits.bytes, field.option);
    }
    for (let i = 0; i < field.size; i++) {
      bits.bytes[field.offset + i] = mask[i]!;
      flow.bytes[field.offset + i] = value[i]! & mask[i]!;
    }
    return;
  }
  const m = getNumber(mask, field.valueSize);
  const v = (getNumber(value, field.valueSize) & m) >>> 0;
  if (field === IPV6_LABEL && v > 0xfffff) throw new MegaflowError("ETEXT", "OFPBMC_BAD_VALUE");
  // OVS keeps the whole byte of an ERSPAN version, though only four bits of it are in a header.
  const whole = { field, ofs: 0, bits: field === TUN_ERSPAN_VER ? 8 : field.bits };
  if (fillsItsPlace(field) || (field === IPV6_LABEL && (m & 0xfffff) === 0xfffff)) {
    flow.bytes.fill(0, field.offset, field.offset + field.size);
    bits.bytes.fill(m === 0 ? 0 : 0xff, field.offset, field.offset + field.size);
    if (m !== 0) writeSubfield32(flow, whole, v);
  } else {
    writeSubfield32(flow, whole, v);
    writeSubfield32(bits, whole, m);
  }
}

/** Whether a match on a field that is narrower than its place leaves nothing of the place open. */
function fillsItsPlace(field: Field): boolean {
  return (
    field.form === "of_port" ||
    field.form === "of_port_oxm" ||
    field === ICMP_TYPE ||
    field === ICMP_CODE ||
    field === ICMPV6_TYPE ||
    field === ICMPV6_CODE ||
    field === ND_OPTIONS_TYPE
  );
}

/** The four ways to match the outer VLAN tag (ovs-fields(7), VLAN). */
function setVlan(match: { flow: Flow; mask: Flow }, field: Field, value: number, mask: number): void {
  const { flow, mask: bits } = match;
  let tci = flow.get16(L.O_VLAN0_TCI);
  let m = bits.get16(L.O_VLAN0_TCI);
  const VID = 0x0fff;
  const PCP = 0xe000;
  if (field === DL_VLAN || field === VLAN_VID) {
    if (mask === 0) {
      // Any VLAN id; a matched priority still needs its tag.
      m = m & PCP ? m & ~VID : 0;
    } else if (field === DL_VLAN) {
      if (value === 0xffff) {
        tci = 0;
        m = 0xffff;
      } else {
        tci = (tci & ~VID) | (value & VID) | L.VLAN_CFI;
        m |= VID | L.VLAN_CFI;
      }
    } else {
      const vid = mask & (VID | L.VLAN_CFI);
      tci = (tci & PCP) | (value & vid);
      m = (m & PCP) | vid;
    }
  } else if (field === DL_VLAN_PCP || field === VLAN_PCP) {
    if (mask === 0) m = m & VID ? m & ~PCP : 0;
    else {
      tci = (tci & ~PCP) | ((value & 7) << 13) | L.VLAN_CFI;
      m |= PCP | L.VLAN_CFI;
    }
  } else {
    tci = value;
    m = mask;
  }
  flow.set16(L.O_VLAN0_TCI, tci & m);
  bits.set16(L.O_VLAN0_TCI, m);
}

const EQUALS = 0x3d;
const COLON = 0x3a;
const OPEN = 0x28;
const CLOSE = 0x29;

function isDelimiter(c: number): boolean {
  return c === 0x2c || c === 0x20 || c === 0x09 || c === 0x0d || c === 0x0a;
}

function isKeyEnd(c: number): boolean {
  return c === EQUALS || c === COLON || c === OPEN || isDelimiter(c);
}

/** Where the value that starts at `at` ends: at a delimiter outside parentheses, or where they close. */
function valueEnd(text: string, at: number): number {
  const parenthesized = text.charCodeAt(at) === OPEN;
  let depth = 0;
  for (; at < text.length; at++) {
    const c = text.charCodeAt(at);
    if (c === OPEN) depth++;
    else if (c === CLOSE) {
      depth--;
      if (depth <= 0 && parenthesized) return at + 1;
    } else if (depth <= 0 && isDelimiter(c)) return at;
  }
  return at;
}
