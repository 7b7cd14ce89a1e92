// The frame parser: fills KEY from the frame in PKT, field for field as OVS's flow extraction does.
//
// The rules, which every parse-*.ts keeps:
// - A header's length is checked once, where it is entered; its loads are then unchecked. One load reaches past a frame:
//   the first, of 16 bytes, when the frame has 14; its two last bytes are overwritten at once (DESIGN D9).
// - A short or lying header ends the parse. What was read before it stays; it and all that would follow are zero.
// - A frame cut by a capture's snaplen (len below wireLen) is judged by the length it had: its datagram may be longer than
//   what is present, and what is present is read. OVS never has such a frame; `ovs-ofctl parse-pcap` takes it for a short
//   one, and so does whoever gives the parser wireLen = len.
// - Numbers loaded from the frame are compared in the frame's byte order: BE_* constants are byte-swapped literals.
//
// The way through the files: link header here (tags and LLC in parse-link.ts), then IPv4 here, or parse-ipv6.ts,
// parse-arp.ts, parseMpls or parseNsh (parse-link.ts), then the transport header (parse-transport.ts, parse-nd.ts).
//
// KEY keeps the previous frame's blocks. ETH and IP4 are rewritten for every frame; the other blocks of the parser are
// zeroed only when PKT_KEY_MAP says that they hold something, so that a plain frame costs no clearing at all.
import {
  B_ADDR,
  B_ETH,
  B_EXTRA,
  B_IP4,
  B_IPV6_DST,
  B_IPV6_SRC,
  B_MPLS,
  B_ND_TARGET,
  B_NSH,
  B_VLAN,
  BLOCK_SIZE,
  FRAG_ANY,
  FRAG_LATER,
  O_DL_DST,
  O_DL_TYPE,
  O_MPLS_LSE0,
  O_NW_FRAG,
  O_NW_PROTO,
  O_NW_SRC,
  O_PACKET_TYPE,
  O_PKT_MARK,
  O_VLAN0,
} from "../flow/layout.ts";
import {
  KEY,
  OFFSET_NONE,
  PKT,
  PKT_F_ABOVE_IPV4,
  PKT_F_ABOVE_IPV6,
  PKT_F_DIRTY,
  PKT_FLAGS,
  PKT_KEY_MAP,
  PKT_L2_5,
  PKT_L3,
  PKT_L4,
  PKT_LEN,
  PKT_PTR,
  PKT_TYPE_OFFSET,
  PKT_WIRE_LEN,
} from "./memory.ts";
import { parseArp } from "./parse-arp.ts";
import { parseIpv6 } from "./parse-ipv6.ts";
import { parseLink, parseMpls, parseNsh } from "./parse-link.ts";
import { parseTransport } from "./parse-transport.ts";

const ETHERNET_SIZE: u32 = 14;
const IPV4_SIZE: u32 = 20;
/** Longest padding after a datagram with which OVS still reads its header: the padding's length is kept in 16 bits. */
export const PADDING_MAX: u32 = 0xffff;

/** nw_proto and nw_frag together, in block ETH. */
export const LANE_NW_PROTO: u8 = 7;

const BE_IPV4: u32 = 0x0008;
const BE_IPV6: u32 = 0xdd86;
const BE_ARP: u32 = 0x0608;
const BE_RARP: u32 = 0x3580;
const BE_MPLS: u32 = 0x4788;
const BE_MPLS_MULTICAST: u32 = 0x4888;
const BE_NSH: u32 = 0x4f89;
const BE_VLAN: u32 = 0x0081;
const BE_VLAN_SERVICE: u32 = 0xa888;
/** EtherTypes start here; a smaller number is an 802.3 length. */
const ETHERTYPE_MIN: u32 = 0x600;

/** Blocks of the parser that are zeroed when the frame before this one filled them. */
const STALE_MAP: u64 =
  (1 << B_VLAN) |
  (1 << B_MPLS) |
  (1 << B_IPV6_SRC) |
  (1 << B_IPV6_DST) |
  (1 << B_ND_TARGET) |
  (1 << B_ADDR) |
  (1 << B_EXTRA) |
  (1 << B_NSH);

