// Puts connections that a dump describes into a kernel's table, as if they had been opened before its first frame.
//
// A dump leaves things out. Sequence numbers: each side's next segment tells them. Whether UDP and ICMP have been
// answered: a timeout longer than an answered connection has says no, else they count as answered. What a helper expects: nothing.
import { MegaflowError } from "../lib/errors.ts";
import * as abi from "./abi.ts";
import { answerType } from "./conntrack-dump.ts";
import { type DumpedConnection, translated } from "./conntrack-text.ts";
import type { Kernel } from "./kernel.ts";

const PROTO_ICMP = 1;
const PROTO_ICMPV6 = 58;
/** OVS's default timeout of answered UDP and ICMP connections. */
const ANSWERED_MS = 30_000;

/** Throws MegaflowError ELIMIT when the table is full. */
export function restoreConnections(kernel: Kernel, dumped: readonly DumpedConnection[], nowMs: number): void {
  const { exports } = kernel;
  for (const c of dumped) {
    const counter: number = Number(exports.conntrackCounter(abi.CTC_EARLY_DROP));
    const index: number = exports.conntrackAllocate(BigInt(nowMs));
    if (index < 0 || Number(exports.conntrackCounter(abi.CTC_EARLY_DROP)) !== counter) {
      throw new MegaflowError("ELIMIT", "there is no room for more connections", { line: c.line });
    }
    fill(kernel, index, c, nowMs);
    exports.conntrackRestore(index, c.leftMs === null ? timeoutOf(c) : -1, BigInt(nowMs));
  }
}

function fill(kernel: Kernel, index: number, c: DumpedConnection, nowMs: number): void {
  const { bytes, view, exports } = kernel;
  const hot: number = exports.conntrackHot(index) >>> 0;
  const cold: number = exports.conntrackCold(index) >>> 0;
  const isIcmp = c.proto === PROTO_ICMP || c.proto === PROTO_ICMPV6;
  writeTuple(kernel, hot, cold + abi.COLD_SRC6, cold + abi.COLD_DST6, c);
  let flags = 0;
  const { source, destination } = translated(c.proto, c.orig, c.reply);
  if (source || destination) {
    flags |= abi.CONN_F_REPLY_NODE | (source ? abi.CONN_F_SRC_NAT : abi.CONN_F_DST_NAT);
    bytes.set(c.reply.src, cold + abi.COLD_REPLY_SRC);
    bytes.set(c.reply.dst, cold + abi.COLD_REPLY_DST);
    view.setUint16(cold + abi.COLD_REPLY_PORTS, c.reply.sport);
    view.setUint16(
      cold + abi.COLD_REPLY_PORTS + 2,
      isIcmp ? answerType(c.proto, c.orig.dport) : c.reply.dport,
      isIcmp,
    );
  }
  if (c.label.some((byte) => byte !== 0)) flags |= abi.CONN_F_LABEL;
  bytes.set(c.label, cold + abi.COLD_LABEL);
  if (c.helper !== null) flags |= c.helper === "ftp" ? abi.CONN_F_HELPER_FTP : abi.CONN_F_HELPER_TFTP;
  if (c.parent !== null) {
    const parent: number = exports.parentTake() >>> 0;
    if (parent === 0)
      throw new MegaflowError("ELIMIT", "there is no room for more related connections", { line: c.line });
    bytes.fill(0, parent, parent + abi.PARENT_SIZE);
    const { proto, ...orig } = c.parent;
    writeTuple(kernel, parent, parent + abi.PARENT_SRC6, parent + abi.PARENT_DST6, { ...c, proto, orig });
    view.setUint32(cold + abi.COLD_PARENT, parent, true);
    flags |= abi.CONN_F_RELATED;
  }
  view.setUint32(hot + abi.CONN_MARK, c.mark);
  view.setUint32(hot + abi.CONN_FLAGS, flags, true);
  if (c.tcp === null) {
    const state = isIcmp
      ? isAnswered(c)
        ? abi.ICMP_REPLY
        : abi.ICMP_FIRST
      : isAnswered(c)
        ? abi.OTHER_BIDIR
        : abi.OTHER_MULTIPLE;
    bytes[hot + abi.CONN_PEER_ORIG + abi.PEER_STATE] = state;
  } else {
    for (const [at, peer] of [
      [hot + abi.CONN_PEER_ORIG, c.tcp.orig],
      [hot + abi.CONN_PEER_REPLY, c.tcp.reply],
    ] as const) {
      const known = peer.scales ? abi.WSCALE_KNOWN | peer.wscale : peer.liberal ? abi.WSCALE_UNKNOWN : 0;
      // One that has not sent anything yet begins as on a new connection.
      const unseen = peer.state >= abi.TCPS_SYN_SENT;
      bytes[at + abi.PEER_STATE] = peer.state;
      bytes[at + abi.PEER_WSCALE] = known | (unseen ? abi.WSCALE_UNSEEN : 0);
      view.setUint16(at + abi.PEER_MAX_WIN, unseen ? 0xffff : 1, true);
      view.setUint32(at + abi.PEER_SEQHI, unseen ? 0 : 1, true);
    }
  }
  if (c.leftMs !== null) view.setBigUint64(hot + abi.CONN_EXPIRATION, BigInt(nowMs + c.leftMs), true);
}

