// What the frame in PKT says about its connection: its tuple, where its transport header is, how much TCP payload it has.
//
// A frame is trackable when it is IPv4 or IPv6, whole (no fragment), its headers are long enough, ports are not zero, and
// its IPv4 and TCP, UDP or ICMP checksums are right, as OVS demands. A capture that cut the frame short leaves no way to
// verify a checksum over what is gone: it is taken as right then.
import { CTC_EXTRACT, CTC_IP_CSUM, CTC_L4_CSUM, MAX_FRAME } from "../datapath/abi.ts";
import { O_DL_TYPE, O_IPV6_DST, O_IPV6_SRC, O_NW_FRAG, O_NW_PROTO, O_NW_SRC } from "../flow/layout.ts";
import { checksumGood, checksumGoodWithPseudo } from "./conntrack-checksum.ts";
import {
  ICMP_NOT_QUERY,
  isIcmp6Error,
  isIcmpError,
  reverseIcmp6Type,
  reverseIcmpType,
} from "./conntrack-icmp.ts";
import { count, foldAddress, tupleHash } from "./conntrack-table.ts";
import { KEY, OFFSET_NONE, PKT, PKT_L3, PKT_L4, PKT_LEN, PKT_PTR } from "./memory.ts";

export const IPPROTO_ICMP: u32 = 1;
export const IPPROTO_TCP: u32 = 6;
export const IPPROTO_UDP: u32 = 17;
export const IPPROTO_ICMPV6: u32 = 58;

const ETH_IPV4: u32 = 0x0008; // as it stands in memory
const ETH_IPV6: u32 = 0xdd86;

const TCP_HEADER: u32 = 20;
const UDP_HEADER: u32 = 8;
const ICMP_HEADER: u32 = 8;
const IPV4_HEADER: u32 = 20;
const IPV6_HEADER: u32 = 40;

// The result of extractTuple().
/** The tuple in the table's form (datapath/abi.ts), and the same in the other direction. */
export let tuple: v128 = i32x4(0, 0, 0, 0);
export let reversed: v128 = i32x4(0, 0, 0, 0);
export let hash: u32 = 0;
/** Where the IPv6 addresses of the tuple are; 0 for IPv4. */
export let src6: usize = 0;
export let dst6: usize = 0;
export let proto: u32 = 0;
/** The frame is an ICMP error, and the tuple is that of the connection it is about. */
export let related: bool = false;
/** The frame's own transport header (not the quoted one), and the bytes from it to the end of the IP packet. */
export let l4: usize = 0;
export let l4Size: u32 = 0;
/** How many of them are there; fewer when the capture cut the frame. */
export let l4Present: u32 = 0;
/** TCP payload bytes. */
export let payload: u32 = 0;

function be16(at: usize): u32 {
  return bswap<u16>(load<u16>(at)) as u32;
}

