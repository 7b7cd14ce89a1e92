// The receive loop: one call takes a batch of frames, each frame to its end before the next begins.
//
// The common frame (untagged IPv4 without options or fragments, TCP or UDP) has its key built here from three vector
// loads and is looked up in the exact-match cache without a store between; when its megaflow does nothing but send it on,
// that is all there is. Every other frame goes through parse().
import {
  DROP_NONE,
  DROP_PIPELINE,
  DROP_RX_INVALID,
  DROP_TOO_LONG,
  FRAME_DESC_SIZE,
  FRAME_IN_PORT,
  FRAME_LEN,
  FRAME_PTR,
  FRAME_TIME,
  FRAME_TUNNEL,
  FRAME_WIRE_LEN,
  MAX_FRAME,
  MF_QUICK_PORT,
  MF_TAG,
  NO_QUICK_PORT,
  VERDICT_DROP,
  VERDICT_OUTPUTS,
  VERDICT_SIZE,
  VERDICT_TAG,
  VERDICT_USERSPACE,
} from "../datapath/abi.ts";
import { establishedNote, KEPT_CONN, sendEstablished } from "./established.ts";
import { exactMatchJudge, exactMatchLookup3, lastEntry } from "./exact-match.ts";
import {
  cachedMegaflow,
  countHit,
  exactHits,
  executeBegin,
  executeDropReason,
  executeTag,
  megaflowHits,
  process,
  processMissed,
  processTracked,
  runCounted,
  upcalls,
} from "./execute.ts";
import { clearBlocks, hash4 } from "./key.ts";
import { megaflowReclaim, rankSubtables } from "./megaflow.ts";
import {
  KEY,
  OFFSET_NONE,
  PKT,
  PKT_CONN,
  PKT_CONN_F_REPLY,
  PKT_CONN_FLAGS,
  PKT_DEPTH,
  PKT_ENTRY,
  PKT_FLAGS,
  PKT_HASH,
  PKT_KEY_MAP,
  PKT_L2_5,
  PKT_L3,
  PKT_L4,
  PKT_LEN,
  PKT_NOW,
  PKT_TRUNC,
  PKT_TYPE_OFFSET,
  PKT_WIRE_LEN,
} from "./memory.ts";
import {
  frameOutputs,
  frameUserspace,
  outputBegin,
  outputCount,
  outputQuick,
  outputReset,
  outputRoom,
} from "./output.ts";
import { parse } from "./parse.ts";
import { AHEAD, touchAhead, track, trackedConn, trackedGuess, trackedRef, trackedReply } from "./tracked.ts";
import { transientReset } from "./transient.ts";
import { receiveTunnel } from "./tunnel.ts";

const ETH_HEADER: u32 = 14;
/** ACK, and neither FIN, SYN nor RST; in the frame's byte order. */
const TCP_JUDGED: u32 = 0x1700;
const TCP_PLAIN: u32 = 0x1000;
const FAST_MAP: u64 = 7; // blocks META, ETH and IP4
const RANK_INTERVAL: u32 = 16384; // frames between two rankings of the subtables

let verdicts: usize = 0;
let fast: bool = true;
let untilRank: u32 = RANK_INTERVAL;

/** `fastParse` false sends every frame through parse(): the plain twin of the vector loads. */
export function receiveInit(verdictsAt: usize, fastParse: bool): void {
  verdicts = verdictsAt;
  fast = fastParse;
  untilRank = RANK_INTERVAL;
  store<u64>(PKT, ~(<u64>0) >> 28, PKT_KEY_MAP);
}

/**
 * Works on up to `count` frames described at `frames`, and stops before the first whose time has reached `deadlineMs`.
 * Returns how many were done; each has its verdict.
 */
export function receive(frames: usize, count: u32, deadlineMs: u64): u32 {
  let done: u32 = 0;
  for (; done < count; done++) {
    const frame = frames + <usize>done * FRAME_DESC_SIZE;
    if ((done & (AHEAD - 1)) == 0) touchAhead(frame, min(count - done, AHEAD));
    if (load<u64>(frame, FRAME_TIME) >= deadlineMs) break;
    outputRoom();
    const verdict = verdicts + <usize>done * VERDICT_SIZE;
    if (!fast || !receiveCommon(frame, done, verdict)) receiveOther(frame, done, verdict);
  }
  if (done < count) return done;
  exactMatchJudge(exactHits, exactHits + megaflowHits + upcalls);
  if (untilRank <= count) {
    untilRank = RANK_INTERVAL;
    rankSubtables();
  } else {
    untilRank -= count;
  }
  return count;
}

/**
 * As receive() without a deadline, after what the batch before put out has been taken; returns the number of output descriptors.
 * For a host in another thread, to whom every call is a long way.
 */
export function receiveNext(frames: usize, count: u32): u32 {
  outputReset();
  receive(frames, count, u64.MAX_VALUE);
  return outputCount();
}