/**
 * Parses the frame at PKT_PTR, PKT_LEN. Fills the packet-derived fields of KEY, the header offsets of PKT and the bits of
 * the parser's blocks in PKT_KEY_MAP. Leaves metadata, CT and TUN blocks, pkt_mark, skb_priority and packet_type alone.
 */
export function parse(): void {
  const ptr: usize = load<u32>(PKT, PKT_PTR);
  const len = load<u32>(PKT, PKT_LEN);
  const wireLen = load<u32>(PKT, PKT_WIRE_LEN);
  const end = ptr + len;
  let map = load<u64>(PKT, PKT_KEY_MAP);
  if ((map & STALE_MAP) != 0) map = clearStale(map);
  store<u64>(PKT, map | (1 << B_ETH) | (1 << B_IP4), PKT_KEY_MAP);
  store<u32>(PKT, OFFSET_NONE, PKT_L2_5);
  store<u32>(PKT, OFFSET_NONE, PKT_L4);
  v128.store(KEY, i64x2.splat(0), O_NW_SRC);

  if ((map & (1 << B_MPLS)) != 0 && load<u32>(KEY, O_PACKET_TYPE) != 0) return parseBare(ptr, end, wireLen);
  if (len < ETHERNET_SIZE) {
    v128.store(KEY, i64x2.splat(0), O_DL_DST);
    store<u32>(PKT, OFFSET_NONE, PKT_L3);
    store<u32>(PKT, OFFSET_NONE, PKT_TYPE_OFFSET);
    return;
  }
  v128.store(KEY, i16x8.replace_lane(v128.load(ptr), LANE_NW_PROTO, 0), O_DL_DST);
  store<u32>(PKT, 12, PKT_TYPE_OFFSET);
  let at = ptr + ETHERNET_SIZE;
  let type: u32 = load<u16>(ptr, 12);
  if (type == BE_VLAN || type == BE_VLAN_SERVICE || <u32>bswap<u16>(<u16>type) < ETHERTYPE_MIN) {
    at = parseLink(ptr, end);
    type = load<u16>(KEY, O_DL_TYPE);
  }
  parseNetwork(ptr, at, end, ptr + max(len, wireLen), type);
}

/** After parse(): reads the header behind the labels, of EtherType `type`, into KEY as if they were not there. */
function parseBelowLabels(type: u32): void {
  const ptr: usize = load<u32>(PKT, PKT_PTR);
  const l3 = load<u32>(PKT, PKT_L3);
  const len = load<u32>(PKT, PKT_LEN);
  if (l3 == OFFSET_NONE) return;
  store<u16>(KEY, <u16>type, O_DL_TYPE);
  parseNetwork(
    ptr,
    ptr + <usize>l3,
    ptr + <usize>len,
    ptr + <usize>max(len, load<u32>(PKT, PKT_WIRE_LEN)),
    type,
  );
}

/**
 * After parse(): what ct looks at. Labels that were pushed since the last lookup do not hide it; tags that it did not see past, as
 * the EtherType `seen` tells, still do.
 */
export function parseForConntrack(seen: u32): void {
  const flags = load<u32>(PKT, PKT_FLAGS);
  if (seen == BE_VLAN || seen == BE_VLAN_SERVICE) {
    store<u16>(KEY, <u16>seen, O_DL_TYPE);
    store<u8>(KEY, 0, O_NW_FRAG);
    store<u32>(PKT, flags | PKT_F_DIRTY, PKT_FLAGS);
    return;
  }
  if ((flags & (PKT_F_ABOVE_IPV4 | PKT_F_ABOVE_IPV6)) == 0) return;
  parseBelowLabels((flags & PKT_F_ABOVE_IPV4) != 0 ? BE_IPV4 : BE_IPV6);
  store<u32>(PKT, flags | PKT_F_DIRTY, PKT_FLAGS); // for whoever looks at the whole frame next
}

