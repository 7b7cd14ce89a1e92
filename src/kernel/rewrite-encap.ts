// Whole headers put before a frame and taken off it: Ethernet, NSH (RFC 8300), MPLS. What the frame begins with afterwards
// is its packet type, kept in KEY: 0 for Ethernet, else 1 << 16 | EtherType (ovs-fields(7), packet_type).
import {
  B_EXTRA,
  B_MPLS,
  BLOCK_SIZE,
  O_NSH_FLAGS,
  O_NSH_PATH_HDR,
  O_NSH_TTL,
  O_PACKET_TYPE,
} from "../flow/layout.ts";
import {
  KEY,
  OFFSET_NONE,
  PKT,
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
import { prepend } from "./output.ts";
import { masked32 } from "./rewrite-ip.ts";

const ETHERNET_SIZE: u32 = 14;
const LABEL_SIZE: u32 = 4;
const NSH_BASE_SIZE: u32 = 8;
const NSH_CONTEXT_SIZE: u32 = 16;
const MPLS: u32 = 0x8847;
const MPLS_MULTICAST: u32 = 0x8848;
const TRANSPARENT_ETHERNET: u32 = 0x6558;
const NSH: u32 = 0x894f;
const NAMESPACE_ETHERTYPE: u32 = 0x10000;

function packetType(): u32 {
  return bswap<u32>(load<u32>(KEY, O_PACKET_TYPE));
}

function setPacketType(type: u32): void {
  store<u32>(KEY, bswap<u32>(type), O_PACKET_TYPE);
  store<u64>(PKT, load<u64>(PKT, PKT_KEY_MAP) | (1 << B_MPLS), PKT_KEY_MAP);
  store<u32>(PKT, load<u32>(PKT, PKT_FLAGS) | PKT_F_DIRTY, PKT_FLAGS);
}

function shift(field: usize, by: u32): void {
  const offset = load<u32>(PKT + field);
  if (offset != OFFSET_NONE) store<u32>(PKT + field, offset + by);
}

/** Takes `size` bytes off the frame's beginning; offsets are the caller's. */
function strip(size: u32): void {
  store<u32>(PKT, load<u32>(PKT, PKT_PTR) + size, PKT_PTR);
  store<u32>(PKT, load<u32>(PKT, PKT_LEN) - size, PKT_LEN);
  store<u32>(PKT, load<u32>(PKT, PKT_WIRE_LEN) - size, PKT_WIRE_LEN);
}

/** The frame begins with a header of layer 3, or with a label, whose inside is not known. */
function beginsAt(l2_5: u32, l3: u32): void {
  store<u32>(PKT, l2_5, PKT_L2_5);
  store<u32>(PKT, l3, PKT_L3);
  store<u32>(PKT, OFFSET_NONE, PKT_L4);
  store<u32>(PKT, OFFSET_NONE, PKT_TYPE_OFFSET);
}

/** A_PUSH_ETH: dl_dst and dl_src at `addresses`. False when the output memory is full. */
export function pushEthernet(addresses: usize): bool {
  const type = packetType();
  if (type == 0) return true;
  if (!prepend(ETHERNET_SIZE)) return false;
  const at: usize = load<u32>(PKT, PKT_PTR);
  memory.copy(at, addresses, 12);
  store<u16>(at, bswap<u16>(<u16>type), 12);
  shift(PKT_L2_5, ETHERNET_SIZE);
  shift(PKT_L3, ETHERNET_SIZE);
  shift(PKT_L4, ETHERNET_SIZE);
  store<u32>(PKT, 12, PKT_TYPE_OFFSET);
  setPacketType(0);
  return true;
}

/** Takes off all that stands before the first label or the network header, and its EtherType is the packet type. */
export function popEthernet(): void {
  if (packetType() != 0) return;
  let size = load<u32>(PKT, PKT_L2_5);
  if (size == OFFSET_NONE) size = load<u32>(PKT, PKT_L3);
  if (size == OFFSET_NONE || size < ETHERNET_SIZE || size > load<u32>(PKT, PKT_LEN)) return;
  const type = <u32>bswap<u16>(load<u16>(<usize>load<u32>(PKT, PKT_PTR) + size - 2));
  strip(size);
  shift(PKT_L2_5, -size);
  shift(PKT_L3, -size);
  shift(PKT_L4, -size);
  store<u32>(PKT, OFFSET_NONE, PKT_TYPE_OFFSET);
  setPacketType(NAMESPACE_ETHERTYPE | type);
}

/** A_PUSH_NSH: `size` bytes of header. False when the output memory is full. */
export function pushNsh(header: usize, size: u32): bool {
  if (!prepend(size)) return false;
  memory.copy(<usize>load<u32>(PKT, PKT_PTR), header, size);
  beginsAt(OFFSET_NONE, 0);
  setPacketType(NAMESPACE_ETHERTYPE | NSH);
  return true;
}

/** Takes a Network Service Header off; what follows says it of itself. A header that lies, or of no known next protocol, stays. */
export function popNsh(): void {
  const len = load<u32>(PKT, PKT_LEN);
  if (packetType() != (NAMESPACE_ETHERTYPE | NSH) || len < NSH_BASE_SIZE) return;
  const at: usize = load<u32>(PKT, PKT_PTR);
  const size = (<u32>load<u8>(at, 1) & 0x3f) << 2;
  const next: u32 = load<u8>(at, 3);
  if (size < NSH_BASE_SIZE || size > len) return;
  let type: u32 = 0;
  if (next == 1) type = NAMESPACE_ETHERTYPE | 0x0800;
  else if (next == 2) type = NAMESPACE_ETHERTYPE | 0x86dd;
  else if (next == 4) type = NAMESPACE_ETHERTYPE | NSH;
  else if (next != 3) return;
  strip(size);
  beginsAt(OFFSET_NONE, OFFSET_NONE);
  setPacketType(type);
}

/** A label, host order, before the whole frame. False when the output memory is full. */
export function addMpls(lse: u32, ethertype: u32): bool {
  if (ethertype != MPLS && ethertype != MPLS_MULTICAST) return true;
  if (!prepend(LABEL_SIZE)) return false;
  store<u32>(<usize>load<u32>(PKT, PKT_PTR), bswap<u32>(lse));
  beginsAt(0, LABEL_SIZE);
  setPacketType(NAMESPACE_ETHERTYPE | ethertype);
  return true;
}

/** After the first of a bare frame's labels was taken off: what it begins with now. */
export function poppedBareLabel(ethertype: u32): void {
  setPacketType(ethertype == TRANSPARENT_ETHERNET ? 0 : NAMESPACE_ETHERTYPE | ethertype);
}

/** A_SET of SET_NSH: value and mask of B_EXTRA, of B_NSH. The frame has such a header: the pipeline saw it. */
export function setNsh(blocks: usize): void {
  const l3 = load<u32>(PKT, PKT_L3);
  if (l3 == OFFSET_NONE || load<u32>(PKT, PKT_LEN) < l3 + NSH_BASE_SIZE) return;
  const at = <usize>load<u32>(PKT, PKT_PTR) + l3;
  const extra: usize = B_EXTRA * BLOCK_SIZE;
  const mask = blocks + BLOCK_SIZE;
  const flags = <u32>load<u8>(blocks + O_NSH_FLAGS - extra) & 3;
  const flagsMask = <u32>load<u8>(mask + O_NSH_FLAGS - extra) & 3;
  const ttl = <u32>load<u8>(blocks + O_NSH_TTL - extra) & 0x3f;
  const ttlMask = <u32>load<u8>(mask + O_NSH_TTL - extra) & 0x3f;
  // Version 2 bits, flags 2, ttl 6, length 6.
  const bits = (flagsMask << 12) | (ttlMask << 6);
  const was: u32 = bswap<u16>(load<u16>(at));
  store<u16>(at, bswap<u16>(<u16>((((flags << 12) | (ttl << 6)) & bits) | (was & ~bits))));
  const path = <usize>O_NSH_PATH_HDR - extra;
  store<u32>(at, masked32(load<u32>(at, 4), blocks + path, mask + path), 4);
  if (load<u8>(at, 2) != 1 || load<u32>(PKT, PKT_LEN) < l3 + NSH_BASE_SIZE + NSH_CONTEXT_SIZE) return;
  const context = blocks + 2 * BLOCK_SIZE;
  v128.store(at, v128.bitselect(v128.load(context), v128.load(at, 8), v128.load(context + BLOCK_SIZE)), 8);
}
