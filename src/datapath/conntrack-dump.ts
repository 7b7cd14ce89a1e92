// Reads the kernel's connections, and prints them as `ovs-appctl dpctl/dump-conntrack` does.
import { formatIpv4, formatIpv6 } from "../packet/address.ts";
import {
  COLD_DST6,
  COLD_LABEL,
  COLD_REPLY_DST,
  COLD_REPLY_PORTS,
  COLD_REPLY_SRC,
  COLD_SRC6,
  CONN_DST,
  CONN_EXPIRATION,
  CONN_F_REPLY_NODE,
  CONN_FAMILY,
  CONN_FLAGS,
  CONN_MARK,
  CONN_PEER_ORIG,
  CONN_PEER_REPLY,
  CONN_PORTS,
  CONN_PROTO,
  CONN_SRC,
  CONN_ZONE,
  PEER_STATE,
  TCPS_ESTABLISHED,
  TCPS_FIN_WAIT_2,
  TCPS_SYN_RECV,
  TCPS_TIME_WAIT,
} from "./abi.ts";
import type { Kernel } from "./kernel.ts";

/** One direction of a connection. */
export interface Tuple {
  /** 4 or 16 bytes. */
  readonly src: Uint8Array;
  readonly dst: Uint8Array;
  /** Ports of TCP and UDP; of ICMP `sport` is the id and `dport` the type; zero for other protocols. */
  readonly sport: number;
  readonly dport: number;
}

export interface Connection {
  readonly proto: number;
  readonly family: 4 | 6;
  readonly orig: Tuple;
  readonly reply: Tuple;
  readonly zone: number;
  readonly mark: number;
  /** 16 bytes, network order. */
  readonly label: Uint8Array;
  /** TCPS_* of the side that opened it and of the other; null for other protocols. */
  readonly tcp: { readonly orig: number; readonly reply: number } | null;
  /** Milliseconds until it expires. */
  readonly leftMs: number;
}

const PROTO_ICMP = 1;
const PROTO_TCP = 6;
const PROTO_ICMPV6 = 58;

const PROTO_NAMES: Readonly<Record<number, string>> = {
  1: "icmp",
  6: "tcp",
  17: "udp",
  58: "icmpv6",
  2: "igmp",
  33: "dccp",
  132: "sctp",
  136: "udplite",
};

const TCP_STATES = [
  "CLOSED",
  "LISTEN",
  "SYN_SENT",
  "SYN_RECV",
  "ESTABLISHED",
  "CLOSE_WAIT",
  "FIN_WAIT_1",
  "CLOSING",
  "LAST_ACK",
  "FIN_WAIT_2",
  "TIME_WAIT",
];

/** The type of the message that answers an ICMP query of this type, or that it answers. */
function answerType(proto: number, type: number): number {
  if (proto === PROTO_ICMPV6) return type === 128 ? 129 : 128;
  if (type === 8) return 0;
  if (type === 0) return 8;
  return type % 2 === 1 ? type + 1 : type - 1; // 13 and 14, 15 and 16
}

/** The connections alive at `nowMs`, in the order of their places in the table: one at a time, there may be a million. */
export function* connections(kernel: Kernel, nowMs: number): Generator<Connection> {
  for (const index of indices(kernel, nowMs)) yield readConnection(kernel, index, nowMs);
}

/** How many connections are alive at `nowMs`. */
export function countConnections(kernel: Kernel, nowMs: number): number {
  let count = 0;
  for (const _ of indices(kernel, nowMs)) count++;
  return count;
}

function* indices(kernel: Kernel, nowMs: number): Generator<number> {
  const now = BigInt(Math.floor(nowMs));
  for (let i = 0; ; i++) {
    i = kernel.exports.conntrackNext(i, now);
    if (i < 0) return;
    yield i;
  }
}