/** A frame without an Ethernet header: its packet type says what it begins with. */
function parseBare(ptr: usize, end: usize, wireLen: u32): void {
  v128.store(KEY, i64x2.splat(0), O_DL_DST);
  store<u32>(PKT, OFFSET_NONE, PKT_TYPE_OFFSET);
  const type: u32 = load<u16>(KEY, O_PACKET_TYPE + 2);
  store<u16>(KEY, <u16>type, O_DL_TYPE);
  parseNetwork(ptr, ptr, end, max(end, ptr + wireLen), type);
}

/** `at`: where the network header, or the label before it, stands. */
function parseNetwork(ptr: usize, at: usize, end: usize, wireEnd: usize, type: u32): void {
  store<u32>(PKT, <u32>(at - ptr), PKT_L3);
  if (type == BE_IPV4) parseIpv4(ptr, at, end, wireEnd);
  else if (type == BE_IPV6) parseIpv6(ptr, at, end, wireEnd);
  else if (type == BE_ARP || type == BE_RARP) parseArp(at, end);
  else if (type == BE_MPLS || type == BE_MPLS_MULTICAST) parseMpls(ptr, at, end);
  else if (type == BE_NSH) parseNsh(at, end);
}

/**
 * RFC 791. OVS checks lengths only: neither the version nor the checksum. A datagram may end past `end`, the last byte that
 * is present, but not past `wireEnd`.
 */
function parseIpv4(ptr: usize, at: usize, end: usize, wireEnd: usize): void {
  if (<u32>(end - at) < IPV4_SIZE) return;
  const l4 = at + <usize>((<u32>load<u8>(at) & 15) << 2);
  const datagramEnd = at + <usize>bswap<u16>(load<u16>(at, 2));
  if (l4 < at + IPV4_SIZE || l4 > end || l4 > datagramEnd) return;
  if (datagramEnd > wireEnd || wireEnd - datagramEnd > PADDING_MAX) return;

  const fragment: u32 = load<u16>(at, 6);
  let frag: u32 = 0;
  if ((fragment & 0xff3f) != 0) {
    frag = FRAG_ANY;
    if ((fragment & 0xff1f) != 0) frag = FRAG_ANY | FRAG_LATER;
  }
  const proto: u32 = load<u8>(at, 9);
  const eth = v128.load(KEY, O_DL_DST);
  v128.store(KEY, i16x8.replace_lane(eth, LANE_NW_PROTO, <i16>(proto | (frag << 8))), O_DL_DST);
  store<u32>(PKT, <u32>(l4 - ptr), PKT_L4);
  let half: u64 = ((<u64>load<u8>(at, 1)) << 32) | ((<u64>load<u8>(at, 8)) << 40); // nw_tos, nw_ttl
  if ((frag & FRAG_LATER) == 0) half |= parseTransport(proto, l4, end, datagramEnd);
  v128.store(KEY, i64x2.replace_lane(v128.load64_zero(at, 12), 1, half), O_NW_SRC);
}

/** Zeroes the blocks of the previous frame named by `map` that the parser owns; returns the map of what is left. */
function clearStale(map: u64): u64 {
  // VLAN and MPLS share their blocks with metadata, which stays.
  if ((map & (1 << B_VLAN)) != 0) {
    store<u64>(KEY, 0, O_VLAN0);
    if (load<u64>(KEY, O_PKT_MARK) == 0) map &= ~(1 << B_VLAN);
  }
  if ((map & (1 << B_MPLS)) != 0) {
    store<u64>(KEY, 0, O_MPLS_LSE0);
    store<u32>(KEY, 0, O_MPLS_LSE0 + 8);
    if (load<u32>(KEY, O_PACKET_TYPE) == 0) map &= ~(1 << B_MPLS);
  }
  const whole = STALE_MAP & ~((1 << B_VLAN) | (1 << B_MPLS));
  for (let rest = map & whole; rest != 0; rest &= rest - 1) {
    v128.store(KEY + <usize>ctz(rest) * BLOCK_SIZE, i64x2.splat(0));
  }
  return map & ~whole;
}
