// TCP connections: which segments belong to one, what state they bring it to, how long it lives then.
//
// The judgement is that of OVS's userspace conntrack, which has it from OpenBSD's pf: sequence tracking after Guido van
// Rooij, "Real Stateful TCP Packet Filtering in IP Filter" (2000). For each peer it keeps the highest sequence number
// the peer has sent (seqlo) and the highest the other side allows it to send (seqhi: acknowledged + window), the
// largest window the peer offered (unscaled), its window scale, and its state. Sequence numbers are compared modulo
// 2^32 (RFC 9293 section 3.4).
//
// A connection taken out of a dump begins without sequence numbers: each peer's first segment gives its own (WSCALE_UNSEEN).
//
// A peer's state is of its own: SYN_SENT when it has sent something, ESTABLISHED when that is acknowledged, CLOSING when
// it has sent FIN, FIN_WAIT_2 when the FIN is acknowledged, TIME_WAIT for both after a reset.
import {
  CONN_PEER_ORIG,
  CONN_PEER_REPLY,
  PEER_MAX_WIN,
  PEER_SEQHI,
  PEER_SEQLO,
  PEER_STATE,
  PEER_WSCALE,
  TCPS_CLOSED,
  TCPS_CLOSING,
  TCPS_ESTABLISHED,
  TCPS_FIN_WAIT_2,
  TCPS_SYN_SENT,
  TCPS_TIME_WAIT,
  TM_TCP_CLOSED,
  TM_TCP_CLOSING,
  TM_TCP_ESTABLISHED,
  TM_TCP_FIN_WAIT,
  TM_TCP_FIRST,
  TM_TCP_OPENING,
  WSCALE_KNOWN,
  WSCALE_MASK,
  WSCALE_UNKNOWN,
  WSCALE_UNSEEN,
} from "../datapath/abi.ts";
import { restartTimer, startTimer } from "./conntrack-table.ts";

const FIN: u32 = 0x01;
const SYN: u32 = 0x02;
const RST: u32 = 0x04;
const PSH: u32 = 0x08;
const ACK: u32 = 0x10;
const URG: u32 = 0x20;

const OPT_END: u32 = 0;
const OPT_NOP: u32 = 1;
const OPT_WINDOW_SCALE: u32 = 3;
const WINDOW_SCALE_MAX: u32 = 14; // RFC 7323 section 2.3

/** How far an acknowledgment may lie from what is known, before scaling: a window and a frame. */
const ACK_SLACK: i32 = 0xffff + 1500;

export const TCP_INVALID: u32 = 0;
export const TCP_VALID: u32 = 1;
/** A retransmitted SYN: the connection is still new. */
export const TCP_STILL_NEW: u32 = 2;
/** A SYN on a closed connection: the old one goes, a new one may come. */
export const TCP_REOPEN: u32 = 3;

function be16(at: usize): u32 {
  return bswap<u16>(load<u16>(at)) as u32;
}

function be32(at: usize): u32 {
  return bswap<u32>(load<u32>(at));
}

/** a >= b, modulo 2^32. */
function atLeast(a: u32, b: u32): bool {
  return ((a - b) as i32) >= 0;
}

/** Combinations of flags that no TCP sends. */
function badFlags(flags: u32): bool {
  if ((flags & SYN) != 0) {
    if ((flags & (RST | FIN)) != 0) return true;
  } else if ((flags & (ACK | RST)) == 0) {
    return true;
  }
  return (flags & ACK) == 0 && (flags & (FIN | PSH | URG)) != 0;
}

/** The window scale option of the header at `tcp`, of which `present` bytes are there: WSCALE_KNOWN and the factor, or 0. */
function windowScale(tcp: usize, present: u32): u32 {
  let left = min<i32>(((load<u8>(tcp, 12) >> 4) as i32) * 4, present as i32) - 20;
  let at = tcp + 20;
  let scale: u32 = 0;
  while (left >= 3) {
    const kind = load<u8>(at) as u32;
    if (kind == OPT_END) break;
    if (kind == OPT_NOP) {
      at++;
      left--;
      continue;
    }
    if (kind == OPT_WINDOW_SCALE) {
      const factor = load<u8>(at, 2) as u32;
      scale = WSCALE_KNOWN | (factor < WINDOW_SCALE_MAX ? factor : WINDOW_SCALE_MAX);
    }
    const length = load<u8>(at, 1) as i32;
    const step = length < 2 ? 2 : length;
    left -= step;
    at += step as usize;
  }
  return scale;
}

