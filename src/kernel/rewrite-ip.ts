// Changes to IPv4 and IPv6 headers, with the checksums that cover them. Also what NAT uses.

import { O_DL_TYPE } from "../flow/layout.ts";
import { KEY, OFFSET_NONE, PKT, PKT_CONN, PKT_L3, PKT_L4, PKT_LEN, PKT_PTR, PKT_WIRE_LEN } from "./memory.ts";
import { updateChecksum16, updateChecksum32, updateChecksumBytes } from "./rewrite-checksum.ts";

const PROTO_HOP_OPTIONS: u32 = 0;
const PROTO_TCP: u32 = 6;
const PROTO_UDP: u32 = 17;
const PROTO_ROUTING: u32 = 43;
const PROTO_FRAGMENT: u32 = 44;
const PROTO_AUTHENTICATION: u32 = 51;
const PROTO_ICMPV6: u32 = 58;
const PROTO_DESTINATION_OPTIONS: u32 = 60;

export const BE_IPV4: u32 = 0x0008;
export const BE_IPV6: u32 = 0xdd86;

export const IPV6_SIZE: u32 = 40;
export const TCP_SIZE: u32 = 20;
export const UDP_SIZE: u32 = 8;
const ICMPV6_SIZE: u32 = 4;

export const TCP_CHECKSUM: usize = 16;
export const UDP_CHECKSUM: usize = 6;
export const ICMP_CHECKSUM: usize = 2;

/**
 * The bytes from the transport header to the end of the datagram, padding after it excluded; 0 without such a header. Of a
 * frame that a snaplen cut it may be more than transportPresent().
 */
export function transportSize(): u32 {
  const l4 = load<u32>(PKT, PKT_L4);
  if (l4 == OFFSET_NONE) return 0;
  const l3 = load<u32>(PKT, PKT_L3);
  const at: usize = load<u32>(PKT, PKT_PTR) + l3;
  const type: u32 = load<u16>(KEY, O_DL_TYPE);
  let size: u32 = 0;
  if (type == BE_IPV4) size = bswap<u16>(load<u16>(at, 2));
  else if (type == BE_IPV6) size = IPV6_SIZE + <u32>bswap<u16>(load<u16>(at, 4));
  return size - (l4 - l3);
}

/** The bytes after an IPv4 or IPv6 datagram, which are the link's; 0 where there is none or it is broken. */
export function paddingSize(): u32 {
  const l3 = load<u32>(PKT, PKT_L3);
  const wireLen = load<u32>(PKT, PKT_WIRE_LEN);
  const type: u32 = load<u16>(KEY, O_DL_TYPE);
  const at: usize = load<u32>(PKT, PKT_PTR) + l3;
  let end = l3;
  if (type == BE_IPV4) {
    if (load<u32>(PKT, PKT_L4) == OFFSET_NONE) return 0;
    end += <u32>bswap<u16>(load<u16>(at, 2));
  } else if (type == BE_IPV6) {
    // A broken extension header leaves no transport header, but the datagram's end is known.
    if (l3 + IPV6_SIZE > load<u32>(PKT, PKT_LEN)) return 0;
    end += IPV6_SIZE + <u32>bswap<u16>(load<u16>(at, 4));
  } else {
    return 0;
  }
  return end < wireLen ? wireLen - end : 0;
}

/** How many of transportSize() are there to be read and written. */
export function transportPresent(): u32 {
  const size = transportSize();
  return size == 0 ? 0 : min(size, load<u32>(PKT, PKT_LEN) - load<u32>(PKT, PKT_L4));
}

/** Whether the TCP header at `l4` is there, its options in the datagram too. */
export function isTcpWhole(l4: usize): bool {
  if (transportPresent() < TCP_SIZE) return false;
  const headerSize: u32 = (<u32>load<u8>(l4, 12) >> 4) << 2;
  return headerSize >= TCP_SIZE && headerSize <= transportSize();
}

/** Stores a UDP checksum: zero would mean that there is none (RFC 768). */
export function storeUdpChecksum(l4: usize, sum: u32): void {
  store<u16>(l4, <u16>(sum == 0 ? 0xffff : sum), UDP_CHECKSUM);
}

