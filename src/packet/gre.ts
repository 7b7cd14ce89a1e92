// GRE (RFC 2784, with the key and sequence number of RFC 2890): flags 13, version 3 | protocol 16 | checksum 16, reserved 16 |
// key 32 | sequence number 32; the last three each if its flag is set.

import { concatBytes, get16, get32, put16, put32 } from "./bytes.ts";
import { finishChecksum, sumWords } from "./checksum.ts";

export const GRE_BASE_SIZE = 4;
const HAS_CHECKSUM = 0x8000;
const HAS_KEY = 0x2000;
const HAS_SEQUENCE = 0x1000;
/** Bits that a receiver must not let pass: the routing of RFC 1701 and what is reserved beside it, and the version. */
const UNKNOWN = 0x4c07;

export interface Gre {
  readonly protocol: number;
  /** Null for none. */
  readonly key: number | null;
  readonly sequence: number | null;
  /** Whether there is a checksum; it has been found right. */
  readonly checksum: boolean;
  /** Bytes of the header. */
  readonly size: number;
}

/** Null when the bytes end within the header, a flag is unknown, or the checksum (of all the bytes from `at`) is wrong. */
export function readGre(bytes: Uint8Array, at = 0): Gre | null {
  if (bytes.length < at + GRE_BASE_SIZE) return null;
  const flags = get16(bytes, at);
  if ((flags & UNKNOWN) !== 0) return null;
  const checksum = (flags & HAS_CHECKSUM) !== 0;
  const hasKey = (flags & HAS_KEY) !== 0;
  const hasSequence = (flags & HAS_SEQUENCE) !== 0;
  const size = GRE_BASE_SIZE + 4 * (Number(checksum) + Number(hasKey) + Number(hasSequence));
  if (bytes.length < at + size) return null;
  if (checksum && finishChecksum(sumWords(bytes.subarray(at))) !== 0) return null;
  let next = at + GRE_BASE_SIZE + (checksum ? 4 : 0);
  const key = hasKey ? get32(bytes, next) : null;
  if (hasKey) next += 4;
  const sequence = hasSequence ? get32(bytes, next) : null;
  return { protocol: get16(bytes, at + 2), key, sequence, checksum, size };
}

/** The header and what it carries: the checksum covers both. */
export function buildGre(
  header: Pick<Gre, "protocol"> & Partial<Omit<Gre, "size">>,
  payload: Uint8Array,
): Uint8Array {
  const { protocol, key = null, sequence = null, checksum = false } = header;
  const size = GRE_BASE_SIZE + 4 * (Number(checksum) + Number(key !== null) + Number(sequence !== null));
  const head = new Uint8Array(size);
  put16(
    head,
    0,
    (checksum ? HAS_CHECKSUM : 0) | (key === null ? 0 : HAS_KEY) | (sequence === null ? 0 : HAS_SEQUENCE),
  );
  put16(head, 2, protocol);
  let next = GRE_BASE_SIZE + (checksum ? 4 : 0);
  if (key !== null) {
    put32(head, next, key);
    next += 4;
  }
  if (sequence !== null) put32(head, next, sequence);
  const out = concatBytes(head, payload);
  if (checksum) put16(out, GRE_BASE_SIZE, finishChecksum(sumWords(out)));
  return out;
}
