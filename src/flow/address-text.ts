// Addresses in text: Ethernet, IPv4 and IPv6, plain and masked, as OVS reads them, and masked as it writes them (plain: packet/address.ts).
import { MegaflowError } from "../lib/errors.ts";
import { formatIpv4, formatIpv6 } from "../packet/address.ts";

/** Reads `aa:bb:cc:dd:ee:ff` or `aa:..:ff/mm:..:mm` into 6 bytes each. Throws ETEXT in OVS's words. */
export function parseEthernet(text: string, value: Uint8Array, mask: Uint8Array): void {
  const slash = text.indexOf("/");
  const ok =
    slash < 0
      ? parsePlainEthernet(text, value)
      : parsePlainEthernet(text.slice(0, slash), value) && parsePlainEthernet(text.slice(slash + 1), mask);
  if (!ok) throw new MegaflowError("ETEXT", `${text}: invalid Ethernet address`);
  if (slash < 0) mask.fill(0xff, 0, 6);
}

/** As OVS scans one: hexadecimal numbers, each cut to 8 bits. */
function parsePlainEthernet(text: string, out: Uint8Array): boolean {
  let byte = 0;
  let digits = 0;
  let n = 0;
  for (let i = 0; i < text.length; i++) {
    const d = hexDigit(text.charCodeAt(i));
    if (d >= 0) {
      byte = (byte << 4) | d;
      digits++;
    } else {
      if (text.charCodeAt(i) !== 0x3a || digits === 0 || n === 5) return parseOddEthernet(text, out);
      out[n++] = byte;
      byte = digits = 0;
    }
  }
  if (n !== 5 || digits === 0) return parseOddEthernet(text, out);
  out[5] = byte;
  return true;
}

/** The same with what scanf's %x takes besides: blanks before a number, a sign, 0x. */
function parseOddEthernet(text: string, out: Uint8Array): boolean {
  const parts = text.split(":");
  if (parts.length !== 6) return false;
  for (const [i, part] of parts.entries()) {
    const m = /^[ \t]*([+-]?)(?:0[xX])?([0-9a-fA-F]+)$/.exec(part);
    if (m === null) return false;
    const byte = Number.parseInt(m[2]!.slice(-2), 16);
    out[i] = m[1] === "-" ? -byte : byte;
  }
  return true;
}

