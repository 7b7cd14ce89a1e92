// IPv6 extension headers (RFC 8200, 4; RFC 4302 for authentication): each starts with the number of what follows.
import { concatBytes, get16, get32, put16, put32 } from "./bytes.ts";

export const EXT_HOP_OPTIONS = 0;
export const EXT_ROUTING = 43;
export const EXT_FRAGMENT = 44;
export const EXT_AUTHENTICATION = 51;
export const EXT_DESTINATION_OPTIONS = 60;
export const FRAGMENT_SIZE = 8;

export interface Ipv6Fragment {
  readonly nextHeader: number;
  /** In bytes, a multiple of 8. */
  readonly offset: number;
  readonly more: boolean;
  readonly id: number;
}

/** Null when the bytes are too few. */
export function readIpv6Fragment(bytes: Uint8Array, at = 0): Ipv6Fragment | null {
  if (bytes.length < at + FRAGMENT_SIZE) return null;
  const field = get16(bytes, at + 2);
  return {
    nextHeader: bytes[at]!,
    offset: field & 0xfff8,
    more: (field & 1) !== 0,
    id: get32(bytes, at + 4),
  };
}

export function buildIpv6Fragment(header: Partial<Ipv6Fragment>, payload: Uint8Array): Uint8Array {
  const out = new Uint8Array(FRAGMENT_SIZE);
  out[0] = header.nextHeader ?? 59;
  put16(out, 2, (header.offset ?? 0) | (header.more ? 1 : 0));
  put32(out, 4, header.id ?? 0);
  return concatBytes(out, payload);
}

/**
 * Any other extension header of `size` bytes, its content zero: a multiple of 8 (of 4 for authentication) and 8 at least.
 * `kind` is the header's own number, which decides how it says its length.
 */
export function buildIpv6Extension(
  kind: number,
  nextHeader: number,
  size: number,
  payload: Uint8Array,
): Uint8Array {
  const out = new Uint8Array(size);
  out[0] = nextHeader;
  out[1] = kind === EXT_AUTHENTICATION ? size / 4 - 2 : size / 8 - 1;
  return concatBytes(out, payload);
}
