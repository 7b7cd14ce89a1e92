// IPv4 header (RFC 791, 3.1).
import { formatIpv4, parseIpv4 } from "./address.ts";
import { concatBytes, get16, put16 } from "./bytes.ts";
import { internetChecksum } from "./checksum.ts";

export const IPV4_SIZE = 20;

export const PROTO_ICMP = 1;
export const PROTO_IGMP = 2;
export const PROTO_TCP = 6;
export const PROTO_UDP = 17;
export const PROTO_ICMPV6 = 58;
export const PROTO_SCTP = 132;

export interface Ipv4 {
  readonly tos: number;
  /** Header and payload in bytes, as the header says. */
  readonly totalSize: number;
  readonly id: number;
  readonly dontFragment: boolean;
  readonly moreFragments: boolean;
  /** In bytes, a multiple of 8. */
  readonly fragmentOffset: number;
  readonly ttl: number;
  readonly proto: number;
  readonly checksum: number;
  readonly src: string;
  readonly dst: string;
  /** A multiple of 4 bytes, at most 40. */
  readonly options: Uint8Array;
}

/** Null when the bytes are fewer than the header. */
export function readIpv4(bytes: Uint8Array, at = 0): Ipv4 | null {
  if (bytes.length < at + IPV4_SIZE) return null;
  const headerSize = (bytes[at]! & 15) * 4;
  if (headerSize < IPV4_SIZE || bytes.length < at + headerSize) return null;
  const fragment = get16(bytes, at + 6);
  return {
    tos: bytes[at + 1]!,
    totalSize: get16(bytes, at + 2),
    id: get16(bytes, at + 4),
    dontFragment: (fragment & 0x4000) !== 0,
    moreFragments: (fragment & 0x2000) !== 0,
    fragmentOffset: (fragment & 0x1fff) * 8,
    ttl: bytes[at + 8]!,
    proto: bytes[at + 9]!,
    checksum: get16(bytes, at + 10),
    src: formatIpv4(bytes, at + 12),
    dst: formatIpv4(bytes, at + 16),
    options: bytes.slice(at + IPV4_SIZE, at + headerSize),
  };
}

/** Total size and checksum are computed unless given. */
export function buildIpv4(
  header: Partial<Ipv4> & Pick<Ipv4, "src" | "dst" | "proto">,
  payload: Uint8Array,
): Uint8Array {
  const options = header.options ?? new Uint8Array(0);
  const out = concatBytes(new Uint8Array(IPV4_SIZE), options);
  out[0] = 0x40 | (out.length >>> 2);
  out[1] = header.tos ?? 0;
  put16(out, 2, header.totalSize ?? out.length + payload.length);
  put16(out, 4, header.id ?? 0);
  const flags = (header.dontFragment ? 0x4000 : 0) | (header.moreFragments ? 0x2000 : 0);
  put16(out, 6, flags | ((header.fragmentOffset ?? 0) >>> 3));
  out[8] = header.ttl ?? 64;
  out[9] = header.proto;
  out.set(parseIpv4(header.src), 12);
  out.set(parseIpv4(header.dst), 16);
  put16(out, 10, header.checksum ?? internetChecksum(out));
  return concatBytes(out, payload);
}