function writeTuple(
  { bytes, view, exports }: Kernel,
  hot: number,
  src6: number,
  dst6: number,
  c: Pick<DumpedConnection, "proto" | "family" | "zone" | "orig">,
): void {
  const { orig, proto, family, zone } = c;
  const isIcmp = proto === (family === 6 ? PROTO_ICMPV6 : PROTO_ICMP);
  if (family === 6) {
    bytes.set(orig.src, src6);
    bytes.set(orig.dst, dst6);
    view.setUint32(hot + abi.CONN_SRC, exports.foldAddress(src6), true);
    view.setUint32(hot + abi.CONN_DST, exports.foldAddress(dst6), true);
  } else {
    bytes.set(orig.src, hot + abi.CONN_SRC);
    bytes.set(orig.dst, hot + abi.CONN_DST);
  }
  view.setUint16(hot + abi.CONN_PORTS, orig.sport);
  view.setUint16(hot + abi.CONN_PORTS + 2, orig.dport, isIcmp);
  bytes[hot + abi.CONN_PROTO] = proto;
  bytes[hot + abi.CONN_FAMILY] = family;
  view.setUint16(hot + abi.CONN_ZONE, zone, true);
}

function isAnswered({ answered, leftMs }: DumpedConnection): boolean {
  return answered ?? (leftMs === null || leftMs <= ANSWERED_MS);
}

/** The timeout class (TM_*) of a connection of which the dump does not say when it ends. */
function timeoutOf(c: DumpedConnection): number {
  if (c.tcp !== null) {
    const low = Math.min(c.tcp.orig.state, c.tcp.reply.state);
    const high = Math.max(c.tcp.orig.state, c.tcp.reply.state);
    if (low < abi.TCPS_SYN_SENT) return abi.TM_TCP_FIRST;
    if (low < abi.TCPS_ESTABLISHED) return abi.TM_TCP_OPENING;
    if (low >= abi.TCPS_FIN_WAIT_2) return abi.TM_TCP_CLOSED;
    if (low >= abi.TCPS_CLOSING) return abi.TM_TCP_FIN_WAIT;
    return high >= abi.TCPS_CLOSING ? abi.TM_TCP_CLOSING : abi.TM_TCP_ESTABLISHED;
  }
  if (c.proto === PROTO_ICMP || c.proto === PROTO_ICMPV6)
    return isAnswered(c) ? abi.TM_ICMP_REPLY : abi.TM_ICMP_FIRST;
  return isAnswered(c) ? abi.TM_OTHER_BIDIR : abi.TM_OTHER_MULTIPLE;
}
