// Numbers in OpenFlow text, read as C's strtol family with base 0 reads them (decimal, 0x hexadecimal, 0 octal), with the
// three error wordings ovs-ofctl has for them.

import { MegaflowError } from "../../lib/errors.ts";
import type { Scanner } from "./scan.ts";

/** A value, and where errors about it belong. */
export type ValueAt = Pick<Scanner, "value" | "errorAtValue">;

const PATTERN = /^[ \t]*([+-]?)(?:0[xX]([0-9a-fA-F]+)|0([0-7]*)|([1-9][0-9]*))$/;

/** The number a whole text stands for, null when it is none. */
export function readInteger(text: string): bigint | null {
  const m = PATTERN.exec(text);
  if (m === null) return null;
  const [, sign, hex, octal, decimal] = m;
  let value: bigint;
  if (hex !== undefined) value = BigInt(`0x${hex}`);
  else if (octal !== undefined) value = octal === "" ? 0n : BigInt(`0o${octal}`);
  else value = BigInt(decimal!);
  return sign === "-" ? -value : value;
}

/** As readInteger, for small numbers: null also when it is not a safe integer. */
export function readSmallInteger(text: string): number | null {
  // Plain decimals are most of what there is.
  const n = text.length;
  if (n > 0 && n < 10) {
    const first = text.charCodeAt(0);
    if (first >= 49 && first <= 57) {
      let value = first - 48;
      let i = 1;
      for (; i < n; i++) {
        const c = text.charCodeAt(i) - 48;
        if (c < 0 || c > 9) break;
        value = value * 10 + c;
      }
      if (i === n) return value;
    } else if (n === 1 && first === 48) {
      return 0;
    }
  }
  const big = readInteger(text);
  if (big === null) return null;
  const value = Number(big);
  return Number.isSafeInteger(value) ? value : null;
}

/** An integer of 0 to `max`; otherwise throws `invalid NAME "TEXT"`. The text is the scanner's value. */
export function boundedInteger(at: ValueAt, name: string, max: number): number {
  return boundedIntegerOf(at, at.value, name, max);
}

/** As boundedInteger, for a text that is a part of the scanner's value. */
export function boundedIntegerOf(at: ValueAt, text: string, name: string, max: number): number {
  const value = readSmallInteger(text);
  if (value === null || value < 0 || value > max) throw at.errorAtValue(`invalid ${name} "${text}"`);
  return value;
}

/** A 32-bit number; higher bits are lost, as in ovs-ofctl. */
export function uint32(at: ValueAt, text = at.value): number {
  return Number(BigInt.asUintN(32, uint64(at, text)));
}

/** A 64-bit number. */
export function uint64(at: ValueAt, text = at.value): bigint {
  if (text === "") throw at.errorAtValue("missing required numeric argument");
  const value = readInteger(text);
  if (value === null || value > 0xffff_ffff_ffff_ffffn || value < -0xffff_ffff_ffff_ffffn) {
    throw at.errorAtValue(`invalid numeric format ${text}`);
  }
  return BigInt.asUintN(64, value);
}

/** What C's atoi makes of a text: the decimal number it begins with, else 0. `learn` reads its numbers so. */
export function atoi(text: string): number {
  const digits = /^\s*([+-]?\d+)/.exec(text);
  if (digits === null) return 0;
  // As a long integer is cut to an int.
  const value = BigInt(digits[1]!);
  const limit = (1n << 63n) - 1n;
  return Number(BigInt.asIntN(32, value > limit ? limit : value < -limit ? -limit - 1n : value));
}

/** What C's strtoull makes of a text with base 0: the number it begins with, else 0; what is too large is all ones. */
export function strtoull(text: string): bigint {
  const m = /^\s*([+-]?)(?:0[xX]([0-9a-fA-F]+)|0([0-7]*)|([1-9][0-9]*))/.exec(text);
  if (m === null) return 0n;
  const [, sign, hex, octal, decimal] = m;
  const value = hex !== undefined ? BigInt(`0x${hex}`) : BigInt(decimal ?? `0o0${octal!}`);
  if (value >> 64n !== 0n) return ALL_ONES;
  return sign === "-" ? BigInt.asUintN(64, -value) : value;
}

const ALL_ONES = 0xffff_ffff_ffff_ffffn;

/** The bytes of a big-endian number. */
export function bytesOf(value: bigint, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let i = size - 1; i >= 0; i--) {
    bytes[i] = Number(value & 0xffn);
    value >>= 8n;
  }
  return bytes;
}

/** The big-endian number that bytes make. */
export function numberOf(bytes: Uint8Array): bigint {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return value;
}

/**
 * An Ethernet address as six bytes; throws `invalid mac address TEXT`. As ovs-ofctl reads it for mod_dl_*: numbers are cut
 * to 8 bits, and what follows the sixth does not count.
 */
export function macAddress(at: Scanner): Uint8Array {
  const m = MAC.exec(at.value);
  if (m === null) throw at.errorAtValue(`invalid mac address ${at.value}`);
  return Uint8Array.from(m.slice(1), (text) => {
    const byte = Number.parseInt(text.replace(/^.*[+-]|0[xX]/g, "").slice(-2), 16);
    return text.includes("-") ? -byte : byte;
  });
}

const HEX = "[ \\t\\r\\n]*([+-]?(?:0[xX][0-9a-fA-F]+|(?!0[xX])[0-9a-fA-F]+))";
const MAC = new RegExp(`^${HEX}:${HEX}:${HEX}:${HEX}:${HEX}:${HEX}`);

/** Four bytes of a dotted IPv4 address, null when it is none. */
export function ipv4Address(text: string): Uint8Array | null {
  const m = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/.exec(text);
  if (m === null) return null;
  const bytes = Uint8Array.of(Number(m[1]), Number(m[2]), Number(m[3]), Number(m[4]));
  for (let i = 0; i < 4; i++) if (Number(m[i + 1]) > 255) return null;
  return bytes;
}

/** Hexadecimal digits in pairs, with `.` between as one likes; throws `message` on anything else. */
export function hexBytes(at: Scanner, text: string, message: string): Uint8Array {
  const bytes: number[] = [];
  let i = 0;
  while (i < text.length) {
    if (text[i] === ".") {
      i++;
      continue;
    }
    const pair = text.slice(i, i + 2);
    if (!/^[0-9a-fA-F]{2}$/.test(pair)) throw new MegaflowError("ETEXT", message, { column: at.valueAt + 1 });
    bytes.push(Number.parseInt(pair, 16));
    i += 2;
  }
  return Uint8Array.from(bytes);
}

/** `01.02.03` */
export function formatHexBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join(".");
}
