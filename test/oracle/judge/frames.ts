// Random frames between four hosts, one on each port: conversations, so that connections come about, among frames of every
// other kind, some of them broken.
import type { Prng } from "../../../src/lib/prng.ts";
import { concatBytes } from "../../../src/packet/bytes.ts";
import { ETH_TYPE_MPLS, ETH_TYPE_NSH } from "../../../src/packet/ethernet.ts";
import {
  arpFrame,
  ethernetFrame,
  type IpOptions,
  icmpFrame,
  igmpFrame,
  ipFrame,
  neighbourFrame,
  sctpFrame,
  tcpFrame,
  udpFrame,
} from "../../../src/packet/frame.ts";
import { buildMpls } from "../../../src/packet/mpls.ts";
import { NEIGHBOUR_ADVERTISEMENT } from "../../../src/packet/neighbour.ts";
import { buildNsh } from "../../../src/packet/nsh.ts";
import { TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN } from "../../../src/packet/tcp.ts";
import { OFPP_LOCAL } from "../../../src/pipeline/action.ts";
import { FRAMES, mutatedFrame } from "../../support/frames.ts";
import type { CaseFrame } from "./case.ts";
import { inPieces } from "./fragments.ts";
import {
  anyPort,
  BROADCAST,
  CLIENT_PORTS,
  IPV4,
  IPV6,
  MACS,
  MULTICAST,
  oneIn,
  SERVER_PORTS,
  VIDS,
  VIRTUAL,
} from "./hosts.ts";

const KINDS = [...FRAMES.values()];

interface Talk {
  readonly hosts: readonly [number, number];
  readonly six: boolean;
  readonly ports: readonly [number, number];
  readonly link: Pick<IpOptions, "vlans">;
  /** The end (of `hosts`) that the other sees under a virtual address, or -1. */
  readonly hidden: -1 | 0 | 1;
  readonly seq: [number, number];
  phase: number;
}

interface Sent {
  readonly port: number;
  readonly frame: Uint8Array;
}

/** An ICMP error about an untagged IPv4 frame, from where it went: it quotes the IP header and what a TCP header takes. */
function icmpError(r: Prng, frame: Uint8Array): Uint8Array | null {
  const at = 14;
  if (frame.length < at + 40 || frame[12] !== 0x08 || frame[13] !== 0 || frame[at] !== 0x45) return null;
  const address = (i: number) => frame.subarray(at + i, at + i + 4).join(".");
  const mac = (i: number) =>
    Array.from(frame.subarray(i, i + 6), (b) => b.toString(16).padStart(2, "0")).join(":");
  return icmpFrame({
    ethSrc: mac(0),
    ethDst: mac(6),
    src: oneIn(r, 4) ? r.pick(IPV4) : address(16),
    dst: address(12),
    type: r.pick([3, 3, 11]),
    code: r.below(2),
    payload: frame.slice(at, at + 40 + r.below(2) * 8),
  });
}

export interface FrameOptions {
  /** Whether a SYN may open an earlier connection anew, or another of the same hosts and ports. */
  readonly reopens: boolean;
  /** Whether there are datagrams in pieces. */
  readonly pieces: boolean;
  /** Whether time passes often: seconds, in which flows may expire. */
  readonly slow: boolean;
  /** Whether there are many frames with two tags. */
  readonly twoTags: boolean;
}

export const PLAIN_FRAMES: FrameOptions = { reopens: true, pieces: false, slow: false, twoTags: false };

export class FrameMaker {
  readonly #r: Prng;
  readonly #options: FrameOptions;
  readonly #talks: Talk[] = [];
  /** Who has talked by TCP: host, host, whether IPv6, port, port. */
  readonly #had = new Set<string>();
  /** Pieces of a datagram that are still to be sent. */
  readonly #pieces: Sent[] = [];
  #datagrams = 0;
  #last: Sent | null = null;

  constructor(r: Prng, options: FrameOptions) {
    this.#r = r;
    this.#options = options;
  }

  make(count: number): CaseFrame[] {
    const r = this.#r;
    return Array.from({ length: count }, () => {
      const { port: from, frame } = this.#next();
      const port = oneIn(r, 40) ? OFPP_LOCAL : from;
      return { port, afterMs: this.#pause(), hex: Buffer.from(frame).toString("hex") };
    });
  }

  #pause(): number {
    const r = this.#r;
    if (this.#options.slow && oneIn(r, 6)) return r.pick([1, 500, 999, 1000, 1000, 1001, 2000, 3000]);
    return oneIn(r, 25) ? r.pick([1, 20, 1000, 5000, 31_000, 61_000]) : 0;
  }

  #next(): Sent {
    const r = this.#r;
    const sent = this.#one();
    this.#last = sent;
    if (!oneIn(r, 12)) return sent;
    const frame = mutatedFrame(r, [sent.frame]);
    return frame.length < 14 || frame.length > 1500 ? sent : { port: sent.port, frame };
  }

