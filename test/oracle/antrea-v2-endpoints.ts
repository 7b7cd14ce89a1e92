// The endpoints of a node with today's Antrea pipeline: what each sends, and how it answers what reaches it. They keep no state:
// an answer comes of the frame alone, so that a story is the same each time it is played.
import { formatIpv4, formatMac } from "../../src/packet/address.ts";
import { ARP_REPLY, ARP_REQUEST, readArp } from "../../src/packet/arp.ts";
import { arpFrame, icmpFrame, type LinkOptions, tcpFrame, udpFrame } from "../../src/packet/frame.ts";
import { readTcp, TCP_ACK, TCP_FIN, TCP_PSH, TCP_SYN } from "../../src/packet/tcp.ts";

export const TUNNEL = 32768;
export const GATEWAY = 32769;
export const GATEWAY_MAC = "0e:5a:10:60:01:01";
const VIRTUAL_MAC = "aa:bb:cc:dd:ee:ff";

export interface Endpoint {
  readonly no: number;
  readonly mac: string;
  readonly ip: string;
}

/** coredns, two busyboxes and nginx, as in the flows; the gateway; the other nodes behind the tunnel. */
export const ENDPOINTS: readonly Endpoint[] = [
  { no: 1, mac: "0e:5a:10:60:01:02", ip: "100.96.1.2" },
  { no: 2, mac: "0e:5a:10:60:01:03", ip: "100.96.1.3" },
  { no: 3, mac: "0e:5a:10:60:01:04", ip: "100.96.1.4" },
  { no: 4, mac: "0e:5a:10:60:01:05", ip: "100.96.1.5" },
  { no: GATEWAY, mac: GATEWAY_MAC, ip: "100.96.1.1" },
  { no: TUNNEL, mac: VIRTUAL_MAC, ip: "100.96.2.5" },
];

export const endpoint = (no: number): Endpoint => ENDPOINTS.find((e) => e.no === no)!;

/** Addresses of a frame that an endpoint sends to something behind a router. */
export function routed(no: number): Required<Pick<LinkOptions, "ethSrc" | "ethDst">> & { src: string } {
  const { mac, ip } = endpoint(no);
  return {
    ethSrc: no === TUNNEL ? GATEWAY_MAC : mac,
    ethDst: no === TUNNEL ? VIRTUAL_MAC : GATEWAY_MAC,
    src: ip,
  };
}

/** Ports below this are servers'. */
const CLIENT_PORT_MIN = 20_000;
const CLOSED_PORT = 9999;
const IP = 14;
const L4 = 34;

/** What an endpoint sends when it is given a frame; nothing when the frame is not for it. */
export function answers(no: number, frame: Uint8Array): Uint8Array[] {
  const me = endpoint(no);
  const ethDst = formatMac(frame, 0);
  const type = (frame[12]! << 8) | frame[13]!;
  if (type === 0x0806) {
    const arp = readArp(frame, IP)!;
    if (arp.op !== ARP_REQUEST || arp.tpa !== me.ip) return [];
    return [
      arpFrame({ ethSrc: me.mac, ethDst: arp.sha, op: ARP_REPLY, spa: me.ip, tpa: arp.spa, tha: arp.sha }),
    ];
  }
  if (type !== 0x0800 || ethDst !== me.mac) return [];
  const back = {
    ethSrc: ethDst,
    ethDst: no === TUNNEL ? VIRTUAL_MAC : formatMac(frame, 6),
    src: formatIpv4(frame, IP + 16),
    dst: formatIpv4(frame, IP + 12),
  };
  const word = (at: number): number => (frame[L4 + at]! << 8) | frame[L4 + at + 1]!;
  switch (frame[IP + 9]) {
    case 1:
      if (frame[L4] !== 8) return [];
      return [
        icmpFrame({
          ...back,
          type: 0,
          rest: ((word(4) << 16) | word(6)) >>> 0,
          payload: frame.slice(L4 + 8),
        }),
      ];
    case 17:
      if (word(2) === CLOSED_PORT)
        return [icmpFrame({ ...back, type: 3, code: 3, payload: frame.slice(IP, L4 + 8) })];
      if (word(2) > CLIENT_PORT_MIN) return [];
      return [udpFrame({ ...back, srcPort: word(2), dstPort: word(0), payload: new Uint8Array(40) })];
    case 6:
      return tcpAnswers(frame, back);
    default:
      return [];
  }
}

/** A request of one segment, an answer of one, and both ends close. */
function tcpAnswers(
  frame: Uint8Array,
  back: { ethSrc: string; ethDst: string; src: string; dst: string },
): Uint8Array[] {
  const { srcPort, dstPort, seq, ack, flags } = readTcp(frame, L4)!;
  const total = (frame[IP + 2]! << 8) | frame[IP + 3]!;
  const size = total - 20 - (frame[L4 + 12]! >>> 4) * 4;
  const server = dstPort < CLIENT_PORT_MIN;
  const taken = size + (flags & TCP_SYN ? 1 : 0) + (flags & TCP_FIN ? 1 : 0);
  const segment = (more: number, payload = 0, mySeq = ack) =>
    tcpFrame({
      ...back,
      srcPort: dstPort,
      dstPort: srcPort,
      seq: mySeq,
      ack: (seq + taken) >>> 0,
      flags: TCP_ACK | more,
      window: 1000,
      payload: new Uint8Array(payload),
    });
  if (flags & TCP_SYN) {
    if (!(flags & TCP_ACK)) return server ? [segment(TCP_SYN, 0, 0x500000)] : [];
    return [segment(0), segment(TCP_PSH, 20)];
  }
  if (size > 0) return server ? [segment(TCP_PSH, 60)] : [segment(TCP_FIN)];
  if (flags & TCP_FIN) return server ? [segment(TCP_FIN)] : [segment(0)];
  return [];
}
