// ICMP and IGMP (RFC 792, RFC 2236): type 1 | code 1 | checksum 2 | four bytes by type (IGMP: the group) | data.
// ICMPv6 (RFC 4443) has the same form; its checksum also covers a pseudo header.
import { parseIpv4, parseIpv6 } from "./address.ts";
import { concatBytes, get16, get32, put16, put32 } from "./bytes.ts";
import { internetChecksum, pseudoHeaderSum } from "./checksum.ts";
import { PROTO_ICMPV6 } from "./ipv4.ts";

export const ICMP_SIZE = 8;

export const ICMP_ECHO_REPLY = 0;
export const ICMP_UNREACHABLE = 3;
export const ICMP_ECHO_REQUEST = 8;
export const ICMPV6_ECHO_REQUEST = 128;
export const ICMPV6_ECHO_REPLY = 129;

export interface Icmp {
  readonly type: number;
  readonly code: number;
  readonly checksum: number;
  /** The four bytes after the checksum: id and sequence of an echo, unused or MTU of an error. */
  readonly rest: number;
}

/** Null when the bytes are too few. */
export function readIcmp(bytes: Uint8Array, at = 0): Icmp | null {
  if (bytes.length < at + ICMP_SIZE) return null;
  return {
    type: bytes[at]!,
    code: bytes[at + 1]!,
    checksum: get16(bytes, at + 2),
    rest: get32(bytes, at + 4),
  };
}

function build(header: Partial<Icmp>, data: Uint8Array): Uint8Array {
  const out = concatBytes(new Uint8Array(ICMP_SIZE), data);
  out[0] = header.type ?? ICMP_ECHO_REQUEST;
  out[1] = header.code ?? 0;
  put32(out, 4, header.rest ?? 0);
  return out;
}

/** The checksum is computed unless given. */
export function buildIcmp(header: Partial<Icmp>, data: Uint8Array): Uint8Array {
  const out = build(header, data);
  put16(out, 2, header.checksum ?? internetChecksum(out));
  return out;
}

/** IGMP versions 1 and 2; `group` stands where ICMP has `rest`. */
export function buildIgmp(type: number, group: string, maxResponse = 0): Uint8Array {
  return buildIcmp({ type, code: maxResponse, rest: get32(parseIpv4(group), 0) }, new Uint8Array(0));
}

/** The checksum is computed over `src` and `dst`, IPv6 addresses, unless given. */
export function buildIcmpv6(header: Partial<Icmp>, data: Uint8Array, src: string, dst: string): Uint8Array {
  const out = build({ type: ICMPV6_ECHO_REQUEST, ...header }, data);
  const seed = pseudoHeaderSum(parseIpv6(src), parseIpv6(dst), PROTO_ICMPV6, out.length);
  put16(out, 2, header.checksum ?? internetChecksum(out, seed));
  return out;
}
