// Frames of every kind that the parser knows, and ways to break them.

import type { Prng } from "../../src/lib/prng.ts";
import { concatBytes, hexToBytes, put16 } from "../../src/packet/bytes.ts";
import {
  ETH_TYPE_MPLS,
  ETH_TYPE_MPLS_MULTICAST,
  ETH_TYPE_NSH,
  ETH_TYPE_RARP,
} from "../../src/packet/ethernet.ts";
import {
  arpFrame,
  ethernetFrame,
  icmpFrame,
  igmpFrame,
  ipFrame,
  neighbourFrame,
  sctpFrame,
  tcpFrame,
  udpFrame,
} from "../../src/packet/frame.ts";
import { PROTO_TCP, PROTO_UDP } from "../../src/packet/ipv4.ts";
import {
  buildIpv6Extension,
  buildIpv6Fragment,
  EXT_AUTHENTICATION,
  EXT_DESTINATION_OPTIONS,
  EXT_FRAGMENT,
  EXT_HOP_OPTIONS,
  EXT_ROUTING,
} from "../../src/packet/ipv6-extension.ts";
import { buildLlcSnap } from "../../src/packet/llc-snap.ts";
import { buildMpls } from "../../src/packet/mpls.ts";
import { NEIGHBOUR_ADVERTISEMENT, NEIGHBOUR_SOLICITATION } from "../../src/packet/neighbour.ts";
import { buildNsh } from "../../src/packet/nsh.ts";
import { buildTcp, TCP_ACK, TCP_SYN } from "../../src/packet/tcp.ts";
import { buildUdp } from "../../src/packet/udp.ts";
import { pushVlan } from "../../src/packet/vlan.ts";

const SIX = { src: "2001:db8::1", dst: "2001:db8::2" };
const NONE = new Uint8Array(0);
const tcp6 = buildTcp({ srcPort: 40000, dstPort: 80, flags: TCP_SYN }, NONE, SIX.src, SIX.dst);
const udp6 = buildUdp({ srcPort: 5353, dstPort: 53 }, hexToBytes("0102030405"), SIX.src, SIX.dst);
const MAC = "0e:5a:10:60:01:05";

function extended(
  kinds: readonly [kind: number, size: number][],
  proto: number,
  payload: Uint8Array,
): Uint8Array {
  let next = proto;
  let packet = payload;
  for (const [kind, size] of [...kinds].reverse()) {
    packet =
      kind === EXT_FRAGMENT
        ? buildIpv6Fragment({ nextHeader: next, offset: size, more: true, id: 7 }, packet)
        : buildIpv6Extension(kind, next, size, packet);
    next = kind;
  }
  return ipFrame({ ...SIX, tos: 0xb9, ipv6: { label: 0x12345 } }, next, packet);
}

