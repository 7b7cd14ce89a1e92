// Whole frames from a few words, each header's lengths and checksums right: for tests, traces and benchmarks.
//   tcpFrame({ src: "10.0.0.1", dst: "10.0.0.2", srcPort: 40000, dstPort: 80, flags: TCP_SYN })
// IPv4 or IPv6 by the form of the addresses.
import { type Arp, buildArp } from "./arp.ts";
import { concatBytes } from "./bytes.ts";
import { buildEthernet, ETH_TYPE_ARP, ETH_TYPE_IPV4, ETH_TYPE_IPV6 } from "./ethernet.ts";
import {
  buildIcmp,
  buildIcmpv6,
  buildIgmp,
  ICMP_ECHO_REQUEST,
  ICMPV6_ECHO_REQUEST,
  type Icmp,
} from "./icmp.ts";
import {
  buildIpv4,
  type Ipv4,
  PROTO_ICMP,
  PROTO_ICMPV6,
  PROTO_IGMP,
  PROTO_SCTP,
  PROTO_TCP,
  PROTO_UDP,
} from "./ipv4.ts";
import { buildIpv6, type Ipv6 } from "./ipv6.ts";
import { buildNeighbour, type Neighbour } from "./neighbour.ts";
import { buildSctp, type Sctp } from "./sctp.ts";
import { buildTcp, type Tcp } from "./tcp.ts";
import { buildUdp, type Udp } from "./udp.ts";
import { pushVlan, type Vlan } from "./vlan.ts";

/** Addresses and tags; what is left out is a small fixed value. */
export interface LinkOptions {
  readonly ethSrc?: string;
  readonly ethDst?: string;
  /** Outermost first. */
  readonly vlans?: readonly Partial<Vlan>[];
  /** Zero bytes are added until the frame has this many (60: the least on a wire). Default 0. */
  readonly minSize?: number;
}

export interface IpOptions extends LinkOptions {
  readonly src?: string;
  readonly dst?: string;
  /** tos or traffic class. */
  readonly tos?: number;
  /** ttl or hop limit. */
  readonly ttl?: number;
  /** More of the IPv4 header. */
  readonly ipv4?: Partial<Ipv4>;
  /** More of the IPv6 header. */
  readonly ipv6?: Partial<Ipv6>;
  readonly payload?: Uint8Array;
}

const ETH_SRC = "02:00:00:00:00:01";
const ETH_DST = "02:00:00:00:00:02";
const EMPTY = new Uint8Array(0);

/** An Ethernet frame of any type. */
export function ethernetFrame(options: LinkOptions, type: number, payload: Uint8Array): Uint8Array {
  const { ethSrc = ETH_SRC, ethDst = ETH_DST, vlans = [], minSize = 0 } = options;
  let frame = buildEthernet({ dst: ethDst, src: ethSrc, type }, payload);
  for (let i = vlans.length - 1; i >= 0; i--) frame = pushVlan(frame, vlans[i]!);
  return frame.length < minSize ? concatBytes(frame, new Uint8Array(minSize - frame.length)) : frame;
}

/** An IPv4 or IPv6 frame of any protocol. */
export function ipFrame(options: IpOptions, proto: number, payload: Uint8Array): Uint8Array {
  const { src, dst } = addresses(options);
  if (src.includes(":")) {
    const header = { trafficClass: options.tos ?? 0, hopLimit: options.ttl ?? 64, ...options.ipv6 };
    const packet = buildIpv6({ nextHeader: proto, ...header, src, dst }, payload);
    return ethernetFrame(options, ETH_TYPE_IPV6, packet);
  }
  const header = { tos: options.tos ?? 0, ttl: options.ttl ?? 64, ...options.ipv4 };
  return ethernetFrame(options, ETH_TYPE_IPV4, buildIpv4({ proto, ...header, src, dst }, payload));
}

export function tcpFrame(options: IpOptions & Partial<Tcp>): Uint8Array {
  const { src, dst } = addresses(options);
  const { payload = EMPTY } = options;
  return ipFrame(options, PROTO_TCP, buildTcp(options, payload, src, dst));
}

export function udpFrame(options: IpOptions & Partial<Udp>): Uint8Array {
  const { src, dst } = addresses(options);
  const { payload = EMPTY } = options;
  return ipFrame(options, PROTO_UDP, buildUdp(options, payload, src, dst));
}

/** `payload` holds the chunks. */
export function sctpFrame(options: IpOptions & Partial<Sctp>): Uint8Array {
  return ipFrame(options, PROTO_SCTP, buildSctp(options, options.payload ?? EMPTY));
}

/** ICMP, or ICMPv6 between IPv6 addresses; an echo request unless said otherwise. */
export function icmpFrame(options: IpOptions & Partial<Icmp>): Uint8Array {
  const { src, dst } = addresses(options);
  const { payload = EMPTY } = options;
  if (!src.includes(":")) {
    return ipFrame(options, PROTO_ICMP, buildIcmp({ type: ICMP_ECHO_REQUEST, ...options }, payload));
  }
  const message = buildIcmpv6({ type: ICMPV6_ECHO_REQUEST, ...options }, payload, src, dst);
  return ipFrame(options, PROTO_ICMPV6, message);
}

export function igmpFrame(
  options: IpOptions & { readonly type: number; readonly group: string },
): Uint8Array {
  return ipFrame({ ttl: 1, ...options }, PROTO_IGMP, buildIgmp(options.type, options.group));
}

/** Neighbour solicitation or advertisement. */
export function neighbourFrame(options: Omit<IpOptions, "payload"> & Partial<Neighbour>): Uint8Array {
  const { src = "fe80::1", dst = "ff02::1:ff00:2" } = options;
  const message = buildNeighbour(options, src, dst);
  return ipFrame({ ttl: 255, ...options, src, dst }, PROTO_ICMPV6, message);
}

/** Without `sha` the frame's source address is put there. */
export function arpFrame(options: LinkOptions & Partial<Arp>): Uint8Array {
  const { ethSrc = ETH_SRC, ethDst = "ff:ff:ff:ff:ff:ff" } = options;
  return ethernetFrame({ ...options, ethDst }, ETH_TYPE_ARP, buildArp({ sha: ethSrc, ...options }));
}

function addresses(options: IpOptions): { src: string; dst: string } {
  const six = options.src?.includes(":") || options.dst?.includes(":");
  return {
    src: options.src ?? (six ? "fd00::1" : "10.0.0.1"),
    dst: options.dst ?? (six ? "fd00::2" : "10.0.0.2"),
  };
}
