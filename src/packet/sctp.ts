// SCTP common header (RFC 9260, 3.1): source port 2 | destination port 2 | verification tag 4 | CRC32c 4.
import { concatBytes, get16, get32, put16, put32 } from "./bytes.ts";
import { crc32c } from "./checksum.ts";

export const SCTP_SIZE = 12;

export interface Sctp {
  readonly srcPort: number;
  readonly dstPort: number;
  readonly tag: number;
  /** CRC32c; its least significant byte comes first in the packet. */
  readonly checksum: number;
}

/** Null when the bytes are too few. */
export function readSctp(bytes: Uint8Array, at = 0): Sctp | null {
  if (bytes.length < at + SCTP_SIZE) return null;
  return {
    srcPort: get16(bytes, at),
    dstPort: get16(bytes, at + 2),
    tag: get32(bytes, at + 4),
    checksum: swap32(get32(bytes, at + 8)),
  };
}

/** `chunks` follow the header. The checksum is computed unless given. */
export function buildSctp(header: Partial<Sctp>, chunks: Uint8Array): Uint8Array {
  const out = concatBytes(new Uint8Array(SCTP_SIZE), chunks);
  put16(out, 0, header.srcPort ?? 0);
  put16(out, 2, header.dstPort ?? 0);
  put32(out, 4, header.tag ?? 0);
  put32(out, 8, swap32(header.checksum ?? crc32c(out)));
  return out;
}

function swap32(value: number): number {
  return ((value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
}