/** Reads the frame's tuple in `zone`; false when it cannot be tracked. */
export function extractTuple(zone: u32): bool {
  const frame = load<u32>(PKT, PKT_PTR) as usize;
  const l3Offset = load<u32>(PKT, PKT_L3);
  const l4Offset = load<u32>(PKT, PKT_L4);
  const type = load<u16>(KEY, O_DL_TYPE) as u32;
  if (l3Offset == OFFSET_NONE || l4Offset == OFFSET_NONE || load<u8>(KEY, O_NW_FRAG) != 0)
    return untrackable();
  const l3 = frame + (l3Offset as usize);
  const length = load<u32>(PKT, PKT_LEN);
  if (l4Offset > length) return untrackable();
  l4Present = length - l4Offset;
  l4 = frame + (l4Offset as usize);
  related = false;
  proto = load<u8>(KEY, O_NW_PROTO) as u32;

  if (type == ETH_IPV4) {
    const header = ((load<u8>(l3) & 0x0f) as u32) << 2;
    l4Size = be16(l3 + 2) - header;
    if (l4Size > (MAX_FRAME as u32)) return untrackable();
    if (!checksumGood(l3, header)) {
      count(CTC_IP_CSUM);
      return false;
    }
    const key = v128.load(KEY, O_NW_SRC);
    const meta = proto | (4 << 8) | (zone << 16);
    src6 = 0;
    dst6 = 0;
    if (proto == IPPROTO_TCP || proto == IPPROTO_UDP) {
      if (!(proto == IPPROTO_TCP ? tcpGood() : udpGood())) return untrackable();
      // UDP over IPv4 may come without a checksum (RFC 768).
      if (proto == IPPROTO_TCP || load<u16>(l4, 6) != 0) {
        if (l4Size <= l4Present && !checksumGoodWithPseudo(l4, l4Size, l3 + 12, 8, proto))
          return badChecksum();
      }
      const ports = i32x4.extract_lane(key, 2) as u32;
      if ((ports & 0xffff) == 0 || ports >> 16 == 0) return untrackable();
      tuple = i32x4.replace_lane(key, 3, meta);
      reversed = v128.shuffle<u8>(tuple, tuple, 4, 5, 6, 7, 0, 1, 2, 3, 10, 11, 8, 9, 12, 13, 14, 15);
      hash = tupleHash(
        i32x4.extract_lane(key, 0),
        i32x4.extract_lane(key, 1),
        ports & 0xffff,
        ports >> 16,
        meta,
      );
      return true;
    }
    const src = i32x4.extract_lane(key, 0) as u32;
    const dst = i32x4.extract_lane(key, 1) as u32;
    if (proto == IPPROTO_ICMP) {
      if (l4Size <= l4Present && !checksumGood(l4, l4Size)) return badChecksum();
      return icmp4Tuple(src, dst, zone, min(l4Size, l4Present)) || untrackable();
    }
    setTuple(src, dst, 0, 0, meta);
    return true;
  }

  if (type == ETH_IPV6) {
    l4Size = be16(l3 + 4) + IPV6_HEADER - (l4Offset - l3Offset);
    if (l4Size > (MAX_FRAME as u32)) return untrackable();
    src6 = KEY + (O_IPV6_SRC as usize);
    dst6 = KEY + (O_IPV6_DST as usize);
    const src = foldAddress(src6);
    const dst = foldAddress(dst6);
    const meta = proto | (6 << 8) | (zone << 16);
    if (proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_ICMPV6) {
      if (proto == IPPROTO_TCP && !tcpGood()) return untrackable();
      if (proto == IPPROTO_UDP && !udpGood()) return untrackable();
      if (l4Size <= l4Present && !checksumGoodWithPseudo(l4, l4Size, l3 + 8, 32, proto)) return badChecksum();
      if (proto == IPPROTO_ICMPV6) return icmp6Tuple(src, dst, zone, min(l4Size, l4Present)) || untrackable();
      const ports = load<u32>(l4);
      if ((ports & 0xffff) == 0 || ports >> 16 == 0) return untrackable();
      setTuple(src, dst, ports & 0xffff, ports >> 16, meta);
      return true;
    }
    setTuple(src, dst, 0, 0, meta);
    return true;
  }
  return untrackable();
}

/** The frame has moved in memory (a change made it its own): its transport header is where PKT says. */
export function followFrame(): void {
  l4 = (load<u32>(PKT, PKT_PTR) as usize) + (load<u32>(PKT, PKT_L4) as usize);
}

/** The frame's connection is not by its own tuple but by this one, whose IPv6 addresses are at `src` and `dst`. */
export function useTuple(key: v128, src: usize, dst: usize): void {
  tuple = key;
  if (src6 == 0) return;
  src6 = src;
  dst6 = dst;
}

function badChecksum(): bool {
  count(CTC_L4_CSUM);
  return false;
}

