// Reads the kernel's connections, and prints them as `ovs-appctl dpctl/dump-conntrack` does, with or without -m and -s.
import { formatIpv4, formatIpv6 } from "../packet/address.ts";
import {
  COLD_DST6,
  COLD_LABEL,
  COLD_PARENT,
  COLD_REPLY_DST,
  COLD_REPLY_PORTS,
  COLD_REPLY_SRC,
  COLD_SRC6,
  CONN_COLD_SIZE,
  CONN_DST,
  CONN_EXPIRATION,
  CONN_F_HELPER_FTP,
  CONN_F_HELPER_TFTP,
  CONN_F_RELATED,
  CONN_F_REPLY_NODE,
  CONN_F_USED,
  CONN_FAMILY,
  CONN_FLAGS,
  CONN_HOT_SIZE,
  CONN_MARK,
  CONN_PEER_ORIG,
  CONN_PEER_REPLY,
  CONN_PORTS,
  CONN_PROTO,
  CONN_SRC,
  CONN_ZONE,
  PARENT_DST6,
  PARENT_SRC6,
  PEER_STATE,
  PEER_WSCALE,
  TCPS_ESTABLISHED,
  TCPS_FIN_WAIT_2,
  TCPS_SYN_RECV,
  TCPS_TIME_WAIT,
  WSCALE_KNOWN,
  WSCALE_MASK,
  WSCALE_UNKNOWN,
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

/** What is known of one side of a TCP connection. */
export interface TcpPeer {
  /** TCPS_*. */
  readonly state: number;
  /** Its window scale; 0 when it does not scale, or it is not known. */
  readonly wscale: number;
  /** It has told its window scale (RFC 7323). */
  readonly scales: boolean;
  /** Picked up in mid-stream: its window scale is not known. */
  readonly liberal: boolean;
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
  /** The side that opened it, and the other; null for other protocols. */
  readonly tcp: { readonly orig: TcpPeer; readonly reply: TcpPeer } | null;
  readonly helper: "ftp" | "tftp" | null;
  /** The original tuple of the connection whose helper expected this one. */
  readonly parent: (Tuple & { readonly proto: number }) | null;
  /** Milliseconds until it expires. */
  readonly leftMs: number;
}

const PROTO_ICMP = 1;
const PROTO_TCP = 6;
const PROTO_ICMPV6 = 58;

/** Protocols that a dump names. */
export const PROTO_NAMES: Readonly<Record<number, string>> = {
  1: "icmp",
  6: "tcp",
  17: "udp",
  58: "icmpv6",
  2: "igmp",
  33: "dccp",
  132: "sctp",
  136: "udplite",
};

/** By TCPS_*. */
export const TCP_STATES: readonly string[] = [
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
export function answerType(proto: number, type: number): number {
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

/** The places of the connections alive at `nowMs`. */
export function* indices(kernel: Kernel, nowMs: number): Generator<number> {
  const { hot } = placesOf(kernel);
  const { view } = kernel;
  const now = BigInt(Math.floor(nowMs));
  const reached: number = kernel.exports.conntrackReached();
  for (let i = 0, at = hot; i < reached; i++, at += CONN_HOT_SIZE) {
    if ((view.getUint32(at + CONN_FLAGS, true) & CONN_F_USED) === 0) continue;
    if (now < view.getBigUint64(at + CONN_EXPIRATION, true)) yield i;
  }
}

/** Where the connections lie in a kernel's memory: asked once, as a kernel in another thread is far. */
const places = new WeakMap<Kernel, { readonly hot: number; readonly cold: number }>();

function placesOf(kernel: Kernel): { readonly hot: number; readonly cold: number } {
  let found = places.get(kernel);
  if (found === undefined) {
    found = { hot: kernel.exports.conntrackHot(0) >>> 0, cold: kernel.exports.conntrackCold(0) >>> 0 };
    places.set(kernel, found);
  }
  return found;
}

/** The connection at a place. */
export function readConnection(kernel: Kernel, index: number, nowMs: number): Connection {
  const { bytes, view } = kernel;
  const hot = placesOf(kernel).hot + index * CONN_HOT_SIZE;
  const cold = placesOf(kernel).cold + index * CONN_COLD_SIZE;
  const proto = bytes[hot + CONN_PROTO]!;
  const family = bytes[hot + CONN_FAMILY] === 6 ? 6 : 4;
  const flags = view.getUint32(hot + CONN_FLAGS, true);
  const isIcmp = (proto === PROTO_ICMP && family === 4) || (proto === PROTO_ICMPV6 && family === 6);
  const orig = readTuple(kernel, hot, cold + COLD_SRC6, cold + COLD_DST6);
  let reply: Tuple = isIcmp
    ? { src: orig.dst, dst: orig.src, sport: orig.sport, dport: answerType(proto, orig.dport) }
    : { src: orig.dst, dst: orig.src, sport: orig.dport, dport: orig.sport };
  if ((flags & CONN_F_REPLY_NODE) !== 0) {
    const size = family === 6 ? 16 : 4;
    reply = {
      src: bytes.slice(cold + COLD_REPLY_SRC, cold + COLD_REPLY_SRC + size),
      dst: bytes.slice(cold + COLD_REPLY_DST, cold + COLD_REPLY_DST + size),
      sport: view.getUint16(cold + COLD_REPLY_PORTS),
      dport: view.getUint16(cold + COLD_REPLY_PORTS + 2, isIcmp),
    };
  }
  let parent: Connection["parent"] = null;
  if ((flags & CONN_F_RELATED) !== 0) {
    const at = view.getUint32(cold + COLD_PARENT, true);
    parent = { ...readTuple(kernel, at, at + PARENT_SRC6, at + PARENT_DST6), proto: bytes[at + CONN_PROTO]! };
  }
  const peer = (at: number): TcpPeer => {
    const scale = bytes[hot + at + PEER_WSCALE]!;
    return {
      state: bytes[hot + at + PEER_STATE]!,
      wscale: scale & WSCALE_MASK,
      scales: (scale & WSCALE_KNOWN) !== 0,
      liberal: (scale & WSCALE_UNKNOWN) !== 0,
    };
  };
  return {
    proto,
    family,
    orig,
    reply,
    zone: view.getUint16(hot + CONN_ZONE, true),
    mark: view.getUint32(hot + CONN_MARK),
    label: bytes.slice(cold + COLD_LABEL, cold + COLD_LABEL + 16),
    tcp: proto === PROTO_TCP ? { orig: peer(CONN_PEER_ORIG), reply: peer(CONN_PEER_REPLY) } : null,
    helper: (flags & CONN_F_HELPER_FTP) !== 0 ? "ftp" : (flags & CONN_F_HELPER_TFTP) !== 0 ? "tftp" : null,
    parent,
    leftMs: Number(view.getBigUint64(hot + CONN_EXPIRATION, true)) - nowMs,
  };
}

/** The tuple in a connection's hot form at `hot`; its IPv6 addresses are at `src6` and `dst6`. */
function readTuple({ bytes, view }: Kernel, hot: number, src6: number, dst6: number): Tuple {
  const six = bytes[hot + CONN_FAMILY] === 6;
  const proto = bytes[hot + CONN_PROTO]!;
  const isIcmp = proto === (six ? PROTO_ICMPV6 : PROTO_ICMP);
  return {
    src: six ? bytes.slice(src6, src6 + 16) : bytes.slice(hot + CONN_SRC, hot + CONN_SRC + 4),
    dst: six ? bytes.slice(dst6, dst6 + 16) : bytes.slice(hot + CONN_DST, hot + CONN_DST + 4),
    sport: view.getUint16(hot + CONN_PORTS),
    dport: view.getUint16(hot + CONN_PORTS + 2, isIcmp),
  };
}

/** What a dump says more: `more` as -m, `statistics` as -s. */
export interface DumpOptions {
  readonly more?: boolean;
  readonly statistics?: boolean;
}

/** One connection as `ovs-appctl dpctl/dump-conntrack` prints it. */
export function formatConnection(
  c: Connection,
  { more = false, statistics = false }: DumpOptions = {},
): string {
  const { proto } = c;
  let text = `${PROTO_NAMES[proto] ?? proto},orig=(${formatTuple(proto, c.orig)}),reply=(${formatTuple(proto, c.reply)})`;
  if (more) text += ",id=0";
  if (c.zone !== 0) text += `,zone=${c.zone}`;
  if (more) text += ",status=0";
  if (statistics) text += `,timeout=${Math.max(0, Math.floor(c.leftMs / 1000))}`;
  if (c.mark !== 0) text += `,mark=${c.mark}`;
  const label = Buffer.from(c.label).toString("hex").replace(/^0+/, "");
  if (label !== "") text += `,labels=0x${label}`;
  if (c.tcp !== null) text += `,protoinfo=(${more ? tcpDetails(c.tcp) : `state=${tcpStateName(c.tcp)}`})`;
  if (c.helper !== null) text += `,helper=${c.helper}`;
  if (more && c.parent !== null) text += `,parent=(${formatTuple(c.parent.proto, c.parent)})`;
  return text;
}

/** One name for both sides' states: the further one, with those that Linux does not tell apart taken as one. */
function tcpStateName({ orig, reply }: NonNullable<Connection["tcp"]>): string {
  const state = Math.max(orig.state, reply.state);
  if (state === TCPS_FIN_WAIT_2) return TCP_STATES[TCPS_TIME_WAIT]!;
  if (state === TCPS_SYN_RECV) return TCP_STATES[TCPS_ESTABLISHED]!;
  return TCP_STATES[state]!;
}

function tcpDetails({ orig, reply }: NonNullable<Connection["tcp"]>): string {
  let text = `state_orig=${TCP_STATES[orig.state]},state_reply=${TCP_STATES[reply.state]}`;
  if (orig.wscale !== 0 || reply.wscale !== 0) {
    text += `,wscale_orig=${orig.wscale},wscale_reply=${reply.wscale}`;
  }
  const flags = (peer: TcpPeer) => (peer.scales ? "WINDOW_SCALE" : peer.liberal ? "BE_LIBERAL" : "0");
  return `${text},flags_orig=${flags(orig)},flags_reply=${flags(reply)}`;
}

function formatTuple(proto: number, tuple: Tuple): string {
  const addresses = `src=${formatAddress(tuple.src)},dst=${formatAddress(tuple.dst)}`;
  if (proto === PROTO_ICMP || proto === PROTO_ICMPV6) {
    return `${addresses},id=${tuple.sport},type=${tuple.dport},code=0`;
  }
  return `${addresses},sport=${tuple.sport},dport=${tuple.dport}`;
}

function formatAddress(bytes: Uint8Array): string {
  return bytes.length === 4 ? formatIpv4(bytes) : formatIpv6(bytes);
}

/** All of a connection for programs, in the words of a dump; numbers of seconds and states as there. */
export function connectionObject(c: Connection): object {
  const { proto } = c;
  const label = Buffer.from(c.label).toString("hex").replace(/^0+/, "");
  const isTranslated = (end: "src" | "dst", other: "src" | "dst"): boolean =>
    !c.orig[end].every((byte, i) => byte === c.reply[other][i]);
  const peer = ({ state, wscale, scales, liberal }: TcpPeer) => ({
    state: TCP_STATES[state]!,
    wscale: scales ? wscale : null,
    liberal,
  });
  return {
    protocol: PROTO_NAMES[proto] ?? String(proto),
    orig: tupleObject(proto, c.orig),
    reply: tupleObject(proto, c.reply),
    zone: c.zone,
    mark: c.mark,
    labels: label === "" ? "0x0" : `0x${label}`,
    timeout: Math.max(0, Math.floor(c.leftMs / 1000)),
    timeout_ms: Math.max(0, c.leftMs),
    state: c.tcp === null ? null : tcpStateName(c.tcp),
    tcp: c.tcp === null ? null : { orig: peer(c.tcp.orig), reply: peer(c.tcp.reply) },
    translated: isTranslated("src", "dst") ? "src" : isTranslated("dst", "src") ? "dst" : portsTranslated(c),
    helper: c.helper,
    parent: c.parent === null ? null : tupleObject(c.parent.proto, c.parent),
  };
}

function portsTranslated({ proto, orig, reply }: Connection): "src" | "dst" | null {
  if (proto === PROTO_ICMP || proto === PROTO_ICMPV6) return null;
  if (orig.sport !== reply.dport) return "src";
  return orig.dport === reply.sport ? null : "dst";
}

function tupleObject(proto: number, { src, dst, sport, dport }: Tuple): object {
  const addresses = { src: formatAddress(src), dst: formatAddress(dst) };
  if (proto === PROTO_ICMP || proto === PROTO_ICMPV6)
    return { ...addresses, id: sport, type: dport, code: 0 };
  return { ...addresses, sport, dport };
}
