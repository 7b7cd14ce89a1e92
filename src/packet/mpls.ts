// An MPLS label stack entry (RFC 3032): label 20 bits | traffic class 3 | bottom of stack 1 | ttl 8.
import { get32, put32 } from "./bytes.ts";

export const MPLS_SIZE = 4;

export interface Mpls {
  readonly label: number;
  readonly tc: number;
  readonly bottom: boolean;
  readonly ttl: number;
}

/** Null when the bytes are too few. */
export function readMpls(bytes: Uint8Array, at = 0): Mpls | null {
  if (bytes.length < at + MPLS_SIZE) return null;
  const lse = get32(bytes, at);
  return { label: lse >>> 12, tc: (lse >>> 9) & 7, bottom: (lse & 0x100) !== 0, ttl: lse & 0xff };
}

export function buildMpls(header: Partial<Mpls>): Uint8Array {
  const out = new Uint8Array(MPLS_SIZE);
  const { label = 0, tc = 0, bottom = true, ttl = 64 } = header;
  put32(out, 0, ((label << 12) | (tc << 9) | (bottom ? 0x100 : 0) | ttl) >>> 0);
  return out;
}
