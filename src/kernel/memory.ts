// The kernel's memory map, and the frame being worked on.
//
//   0x00000  never used, so that a null pointer is never data
//   0x00400  AssemblyScript's static data
//   0x10000  PKT   the frame being worked on (below)
//   0x10100  KEY   its flow key, KEY_SIZE bytes, zero where the frame has nothing
//   0x10400  SAVE  PKT and KEY of the frames that a clone or a sample interrupts, CLONE_DEPTH_MAX deep
//   0x1d800  GROUP      the subtables that are probed at once, and the key's bucket in each (megaflow.ts)
//   0x1d900  UNTAGGED_HASH  pairHash of two zero blocks as MPLS and VLAN
//   0x1e000  HASH_KEYS  random numbers, 16 bytes per key block (key.ts)
//   0x1e800  MASK_IN    a mask from the host, KEY_SIZE bytes
//   0x1f000  LIST_IN    addresses from the host, LIST_IN_MAX (abi.ts)
//   0x20000  HEAP  regions whose sizes the host chooses at start (kernel.ts, init), each 64-byte aligned:
//                  subtable order | exact-match cache | connections | frame descriptors | verdicts | output descriptors |
//                  program from the host | transient megaflows | input arena | output arena | heap (megaflows, subtables, their tables)
//
// Sub-word structures are little endian; frames and keys are big endian.
import { KEY_SIZE } from "../flow/layout.ts";

export const PKT: usize = 0x10000;
export const KEY: usize = 0x10100;
export const SAVE: usize = 0x10400;
export const GROUP: usize = 0x1d800;
export const UNTAGGED_HASH: usize = 0x1d900;
export const HASH_KEYS: usize = 0x1e000;
export const MASK_IN: usize = 0x1e800;
export const LIST_IN: usize = 0x1f000;
export const HEAP: usize = 0x20000;

export const SAVE_SIZE: usize = 0x340; // PKT (0x100) and KEY (0x240)
export const CLONE_DEPTH_MAX: u32 = 64;

// PKT, all u32 unless said:
//   0 ptr | 4 len (bytes present) | 8 wireLen (bytes on the wire) | 12 frame index in the batch
//  16 l2_5 offset (MPLS) | 20 l3 offset | 24 l4 offset: OFFSET_NONE where the frame has no such header
//  28 flags PKT_F_* | 32 keyMap u64: bit n set when block n of KEY may be other than zero
//  40 nowMs u64 | 48 bytes that the next output leaves off at the end | 52 recirculations so far | 56 dl_type offset (innermost EtherType)
//  60 the connection that the last ct() of this frame found, plus one (0: none) | 64 how: PKT_CONN_F_*;
//  both mean something only while KEY's ct_state is not zero
//  68 hash of addresses and ports as the frame came in (hash.ts), 0 before anybody has asked
//  72 the exact-match entry that the frame hit last, while KEY follows from its key (exact-match.ts), else 0
export const PKT_PTR: usize = 0;
export const PKT_LEN: usize = 4;
export const PKT_WIRE_LEN: usize = 8;
export const PKT_FRAME: usize = 12;
export const PKT_L2_5: usize = 16;
export const PKT_L3: usize = 20;
export const PKT_L4: usize = 24;
export const PKT_FLAGS: usize = 28;
export const PKT_KEY_MAP: usize = 32;
export const PKT_NOW: usize = 40;
export const PKT_TRUNC: usize = 48;
export const PKT_DEPTH: usize = 52;
export const PKT_TYPE_OFFSET: usize = 56;
export const PKT_CONN: usize = 60;
export const PKT_CONN_FLAGS: usize = 64;
export const PKT_HASH: usize = 68;
export const PKT_ENTRY: usize = 72;

export const OFFSET_NONE: u32 = 0xffffffff;

/** The bytes at PKT_PTR are this frame's own copy, with HEADROOM bytes free before them; else they must not be changed. */
export const PKT_F_OWNED: u32 = 1;
/** The frame was changed since KEY was made: it is parsed again before KEY is next read. */
export const PKT_F_DIRTY: u32 = 2;
/** The frame is a datagram put together from its fragments: its length cannot change. */
export const PKT_F_DATAGRAM: u32 = 4;
/** A program has set the tunnel in KEY: the port that sends the frame is told. */
export const PKT_F_TUNNEL: u32 = 8;
/** Labels were pushed since the last lookup, before a header of IPv4 or of IPv6: ct still tracks what is below them, as in OVS. */
export const PKT_F_ABOVE_IPV4: u32 = 16;
export const PKT_F_ABOVE_IPV6: u32 = 32;
/** The hash of the frame as it came is forgotten: it will be that of the frame as it is looked up next. */
export const PKT_F_REHASH: u32 = 64;

/** PKT_CONN_FLAGS: the frame goes in the connection's reply direction; it is an ICMP error about the connection. */
export const PKT_CONN_F_REPLY: u32 = 1;
export const PKT_CONN_F_RELATED: u32 = 2;

/** Bytes free before an owned frame: room to push tags and labels. */
export const HEADROOM: u32 = 128;

export const KEY_BYTES: usize = KEY_SIZE;