/** 0 to 15, or -1. */
function hexDigit(c: number): number {
  if (c >= 0x30 && c <= 0x39) return c - 0x30;
  const lower = c | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

const IPV4 = /^([+-]?\d+)\.([+-]?\d+)\.([+-]?\d+)\.([+-]?\d+)$/;

/** What OVS's scanner keeps of a number in 8 bits. */
function toByte(text: string): number {
  return text.length < 10 ? Number(text) & 0xff : Number(BigInt(text) & 0xffn);
}

/** A mask, whatever follows it. */
const IPV4_PREFIX = /^[+-]?\d+\.[+-]?\d+\.[+-]?\d+\.[+-]?\d+/;

/** Reads a dotted IPv4 address into 4 bytes at `at`; false when it is none. A number above 255 is cut to 8 bits, as OVS does. */
export function parsePlainIpv4(text: string, out: Uint8Array, at = 0): boolean {
  const m = IPV4.exec(text);
  if (m === null) return false;
  for (let i = 0; i < 4; i++) out[at + i] = toByte(m[i + 1]!);
  return true;
}

/** Reads `a.b.c.d`, `a.b.c.d/prefix` or `a.b.c.d/m.m.m.m` into 4 bytes each. Throws ETEXT in OVS's words. */
export function parseIpv4(text: string, value: Uint8Array, mask: Uint8Array): void {
  const slash = text.indexOf("/");
  if (slash < 0) {
    if (parsePlainIpv4(text, value)) {
      mask.fill(0xff, 0, 4);
      return;
    }
  } else if (parsePlainIpv4(text.slice(0, slash), value)) {
    const rest = text.slice(slash + 1);
    if (parsePlainIpv4(rest, mask)) return;
    const digits = /^[+-]?\d+/.exec(rest);
    if (digits !== null && !IPV4_PREFIX.test(rest)) {
      const prefix = Number(BigInt.asIntN(32, BigInt(digits[0])));
      if (prefix < 0 || prefix > 32) {
        throw new MegaflowError("ETEXT", `${text}: IPv4 network prefix bits not between 0 and 32, inclusive`);
      }
      fillPrefix(mask, 4, prefix);
      if (digits[0] === rest) return;
    }
  }
  throw new MegaflowError("ETEXT", `${text}: invalid IP address`);
}

/** `a.b.c.d`, `a.b.c.d/prefix` or `a.b.c.d/m.m.m.m`, as the mask needs. */
export function formatIpv4Masked(value: Uint8Array, mask: Uint8Array, at: number): string {
  const bits = prefixLength(mask, at, 4);
  if (bits === 32) return formatIpv4(value, at);
  return `${formatIpv4(value, at)}/${bits >= 0 ? bits : formatIpv4(mask, at)}`;
}

const IPV6_LETTERS = /^[0-9a-fA-F:.]{1,46}/;

/** Reads `addr`, `addr/prefix` or `addr/mask` into 16 bytes each. Throws ETEXT in OVS's words. */
export function parseIpv6(text: string, value: Uint8Array, mask: Uint8Array): void {
  const slash = text.indexOf("/");
  if (slash < 0) {
    if (parsePlainIpv6(text, value)) {
      mask.fill(0xff, 0, 16);
      return;
    }
  } else if (parsePlainIpv6(text.slice(0, slash), value)) {
    const rest = text.slice(slash + 1);
    const digits = /^[+-]?\d+/.exec(rest);
    if (digits !== null) {
      const prefix = Number(BigInt.asIntN(32, BigInt(digits[0])));
      if (prefix < 0 || prefix > 128) {
        throw new MegaflowError(
          "ETEXT",
          `${text}: IPv6 network prefix bits not between 0 and 128, inclusive`,
        );
      }
      fillPrefix(mask, 16, prefix);
      if (digits[0] === rest) return;
    } else {
      const given = IPV6_LETTERS.exec(rest);
      if (given !== null && !parsePlainIpv6(given[0], mask)) {
        throw new MegaflowError("ETEXT", `${text}: Invalid IPv6 mask`);
      }
      if (given?.[0] === rest) return;
    }
  }
  throw new MegaflowError("ETEXT", `${text}: invalid IPv6 address`);
}

/** Reads an IPv6 address (RFC 4291, 2.2) into 16 bytes; false when it is none. */
export function parsePlainIpv6(text: string, out: Uint8Array): boolean {
  let source = text;
  const tail: number[] = [];
  const lastColon = text.lastIndexOf(":");
  if (text.includes(".")) {
    const v4 = new Uint8Array(4);
    if (lastColon < 0 || !parsePlainIpv4(text.slice(lastColon + 1), v4)) return false;
    if (
      text
        .slice(lastColon + 1)
        .split(".")
        .some((n) => !/^(?:0|[1-9]\d{0,2})$/.test(n) || Number(n) > 255)
    )
      return false;
    tail.push((v4[0]! << 8) | v4[1]!, (v4[2]! << 8) | v4[3]!);
    source = text.slice(0, lastColon + 1) + "x";
  }
  const halves = source.split("::");
  if (halves.length > 2) return false;
  const words: number[][] = [];
  for (const half of halves) {
    const list: number[] = [];
    for (const part of half === "" ? [] : half.split(":")) {
      if (part === "x" && tail.length === 2) list.push(...tail);
      else if (/^[0-9a-fA-F]{1,4}$/.test(part)) list.push(Number.parseInt(part, 16));
      else return false;
    }
    words.push(list);
  }
  const given = words[0]!.length + (words[1]?.length ?? 0);
  if (words.length === 1 ? given !== 8 : given > 7) return false;
  out.fill(0, 0, 16);
  words[0]!.forEach((w, i) => {
    out[2 * i] = w >> 8;
    out[2 * i + 1] = w;
  });
  const end = words[1] ?? [];
  end.forEach((w, i) => {
    const at = 16 - 2 * (end.length - i);
    out[at] = w >> 8;
    out[at + 1] = w;
  });
  return true;
}

/** `addr`, `addr/prefix` or `addr/mask`, as the mask needs. */
export function formatIpv6Masked(value: Uint8Array, mask: Uint8Array, at: number): string {
  const bits = prefixLength(mask, at, 16);
  if (bits === 128) return formatIpv6(value, at);
  return `${formatIpv6(value, at)}/${bits >= 0 ? bits : formatIpv6(mask, at)}`;
}

/** The number of leading ones of `size` mask bytes at `at`, or -1 when ones follow a zero. */
export function prefixLength(mask: Uint8Array, at: number, size: number): number {
  let i = 0;
  while (i < size && mask[at + i] === 0xff) i++;
  if (i === size) return 8 * size;
  const byte = mask[at + i]!;
  const ones = Math.clz32(~byte & 0xff) - 24;
  if (((byte << ones) & 0xff) !== 0) return -1;
  for (let j = i + 1; j < size; j++) if (mask[at + j] !== 0) return -1;
  return 8 * i + ones;
}

/** Fills `size` mask bytes with `bits` leading ones. */
function fillPrefix(mask: Uint8Array, size: number, bits: number): void {
  for (let i = 0; i < size; i++) {
    const n = Math.max(0, Math.min(8, bits - 8 * i));
    mask[i] = 0xff << (8 - n);
  }
}
