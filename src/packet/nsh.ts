// Network service header (RFC 8300): version 2 bits, O bit and a reserved one, ttl 6, length 6 in words | reserved 4,
// metadata type 4 | next protocol | service path 24, index 8 | context.
import { concatBytes, get16, get32, put16, put32 } from "./bytes.ts";

export const NSH_BASE_SIZE = 8;

export interface Nsh {
  readonly version: number;
  readonly flags: number;
  readonly ttl: number;
  readonly mdType: number;
  readonly nextProto: number;
  readonly spi: number;
  readonly si: number;
  /** What follows the base header and its service path: 16 bytes for metadata type 1. */
  readonly context: Uint8Array;
}

/** Null when the bytes are fewer than the header says. */
export function readNsh(bytes: Uint8Array, at = 0): Nsh | null {
  if (bytes.length < at + NSH_BASE_SIZE) return null;
  const first = get16(bytes, at);
  const size = (first & 0x3f) * 4;
  if (size < NSH_BASE_SIZE || bytes.length < at + size) return null;
  const path = get32(bytes, at + 4);
  return {
    version: first >>> 14,
    flags: (first >>> 12) & 3,
    ttl: (first >>> 6) & 0x3f,
    mdType: bytes[at + 2]!,
    nextProto: bytes[at + 3]!,
    spi: path >>> 8,
    si: path & 0xff,
    context: bytes.slice(at + NSH_BASE_SIZE, at + size),
  };
}

export function buildNsh(header: Partial<Nsh>): Uint8Array {
  const { version = 0, flags = 0, ttl = 63, mdType = 1, nextProto = 3, spi = 1, si = 255 } = header;
  const context = header.context ?? new Uint8Array(mdType === 1 ? 16 : 0);
  const out = new Uint8Array(NSH_BASE_SIZE);
  const words = (NSH_BASE_SIZE + context.length) >>> 2;
  put16(out, 0, (version << 14) | (flags << 12) | (ttl << 6) | words);
  out[2] = mdType;
  out[3] = nextProto;
  put32(out, 4, ((spi << 8) | si) >>> 0);
  return concatBytes(out, context);
}
