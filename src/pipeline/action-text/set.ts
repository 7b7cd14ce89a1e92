// Actions that change fields (ovs-actions(7), "Field Modification Actions"): text in.

import {
  ARP_OP,
  type Field,
  fieldByName,
  NSH_TTL,
  NW_TOS,
  type Subfield,
  VLAN_VID,
} from "../../flow/field.ts";
import { formatFieldValue, parseField } from "../../flow/field-text.ts";
import { parseSubfield, parseSubfieldPrefix } from "../../flow/subfield.ts";
import type { Action, ModName } from "../action.ts";
import { type ActionContext, atValue } from "./context.ts";
import { runOfMask, runOfValue, valueBits } from "./field-value.ts";
import {
  atoi,
  boundedInteger,
  bytesOf,
  ipv4Address,
  macAddress,
  numberOf,
  uint32,
  uint64,
} from "./number.ts";
import type { Scanner } from "./scan.ts";

/** The two sides of `SOURCE->DESTINATION`. */
export function splitArrow(at: Scanner): [string, string] {
  const arrow = at.value.indexOf("->");
  if (arrow < 0) throw at.errorAtValue(`${at.value}: missing \`->'`);
  if (arrow + 2 === at.value.length) {
    throw at.errorAtValue(`${at.value}: missing field name following \`->'`);
  }
  return [at.value.slice(0, arrow), at.value.slice(arrow + 2)];
}

/** A field by the names set_field takes: ovs-fields(7)'s own, not the NXM and OXM ones. */
export function fieldByPlainName(name: string): Field | undefined {
  const field = fieldByName(name);
  return field !== undefined && (field.name === name || field.alias === name) ? field : undefined;
}

/** `set_field:VALUE[/MASK]->FIELD` */
export function parseSetField(at: Scanner, context: ActionContext): Action {
  const [text, name] = splitArrow(at);
  const field = fieldByPlainName(name);
  if (field === undefined) throw at.errorAtValue(`${name} is not a valid OXM field name`);
  if (!field.writable) throw at.errorAtValue(`${name} is read-only`);
  const parsed = atValue(at, () => parseField(field, text, context.portByName));
  const mask = numberOf(parsed.mask);
  const given = numberOf(parsed.value);
  const value = given & mask;
  if (!isValidValue(field, given)) {
    throw at.errorAtValue(`${text} is not a valid value for field ${name}`);
  }
  const narrow = narrowOf(field, given, mask);
  if (narrow !== null) return narrow;
  const action = {
    type: "set_field",
    field,
    value: runOfValue(field, value),
    mask: runOfMask(field, mask),
  } as const;
  return given === value ? action : { ...action, unmasked: given };
}

/**
 * A set_field whose mask has all bits of the field but not of its bytes, or which has bits beyond the field: OVS keeps value and
 * mask as they are.
 */
function narrowOf(field: Field, given: bigint, mask: bigint): Action | null {
  const bytes = 8 * field.valueSize;
  if (!field.maskable || field.bits === bytes) return null;
  const ones = valueBits(field);
  const isWhole = mask === (1n << BigInt(bytes)) - 1n;
  const hasMore = (given & mask & ~ones) !== 0n || (!isWhole && (mask & ~ones) !== 0n);
  if (!hasMore && (isWhole || mask !== ones)) return null;
  const value = given & mask;
  const narrow = { value, mask };
  const action = {
    type: "set_field",
    field,
    value: runOfValue(field, value),
    mask: runOfMask(field, mask),
  } as const;
  return given === value ? { ...action, narrow } : { ...action, narrow, unmasked: given };
}

/** Whether a value has no bit that its field cannot hold. */
export function isValidValue(field: Field, value: bigint): boolean {
  if (field === NW_TOS) return (value & 3n) === 0n;
  if (field === NSH_TTL) return value <= 63n;
  if (field === ARP_OP) return value <= 0xffn;
  if (field === VLAN_VID) return value <= 0x1fffn;
  if (field.form === "of_port_oxm" || field.name.startsWith("tun_erspan_")) return true;
  return value >> BigInt(field.bits) === 0n;
}

