// The middle way of an established connection: a TCP segment that the exact-match cache knows too little of, as there are more
// connections than it has entries, or more to do than to send it on. Its megaflow's program is a ct() that does no more than look,
// and recirculation. The connection is looked up; the new key is made whole in registers; and the megaflow that the last
// such segment hit is tried first. Megaflows never overlap: if the key falls under it, it is the one.
//
// Without this way, conntrack-100k's long one took 156 ns but for the memory it waits for.
import {
  A_CT,
  A_END,
  A_RECIRC,
  COLD_LABEL,
  CONN_F_DST_NAT,
  CONN_F_HELPER_FTP,
  CONN_F_HELPER_TFTP,
  CONN_F_LABEL,
  CONN_F_RELATED,
  CONN_F_SKEWED,
  CONN_F_SRC_NAT,
  CONN_FLAGS,
  CONN_MARK,
  CT_F_NAT,
  FRAME_DESC_SIZE,
  FRAME_LEN,
  FRAME_PTR,
  FRAME_TIME,
  MF_GENERATION,
  MF_PROGRAM,
} from "../datapath/abi.ts";
import {
  B_CT,
  B_CT_LABEL,
  CS_ESTABLISHED,
  CS_INVALID,
  CS_REPLY_DIR,
  CS_TRACKED,
  O_CT_LABEL,
  O_CT_STATE,
  O_NW_SRC,
} from "../flow/layout.ts";
import { checksumsGood } from "./conntrack-checksum.ts";
import { conntrackCold, conntrackHot, headOf, isLarge, lookup, tupleHash } from "./conntrack-table.ts";
import { TCP_VALID, tcpEstablished, tcpUpdate } from "./conntrack-tcp.ts";
import { isUnder } from "./megaflow.ts";
import { KEY, PKT, PKT_KEY_MAP } from "./memory.ts";

const IPPROTO_TCP: u32 = 6;
const IP: usize = 14;
const IP_TOTAL: usize = 16;
const TCP: usize = 34;
const TCP_OFFSET: usize = 46;

const TRACK_VALID: u32 = 0x10000;
export const TRACK_NAT: u32 = 0x20000; // ct(nat)

const NAT_FLAGS: u32 = CONN_F_SRC_NAT | CONN_F_DST_NAT;
const HELPED: u32 = CONN_F_HELPER_FTP | CONN_F_HELPER_TFTP | CONN_F_RELATED | CONN_F_SKEWED;

// The megaflow that followed last, by the first one and the direction: the first u32, its generation u32, the second u32, its
// generation u32.
const GUESSES: u32 = 256;
const GUESS_TABLE: usize = memory.data(4096, 16);

/** The connection that track() found, + 1, or 0 after ct(nat), which leaves a frame none; and the frame's direction. */
export let trackedConn: u32 = 0;
/** The same as conntrack.ts has it in `judged`: 0 where the segment is invalid. */
export let trackedRef: u32 = 0;
export let trackedReply: bool = false;

/** Nothing has been seen. */
export function trackedInit(): void {
  memory.fill(GUESS_TABLE, 0, <usize>GUESSES * 16);
}

function guessAt(first: usize, reply: bool): usize {
  return GUESS_TABLE + <usize>(((<u32>first >> 5) ^ (reply ? 1 : 0)) & (GUESSES - 1)) * 16;
}

/** Remembers which megaflow came after `first`. */
export function trackedNote(first: usize, megaflow: usize): void {
  // One that is for this frame only has no generation.
  if (load<u32>(megaflow, MF_GENERATION) == 0) return;
  const at = guessAt(first, trackedReply);
  store<u32>(at, <u32>first);
  store<u32>(at, load<u32>(first, MF_GENERATION), 4);
  store<u32>(at, <u32>megaflow, 8);
  store<u32>(at, load<u32>(megaflow, MF_GENERATION), 12);
}

/**
 * What a ct() of the program of `megaflow` looks for, TRACK_* and its zone, if the program is that, NAT for what it finds, and
 * recirculation; 0 for any other program.
 */
export function trackOf(megaflow: usize): u32 {
  const program = <usize>load<u32>(megaflow, MF_PROGRAM);
  const first = load<u32>(program);
  if ((first & 0xff) != A_CT) return 0;
  const flags = load<u32>(program, 4);
  if ((flags & ~CT_F_NAT) != 0) return 0;
  const second = program + <usize>(first >> 8) * 4;
  if ((load<u32>(second) & 0xff) != A_RECIRC || (load<u32>(second + 8) & 0xff) != A_END) return 0;
  return (load<u32>(program, 8) & 0xffff) | TRACK_VALID | ((flags & CT_F_NAT) != 0 ? TRACK_NAT : 0);
}

/**
 * Does what the ct() and the recirculation of `first` do to the TCP segment that `frame` describes, whose key is in KEY, if its
 * connection is known and needs nothing more: KEY is then as after it. Else false, and nothing is done. The segment is no SYN.
 */
