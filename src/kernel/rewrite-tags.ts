// VLAN tags and MPLS labels pushed and popped. The frame is owned: HEADROOM bytes before it are free, and the bytes
// before the change move by four, into the headroom or out of it.
import { O_DL_TYPE, O_PACKET_TYPE } from "../flow/layout.ts";
import {
  KEY,
  OFFSET_NONE,
  PKT,
  PKT_F_ABOVE_IPV4,
  PKT_F_ABOVE_IPV6,
  PKT_F_DIRTY,
  PKT_F_REHASH,
  PKT_FLAGS,
  PKT_L2_5,
  PKT_L3,
  PKT_L4,
  PKT_LEN,
  PKT_PTR,
  PKT_TYPE_OFFSET,
  PKT_WIRE_LEN,
} from "./memory.ts";
import { poppedBareLabel } from "./rewrite-encap.ts";

const BE_IPV4: u32 = 0x0008;
const BE_IPV6: u32 = 0xdd86;
const BE_VLAN: u32 = 0x0081;
const BE_VLAN_SERVICE: u32 = 0xa888;
const MPLS: u32 = 0x8847;
const MPLS_MULTICAST: u32 = 0x8848;
const VLAN_CFI: u32 = 0x1000;
const MACS_SIZE: u32 = 12;
const TAG_SIZE: u32 = 4;
const TAGGED_SIZE: u32 = 18;
/** The bottom-of-stack bit of a label, as loaded from a frame. */
const BE_LABEL_BOTTOM: u32 = 0x0001_0000;

function isVlan(type: u32): bool {
  return type == BE_VLAN || type == BE_VLAN_SERVICE;
}

function dirty(): void {
  store<u32>(PKT, load<u32>(PKT, PKT_FLAGS) | PKT_F_DIRTY, PKT_FLAGS);
}

/** In OVS the hash of the frame as it came goes with a label that is taken off. */
function forgetHash(): void {
  store<u32>(PKT, load<u32>(PKT, PKT_FLAGS) | PKT_F_REHASH, PKT_FLAGS);
}

/** Makes room for four bytes at offset `at`, moving what is before it; returns where the frame now starts. */
function insert(at: u32): usize {
  const was: usize = load<u32>(PKT, PKT_PTR);
  const ptr = was - TAG_SIZE;
  memory.copy(ptr, was, at);
  store<u32>(PKT, <u32>ptr, PKT_PTR);
  store<u32>(PKT, load<u32>(PKT, PKT_LEN) + TAG_SIZE, PKT_LEN);
  store<u32>(PKT, load<u32>(PKT, PKT_WIRE_LEN) + TAG_SIZE, PKT_WIRE_LEN);
  return ptr;
}

/** Takes out the four bytes at offset `at`. */
function remove(at: u32): void {
  const was: usize = load<u32>(PKT, PKT_PTR);
  const ptr = was + TAG_SIZE;
  memory.copy(ptr, was, at);
  store<u32>(PKT, <u32>ptr, PKT_PTR);
  store<u32>(PKT, load<u32>(PKT, PKT_LEN) - TAG_SIZE, PKT_LEN);
  store<u32>(PKT, load<u32>(PKT, PKT_WIRE_LEN) - TAG_SIZE, PKT_WIRE_LEN);
}

function shift(field: usize, by: u32): void {
  const offset = load<u32>(PKT + field);
  if (offset != OFFSET_NONE) store<u32>(PKT + field, offset + by);
}

/** Pushes a tag; `tpidTci` is tpid << 16 | tci, host order. The tci's CFI bit is not sent. */
export function pushVlan(tpidTci: u32): void {
  if (load<u32>(PKT, PKT_LEN) < MACS_SIZE) return;
  const ptr = insert(MACS_SIZE);
  store<u32>(ptr, bswap<u32>(tpidTci & ~VLAN_CFI), MACS_SIZE);
  shift(PKT_L2_5, TAG_SIZE);
  shift(PKT_L3, TAG_SIZE);
  shift(PKT_L4, TAG_SIZE);
  shift(PKT_TYPE_OFFSET, TAG_SIZE);
  dirty();
}