/** `load:VALUE->SUBFIELD` */
export function parseLoad(at: Scanner): Action {
  const [text, name] = splitArrow(at);
  const dst = atValue(at, () => parseSubfield(name));
  const value = leadingInteger(text);
  const fieldBits = BigInt(dst.field.valueSize * 8);
  if (value === null || value >> fieldBits !== 0n) {
    throw at.errorAtValue(`${at.value}: cannot parse integer value`);
  }
  if (value >> BigInt(dst.bits) !== 0n) {
    const shown = formatFieldValue(dst.field, bytesOf(value, dst.field.valueSize));
    throw at.errorAtValue(`${at.value}: value ${shown} does not fit into ${dst.bits} bits`);
  }
  return { type: "load", dst, value };
}

const LEADING = /^\s*(?:(0[xX][0-9a-fA-F]*)|([+-]?)(?:(0[xX][0-9a-fA-F]+)|0([0-7]*)|([1-9][0-9]*)))/;

/** How many characters leadingInteger reads. */
export function leadingText(text: string): number {
  return LEADING.exec(text)?.[0].length ?? 0;
}

/** The number at the start of a text, whatever follows it; null when there is none. */
export function leadingInteger(text: string): bigint | null {
  const m = LEADING.exec(text);
  if (m === null) return null;
  // Only hexadecimal may be wider than 64 bits, and below 0 it goes round.
  if (m[1] !== undefined) return m[1].length === 2 ? 0n : BigInt(m[1]);
  const [, , sign, hex, octal, decimal] = m;
  const value = BigInt(hex ?? (octal === undefined ? decimal! : `0o0${octal}`));
  if (value >> 64n !== 0n) return null;
  return sign === "-" ? BigInt.asUintN(64, -value) : value;
}

/** `SUBFIELD->SUBFIELD` of the same width: the argument of move, and of learn's load. */
export function parseMovePair(at: Scanner, text: string): { src: Subfield; dst: Subfield } {
  return atValue(at, () => {
    const source = parseSubfieldPrefix(text);
    if (!source.rest.startsWith("->")) throw at.errorAtValue(`${text}: missing \`->' following source`);
    const dst = parseSubfield(source.rest.slice(2));
    const src = source.subfield;
    if (src.bits !== dst.bits) {
      throw at.errorAtValue(
        `${text}: source field is ${src.bits} bits wide but destination is ${dst.bits} bits wide`,
      );
    }
    return { src, dst };
  });
}

/** `move:SUBFIELD->SUBFIELD` */
export function parseMove(at: Scanner): Action {
  return { type: "move", ...parseMovePair(at, at.value) };
}

/** The argument of push and pop. */
function stackSubfield(at: Scanner): Subfield {
  const { subfield, rest } = atValue(at, () => parseSubfieldPrefix(at.value));
  if (rest !== "") throw at.errorAtValue(`${rest}: trailing garbage following push or pop`);
  return subfield;
}

export function parsePush(at: Scanner): Action {
  return { type: "push", src: stackSubfield(at) };
}

export function parsePop(at: Scanner): Action {
  return { type: "pop", dst: stackSubfield(at) };
}

/** The mod_* actions that hold an address. */
function modMac(name: ModName): (at: Scanner) => Action {
  return (at) => ({ type: "mod", name, value: macAddress(at), fact: 0 });
}

function modIpv4(name: ModName): (at: Scanner) => Action {
  return (at) => {
    const value = ipv4Address(at.value);
    if (value === null) throw at.errorAtValue(`${at.value}: could not convert to IP address`);
    return { type: "mod", name, value, fact: 0 };
  };
}

/** The mod_* actions that hold a number of at most `max`, `size` bytes wide; `fits` says which of them are valid. */
function modNumber(
  name: ModName,
  what: string,
  size: 1 | 2,
  max: number,
  fits: (value: number) => boolean,
): (at: Scanner) => Action {
  return (at) => {
    const value = boundedInteger(at, what, max);
    if (!fits(value)) throw at.errorAtValue(`${at.value}: not a valid ${what}`);
    return { type: "mod", name, value: bytesOf(BigInt(value), size), fact: 0 };
  };
}

