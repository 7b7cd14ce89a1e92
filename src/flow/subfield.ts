// Subfields: the text `NAME[]`, `NAME[n]`, `NAME[a..b]` of ovs-actions(7), and reading and writing their bits in a flow.
import { MegaflowError } from "../lib/errors.ts";
import { type Field, fieldByName, NW_TOS, type Subfield } from "./field.ts";
import type { Flow } from "./flow.ts";
import { setPresent } from "./option-bits.ts";

/** All of a field. */
export function wholeField(field: Field): Subfield {
  return { field, ofs: 0, bits: field.bits };
}

/**
 * Parses the subfield at the start of `text`; `rest` is what follows it. The brackets may be missing (all of the field).
 * Throws ETEXT in OVS's words.
 */
export function parseSubfieldPrefix(text: string): { subfield: Subfield; rest: string } {
  const name = /^[^[-]*/.exec(text)![0];
  const field = fieldByName(name);
  if (field === undefined) throw new MegaflowError("ETEXT", `${text}: unknown field \`${name}'`);
  const brackets = text.slice(name.length);
  if (!brackets.startsWith("[")) return { subfield: wholeField(field), rest: brackets };
  if (brackets.startsWith("[]")) return { subfield: wholeField(field), rest: brackets.slice(2) };

  const range = /^\[\s*([+-]?\d+)(?:\.\.\s*([+-]?\d+))?\]/.exec(brackets);
  if (range === null) {
    throw new MegaflowError("ETEXT", `${text}: syntax error expecting [] or [<bit>] or [<start>..<end>]`);
  }
  const start = toInt(range[1]!);
  const end = range[2] === undefined ? start : toInt(range[2]);
  const wide = `is not valid because field is only ${field.bits} bits wide`;
  if (start > end) {
    throw new MegaflowError("ETEXT", `${text}: starting bit ${start} is after ending bit ${end}`);
  }
  if (start < 0 || start >= field.bits) {
    throw new MegaflowError("ETEXT", `${text}: starting bit ${start} ${wide}`);
  }
  if (end >= field.bits) throw new MegaflowError("ETEXT", `${text}: ending bit ${end} ${wide}`);
  return {
    subfield: { field, ofs: start, bits: end - start + 1 },
    rest: brackets.slice(range[0].length),
  };
}

/** A decimal number as OVS scans it: what does not fit into 32 bits is lost. */
function toInt(text: string): number {
  if (text.length < 10) return Number(text);
  return Number(BigInt.asIntN(32, BigInt(text)));
}

/** Parses a text that is one subfield. Throws ETEXT in OVS's words. */
export function parseSubfield(text: string): Subfield {
  const { subfield, rest } = parseSubfieldPrefix(text);
  if (rest !== "") throw new MegaflowError("ETEXT", "unexpected input following field syntax");
  return subfield;
}

/** As OVS prints it: the NXM name where there is one, else the OXM name, else the field's own. */
export function formatSubfield(sf: Subfield): string {
  const name = sf.field.codePoints[0]?.name ?? sf.field.name;
  if (sf.ofs === 0 && sf.bits === sf.field.bits) return `${name}[]`;
  return sf.bits === 1 ? `${name}[${sf.ofs}]` : `${name}[${sf.ofs}..${sf.ofs + sf.bits - 1}]`;
}

/** OpenFlow 1.1+ number of a 16-bit port: the reserved ones move to the top of 32 bits. */
export function portToOxm(port: number): number {
  return port < 0xff00 ? port : (0xffff0000 | port) >>> 0;
}

/** The 16-bit port of an OpenFlow 1.1+ number; OFPP_NONE (0xffff) for one that has none. */
export function portFromOxm(port: number): number {
  if (port < 0xff00) return port;
  return port >= 0xffffff00 ? port & 0xffff : 0xffff;
}

/**
 * Reads a subfield of at most 32 bits. Bits the key does not keep (ct_state above bit 7) are zero.
 * Runs in a few ns: fit for translation.
 */
export function readSubfield32(flow: Flow, sf: Subfield): number {
  const field = sf.field;
  const bytes = flow.bytes;
  if (field.form === "of_port_oxm") {
    const port = portToOxm(flow.get32(field.offset) & 0xffff);
    return ((port >>> sf.ofs) & lowOnes(sf.bits)) >>> 0;
  }
  const low = field.shift + sf.ofs;
  let end = field.offset + field.size - (low >>> 3);
  let shift = -(low & 7);
  let value = 0;
  // Byte by byte from the low end; `shift` is where the byte's lowest bit lands in the value.
  for (; shift < sf.bits && end > field.offset; shift += 8) {
    const byte = bytes[--end]!;
    value |= shift < 0 ? byte >>> -shift : byte << shift;
  }
  value = (value & lowOnes(sf.bits)) >>> 0;
  // nw_tos is the DSCP in its place in the byte: it does not see the ECN bits.
  if (field === NW_TOS && sf.ofs < 2) value = (value >>> (2 - sf.ofs)) << (2 - sf.ofs);
  return value;
}

/** Writes a subfield of at most 32 bits; bits of `value` above the subfield are ignored. */
export function writeSubfield32(flow: Flow, sf: Subfield, value: number): void {
  const field = sf.field;
  const bytes = flow.bytes;
  if (field.form === "of_port_oxm") {
    const ones = lowOnes(sf.bits) << sf.ofs;
    const old = portToOxm(flow.get32(field.offset) & 0xffff);
    flow.set32(field.offset, portFromOxm(((old & ~ones) | ((value << sf.ofs) & ones)) >>> 0));
    return;
  }
  let low = field.shift + sf.ofs;
  let bits = sf.bits;
  if (field.option >= 0) setPresent(bytes, field.option);
  if (field === NW_TOS && sf.ofs < 2) {
    const skip = Math.min(2 - sf.ofs, bits);
    low += skip;
    bits -= skip;
    value >>>= skip;
  }
  let at = field.offset + field.size - 1 - (low >>> 3);
  let k = low & 7;
  while (bits > 0 && at >= field.offset) {
    const take = Math.min(bits, 8 - k);
    const ones = ((1 << take) - 1) << k;
    bytes[at] = (bytes[at]! & ~ones) | ((value << k) & ones);
    value >>>= take;
    bits -= take;
    k = 0;
    at--;
  }
}

/** Reads a subfield of any width. */
export function readSubfield(flow: Flow, sf: Subfield): bigint {
  if (sf.bits <= 32) return BigInt(readSubfield32(flow, sf));
  let value = 0n;
  for (let done = 0; done < sf.bits; done += 32) {
    const bits = Math.min(32, sf.bits - done);
    const part = readSubfield32(flow, { field: sf.field, ofs: sf.ofs + done, bits });
    value |= BigInt(part) << BigInt(done);
  }
  return value;
}

/** Writes a subfield of any width; bits of `value` above the subfield are ignored. */
export function writeSubfield(flow: Flow, sf: Subfield, value: bigint): void {
  for (let done = 0; done < sf.bits; done += 32) {
    const bits = Math.min(32, sf.bits - done);
    const part = Number((value >> BigInt(done)) & 0xffffffffn);
    writeSubfield32(flow, { field: sf.field, ofs: sf.ofs + done, bits }, part);
  }
}

/** Copies `src` of `from` to `dst` of `to`; both of the same width. */
export function copySubfield(from: Flow, src: Subfield, to: Flow, dst: Subfield): void {
  if (src.bits <= 32) writeSubfield32(to, dst, readSubfield32(from, src));
  else writeSubfield(to, dst, readSubfield(from, src));
}

/** Sets the bits of a subfield in a mask. Ports are all or nothing. */
export function maskSubfield(mask: Flow, sf: Subfield): void {
  const field = sf.field;
  if (field.form === "of_port_oxm" || field.form === "of_port") mask.setExact(field.offset, field.size);
  else if (sf.bits <= 32) writeSubfield32(mask, sf, 0xffffffff);
  else writeSubfield(mask, sf, -1n);
}

function lowOnes(bits: number): number {
  return bits >= 32 ? -1 : (1 << bits) - 1;
}
