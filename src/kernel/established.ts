// The short way of an established connection: a TCP segment of which everything is known but whether its connection still is
// as it was. Where a frame of an exact key went before (ct(), with NAT or without, recirculation, one output) is kept with
// the key's exact-match entry; a further one is judged, counted by both megaflows, rewritten and sent, with no key made for the
// second lookup, no connection looked up, and no program run.
//
// What is kept holds while
// - both megaflows are there (their generations), and the key is the same: the first lookup has seen to that;
// - the connection is: a live one at the same place in the table, of the same tuples, with the same mark, label and flags.
//   A tuple belongs to one live connection at most, so that a lookup would find no other;
// - the segment is a plain one (ACK, neither SYN, FIN nor RST) in the window, of a connection established on both sides, and its
//   checksums are right.
// Any other frame goes the long way, and nothing has been done to it. That way notes where it went (establishedNote).
//
//   in the entry of a key of three blocks (exact-match.ts), from byte 64 on, where longer keys have blocks:
//   64 the connection u32: index + 1 << 1, + 1 in the reply direction (0: nothing is kept) | 68 the second megaflow u32
//   72 its generation u32 | 76 flags of the connection u32, CONN_F_* | 80 its tuple (16)
//   96 under NAT: nw_src, nw_dst, tp_src and tp_dst to be (12) | what the checksums' complements grow by: IPv4's u16, TCP's u16
//  112 the reply tuple of a connection that has one of its own: src, dst, ports (12) | 124 mark u32
//  160 the label (16), in place of a chain's
import {
  COLD_LABEL,
  COLD_REPLY_DST,
  COLD_REPLY_PORTS,
  COLD_REPLY_SRC,
  CONN_EXPIRATION,
  CONN_F_DST_NAT,
  CONN_F_HELPER_FTP,
  CONN_F_HELPER_TFTP,
  CONN_F_LABEL,
  CONN_F_RELATED,
  CONN_F_REPLY_NODE,
  CONN_F_SKEWED,
  CONN_F_SRC_NAT,
  CONN_FLAGS,
  CONN_MARK,
  CONN_POLICY_SHIFT,
  FRAME_LEN,
  FRAME_PTR,
  FRAME_TIME,
  FRAME_WIRE_LEN,
  MF_GENERATION,
  MF_QUICK_PORT,
  NO_QUICK_PORT,
} from "../datapath/abi.ts";
import { CS_DST_NAT, CS_SRC_NAT, O_CT_STATE, O_NW_SRC } from "../flow/layout.ts";
import { checksumsGood } from "./conntrack-checksum.ts";
import { conntrackCold, conntrackHot } from "./conntrack-table.ts";
import { tcpEstablished } from "./conntrack-tcp.ts";
import { CHAIN_MEGAFLOW } from "./exact-match.ts";
import { KEY } from "./memory.ts";
import { outputCopy, outputQuick } from "./output.ts";
import { TRACK_NAT, trackOf } from "./tracked.ts";

/** Where an entry says that something is kept. */
export const KEPT_CONN: usize = 64;
const KEPT_MEGAFLOW: usize = 68;
const KEPT_GENERATION: usize = 72;
const KEPT_FLAGS: usize = 76;
const KEPT_TUPLE: usize = 80;
const KEPT_REWRITE: usize = 96;
const KEPT_REWRITE_SUMS: usize = 108;
const KEPT_REPLY: usize = 112;
const KEPT_MARK: usize = 124;
const KEPT_LABEL: usize = 160;

/** The key's block IP4 in an entry. */
const ENTRY_IP4: usize = 48;
/** An entry's key is of blocks 0, 1 and 2. */
const ENTRY_MAP: usize = 8;
const COMMON_MAP: u64 = 7;

const NAT_FLAGS: u32 = CONN_F_SRC_NAT | CONN_F_DST_NAT;
const NAT_STATE: u32 = CS_SRC_NAT | CS_DST_NAT;
const FLAGS_MASK: u32 = (1 << CONN_POLICY_SHIFT) - 1;
/** Connections whose frames have more done to them. */
const HELPED: u32 = CONN_F_HELPER_FTP | CONN_F_HELPER_TFTP | CONN_F_RELATED | CONN_F_SKEWED;