  #one(): Sent {
    const r = this.#r;
    if (this.#pieces.length > 0 && !oneIn(r, 3)) return this.#pieces.shift()!;
    if (this.#last !== null && oneIn(r, 15)) return this.#last;
    if (this.#last !== null && oneIn(r, 20)) {
      const error = icmpError(r, this.#last.frame);
      if (error !== null) return { port: 1 + r.below(4), frame: error };
    }
    const d = r.below(20);
    if (d < 8) return this.#tcp();
    const a = r.below(4);
    const b = oneIn(r, 8) ? a : (a + 1 + r.below(3)) % 4;
    const port = oneIn(r, 15) ? 1 + r.below(4) : a + 1;
    if (this.#options.pieces && oneIn(r, 4)) {
      const pieces = inPieces(r, this.#datagram(a, b), ++this.#datagrams);
      this.#pieces.push(...pieces.map((frame) => ({ port, frame })));
    }
    return { port, frame: this.#other(d, a, b) };
  }

  #other(d: number, a: number, b: number): Uint8Array {
    const r = this.#r;
    const six = oneIn(r, 3);
    const link = this.#link(a, b);
    const ip = { ...link, ...this.#ip(a, b, six) };
    const payload = new Uint8Array(oneIn(r, 30) ? r.pick([1422, 1450, 1472, 4000]) : r.below(40)).fill(0x61);
    if (d < 11) return udpFrame({ ...ip, srcPort: anyPort(r), dstPort: anyPort(r), payload });
    if (d < 13) {
      const types = six ? [128, 128, 129, 1] : [8, 8, 0, 3];
      return icmpFrame({
        ...ip,
        type: r.pick(types),
        code: oneIn(r, 5) ? 1 : 0,
        rest: 0x10001 + r.below(2),
        payload,
      });
    }
    if (d < 15) {
      const dst = oneIn(r, 2) ? BROADCAST : MACS[b]!;
      const arp = { op: 1 + r.below(2), sha: MACS[a]!, tha: oneIn(r, 2) ? MACS[b]! : "00:00:00:00:00:00" };
      return arpFrame({
        ...link,
        ethDst: dst,
        ...arp,
        spa: IPV4[a]!,
        tpa: oneIn(r, 6) ? IPV4[a]! : IPV4[b]!,
        minSize: oneIn(r, 2) ? 60 : 0,
      });
    }
    if (d === 15) {
      const reply = oneIn(r, 2);
      const options = oneIn(r, 4) ? [] : [{ type: reply ? 2 : 1, mac: MACS[a]! }];
      return neighbourFrame({
        ...ip,
        src: IPV6[a]!,
        dst: IPV6[b]!,
        ...(reply ? { type: NEIGHBOUR_ADVERTISEMENT, reserved: 0x60000000 } : {}),
        target: IPV6[r.below(4)]!,
        options,
      });
    }
    if (d === 16) {
      if (oneIn(r, 2))
        return sctpFrame({
          ...ip,
          srcPort: anyPort(r),
          dstPort: anyPort(r),
          tag: 1,
          payload: new Uint8Array(16),
        });
      return oneIn(r, 2)
        ? igmpFrame({ ...ip, type: 0x16, group: "224.1.2.3", minSize: 60 })
        : ipFrame(ip, 47, new Uint8Array(12));
    }
    if (d === 17) {
      const inner = ipFrame(ip, 17, new Uint8Array(20)).subarray(14);
      const stack = [
        buildMpls({ label: r.pick([100, 5]), tc: r.below(4), bottom: true, ttl: r.pick([1, 2, 64]) }),
      ];
      if (oneIn(r, 3)) stack.unshift(buildMpls({ label: 100, bottom: false }));
      return ethernetFrame(link, ETH_TYPE_MPLS, concatBytes(...stack, inner));
    }
    if (d === 18 && oneIn(r, 2)) return this.#nsh(link, ip);
    if (d === 18) return ethernetFrame(link, r.pick([0x88cc, 0x9000, 0x0801]), new Uint8Array(46));
    return r.pick(KINDS).slice();
  }

  /** Longer than a piece. */
  #datagram(a: number, b: number): Uint8Array {
    const r = this.#r;
    const ip = { ...this.#link(a, b), ...this.#ip(a, b, oneIn(r, 3)), vlans: [], ipv4: {} };
    const payload = new Uint8Array(1300 + r.below(1500)).map((_, i) => i & 255);
    return oneIn(r, 3)
      ? icmpFrame({ ...ip, rest: 0x10001 + r.below(2), payload })
      : udpFrame({ ...ip, srcPort: anyPort(r), dstPort: anyPort(r), payload });
  }

  /** A frame, or a packet of its IP version, behind a service header. */
  #nsh(link: Pick<IpOptions, "ethSrc" | "ethDst" | "vlans">, ip: IpOptions): Uint8Array {
    const r = this.#r;
    const inner = udpFrame({ ...ip, vlans: [], srcPort: anyPort(r), dstPort: anyPort(r) });
    const bare = oneIn(r, 4);
    const mdType = 1 + r.below(2);
    const header = buildNsh({
      flags: r.below(3),
      ttl: r.pick([0, 1, 63]),
      mdType,
      nextProto: bare ? (ip.src!.includes(":") ? 2 : 1) : 3,
      spi: r.pick([0x123456, 1, 7]),
      context: new Uint8Array(mdType === 1 ? 16 : 8 * r.below(3)).map((_, i) =>
        i % 4 === 3 ? r.below(4) : 0,
      ),
    });
    return ethernetFrame(link, ETH_TYPE_NSH, concatBytes(header, bare ? inner.subarray(14) : inner));
  }

  #link(a: number, b: number): Pick<IpOptions, "ethSrc" | "ethDst" | "vlans"> {
    const r = this.#r;
    const ethDst = oneIn(r, 8) ? r.pick([BROADCAST, ...MULTICAST, "02:00:00:00:00:09"]) : MACS[b]!;
    return { ethSrc: MACS[a]!, ethDst, ...this.#vlans() };
  }

  #vlans(): Pick<IpOptions, "vlans"> {
    const r = this.#r;
    const { twoTags } = this.#options;
    if (!oneIn(r, twoTags ? 2 : 4)) return {};
    const tag = { vid: oneIn(r, 6) ? 0 : r.pick(VIDS), pcp: r.below(4) };
    return {
      vlans: oneIn(r, twoTags ? 2 : 6)
        ? [{ tpid: oneIn(r, 2) ? 0x88a8 : 0x8100, vid: r.pick(VIDS) }, tag]
        : [tag],
    };
  }

  #ip(a: number, b: number, six: boolean): IpOptions {
    const r = this.#r;
    const fragment = oneIn(r, 25);
    return {
      src: six ? IPV6[a]! : IPV4[a]!,
      dst: oneIn(r, 8) ? VIRTUAL[six ? 1 : 0] : six ? IPV6[b]! : IPV4[b]!,
      ttl: r.pick([64, 64, 64, 63, 2, 1, 0]),
      tos: r.pick([0, 0, 0, 32, 184, 1, 2, 3]),
      ...(six ? { ipv6: { label: oneIn(r, 4) ? r.below(3) : 0 } } : {}),
      ...(fragment && !six ? { ipv4: oneIn(r, 2) ? { moreFragments: true } : { fragmentOffset: 8 } } : {}),
    };
  }

  /** The next segment of some conversation. */
  #tcp(): Sent {
    const r = this.#r;
    if (this.#talks.length < 4 || oneIn(r, 12)) {
      const a = r.below(4);
      const hosts = [a, (a + 1 + r.below(3)) % 4] as const;
      const six = oneIn(r, 4);
      const ports = [r.pick(CLIENT_PORTS), r.pick(SERVER_PORTS)] as [number, number];
      const name = () => [...hosts, six, ...ports].join();
      while (!this.#options.reopens && this.#had.has(name())) ports[0]++;
      this.#had.add(name());
      this.#talks.push({
        hosts,
        six,
        ports,
        link: this.#vlans(),
        hidden: r.pick([-1, -1, 0, 1]),
        seq: [r.below(1 << 30), r.below(1 << 30)],
        phase: 0,
      });
      if (this.#talks.length > 6) this.#talks.shift();
    }
    const talk = r.pick(this.#talks);
    switch (talk.phase++) {
      case 0:
        return this.#segment(talk, 0, TCP_SYN, 0);
      case 1:
        return this.#segment(talk, 1, TCP_SYN | TCP_ACK, 0);
      case 2:
        return this.#segment(talk, 0, TCP_ACK, 0);
      default: {
        const end = r.below(16);
        if (end === 0) return this.#segment(talk, r.below(2), TCP_RST | TCP_ACK, 0);
        if (end === 1) return this.#segment(talk, r.below(2), TCP_FIN | TCP_ACK, 0);
        if (end === 2 && this.#options.reopens) talk.phase = 0;
        return this.#segment(talk, r.below(2), TCP_ACK | (oneIn(r, 2) ? TCP_PSH : 0), r.pick([0, 1, 20]));
      }
    }
  }

  #segment(talk: Talk, from: 0 | 1 | number, flags: number, size: number): Sent {
    const [me, other] = from === 0 ? ([0, 1] as const) : ([1, 0] as const);
    const a = talk.hosts[me]!;
    const b = talk.hosts[other]!;
    const frame = tcpFrame({
      ethSrc: MACS[a]!,
      ethDst: MACS[b]!,
      ...talk.link,
      src: talk.six ? IPV6[a]! : IPV4[a]!,
      dst: talk.hidden === other ? VIRTUAL[talk.six ? 1 : 0] : talk.six ? IPV6[b]! : IPV4[b]!,
      srcPort: talk.ports[me]!,
      dstPort: talk.ports[other]!,
      flags,
      seq: talk.seq[me]!,
      ack: (flags & TCP_ACK) !== 0 ? talk.seq[other]! : 0,
      payload: new Uint8Array(size).fill(0x62),
      minSize: oneIn(this.#r, 2) ? 60 : 0,
    });
    talk.seq[me] = (talk.seq[me]! + size + ((flags & (TCP_SYN | TCP_FIN)) !== 0 ? 1 : 0)) >>> 0;
    return { port: a + 1, frame };
  }
}