/** One of each kind: name and frame. */
export const FRAMES: ReadonlyMap<string, Uint8Array> = new Map([
  ["tcp", tcpFrame({ srcPort: 40000, dstPort: 80, flags: TCP_SYN, minSize: 60 })],
  ["tcp, twelve flags", tcpFrame({ srcPort: 1, dstPort: 2, flags: 0xfff, tos: 0xff, ttl: 1 })],
  [
    "tcp, options",
    tcpFrame({ flags: TCP_ACK, options: hexToBytes("020405b4 01010402"), payload: hexToBytes("61626364") }),
  ],
  ["tcp, ip options", tcpFrame({ dstPort: 443, ipv4: { options: hexToBytes("94040000 01010101") } })],
  ["udp", udpFrame({ srcPort: 68, dstPort: 67, payload: new Uint8Array(40) })],
  [
    "sctp",
    sctpFrame({ srcPort: 2905, dstPort: 2906, tag: 1, payload: hexToBytes("0100000c 00000001 00000000") }),
  ],
  ["icmp echo", icmpFrame({ rest: 0x00010002, payload: new Uint8Array(32) })],
  ["icmp unreachable", icmpFrame({ type: 3, code: 1, payload: udpFrame({ srcPort: 9 }).subarray(14) })],
  ["igmp", igmpFrame({ type: 0x16, group: "224.1.2.3", minSize: 60 })],
  ["icmpv6 over ipv4", ipFrame({}, 58, neighbourFrame({ target: "fe80::9" }).subarray(54))],
  ["gre", ipFrame({}, 47, hexToBytes("0000080045000014"))],
  [
    "first fragment",
    udpFrame({ srcPort: 7, dstPort: 8, ipv4: { moreFragments: true }, payload: new Uint8Array(16) }),
  ],
  [
    "later fragment",
    udpFrame({ srcPort: 7, dstPort: 8, ipv4: { fragmentOffset: 1480 }, payload: new Uint8Array(16) }),
  ],
  ["vlan", pushVlan(tcpFrame({ srcPort: 40000, dstPort: 80 }), { vid: 100, pcp: 3 })],
  [
    "qinq",
    udpFrame({
      srcPort: 1,
      dstPort: 2,
      vlans: [
        { tpid: 0x88a8, vid: 7, dei: true },
        { vid: 8, pcp: 7 },
      ],
    }),
  ],
  ["three tags", udpFrame({ srcPort: 1, vlans: [{ tpid: 0x88a8, vid: 7 }, { vid: 8 }, { vid: 9 }] })],
  ["arp", arpFrame({ spa: "10.0.0.1", tpa: "10.0.0.2", vlans: [{ vid: 4 }] })],
  ["arp reply", arpFrame({ op: 2, sha: MAC, spa: "10.0.0.1", tha: MAC, tpa: "10.0.0.2", minSize: 60 })],
  ["arp, opcode 256", arpFrame({ op: 256, spa: "10.0.0.1" })],
  ["rarp", ethernetFrame({}, ETH_TYPE_RARP, arpFrame({ op: 3, spa: "10.0.0.1" }).subarray(14))],
  [
    "mpls",
    ethernetFrame(
      {},
      ETH_TYPE_MPLS,
      concatBytes(buildMpls({ label: 100, tc: 5 }), tcpFrame({}).subarray(14)),
    ),
  ],
  [
    "mpls, four labels",
    ethernetFrame(
      {},
      ETH_TYPE_MPLS_MULTICAST,
      concatBytes(...[1, 2, 3, 4].map((label) => buildMpls({ label, bottom: label === 4 }))),
    ),
  ],
  [
    "nsh 1",
    ethernetFrame(
      {},
      ETH_TYPE_NSH,
      concatBytes(
        buildNsh({ flags: 2, spi: 0x123456, context: hexToBytes("000102030405060708090a0b0c0d0e0f") }),
        tcpFrame({}),
      ),
    ),
  ],
  [
    "nsh 2",
    ethernetFrame(
      {},
      ETH_TYPE_NSH,
      concatBytes(buildNsh({ mdType: 2, context: hexToBytes("0001020304050607") }), tcpFrame({})),
    ),
  ],
  [
    "snap",
    buildLlcSnap({ src: MAC, dst: MAC }, { type: 0x0800 }, udpFrame({ srcPort: 3, dstPort: 4 }).subarray(14)),
  ],
  [
    "snap in a tag",
    pushVlan(buildLlcSnap({ src: MAC, dst: MAC }, { type: 0x86dd }, tcpFrame(SIX).subarray(14)), { vid: 5 }),
  ],
  [
    "llc",
    buildLlcSnap({ src: MAC, dst: "01:80:c2:00:00:00" }, { dsap: 0x42, ssap: 0x42 }, new Uint8Array(30)),
  ],
  [
    "tcp6",
    tcpFrame({ ...SIX, srcPort: 40000, dstPort: 80, flags: TCP_SYN, tos: 0xb9, ipv6: { label: 0xfedcb } }),
  ],
  ["udp6", udpFrame({ ...SIX, srcPort: 546, dstPort: 547, payload: new Uint8Array(9) })],
  ["sctp6", sctpFrame({ ...SIX, srcPort: 5, dstPort: 6, payload: new Uint8Array(16) })],
  ["icmp6 echo", icmpFrame({ ...SIX, rest: 5, payload: new Uint8Array(8) })],
  ["icmp over ipv6", ipFrame(SIX, 1, icmpFrame({}).subarray(34))],
  ["igmp over ipv6", ipFrame(SIX, 2, igmpFrame({ type: 0x11, group: "224.0.0.1" }).subarray(34))],
  ["solicitation", neighbourFrame({ target: "fe80::2", options: [{ type: 1, mac: MAC }] })],
  [
    "advertisement",
    neighbourFrame({
      type: NEIGHBOUR_ADVERTISEMENT,
      reserved: 0x60000000,
      target: "fe80::2",
      options: [{ type: 2, mac: MAC }],
    }),
  ],
  [
    "solicitation, both options",
    neighbourFrame({
      type: NEIGHBOUR_SOLICITATION,
      target: "fe80::2",
      options: [
        { type: 2, mac: MAC },
        { type: 1, mac: MAC },
      ],
    }),
  ],
  [
    "solicitation, an option twice",
    neighbourFrame({
      target: "fe80::2",
      options: [
        { type: 1, mac: MAC },
        { type: 1, mac: MAC },
      ],
    }),
  ],
  [
    "solicitation, a zero option twice",
    neighbourFrame({
      target: "fe80::2",
      options: [
        { type: 1, mac: "00:00:00:00:00:00" },
        { type: 1, mac: MAC },
      ],
    }),
  ],
  [
    "advertisement, no option",
    neighbourFrame({ type: NEIGHBOUR_ADVERTISEMENT, reserved: 0x20000000, target: "fe80::2" }),
  ],
  [
    "extensions",
    extended(
      [
        [EXT_HOP_OPTIONS, 8],
        [EXT_ROUTING, 24],
        [EXT_DESTINATION_OPTIONS, 16],
      ],
      PROTO_TCP,
      tcp6,
    ),
  ],
  ["authentication", extended([[EXT_AUTHENTICATION, 24]], PROTO_UDP, udp6)],
  [
    "first fragment6",
    extended(
      [
        [EXT_HOP_OPTIONS, 8],
        [EXT_FRAGMENT, 0],
      ],
      PROTO_UDP,
      udp6,
    ),
  ],
  ["later fragment6", extended([[EXT_FRAGMENT, 1448]], PROTO_UDP, udp6)],
  [
    "fragment, then options",
    extended(
      [
        [EXT_FRAGMENT, 0],
        [EXT_DESTINATION_OPTIONS, 8],
      ],
      PROTO_TCP,
      tcp6,
    ),
  ],
  ["no next header", extended([[EXT_DESTINATION_OPTIONS, 8]], 59, NONE)],
  ["unknown EtherType", ethernetFrame({}, 0x9000, new Uint8Array(46))],
]);