// Of a frame of the common kind: untagged, an IPv4 header of 20 bytes.
const IP: usize = 14;
const IP_TOTAL: usize = 16;
const IP_CHECKSUM: usize = 24;
const IP_SRC: usize = 26;
const TCP: usize = 34;
const TCP_OFFSET: usize = 46;
const TCP_CHECKSUM: usize = 50;

/**
 * Sends the TCP segment that `frame` describes on, whose exact-match entry `entry` has something kept, if all is as it was: gives
 * the megaflow that it hit after recirculation, which has not counted it; else 0, and nothing is done.
 */
export function sendEstablished(entry: usize, frame: usize, index: u32): usize {
  const conn = load<u32>(entry, KEPT_CONN);
  const now = load<u64>(frame, FRAME_TIME);
  const megaflow = <usize>load<u32>(entry, KEPT_MEGAFLOW);
  if (load<u32>(megaflow, MF_GENERATION) != load<u32>(entry, KEPT_GENERATION)) return 0;
  const number = (conn >> 1) - 1;
  const h = conntrackHot(number);
  const flags = load<u32>(entry, KEPT_FLAGS);
  if (
    ((load<u32>(h, CONN_FLAGS) & FLAGS_MASK) ^ flags) |
      (load<u32>(h, CONN_MARK) ^ load<u32>(entry, KEPT_MARK)) ||
    now >= load<u64>(h, CONN_EXPIRATION) ||
    v128.any_true(v128.xor(v128.load(h), v128.load(entry, KEPT_TUPLE)))
  ) {
    return 0;
  }
  if ((flags & (CONN_F_LABEL | CONN_F_REPLY_NODE)) != 0 && !sameCold(entry, number, flags)) return 0;
  const ptr = <usize>load<u32>(frame, FRAME_PTR);
  const len = load<u32>(frame, FRAME_LEN);
  const total = <u32>bswap<u16>(load<u16>(ptr, IP_TOTAL));
  const payload = total - 20 - ((<u32>load<u8>(ptr, TCP_OFFSET) >> 4) << 2);
  // A frame that a snaplen cut cannot be summed.
  if (<u32>IP + total > len || !checksumsGood(ptr + IP, total)) return 0;

  const rewritten = (flags & NAT_FLAGS) != 0;
  let at = ptr;
  if (rewritten) {
    at = outputCopy(ptr, len);
    if (at == 0) return 0;
  }
  if (!tcpEstablished(number, h, ptr + TCP, payload, (conn & 1) != 0, now)) return 0;
  if (rewritten) rewrite(entry, at);
  outputQuick(at, len, load<u32>(frame, FRAME_WIRE_LEN), load<u32>(megaflow, MF_QUICK_PORT), index);
  return megaflow;
}

function sameCold(entry: usize, number: u32, flags: u32): bool {
  const c = conntrackCold(number);
  if ((flags & CONN_F_REPLY_NODE) != 0) {
    if (
      (load<u32>(c, COLD_REPLY_SRC) ^ load<u32>(entry, KEPT_REPLY)) |
      (load<u32>(c, COLD_REPLY_DST) ^ load<u32>(entry, KEPT_REPLY + 4)) |
      (load<u32>(c, COLD_REPLY_PORTS) ^ load<u32>(entry, KEPT_REPLY + 8))
    ) {
      return false;
    }
  }
  if ((flags & CONN_F_LABEL) == 0) return true;
  return !v128.any_true(v128.xor(v128.load(c, COLD_LABEL), v128.load(entry, KEPT_LABEL)));
}

/** Addresses, ports and checksums of the copy at `at`. */
function rewrite(entry: usize, at: usize): void {
  store<u64>(at, load<u64>(entry, KEPT_REWRITE), IP_SRC);
  store<u32>(at, load<u32>(entry, KEPT_REWRITE + 8), TCP);
  const grow = load<u32>(entry, KEPT_REWRITE_SUMS);
  store<u16>(at, <u16>grown(load<u16>(at, IP_CHECKSUM), grow & 0xffff), IP_CHECKSUM);
  store<u16>(at, <u16>grown(load<u16>(at, TCP_CHECKSUM), grow >> 16), TCP_CHECKSUM);
}