function untrackable(): bool {
  count(CTC_EXTRACT);
  return false;
}

/** The TCP header is whole, but for options that the capture cut; sets `payload`. */
function tcpGood(): bool {
  if (l4Size < TCP_HEADER || l4Present < TCP_HEADER) return false;
  const header = ((load<u8>(l4, 12) >> 4) as u32) << 2;
  if (header < TCP_HEADER || header > l4Size) return false;
  payload = l4Size - header;
  return true;
}

function udpGood(): bool {
  if (l4Size < UDP_HEADER || l4Present < UDP_HEADER) return false;
  const length = be16(l4 + 4);
  return length >= UDP_HEADER && length <= l4Size;
}

function setTuple(src: u32, dst: u32, sport: u32, dport: u32, meta: u32): void {
  tuple = i32x4.replace_lane(
    i32x4.replace_lane(i32x4.replace_lane(i32x4.splat(src), 1, dst), 2, sport | (dport << 16)),
    3,
    meta,
  );
  reversed = i32x4.replace_lane(
    i32x4.replace_lane(i32x4.replace_lane(i32x4.splat(dst), 1, src), 2, dport | (sport << 16)),
    3,
    meta,
  );
  hash = tupleHash(src, dst, sport, dport, meta);
}

/** An ICMP query's tuple: the id at both ends, the type at this one, the type that answers it at the other. */
function setIcmpTuple(src: u32, dst: u32, id: u32, type: u32, answer: u32, meta: u32): void {
  tuple = i32x4.replace_lane(
    i32x4.replace_lane(i32x4.replace_lane(i32x4.splat(src), 1, dst), 2, id | (type << 16)),
    3,
    meta,
  );
  reversed = i32x4.replace_lane(
    i32x4.replace_lane(i32x4.replace_lane(i32x4.splat(dst), 1, src), 2, id | (answer << 16)),
    3,
    meta,
  );
  hash = tupleHash(src, dst, id, id, meta);
}

function icmp4Tuple(src: u32, dst: u32, zone: u32, size: u32): bool {
  if (size < ICMP_HEADER) return false;
  const type = load<u8>(l4) as u32;
  const answer = reverseIcmpType(type);
  if (answer != ICMP_NOT_QUERY) {
    if (load<u8>(l4, 1) != 0) return false;
    setIcmpTuple(src, dst, load<u16>(l4, 4) as u32, type, answer, IPPROTO_ICMP | (4 << 8) | (zone << 16));
    return true;
  }
  if (!isIcmpError(type)) return false;

  // The quoted packet went the other way: its source is this frame's destination.
  const inner = l4 + (ICMP_HEADER as usize);
  const innerSize = size - ICMP_HEADER;
  if (innerSize < IPV4_HEADER) return false;
  const header = ((load<u8>(inner) & 0x0f) as u32) << 2;
  if (header < IPV4_HEADER || innerSize < header) return false;
  if ((be16(inner + 6) & 0x3fff) != 0) return false;
  if (load<u32>(inner, 12) != dst) return false;
  const quotedSrc = load<u32>(inner, 12);
  const quotedDst = load<u32>(inner, 16);
  const quotedProto = load<u8>(inner, 9) as u32;
  const meta = quotedProto | (4 << 8) | (zone << 16);
  const at = inner + (header as usize);
  const left = innerSize - header;
  if (quotedProto == IPPROTO_TCP || quotedProto == IPPROTO_UDP || quotedProto == IPPROTO_ICMP) {
    // RFC 792: an error quotes at least 8 bytes of what follows the IP header.
    if (left < 8) return false;
  }
  if (!quotedTuple(quotedSrc, quotedDst, quotedProto, 4, at, meta)) return false;
  related = true;
  proto = quotedProto;
  return true;
}