const SEEDS = [...FRAMES.values()];
/** Byte values at which a header changes its meaning: protocol numbers, header lengths, edges. */
const BYTES = [
  0, 1, 2, 3, 4, 5, 6, 8, 17, 20, 40, 43, 44, 45, 46, 51, 58, 59, 60, 0x45, 0x46, 0x4f, 0x81, 0x88, 0xaa, 132,
  135, 136, 0xff,
];

/** A frame of some kind with one to four faults: bits flipped, bytes set, lengths off, cut, padded, tagged, pieces moved. */
export function mutatedFrame(random: Prng, seeds: readonly Uint8Array[] = SEEDS): Uint8Array {
  let frame: Uint8Array = random.pick(seeds).slice();
  for (let faults = 1 + random.below(4); faults > 0; faults--) frame = mutate(random, frame);
  return frame;
}

function mutate(random: Prng, frame: Uint8Array): Uint8Array {
  // Most headers end before byte 100, and most faults should hit one.
  const at = random.below(Math.max(1, random.below(4) === 0 ? frame.length : Math.min(frame.length, 100)));
  switch (random.below(9)) {
    case 0:
      if (frame.length > 0) frame[at]! ^= 1 << random.below(8);
      return frame;
    case 1:
      if (frame.length > 0) frame[at] = random.pick(BYTES);
      return frame;
    case 2:
      if (frame.length > 0) frame[at] = random.u32();
      return frame;
    case 3: // a 16-bit length that lies by a little, or is what is left
      if (at + 2 <= frame.length) {
        const honest = random.below(2) === 0 ? frame.length - at : (frame[at]! << 8) | frame[at + 1]!;
        put16(frame, at, (honest + random.below(17) - 8) & 0xffff);
      }
      return frame;
    case 4:
      return frame.slice(0, at);
    case 5:
      return frame.slice(0, random.below(frame.length + 1));
    case 6:
      return concatBytes(frame, random.bytes(random.below(random.below(50) === 0 ? 600 : 30)));
    case 7: {
      if (frame.length < 12) return frame;
      const tag = {
        tpid: random.below(2) === 0 ? 0x8100 : 0x88a8,
        vid: random.below(4096),
        pcp: random.below(8),
      };
      return pushVlan(frame, tag);
    }
    default: {
      // A few bytes out, or again, or random ones in.
      const size = Math.min(frame.length - at, random.pick([1, 2, 4, 8, 8, 16, 40]));
      const piece = random.below(2) === 0 ? frame.subarray(at, at + size) : random.bytes(size);
      const rest = random.below(3) === 0 ? frame.subarray(at + size) : frame.subarray(at);
      return random.below(3) === 0
        ? concatBytes(frame.subarray(0, at), frame.subarray(at + size))
        : concatBytes(frame.subarray(0, at), piece, rest);
    }
  }
}