const isVid = (v: number): boolean => v <= 0xfff;
const isPcp = (v: number): boolean => v <= 7;
const any = (): boolean => true;

/** The parsers of the mod_* family and of the two older set_vlan_* spellings, by name. */
export const MOD_PARSERS: Readonly<Record<string, (at: Scanner) => Action>> = {
  mod_vlan_vid: modNumber("mod_vlan_vid", "VLAN VID", 2, 0xffff, isVid),
  set_vlan_vid: modNumber("set_vlan_vid", "VLAN VID", 2, 0xffff, isVid),
  mod_vlan_pcp: modNumber("mod_vlan_pcp", "VLAN PCP", 1, 0xff, isPcp),
  set_vlan_pcp: modNumber("set_vlan_pcp", "VLAN PCP", 1, 0xff, isPcp),
  mod_dl_src: modMac("mod_dl_src"),
  mod_dl_dst: modMac("mod_dl_dst"),
  mod_nw_src: modIpv4("mod_nw_src"),
  mod_nw_dst: modIpv4("mod_nw_dst"),
  mod_nw_tos: modNumber("mod_nw_tos", "TOS", 1, 0xff, (v) => (v & 3) === 0),
  mod_nw_ecn: modNumber("mod_nw_ecn", "ECN", 1, 0xff, (v) => v <= 3),
  mod_nw_ttl: modNumber("mod_nw_ttl", "TTL", 1, 0xff, any),
  set_nw_ttl: modNumber("mod_nw_ttl", "TTL", 1, 0xff, any),
  mod_tp_src: modNumber("mod_tp_src", "source port", 2, 0xffff, any),
  mod_tp_dst: modNumber("mod_tp_dst", "destination port", 2, 0xffff, any),
};

/** `push_vlan:ETHERTYPE` */
export function parsePushVlan(at: Scanner): Action {
  const ethertype = boundedInteger(at, "ethertype", 0xffff);
  if (ethertype !== 0x8100 && ethertype !== 0x88a8) {
    throw at.errorAtValue(`${at.value}: not a valid VLAN ethertype`);
  }
  return { type: "push_vlan", ethertype };
}

/** `push_mpls:ETHERTYPE` */
export function parsePushMpls(at: Scanner): Action {
  return { type: "push_mpls", ethertype: boundedInteger(at, "push_mpls", 0xffff) };
}

/** `pop_mpls:ETHERTYPE` */
export function parsePopMpls(at: Scanner): Action {
  return { type: "pop_mpls", ethertype: boundedInteger(at, "pop_mpls", 0xffff) };
}

/** `set_mpls_label:N`, `set_mpls_tc:N`, `set_mpls_ttl:N`; their arguments may stand in parentheses. */
export function setMpls(part: "label" | "tc" | "ttl"): (at: Scanner) => Action {
  return (at) => {
    if (at.value === "") throw at.errorAtValue(`set_mpls_${part}: expected ${part}.`);
    let value: number;
    if (part === "label") {
      value = uint32(at);
      if (value > 0xfffff) throw at.errorAtValue(`${at.value}: not a valid MPLS label`);
    } else {
      const what = part === "tc" ? "MPLS TC" : "MPLS TTL";
      value = boundedInteger(at, what, 255);
      if (part === "tc" && value > 7) throw at.errorAtValue(`${at.value}: not a valid ${what}`);
    }
    return { type: "set_mpls", part, value };
  };
}

/** `set_tunnel:ID` and `set_tunnel64:ID` */
export function setTunnel(is64: boolean): (at: Scanner) => Action {
  return (at) => {
    const id = uint64(at);
    return { type: "set_tunnel", id, is64: is64 || id > 0xffffffffn };
  };
}

/** `dec_ttl`, `dec_ttl(ID,...)` */
export function parseDecTtl(at: Scanner): Action {
  if (at.value === "") return { type: "dec_ttl", ids: null };
  const ids: number[] = [];
  for (const part of at.value.split(/[, ]+/)) {
    if (part !== "") ids.push(atoi(part) & 0xffff);
  }
  if (ids.length === 0) throw at.errorAtValue("dec_ttl_cnt_ids: expected at least one controller id.");
  return { type: "dec_ttl", ids };
}
