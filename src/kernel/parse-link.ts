// Below the network layer: 802.1Q and 802.1ad tags, LLC/SNAP, MPLS labels, NSH.
import {
  B_EXTRA,
  B_MPLS,
  B_NSH,
  B_VLAN,
  O_DL_TYPE,
  O_MPLS_LSE0,
  O_NSH_CONTEXT,
  O_NSH_FLAGS,
  O_NSH_MDTYPE,
  O_NSH_NP,
  O_NSH_PATH_HDR,
  O_NSH_TTL,
  O_VLAN0,
} from "../flow/layout.ts";
import { KEY, PKT, PKT_KEY_MAP, PKT_L2_5, PKT_L3, PKT_TYPE_OFFSET } from "./memory.ts";

/** dl_type of a frame with neither an EtherType nor SNAP: 0x05ff (ovs-fields(7), eth_type), byte-swapped. */
const BE_TYPE_NONE: u16 = 0xff05;
const ETHERTYPE_MIN: u32 = 0x600;
const SNAP_SIZE: u32 = 8;
const TAGS_MAX: u32 = 2;
const LABELS_MAX: u32 = 3;
/** The tag's bit 12, which OVS sets in every tag it finds: 0x1000 of the tci, in the frame's byte order as a u32. */
const TAG_PRESENT: u32 = 0x0010_0000;

/** How many tags are read; a further one is an EtherType like any other. OVS: other_config:vlan-limit, there 1 if not set. */
let vlanLimit: u32 = TAGS_MAX;

/** Sets how many VLAN tags the parser reads, 0 to 2. */
export function setVlanLimit(limit: u32): void {
  vlanLimit = min(limit, TAGS_MAX);
}

/** Sets how many the parser reads to as many as it can, and returns what it was. */
export function liftVlanLimit(): u32 {
  const was = vlanLimit;
  vlanLimit = TAGS_MAX;
  return was;
}

/**
 * Reads what stands from byte 12 of the frame at `ptr` to the network header: tags, then an EtherType or an 802.3 length
 * with SNAP. Sets dl_type and the vlan fields; returns where the network header starts. The frame has 14 bytes at least.
 */
export function parseLink(ptr: usize, end: usize): usize {
  let at = ptr + 12;
  let tags: u32 = 0;
  // A tag counts only when the two bytes of a type follow it.
  while (tags < vlanLimit && isVlan(load<u16>(at)) && <u32>(end - at) >= 6) {
    store<u32>(KEY + (tags << 2), load<u32>(at) | TAG_PRESENT, O_VLAN0);
    at += 4;
    tags++;
  }
  if (tags != 0) store<u64>(PKT, load<u64>(PKT, PKT_KEY_MAP) | (1 << B_VLAN), PKT_KEY_MAP);

  let type = load<u16>(at);
  at += 2;
  if (<u32>bswap<u16>(type) < ETHERTYPE_MIN) {
    type = BE_TYPE_NONE;
    // aa aa 03 00 00 00, then the type (RFC 1042).
    if (<u32>(end - at) >= SNAP_SIZE && load<u32>(at) == 0x0003_aaaa && load<u16>(at, 4) == 0) {
      const snapType = load<u16>(at, 6);
      at += SNAP_SIZE;
      if (<u32>bswap<u16>(snapType) >= ETHERTYPE_MIN) type = snapType;
    }
  }
  store<u16>(KEY, type, O_DL_TYPE);
  // Where OVS writes a new EtherType: byte 12, or just before what follows the tags.
  if (isVlan(load<u16>(ptr, 12))) store<u32>(PKT, <u32>(at - ptr) - 2, PKT_TYPE_OFFSET);
  return at;
}

function isVlan(type: u16): bool {
  return type == 0x0081 || type == 0xa888;
}

/** RFC 3032. Keeps the first three labels; l3 is where the bottom of the stack, or the frame, ends. */
export function parseMpls(ptr: usize, at: usize, end: usize): void {
  store<u32>(PKT, <u32>(at - ptr), PKT_L2_5);
  let count: u32 = 0;
  while (<u32>(end - at) >= 4) {
    const lse = load<u32>(at);
    if (count < LABELS_MAX) store<u32>(KEY + (count << 2), lse, O_MPLS_LSE0);
    at += 4;
    count++;
    if ((lse & 0x0001_0000) != 0) break;
  }
  if (count != 0) store<u64>(PKT, load<u64>(PKT, PKT_KEY_MAP) | (1 << B_MPLS), PKT_KEY_MAP);
  store<u32>(PKT, <u32>(at - ptr), PKT_L3);
}

/** RFC 8300. Version 0; context headers only of metadata type 1. Nothing that follows the header is parsed. */
export function parseNsh(at: usize, end: usize): void {
  const size = <u32>(end - at);
  if (size < 8) return;
  const first: u32 = bswap<u16>(load<u16>(at)); // version 2 bits, flags 2, ttl 6, length 6 in words
  const headerSize = (first & 0x3f) << 2;
  if (first >> 14 != 0 || headerSize > size) return;
  const mdType = load<u8>(at, 2);
  if (mdType == 1) {
    if (headerSize != 24) return;
    v128.store(KEY, v128.load(at, 8), O_NSH_CONTEXT);
  } else if (mdType == 2 && headerSize < 8) {
    return;
  }
  store<u8>(KEY, <u8>((first >> 12) & 3), O_NSH_FLAGS);
  store<u8>(KEY, <u8>((first >> 6) & 0x3f), O_NSH_TTL);
  store<u8>(KEY, mdType, O_NSH_MDTYPE);
  store<u8>(KEY, load<u8>(at, 3), O_NSH_NP);
  store<u32>(KEY, load<u32>(at, 4), O_NSH_PATH_HDR);
  store<u64>(PKT, load<u64>(PKT, PKT_KEY_MAP) | (1 << B_EXTRA) | (1 << B_NSH), PKT_KEY_MAP);
}