/** The window of a SYN is not scaled; brought to the unit of those that follow, rounded up. */
function unscale(win: u32, scale: u32): u32 {
  return (win + (1 << scale) - 1) >> scale;
}

/** Whether a segment of no known connection may open one: a SYN, or one from the middle of a connection. */
export function tcpOpens(tcp: usize): bool {
  const flags = load<u8>(tcp, 13) as u32;
  return !badFlags(flags) && (flags & (SYN | ACK)) != (SYN | ACK);
}

/** Sets up the connection that the segment at `tcp`, of which `present` bytes are there, with `payload` bytes opens. */
export function tcpNew(h: usize, tcp: usize, present: u32, payload: u32, now: u64): void {
  const flags = load<u8>(tcp, 13) as u32;
  const seq = be32(tcp + 4);
  let high = seq + payload + 1;
  let scale: u32 = WSCALE_UNKNOWN;
  let otherScale: u32 = WSCALE_UNKNOWN;
  if ((flags & SYN) != 0) {
    high++;
    scale = windowScale(tcp, present);
    otherScale = 0;
  }
  let win = be16(tcp + 14);
  if (win == 0) win = 1;
  if ((flags & FIN) != 0) high++;
  const src = h + (CONN_PEER_ORIG as usize);
  const dst = h + (CONN_PEER_REPLY as usize);
  store<u32>(src, seq, PEER_SEQLO);
  store<u32>(src, high, PEER_SEQHI);
  store<u16>(src, unscale(win, scale & WSCALE_MASK) as u16, PEER_MAX_WIN);
  store<u8>(src, scale as u8, PEER_WSCALE);
  store<u8>(src, TCPS_SYN_SENT as u8, PEER_STATE);
  store<u32>(dst, 0, PEER_SEQLO);
  store<u32>(dst, 1, PEER_SEQHI);
  store<u16>(dst, 1, PEER_MAX_WIN);
  store<u8>(dst, otherScale as u8, PEER_WSCALE);
  store<u8>(dst, TCPS_CLOSED as u8, PEER_STATE);
  startTimer(h, TM_TCP_FIRST, now);
}

/**
 * tcpUpdate() for the most common segment: ACK and neither SYN, FIN nor RST, in the window, of a connection established on both
 * sides. False for any other, and nothing is done; what is done is what tcpUpdate() does, which says why.
 */
export function tcpEstablished(index: u32, h: usize, tcp: usize, payload: u32, reply: bool, now: u64): bool {
  const src = h + ((reply ? CONN_PEER_REPLY : CONN_PEER_ORIG) as usize);
  const dst = h + ((reply ? CONN_PEER_ORIG : CONN_PEER_REPLY) as usize);
  // Scale in the lower byte, state in the upper.
  const srcKind = load<u16>(src, PEER_WSCALE) as u32;
  const dstKind = load<u16>(dst, PEER_WSCALE) as u32;
  const flags = load<u8>(tcp, 13) as u32;
  const established = (TCPS_ESTABLISHED as u32) << 8;
  if (
    (flags & (SYN | FIN | RST | ACK)) != ACK ||
    ((srcKind ^ established) | (dstKind ^ established)) & (0xff00 | WSCALE_UNSEEN)
  ) {
    return false;
  }
  const both = srcKind & dstKind;
  let srcScale: u32 = 0;
  let dstScale: u32 = 0;
  if ((both & WSCALE_KNOWN) != 0) {
    srcScale = srcKind & WSCALE_MASK;
    dstScale = dstKind & WSCALE_MASK;
  } else if ((both & WSCALE_UNKNOWN) != 0) {
    srcScale = WINDOW_SCALE_MAX;
    dstScale = WINDOW_SCALE_MAX;
  }
  const ack = be32(tcp + 8);
  const win = be16(tcp + 14);
  const srcLow = load<u32>(src, PEER_SEQLO);
  let seq = be32(tcp + 4);
  let end = seq + payload;
  if (payload == 0) {
    seq = srcLow;
    end = srcLow;
  }
  const skew = (load<u32>(dst, PEER_SEQLO) - ack) as i32;
  const inWindow =
    atLeast(load<u32>(src, PEER_SEQHI), end) &&
    atLeast(seq, srcLow - ((load<u16>(dst, PEER_MAX_WIN) as u32) << dstScale)) &&
    skew >= -ACK_SLACK &&
    skew <= ACK_SLACK << (srcScale as i32);
  if (!inWindow) return false;
  if ((load<u16>(src, PEER_MAX_WIN) as u32) < win) store<u16>(src, win as u16, PEER_MAX_WIN);
  if (((end - srcLow) as i32) > 0) store<u32>(src, end, PEER_SEQLO);
  const offered = win << srcScale;
  if (atLeast(ack + offered, load<u32>(dst, PEER_SEQHI))) {
    store<u32>(dst, ack + (offered == 0 ? 1 : offered), PEER_SEQHI);
  }
  restartTimer(index, h, TM_TCP_ESTABLISHED, now);
  return true;
}