/**
 * Writes an IPv4 address at `field` (in the header at `l3`) and updates the header's checksum and that of TCP or UDP.
 * `now` is as loaded from a frame.
 */
export function setIpv4Address(l3: usize, field: usize, now: u32): void {
  const was = load<u32>(field);
  if (was == now) return;
  store<u32>(PKT, 0, PKT_CONN); // another connection's frame now
  const proto: u32 = load<u8>(l3, 9);
  if (proto == PROTO_TCP) {
    if (transportPresent() >= TCP_SIZE) {
      const l4 = load<u32>(PKT, PKT_PTR) + load<u32>(PKT, PKT_L4);
      store<u16>(l4, <u16>updateChecksum32(load<u16>(l4, TCP_CHECKSUM), was, now), TCP_CHECKSUM);
    }
  } else if (proto == PROTO_UDP) {
    if (transportPresent() >= UDP_SIZE) {
      const l4 = load<u32>(PKT, PKT_PTR) + load<u32>(PKT, PKT_L4);
      const sum: u32 = load<u16>(l4, UDP_CHECKSUM);
      if (sum != 0) storeUdpChecksum(l4, updateChecksum32(sum, was, now));
    }
  }
  store<u16>(l3, <u16>updateChecksum32(load<u16>(l3, 10), was, now), 10);
  store<u32>(field, now);
}

/** nw_src, nw_dst, nw_tos, nw_ttl. `value` and `mask` are B_IP4 blocks. */
export function setIpv4(value: usize, mask: usize): void {
  const l3: usize = load<u32>(PKT, PKT_PTR) + load<u32>(PKT, PKT_L3);
  setIpv4Address(l3, l3 + 12, masked32(load<u32>(l3, 12), value, mask));
  setIpv4Address(l3, l3 + 16, masked32(load<u32>(l3, 16), value + 4, mask + 4));
  const tos: u32 = load<u8>(l3, 1);
  const newTos = masked8(tos, value + 12, mask + 12);
  if (tos != newTos) {
    store<u16>(l3, <u16>updateChecksum16(load<u16>(l3, 10), tos << 8, newTos << 8), 10);
    store<u8>(l3, <u8>newTos, 1);
  }
  const ttl: u32 = load<u8>(l3, 8);
  const newTtl = masked8(ttl, value + 13, mask + 13);
  if (ttl != newTtl) {
    store<u16>(l3, <u16>updateChecksum16(load<u16>(l3, 10), ttl, newTtl), 10);
    store<u8>(l3, <u8>newTtl, 8);
  }
}

// What the walk over IPv6's extension headers found.
let walkProto: u32 = 0;
let walkRouted: bool = false;
let walkCovered: bool = false;

/** In a fragment header's offset and flags, as loaded from a frame: more fragments, and the offset with that bit. */
const BE_MORE_FRAGMENTS: u32 = 0x0100;
const BE_FRAGMENT: u32 = 0xf9ff;

/**
 * Finds of the datagram at `l3`
 * - the transport protocol;
 * - whether a routing header still has segments to visit: the destination in the pseudo-header is then the last segment,
 *   not the header's (RFC 8200 section 8.1);
 * - whether a transport checksum is updated at all: not in a later fragment, which has none, nor, as with OVS, behind a
 *   fragment header of a datagram that is whole. (In IPv4 OVS updates what stands at the checksum's place in a later
 *   fragment too, and so do we.)
 */
function walkExtensions(l3: usize): void {
  let left = load<u32>(PKT, PKT_L4) - load<u32>(PKT, PKT_L3) - IPV6_SIZE;
  let at = l3 + IPV6_SIZE;
  let proto: u32 = load<u8>(l3, 6);
  walkRouted = false;
  walkCovered = true;
  while (
    proto == PROTO_HOP_OPTIONS ||
    proto == PROTO_ROUTING ||
    proto == PROTO_DESTINATION_OPTIONS ||
    proto == PROTO_AUTHENTICATION ||
    proto == PROTO_FRAGMENT
  ) {
    if (left < 8) break;
    if (proto == PROTO_ROUTING && load<u8>(at, 3) != 0) {
      walkRouted = true;
      break;
    }
    let size: u32 = (<u32>load<u8>(at, 1) + 1) << 3;
    if (proto == PROTO_AUTHENTICATION) size = (<u32>load<u8>(at, 1) + 2) << 2;
    else if (proto == PROTO_FRAGMENT) {
      size = 8;
      walkCovered = (<u32>load<u16>(at, 2) & BE_FRAGMENT) == BE_MORE_FRAGMENTS;
    }
    proto = load<u8>(at);
    if (left < size) break;
    left -= size;
    at += size;
  }
  walkProto = proto;
}

