// Runs of bits of a flow key as byte strings: what push and pop keep on the stack. (flow/subfield.ts has the rest.)
import type { Subfield } from "../flow/field.ts";
import { setPresent } from "../flow/option-bits.ts";

const lowBit = (sf: Subfield): number => sf.field.shift + sf.ofs;
const lastByte = (sf: Subfield): number => sf.field.offset + sf.field.size - 1;
/** Bits that exist: a 16-bit field kept in one byte (arp_op) has its high bits nowhere. */
const limitOf = (sf: Subfield): number => sf.field.size * 8;

/** The run as bytes, most significant first, right-aligned: what `push` keeps. */
export function loadBits(bytes: Uint8Array, sf: Subfield): Uint8Array {
  const out = new Uint8Array((sf.bits + 7) >> 3);
  const low = lowBit(sf);
  const end = lastByte(sf);
  const limit = limitOf(sf);
  for (let k = 0; k < sf.bits; k++) {
    const at = low + k;
    if (at >= limit) break;
    if ((bytes[end - (at >> 3)]! >> (at & 7)) & 1) out[out.length - 1 - (k >> 3)]! |= 1 << (k & 7);
  }
  return out;
}

/** Stores right-aligned big-endian bytes into the run; missing high bytes are zero, surplus ones are lost. */
export function storeBits(bytes: Uint8Array, sf: Subfield, value: Uint8Array): void {
  if (sf.field.option >= 0) setPresent(bytes, sf.field.option);
  const low = lowBit(sf);
  const end = lastByte(sf);
  const limit = limitOf(sf);
  for (let k = 0; k < sf.bits; k++) {
    const at = low + k;
    if (at >= limit) return;
    const bit = ((value[value.length - 1 - (k >> 3)] ?? 0) >> (k & 7)) & 1;
    const index = end - (at >> 3);
    bytes[index] = (bytes[index]! & ~(1 << (at & 7))) | (bit << (at & 7));
  }
}

/** A non-negative bigint as `length` big-endian bytes. */
export function bigintBytes(value: bigint, length: number): Uint8Array {
  const out = new Uint8Array(length);
  let rest = value;
  for (let i = length - 1; i >= 0; i--) {
    out[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return out;
}