/** One segment of a known connection: TCP_*. */
export function tcpUpdate(
  index: u32,
  h: usize,
  tcp: usize,
  present: u32,
  payload: u32,
  reply: bool,
  now: u64,
): u32 {
  const flags = load<u8>(tcp, 13) as u32;
  if (badFlags(flags)) return TCP_INVALID;
  const src = h + ((reply ? CONN_PEER_REPLY : CONN_PEER_ORIG) as usize);
  const dst = h + ((reply ? CONN_PEER_ORIG : CONN_PEER_REPLY) as usize);
  let srcState = load<u8>(src, PEER_STATE) as i32;
  let dstState = load<u8>(dst, PEER_STATE) as i32;
  const isSyn = (flags & SYN) != 0;
  const isAck = (flags & ACK) != 0;
  const isFin = (flags & FIN) != 0;

  if (isSyn && !isAck) {
    if (srcState >= TCPS_FIN_WAIT_2 && dstState >= TCPS_FIN_WAIT_2) {
      store<u8>(src, TCPS_CLOSED as u8, PEER_STATE);
      store<u8>(dst, TCPS_CLOSED as u8, PEER_STATE);
      return TCP_REOPEN;
    }
    if (srcState <= TCPS_SYN_SENT) {
      store<u8>(src, TCPS_SYN_SENT as u8, PEER_STATE);
      restartTimer(index, h, TM_TCP_FIRST, now);
      return TCP_STILL_NEW;
    }
  }

  // Windows are scaled when both sides said how, or, picked up in mid-stream, by as much as there can be.
  let srcScale: u32 = 0;
  let dstScale: u32 = 0;
  const srcWscale = load<u8>(src, PEER_WSCALE) as u32;
  let dstWscale = load<u8>(dst, PEER_WSCALE) as u32;
  if (!isSyn) {
    if ((srcWscale & dstWscale & WSCALE_KNOWN) != 0) {
      srcScale = srcWscale & WSCALE_MASK;
      dstScale = dstWscale & WSCALE_MASK;
    } else if ((srcWscale & dstWscale & WSCALE_UNKNOWN) != 0) {
      srcScale = WINDOW_SCALE_MAX;
      dstScale = WINDOW_SCALE_MAX;
    }
  }

  let win = be16(tcp + 14);
  let ack = be32(tcp + 8);
  const sentSeq = be32(tcp + 4);
  let seq = sentSeq;
  let end = seq + payload + (isSyn ? 1 : 0) + (isFin ? 1 : 0);
  let dstMaxWin = load<u16>(dst, PEER_MAX_WIN) as u32;
  let judgeAck = (dstWscale & WSCALE_UNSEEN) == 0;

  if ((srcWscale & WSCALE_UNSEEN) != 0) {
    // Its first segment since it was taken out of a dump, which tells no sequence numbers: it is where the peer stands.
    store<u8>(src, (srcWscale & ~WSCALE_UNSEEN) as u8, PEER_WSCALE);
    store<u32>(src, seq, PEER_SEQLO);
    store<u32>(src, end + (dstMaxWin << dstScale), PEER_SEQHI);
    judgeAck = false;
  }
  if (srcState < TCPS_SYN_SENT) {
    // The first segment from this side.
    if (isSyn && (dstWscale & WSCALE_KNOWN) != 0) {
      const told = windowScale(tcp, present);
      store<u8>(src, told as u8, PEER_WSCALE);
      if ((told & WSCALE_KNOWN) != 0) {
        srcScale = told & WSCALE_MASK;
        win = unscale(win, srcScale);
        dstScale = dstWscale & WSCALE_MASK;
      } else {
        // This side does not scale, so nobody does: undo what was done to the other's window.
        dstMaxWin = (dstMaxWin << (dstWscale & WSCALE_MASK)) & 0xffff;
        store<u16>(dst, dstMaxWin as u16, PEER_MAX_WIN);
        dstWscale = 0;
        store<u8>(dst, 0, PEER_WSCALE);
      }
    }
    store<u32>(src, seq, PEER_SEQLO);
    srcState = TCPS_SYN_SENT;
    store<u8>(src, TCPS_SYN_SENT as u8, PEER_STATE);
    const window = dstMaxWin << dstScale;
    const high = end + (window == 0 ? 1 : window);
    const srcHigh = load<u32>(src, PEER_SEQHI);
    if (srcHigh == 1 || atLeast(high, srcHigh)) {
      // A new connection, or one picked up: what this side acknowledges cannot be judged yet.
      store<u32>(src, high, PEER_SEQHI);
      judgeAck = false;
    }
    if (win > (load<u16>(src, PEER_MAX_WIN) as u32)) store<u16>(src, win as u16, PEER_MAX_WIN);
  }

  const dstLow = load<u32>(dst, PEER_SEQLO);
  // Without ACK there is nothing to judge; some stacks send RST+ACK with acknowledgment 0.
  if (!isAck || (ack == 0 && (flags & RST) != 0)) ack = dstLow;

  const srcLow = load<u32>(src, PEER_SEQLO);
  if (seq == end) {
    // Nothing in it that takes up sequence numbers: where it lies does not matter.
    seq = srcLow;
    end = seq;
  }

  const skew: i32 = judgeAck ? ((dstLow - ack) as i32) : 0;
  const srcHigh = load<u32>(src, PEER_SEQHI);
  const inWindow =
    atLeast(srcHigh, end) &&
    atLeast(seq, srcLow - (dstMaxWin << dstScale)) &&
    skew >= -ACK_SLACK &&
    skew <= ACK_SLACK << (srcScale as i32) &&
    // A reset must be exact, or one off: no blind resets.
    ((flags & RST) == 0 || sentSeq == srcLow || sentSeq == srcLow + 1 || sentSeq + 1 == srcLow);
  if (!inWindow) {
    // An awkward opening (the peer has not answered yet) or the aftermath of a close: taken within a window's reach, but
    // it does not lengthen the connection's life.
    const loose =
      (dstState < TCPS_SYN_SENT || dstState >= TCPS_FIN_WAIT_2 || srcState >= TCPS_FIN_WAIT_2) &&
      atLeast(srcHigh + (ACK_SLACK as u32), end) &&
      atLeast(seq, srcLow - (ACK_SLACK as u32));
    if (!loose) return TCP_INVALID;
  }

  if ((load<u16>(src, PEER_MAX_WIN) as u32) < win) store<u16>(src, win as u16, PEER_MAX_WIN);
  if (((end - srcLow) as i32) > 0) store<u32>(src, end, PEER_SEQLO);
  const offered = win << srcScale;
  if (atLeast(ack + offered, load<u32>(dst, PEER_SEQHI))) {
    store<u32>(dst, ack + (offered == 0 ? 1 : offered), PEER_SEQHI);
  }

  if (isFin && srcState < TCPS_CLOSING) srcState = TCPS_CLOSING;
  if (inWindow && isAck) {
    if (dstState == TCPS_SYN_SENT) dstState = TCPS_ESTABLISHED;
    else if (dstState == TCPS_CLOSING) dstState = TCPS_FIN_WAIT_2;
  }
  if ((flags & RST) != 0) {
    srcState = TCPS_TIME_WAIT;
    dstState = TCPS_TIME_WAIT;
  }
  store<u8>(src, srcState as u8, PEER_STATE);
  store<u8>(dst, dstState as u8, PEER_STATE);
  if (inWindow) restartTimer(index, h, timeoutOf(srcState, dstState), now);
  return TCP_VALID;
}

function timeoutOf(a: i32, b: i32): u32 {
  const low = a < b ? a : b;
  const high = a < b ? b : a;
  if (low >= TCPS_FIN_WAIT_2) return TM_TCP_CLOSED;
  if (low >= TCPS_CLOSING) return TM_TCP_FIN_WAIT;
  if (low < TCPS_ESTABLISHED) return TM_TCP_OPENING;
  if (high >= TCPS_CLOSING) return TM_TCP_CLOSING;
  return TM_TCP_ESTABLISHED;
}