/**
 * Writes the 16 bytes at `now` to `field`, a part of the datagram that the checksum of transport protocol `proto` covers
 * when `covered`.
 */
export function setIpv6Address(proto: u32, field: usize, now: usize, covered: bool): void {
  store<u32>(PKT, 0, PKT_CONN);
  if (covered) {
    const size = transportPresent();
    const l4: usize = load<u32>(PKT, PKT_PTR) + load<u32>(PKT, PKT_L4);
    if (proto == PROTO_TCP && size >= TCP_SIZE) {
      store<u16>(l4, <u16>updateChecksumBytes(load<u16>(l4, TCP_CHECKSUM), field, now, 16), TCP_CHECKSUM);
    } else if (proto == PROTO_UDP && size >= UDP_SIZE) {
      const sum: u32 = load<u16>(l4, UDP_CHECKSUM);
      if (sum != 0) storeUdpChecksum(l4, updateChecksumBytes(sum, field, now, 16));
    } else if (proto == PROTO_ICMPV6 && size >= ICMPV6_SIZE) {
      store<u16>(l4, <u16>updateChecksumBytes(load<u16>(l4, ICMP_CHECKSUM), field, now, 16), ICMP_CHECKSUM);
    }
  }
  v128.store(field, v128.load(now));
}

const NEW_ADDRESS: usize = memory.data(16, 16);

/** Writes an address under a mask: the bits of `value` where `mask` has ones. */
export function setIpv6Masked(proto: u32, field: usize, value: usize, mask: usize, covered: bool): void {
  const was = v128.load(field);
  const now = v128.bitselect(v128.load(value), was, v128.load(mask));
  if (!v128.any_true(v128.xor(was, now))) return;
  v128.store(NEW_ADDRESS, now);
  setIpv6Address(proto, field, NEW_ADDRESS, covered);
}

/**
 * ipv6_src, ipv6_dst, ipv6_label, nw_tos, nw_ttl. `blocks` are value and mask of B_IP4, of B_IPV6_SRC, of B_IPV6_DST and
 * of B_ADDR, 16 bytes each.
 */
export function setIpv6(blocks: usize): void {
  const l3: usize = load<u32>(PKT, PKT_PTR) + load<u32>(PKT, PKT_L3);
  walkExtensions(l3);
  setIpv6Masked(walkProto, l3 + 8, blocks + 32, blocks + 48, walkCovered);
  setIpv6Masked(walkProto, l3 + 24, blocks + 64, blocks + 80, walkCovered && !walkRouted);

  const first: u32 = bswap<u32>(load<u32>(l3)); // version 4 bits, traffic class 8, flow label 20
  const tos = masked8((first >> 20) & 0xff, blocks + 12, blocks + 28);
  const label = masked32(load<u32>(l3), blocks + 96 + 12, blocks + 112 + 12);
  store<u32>(l3, bswap<u32>((first & 0xf0000000) | (tos << 20) | (bswap<u32>(label) & 0xfffff)));
  store<u8>(l3, <u8>masked8(load<u8>(l3, 7), blocks + 13, blocks + 29), 7);
}

/** `was` with the bits of the u32 at `value` where the one at `mask` has ones; all as loaded from a frame. */
export function masked32(was: u32, value: usize, mask: usize): u32 {
  const m = load<u32>(mask);
  return (load<u32>(value) & m) | (was & ~m);
}

export function masked16(was: u32, value: usize, mask: usize): u32 {
  const m: u32 = load<u16>(mask);
  return (<u32>load<u16>(value) & m) | (was & ~m);
}

export function masked8(was: u32, value: usize, mask: usize): u32 {
  const m: u32 = load<u8>(mask);
  return (<u32>load<u8>(value) & m) | (was & ~m);
}