/** The checksum `sum` after RFC 1624, equation 3: several steps of it are one, as long as each sum is folded in the end. */
function grown(sum: u32, by: u32): u32 {
  const s = (~sum & 0xffff) + by;
  return ~((s & 0xffff) + (s >> 16)) & 0xffff;
}

/**
 * The frame at hand, whose key has `entry`, has come by the first megaflow's program to `megaflow`: keeps that, if the program
 * is what the short way stands in for, and KEY is what it led to. `judged`: the connection and the direction, as `judged` of
 * conntrack.ts has it.
 */
export function establishedNote(entry: usize, megaflow: usize, judged: u32): void {
  store<u32>(entry, 0, KEPT_CONN);
  if (judged == 0 || load<u64>(entry, ENTRY_MAP) != COMMON_MAP) return;
  if (load<u32>(megaflow, MF_QUICK_PORT) == <u32>NO_QUICK_PORT) return;
  const kind = trackOf(<usize>load<u32>(entry));
  if (kind == 0) return;

  const number = (judged >> 1) - 1;
  const h = conntrackHot(number);
  const all = load<u32>(h, CONN_FLAGS);
  const flags = all & FLAGS_MASK;
  if ((flags & HELPED) != 0) return;
  const nat = (kind & TRACK_NAT) != 0 && (flags & NAT_FLAGS) != 0;
  // A connection under NAT that this ct() does not translate, or could not for want of memory, goes the long way.
  if (nat != ((load<u8>(KEY, O_CT_STATE) & NAT_STATE) != 0) || nat != ((flags & NAT_FLAGS) != 0)) return;

  store<u32>(entry, <u32>megaflow, KEPT_MEGAFLOW);
  store<u32>(entry, load<u32>(megaflow, MF_GENERATION), KEPT_GENERATION);
  store<u32>(entry, flags, KEPT_FLAGS);
  store<u32>(entry, load<u32>(h, CONN_MARK), KEPT_MARK);
  v128.store(entry, v128.load(h), KEPT_TUPLE);
  const c = conntrackCold(number);
  if ((flags & CONN_F_LABEL) != 0) {
    store<u32>(entry, 0, CHAIN_MEGAFLOW);
    v128.store(entry, v128.load(c, COLD_LABEL), KEPT_LABEL);
  }
  if ((flags & CONN_F_REPLY_NODE) != 0) {
    store<u32>(entry, load<u32>(c, COLD_REPLY_SRC), KEPT_REPLY);
    store<u32>(entry, load<u32>(c, COLD_REPLY_DST), KEPT_REPLY + 4);
    store<u32>(entry, load<u32>(c, COLD_REPLY_PORTS), KEPT_REPLY + 8);
  }
  if (nat) noteRewrite(entry);
  store<u32>(entry, judged, KEPT_CONN);
}

/** From the key's addresses and ports, before, and KEY's, after. A field that stays adds nothing to a checksum. */
function noteRewrite(entry: usize): void {
  const was = entry + ENTRY_IP4;
  const now = KEY + O_NW_SRC;
  const addresses = change32(was, now) + change32(was + 4, now + 4);
  const ports = change16(was + 8, now + 8) + change16(was + 10, now + 10);
  store<u64>(entry, load<u64>(now), KEPT_REWRITE);
  store<u32>(entry, load<u32>(now, 8), KEPT_REWRITE + 8);
  store<u32>(entry, fold(addresses) | (fold(addresses + ports) << 16), KEPT_REWRITE_SUMS);
}

function change32(was: usize, now: usize): u32 {
  if (load<u32>(was) == load<u32>(now)) return 0;
  return (
    (~(<u32>load<u16>(was)) & 0xffff) +
    <u32>load<u16>(now) +
    (~(<u32>load<u16>(was, 2)) & 0xffff) +
    <u32>load<u16>(now, 2)
  );
}

function change16(was: usize, now: usize): u32 {
  const old: u32 = load<u16>(was);
  return old == load<u16>(now) ? 0 : (~old & 0xffff) + <u32>load<u16>(now);
}

function fold(sum: u32): u32 {
  const s = (sum & 0xffff) + (sum >> 16);
  return (s & 0xffff) + (s >> 16);
}