/** The frame, if it is of the common kind; false, and nothing done, if it is not. */
function receiveCommon(frame: usize, index: u32, verdict: usize): bool {
  const ptr = <usize>load<u32>(frame, FRAME_PTR);
  const len = load<u32>(frame, FRAME_LEN);
  const wireLen = load<u32>(frame, FRAME_WIRE_LEN);
  // No tunnel it came in, EtherType 0x0800, version 4 with a 20-byte header, no fragment (DF may be set), and bytes for a UDP header.
  if (
    load<u32>(frame, FRAME_TUNNEL) != 0 ||
    len < 42 ||
    wireLen > <u32>MAX_FRAME ||
    load<u16>(ptr, 12) != 0x0008 ||
    load<u8>(ptr, 14) != 0x45 ||
    (load<u16>(ptr, 20) & 0xff3f) != 0
  ) {
    return false;
  }
  const total = <u32>bswap<u16>(load<u16>(ptr, 16));
  const proto = load<u8>(ptr, 23);
  // A TCP data offset of 20 bytes or more, all of it inside the datagram.
  const tcpHeader = (<u32>load<u8>(ptr, 46) >> 4) << 2;
  const tcp = proto == 6 && len >= 54 && tcpHeader >= 20 && total >= 20 + tcpHeader;
  if (total > wireLen - ETH_HEADER || !(tcp || (proto == 17 && total >= 28))) return false;

  const flags: u32 = tcp ? load<u16>(ptr, 46) & 0xff0f : 0;
  const tail = <u32>load<u8>(ptr, 15) | ((<u32>load<u8>(ptr, 22)) << 8) | (flags << 16);
  const meta = i32x4(bswap<i32>(load<u32>(frame, FRAME_IN_PORT)), 0, 0, 0);
  const eth = i8x16.replace_lane(i8x16.replace_lane(v128.load(ptr), 14, proto), 15, 0);
  const ip4 = i32x4.replace_lane(v128.load(ptr, 26), 3, tail);
  const hash = hash4(meta, eth, ip4, i64x2(0, 0));
  const megaflow = exactMatchLookup3(meta, eth, ip4, hash);
  if (megaflow == 0) {
    setCommonKey(meta, eth, ip4);
    receiveMissed(frame, index, verdict, hash, flags);
    return true;
  }
  countHit(megaflow, true, wireLen, load<u64>(frame, FRAME_TIME), flags);
  const port = load<u32>(megaflow, MF_QUICK_PORT);
  if (port != <u32>NO_QUICK_PORT) {
    // Straight to its port: nobody will ask for PKT.
    outputQuick(ptr, len, wireLen, port, index);
    v128.store(verdict, i32x4(1, 0, DROP_NONE, load<u32>(megaflow, MF_TAG)));
  } else if (!isPlain(flags) || !receiveEstablished(frame, index, verdict, flags))
    receiveExact(frame, index, verdict, megaflow, flags);
  return true;
}

/** Whether `flags` are those of a TCP segment of an established connection that does not end; 0 for other protocols. */
function isPlain(flags: u32): bool {
  return (flags & TCP_JUDGED) == TCP_PLAIN;
}

/** A TCP segment whose exact-match entry is `lastEntry`, if its connection is established; false, and nothing done, if not. */
function receiveEstablished(frame: usize, index: u32, verdict: usize, flags: u32): bool {
  const entry = lastEntry;
  if (load<u32>(entry, KEPT_CONN) == 0) return false;
  const megaflow = sendEstablished(entry, frame, index);
  if (megaflow == 0) return false;
  countHit(megaflow, true, load<u32>(frame, FRAME_WIRE_LEN), load<u64>(frame, FRAME_TIME), flags);
  v128.store(verdict, i32x4(1, 0, DROP_NONE, load<u32>(megaflow, MF_TAG)));
  return true;
}

/** A frame of the common kind that `megaflow` has counted, by the entry `lastEntry`, which has its key. */
function receiveExact(frame: usize, index: u32, verdict: usize, megaflow: usize, flags: u32): void {
  const entry = lastEntry;
  setCommonKey(v128.load(entry, 16), v128.load(entry, 32), v128.load(entry, 48));
  if (isPlain(flags) && track(frame, megaflow)) {
    receiveTracked(frame, index, verdict, megaflow, flags, entry);
    return;
  }
  beginCommon(frame, index, entry);
  runCounted(megaflow, entry);
  end(verdict, DROP_NONE);
}

/** The same that is in no exact-match entry, and whose key is in KEY. */
function receiveMissed(frame: usize, index: u32, verdict: usize, hash: u32, flags: u32): void {
  const megaflow = cachedMegaflow(FAST_MAP, hash);
  if (megaflow != 0) {
    countHit(megaflow, false, load<u32>(frame, FRAME_WIRE_LEN), load<u64>(frame, FRAME_TIME), flags);
    const port = load<u32>(megaflow, MF_QUICK_PORT);
    if (port != <u32>NO_QUICK_PORT) {
      const wireLen = load<u32>(frame, FRAME_WIRE_LEN);
      outputQuick(<usize>load<u32>(frame, FRAME_PTR), load<u32>(frame, FRAME_LEN), wireLen, port, index);
      v128.store(verdict, i32x4(1, 0, DROP_NONE, load<u32>(megaflow, MF_TAG)));
      return;
    }
  }
  if (megaflow != 0 && isPlain(flags) && track(frame, megaflow)) {
    receiveTracked(frame, index, verdict, megaflow, flags, lastEntry);
    return;
  }
  beginCommon(frame, index, 0);
  if (megaflow != 0) runCounted(megaflow, 0);
  else processMissed();
  end(verdict, DROP_NONE);
}