function icmp6Tuple(src: u32, dst: u32, zone: u32, size: u32): bool {
  if (size < ICMP_HEADER) return false;
  const type = load<u8>(l4) as u32;
  const answer = reverseIcmp6Type(type);
  if (answer != ICMP_NOT_QUERY) {
    if (load<u8>(l4, 1) != 0) return false;
    setIcmpTuple(src, dst, load<u16>(l4, 4) as u32, type, answer, IPPROTO_ICMPV6 | (6 << 8) | (zone << 16));
    return true;
  }
  if (!isIcmp6Error(type)) return false;

  const inner = l4 + (ICMP_HEADER as usize);
  const innerSize = size - ICMP_HEADER;
  if (innerSize < IPV6_HEADER) return false;
  if (v128.any_true(v128.xor(v128.load(inner, 8), v128.load(dst6)))) return false;
  const quotedProto = skipExtensions(inner, innerSize);
  if (quotedProto < 0) return false;
  const left = innerSize - extensionsEnd;
  const at = inner + (extensionsEnd as usize);
  if (quotedProto == (IPPROTO_TCP as i32) && left < TCP_HEADER) return false;
  if (quotedProto == (IPPROTO_UDP as i32) && left < UDP_HEADER) return false;
  if (quotedProto == (IPPROTO_ICMPV6 as i32) && left < ICMP_HEADER) return false;
  // The tuple is the quoted one turned round.
  src6 = inner + 24;
  dst6 = inner + 8;
  const meta = (quotedProto as u32) | (6 << 8) | (zone << 16);
  if (!quotedTuple(foldAddress(inner + 8), foldAddress(inner + 24), quotedProto as u32, 6, at, meta))
    return false;
  related = true;
  proto = quotedProto as u32;
  return true;
}

/** Sets the tuple to the reverse of the quoted packet's, whose transport header (8 bytes at least) is at `at`. */
function quotedTuple(src: u32, dst: u32, quoted: u32, family: u32, at: usize, meta: u32): bool {
  if (quoted == IPPROTO_TCP || quoted == IPPROTO_UDP) {
    const sport = load<u16>(at) as u32;
    const dport = load<u16>(at, 2) as u32;
    if (sport == 0 || dport == 0) return false;
    setTuple(dst, src, dport, sport, meta);
    return true;
  }
  if ((family == 4 && quoted == IPPROTO_ICMP) || (family == 6 && quoted == IPPROTO_ICMPV6)) {
    const type = load<u8>(at) as u32;
    const answer = family == 4 ? reverseIcmpType(type) : reverseIcmp6Type(type);
    if (answer == ICMP_NOT_QUERY || load<u8>(at, 1) != 0) return false;
    setIcmpTuple(dst, src, load<u16>(at, 4) as u32, answer, type, meta);
    return true;
  }
  setTuple(dst, src, 0, 0, meta);
  return true;
}

/** Where skipExtensions() ended, from the start of the IPv6 header. */
let extensionsEnd: u32 = 0;

/** The transport protocol of a quoted IPv6 packet of `size` bytes; -1 when it is cut short or a fragment (RFC 8200 section 4). */
function skipExtensions(at: usize, size: u32): i32 {
  let next = load<u8>(at, 6) as u32;
  let offset: u32 = IPV6_HEADER;
  for (;;) {
    const hopByHopLike = next == 0 || next == 43 || next == 60;
    if (!hopByHopLike && next != 51 && next != 44) break;
    if (offset + 8 > size) return -1;
    const header = at + (offset as usize);
    if (next == 44) {
      if ((be16(header + 2) & 0xfff9) != 0) return -1;
      next = load<u8>(header) as u32;
      offset += 8;
      continue;
    }
    const length = load<u8>(header, 1) as u32;
    next = load<u8>(header) as u32;
    offset += hopByHopLike ? (length + 1) << 3 : (length + 2) << 2; // RFC 4302 section 2.2 counts in words
    if (offset > size) return -1;
  }
  extensionsEnd = offset;
  return next as i32;
}