/** Pops the outer tag; a frame without one is left alone. */
export function popVlan(): void {
  if (load<u32>(PKT, PKT_LEN) < TAGGED_SIZE) return;
  if (!isVlan(load<u16>(<usize>load<u32>(PKT, PKT_PTR), MACS_SIZE))) return;
  remove(MACS_SIZE);
  shift(PKT_L2_5, -TAG_SIZE);
  shift(PKT_L3, -TAG_SIZE);
  shift(PKT_L4, -TAG_SIZE);
  shift(PKT_TYPE_OFFSET, -TAG_SIZE);
  dirty();
}

/** Writes the EtherType, host order: byte 12, or of a tagged frame the two bytes before what follows the tags. */
function setEtherType(type: u32): void {
  if (load<u32>(KEY, O_PACKET_TYPE) != 0) return; // no Ethernet header
  const ptr: usize = load<u32>(PKT, PKT_PTR);
  let at: u32 = MACS_SIZE;
  if (isVlan(load<u16>(ptr, MACS_SIZE))) {
    const l2_5 = load<u32>(PKT, PKT_L2_5);
    at = (l2_5 != OFFSET_NONE ? l2_5 : load<u32>(PKT, PKT_L3)) - 2;
  }
  store<u16>(ptr + at, bswap<u16>(<u16>type));
}

/** Pushes a label stack entry, host order; the frame's EtherType becomes `ethertype`, 0x8847 or 0x8848 (else: nothing). */
export function pushMpls(lse: u32, ethertype: u32): void {
  if (ethertype != MPLS && ethertype != MPLS_MULTICAST) return;
  if (load<u32>(PKT, PKT_L3) == OFFSET_NONE) return;
  if (load<u32>(PKT, PKT_L2_5) == OFFSET_NONE) {
    store<u32>(PKT, load<u32>(PKT, PKT_L3), PKT_L2_5);
    const below = load<u16>(KEY, O_DL_TYPE) as u32;
    const above = below == BE_IPV4 ? PKT_F_ABOVE_IPV4 : below == BE_IPV6 ? PKT_F_ABOVE_IPV6 : 0;
    store<u32>(PKT, load<u32>(PKT, PKT_FLAGS) | above, PKT_FLAGS);
  }
  setEtherType(ethertype);
  const at = load<u32>(PKT, PKT_L2_5);
  const ptr = insert(at);
  store<u32>(ptr + at, bswap<u32>(lse));
  shift(PKT_L3, TAG_SIZE);
  shift(PKT_L4, TAG_SIZE);
  dirty();
}

/** From here on a label hides what is below it. */
export function forgetLabels(): void {
  store<u32>(PKT, load<u32>(PKT, PKT_FLAGS) & ~(PKT_F_ABOVE_IPV4 | PKT_F_ABOVE_IPV6), PKT_FLAGS);
}

/** Pops the outer label; the EtherType becomes `ethertype`. A frame without labels is left alone. */
export function popMpls(ethertype: u32): void {
  const at = load<u32>(PKT, PKT_L2_5);
  if (at == OFFSET_NONE || load<u32>(PKT, PKT_LEN) < at + TAG_SIZE) return;
  const lse = load<u32>(<usize>load<u32>(PKT, PKT_PTR) + at);
  setEtherType(ethertype);
  if ((lse & BE_LABEL_BOTTOM) != 0) {
    store<u32>(PKT, OFFSET_NONE, PKT_L2_5);
    forgetLabels();
  }
  remove(at);
  shift(PKT_L3, -TAG_SIZE);
  shift(PKT_L4, -TAG_SIZE);
  dirty();
  forgetHash();
  if (at == 0) poppedBareLabel(ethertype);
}