/** A TCP segment that has been through the ct() and the recirculation of `first`; its key was of `entry`, unless that is 0. */
function receiveTracked(
  frame: usize,
  index: u32,
  verdict: usize,
  first: usize,
  flags: u32,
  entry: usize,
): void {
  const megaflow = trackedGuess(first);
  if (megaflow != 0) {
    const port = load<u32>(megaflow, MF_QUICK_PORT);
    if (port != <u32>NO_QUICK_PORT) {
      const wireLen = load<u32>(frame, FRAME_WIRE_LEN);
      if (entry != 0) establishedNote(entry, megaflow, trackedRef);
      countHit(megaflow, false, wireLen, load<u64>(frame, FRAME_TIME), flags);
      outputQuick(<usize>load<u32>(frame, FRAME_PTR), load<u32>(frame, FRAME_LEN), wireLen, port, index);
      v128.store(verdict, i32x4(1, 0, DROP_NONE, load<u32>(megaflow, MF_TAG)));
      return;
    }
  }
  beginCommon(frame, index, 0);
  store<u32>(PKT, 1, PKT_DEPTH);
  store<u32>(PKT, trackedConn, PKT_CONN);
  store<u32>(PKT, trackedReply ? PKT_CONN_F_REPLY : 0, PKT_CONN_FLAGS);
  processTracked(first);
  end(verdict, DROP_NONE);
}

/** begin(), and where the headers of a frame of the common kind are. */
function beginCommon(frame: usize, index: u32, entry: usize): void {
  begin(frame, index);
  store<u32>(PKT, <u32>entry, PKT_ENTRY);
  store<u32>(PKT, OFFSET_NONE, PKT_L2_5);
  store<u32>(PKT, 14, PKT_L3);
  store<u32>(PKT, 34, PKT_L4);
  store<u32>(PKT, 12, PKT_TYPE_OFFSET);
}

function setCommonKey(meta: v128, eth: v128, ip4: v128): void {
  const stale = load<u64>(PKT, PKT_KEY_MAP) & ~FAST_MAP;
  if (stale) clearBlocks(stale);
  v128.store(KEY, meta);
  v128.store(KEY, eth, 16);
  v128.store(KEY, ip4, 32);
  store<u64>(PKT, FAST_MAP, PKT_KEY_MAP);
}

/** Any frame at all. */
function receiveOther(frame: usize, index: u32, verdict: usize): void {
  begin(frame, index);
  let reason: u32 = DROP_NONE;
  if (load<u32>(PKT, PKT_LEN) < ETH_HEADER) reason = DROP_RX_INVALID;
  else if (load<u32>(PKT, PKT_WIRE_LEN) > <u32>MAX_FRAME) reason = DROP_TOO_LONG;
  else {
    clearBlocks(load<u64>(PKT, PKT_KEY_MAP));
    store<u32>(KEY, bswap<u32>(load<u32>(frame, FRAME_IN_PORT)));
    store<u64>(PKT, 1, PKT_KEY_MAP);
    const tunnel = load<u32>(frame, FRAME_TUNNEL);
    if (tunnel != 0) receiveTunnel(tunnel);
    parse();
    process();
  }
  end(verdict, reason);
}

/** PKT for the frame described at `frame`; nothing left of the one before. */
function begin(frame: usize, index: u32): void {
  outputBegin();
  executeBegin();
  transientReset();
  megaflowReclaim();
  v128.store(PKT, i32x4.replace_lane(v128.load(frame), 3, index)); // ptr, len, wireLen, frame
  store<u32>(PKT, 0, PKT_FLAGS);
  store<u64>(PKT, load<u64>(frame, FRAME_TIME), PKT_NOW);
  store<u64>(PKT, 0, PKT_TRUNC); // PKT_DEPTH too
  store<u64>(PKT, 0, PKT_CONN); // PKT_CONN_FLAGS too
  store<u64>(PKT, 0, PKT_HASH); // PKT_ENTRY too
}

/** What became of it. */
function end(verdict: usize, reason: u32): void {
  if (frameOutputs + frameUserspace == 0 && reason == DROP_NONE) {
    reason = executeDropReason();
    if (reason == DROP_NONE) reason = DROP_PIPELINE;
  }
  store<u32>(verdict, frameOutputs, VERDICT_OUTPUTS);
  store<u32>(verdict, frameUserspace, VERDICT_USERSPACE);
  store<u32>(verdict, reason, VERDICT_DROP);
  store<u32>(verdict, executeTag(), VERDICT_TAG);
}