function readConnection(kernel: Kernel, index: number, nowMs: number): Connection {
  const { bytes, view } = kernel;
  const hot: number = kernel.exports.conntrackHot(index) >>> 0;
  const cold: number = kernel.exports.conntrackCold(index) >>> 0;
  const proto = bytes[hot + CONN_PROTO]!;
  const family = bytes[hot + CONN_FAMILY] === 6 ? 6 : 4;
  const slice = (at: number, length: number): Uint8Array => bytes.slice(at, at + length);
  const isIcmp = (proto === PROTO_ICMP && family === 4) || (proto === PROTO_ICMPV6 && family === 6);
  const orig: Tuple = {
    src: family === 6 ? slice(cold + COLD_SRC6, 16) : slice(hot + CONN_SRC, 4),
    dst: family === 6 ? slice(cold + COLD_DST6, 16) : slice(hot + CONN_DST, 4),
    sport: view.getUint16(hot + CONN_PORTS),
    dport: view.getUint16(hot + CONN_PORTS + 2, isIcmp),
  };
  let reply: Tuple = isIcmp
    ? { src: orig.dst, dst: orig.src, sport: orig.sport, dport: answerType(proto, orig.dport) }
    : { src: orig.dst, dst: orig.src, sport: orig.dport, dport: orig.sport };
  if ((view.getUint32(hot + CONN_FLAGS, true) & CONN_F_REPLY_NODE) !== 0) {
    const size = family === 6 ? 16 : 4;
    reply = {
      src: slice(cold + COLD_REPLY_SRC, size),
      dst: slice(cold + COLD_REPLY_DST, size),
      sport: view.getUint16(cold + COLD_REPLY_PORTS),
      dport: view.getUint16(cold + COLD_REPLY_PORTS + 2, isIcmp),
    };
  }
  const peerState = (peer: number): number => bytes[hot + peer + PEER_STATE]!;
  return {
    proto,
    family,
    orig,
    reply,
    zone: view.getUint16(hot + CONN_ZONE, true),
    mark: view.getUint32(hot + CONN_MARK),
    label: slice(cold + COLD_LABEL, 16),
    tcp: proto === PROTO_TCP ? { orig: peerState(CONN_PEER_ORIG), reply: peerState(CONN_PEER_REPLY) } : null,
    leftMs: Number(view.getBigUint64(hot + CONN_EXPIRATION, true)) - nowMs,
  };
}

/** One connection as `ovs-appctl dpctl/dump-conntrack` prints it. */
export function formatConnection(c: Connection): string {
  let text = `${PROTO_NAMES[c.proto] ?? c.proto},orig=(${formatTuple(c, c.orig)}),reply=(${formatTuple(c, c.reply)})`;
  if (c.zone !== 0) text += `,zone=${c.zone}`;
  if (c.mark !== 0) text += `,mark=${c.mark}`;
  const label = Buffer.from(c.label).toString("hex").replace(/^0+/, "");
  if (label !== "") text += `,labels=0x${label}`;
  if (c.tcp !== null) text += `,protoinfo=(state=${tcpStateName(c.tcp)})`;
  return text;
}

/** One name for both sides' states: the further one, with those that Linux does not tell apart taken as one. */
function tcpStateName(tcp: { readonly orig: number; readonly reply: number }): string {
  const state = Math.max(tcp.orig, tcp.reply);
  if (state === TCPS_FIN_WAIT_2) return TCP_STATES[TCPS_TIME_WAIT]!;
  if (state === TCPS_SYN_RECV) return TCP_STATES[TCPS_ESTABLISHED]!;
  return TCP_STATES[state]!;
}

function formatTuple(c: Connection, tuple: Tuple): string {
  const addresses = `src=${formatAddress(tuple.src)},dst=${formatAddress(tuple.dst)}`;
  if (c.proto === PROTO_ICMP || c.proto === PROTO_ICMPV6) {
    return `${addresses},id=${tuple.sport},type=${tuple.dport},code=0`;
  }
  return `${addresses},sport=${tuple.sport},dport=${tuple.dport}`;
}

function formatAddress(bytes: Uint8Array): string {
  return bytes.length === 4 ? formatIpv4(bytes) : formatIpv6(bytes);
}