export function track(frame: usize, first: usize): bool {
  const kind = trackOf(first);
  if (kind == 0) return false;
  const ptr = <usize>load<u32>(frame, FRAME_PTR);
  const total = <u32>bswap<u16>(load<u16>(ptr, IP_TOTAL));
  if (<u32>IP + total > load<u32>(frame, FRAME_LEN) || !checksumsGood(ptr + IP, total)) return false;
  const zone = kind & 0xffff;
  const meta = IPPROTO_TCP | (4 << 8) | (zone << 16);
  const tuple = i32x4.replace_lane(v128.load(KEY, O_NW_SRC), 3, meta);
  const reversed = v128.shuffle<u8>(tuple, tuple, 4, 5, 6, 7, 0, 1, 2, 3, 10, 11, 8, 9, 12, 13, 14, 15);
  const ports = <u32>i32x4.extract_lane(tuple, 2);
  const hash = tupleHash(
    i32x4.extract_lane(tuple, 0),
    i32x4.extract_lane(tuple, 1),
    ports & 0xffff,
    ports >> 16,
    meta,
  );
  const now = load<u64>(frame, FRAME_TIME);
  const found = lookup(tuple, reversed, hash, 0, 0, now);
  if (found == 0) return false;
  const number = (found >> 1) - 1;
  const h = conntrackHot(number);
  const flags = load<u32>(h, CONN_FLAGS);
  if ((flags & (HELPED | ((kind & TRACK_NAT) != 0 ? NAT_FLAGS : 0))) != 0) return false;
  const payload = total - 20 - ((<u32>load<u8>(ptr, TCP_OFFSET) >> 4) << 2);
  const reply = (found & 1) != 0;
  // Neither a SYN nor a new connection: it is established or invalid.
  const valid =
    tcpEstablished(number, h, ptr + TCP, payload, reply, now) ||
    tcpUpdate(number, h, ptr + TCP, total - 20, payload, reply, now) == TCP_VALID;

  trackedReply = reply;
  lastMeta = meta;
  trackedRef = valid ? found : 0;
  trackedConn = (kind & TRACK_NAT) != 0 ? 0 : number + 1;
  const conn = v128.load(h);
  const state = valid ? CS_ESTABLISHED | CS_TRACKED | (reply ? CS_REPLY_DIR : 0) : CS_INVALID | CS_TRACKED;
  let ct = v128.shuffle<u32>(conn, conn, 0, 0, 0, 1);
  ct = i32x4.replace_lane(ct, 0, state | (IPPROTO_TCP << 8) | ((<u32>bswap<u16>(<u16>zone)) << 16));
  ct = i32x4.replace_lane(ct, 1, load<u32>(h, CONN_MARK));
  let head = v128.load(KEY);
  // The program is A_CT, then A_RECIRC with its id.
  const program = <usize>load<u32>(first, MF_PROGRAM);
  const id = load<u32>(program + <usize>(load<u32>(program) >> 8) * 4, 4);
  head = i32x4.replace_lane(head, 1, bswap<u32>(id));
  head = i32x4.replace_lane(head, 3, i32x4.extract_lane(conn, 2));
  v128.store(KEY, head);
  v128.store(KEY, ct, O_CT_STATE);
  let map = load<u64>(PKT, PKT_KEY_MAP) | (1 << B_CT);
  if ((flags & CONN_F_LABEL) != 0) {
    v128.store(KEY, v128.load(conntrackCold(number), COLD_LABEL), O_CT_LABEL);
    map |= 1 << B_CT_LABEL;
  }
  store<u64>(PKT, map, PKT_KEY_MAP);
  return true;
}

/** The megaflow that KEY falls under, which followed `first` before; 0 when another has to be looked for. */
export function trackedGuess(first: usize): usize {
  const at = guessAt(first, trackedReply);
  if (load<u32>(at) != <u32>first || load<u32>(at, 4) != load<u32>(first, MF_GENERATION)) return 0;
  const megaflow = <usize>load<u32>(at, 8);
  if (load<u32>(megaflow, MF_GENERATION) != load<u32>(at, 12)) return 0;
  return isUnder(megaflow) ? megaflow : 0;
}

/** Frames whose connections are fetched at once. */
export const AHEAD: u32 = 32;
const HEADS_AHEAD: usize = memory.data(128, 16);
/** What the connections of late were: zone, family and protocol, as in a tuple; 0 before the first. */
let lastMeta: u32 = 0;
let touched: u32 = 0;

/**
 * Reads where the connections of the `count` frames described at `frames` are, if they are as those before were: the reads wait for
 * memory together, where each frame by itself would wait alone.
 */
export function touchAhead(frames: usize, count: u32): void {
  if (lastMeta == 0 || !isLarge()) return;
  for (let i: u32 = 0; i < count; i++) {
    const ptr = <usize>load<u32>(frames + <usize>i * FRAME_DESC_SIZE, FRAME_PTR);
    const ports = load<u32>(ptr, 34);
    const hash = tupleHash(load<u32>(ptr, 26), load<u32>(ptr, 30), ports & 0xffff, ports >> 16, lastMeta);
    store<u32>(HEADS_AHEAD + <usize>i * 4, headOf(hash));
  }
  let sum: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    // No branch, which could not be foreseen: the first connection stands for none.
    sum += load<u32>(conntrackHot(max<u32>(load<u32>(HEADS_AHEAD + <usize>i * 4) >> 1, 1) - 1));
  }
  touched += sum;
}
