// Random frames, odd ones among them, each with random OpenFlow actions that fit its kind.
import type { Prng } from "../../src/lib/prng.ts";
import { formatIpv4, formatIpv6, formatMac } from "../../src/packet/address.ts";
import {
  arpFrame,
  ethernetFrame,
  type IpOptions,
  icmpFrame,
  ipFrame,
  type LinkOptions,
  neighbourFrame,
  sctpFrame,
  tcpFrame,
  udpFrame,
} from "../../src/packet/frame.ts";
import { buildIpv6Extension, buildIpv6Fragment } from "../../src/packet/ipv6-extension.ts";
import { buildMpls } from "../../src/packet/mpls.ts";

export interface RewriteCase {
  readonly kind: string;
  readonly frame: Uint8Array;
  /** OpenFlow match that lets the actions in: `tcp`, `icmp6,icmpv6_type=135,icmpv6_code=0`. */
  readonly match: string;
  /** OpenFlow actions before the output. */
  readonly actions: readonly string[];
}

const KINDS = [
  "tcp",
  "udp",
  "sctp",
  "icmp",
  "tcp6",
  "udp6",
  "sctp6",
  "icmp6",
  "ns",
  "na",
  "arp",
  "mpls",
  "other",
];
const EXT_HOP = 0;
const EXT_ROUTING = 43;
const EXT_FRAGMENT = 44;
const EXT_DESTINATION = 60;

/** OVS 3.1 writes past the end of a frame that is cut in these headers, and then crashes. */
const LEAST: ReadonlyMap<string, number> = new Map([
  ["arp", 14 + 2 * 4 + 28],
  ["mpls", 14 + 2 * 4 + 4],
]);

/** `dlDst` names the case: its flow matches it. */
export function randomCase(rng: Prng, dlDst: string): RewriteCase {
  const kind = rng.pick(KINDS);
  let frame = build(rng, kind, dlDst);
  if (rng.below(4) === 0) frame = spoil(rng, frame, LEAST.get(kind) ?? 14);
  if (rng.below(3) === 0 && frame.length < 60) frame = pad(frame, rng.pick([60, 61, 80]), rng);
  const actions = randomActions(rng, kind, frame);
  const tagged = actions.includes("pop_vlan") ? ",vlan_tci=0x1000/0x1000" : "";
  return { kind, frame, match: matchOf(kind) + tagged, actions };
}

function matchOf(kind: string): string {
  if (kind === "ns") return "icmp6,icmpv6_type=135,icmpv6_code=0";
  if (kind === "na") return "icmp6,icmpv6_type=136,icmpv6_code=0";
  return kind === "other" ? "" : kind;
}

function build(rng: Prng, kind: string, ethDst: string): Uint8Array {
  const vlans =
    rng.below(4) === 0 ? [{ vid: rng.below(4096), pcp: rng.below(8), dei: rng.below(2) === 1 }] : [];
  if (vlans.length === 1 && rng.below(3) === 0) vlans.push({ vid: rng.below(4096), pcp: 0, dei: false });
  const link: LinkOptions = { ethDst, ethSrc: mac(rng), vlans };
  const payload = rng.bytes(rng.pick([0, 1, 2, 7, 8, 9, 31, 100]));
  const options: IpOptions = {
    ...link,
    src: ipv4(rng),
    dst: ipv4(rng),
    tos: rng.below(256),
    ttl: rng.pick([0, 1, 2, 64, 255]),
    ipv4: {
      options: rng.bytes(rng.pick([0, 0, 4, 40])),
      ...(rng.below(6) === 0 ? { moreFragments: rng.below(2) === 1, fragmentOffset: 8 * rng.below(3) } : {}),
    },
    payload,
  };
  const six: IpOptions = { ...options, src: ipv6(rng), dst: ipv6(rng), ipv6: { label: rng.below(0x100000) } };
  const ports = { srcPort: rng.below(0x10000), dstPort: rng.below(0x10000) };
  const noSum = rng.below(4) === 0 ? { checksum: 0 } : {};
  switch (kind) {
    case "tcp":
      return tcpFrame({ ...options, ...ports, options: rng.bytes(rng.pick([0, 4, 12])) });
    case "udp":
      return udpFrame({ ...options, ...ports, ...noSum });
    case "sctp":
      return sctpFrame({ ...options, ...ports });
    case "icmp":
      return icmpFrame({ ...options, type: rng.pick([0, 3, 8]), code: rng.below(4) });
    case "tcp6":
      return extend(rng, tcpFrame({ ...six, ...ports, vlans: [] }), link);
    case "udp6":
      return extend(rng, udpFrame({ ...six, ...ports, ...noSum, vlans: [] }), link);
    case "sctp6":
      return extend(rng, sctpFrame({ ...six, ...ports, vlans: [] }), link);
    case "icmp6":
      return extend(
        rng,
        icmpFrame({ ...six, vlans: [], type: rng.pick([1, 128, 129]), code: rng.below(4) }),
        link,
      );
    case "ns":
    case "na": {
      const types = kind === "ns" ? [1, 1, 1, 14, 2] : [2, 2, 2, 14, 1];
      const list = Array.from({ length: rng.below(3) }, () => ({ type: rng.pick(types), mac: mac(rng) }));
      const type = kind === "ns" ? 135 : 136;
      return neighbourFrame({
        ...link,
        src: ipv6(rng),
        dst: ipv6(rng),
        type,
        target: ipv6(rng),
        reserved: rng.u32(),
        options: list,
      });
    }
    case "arp":
      return arpFrame({ ...link, op: rng.pick([1, 2, 255]), spa: ipv4(rng), tpa: ipv4(rng), sha: mac(rng) });
    case "mpls": {
      const labels = rng.below(4) + 1;
      const inner = tcpFrame({ ...options, ...ports, vlans: [] }).subarray(14);
      const stack = Array.from({ length: labels }, (_, i) =>
        buildMpls({
          label: rng.below(0x100000),
          tc: rng.below(8),
          ttl: rng.pick([1, 2, 64]),
          bottom: i === labels - 1,
        }),
      );
      return ethernetFrame(link, 0x8847, Uint8Array.from([...stack.flatMap((s) => [...s]), ...inner]));
    }
    default:
      return rng.below(2) === 0
        ? ethernetFrame(link, rng.pick([0x88cc, 0x9000, 0x1234]), payload)
        : ipFrame(rng.below(2) === 0 ? options : { ...six, vlans: [] }, 89, payload);
  }
}

/** Puts extension headers between an untagged IPv6 frame's header and what follows, at random. */
function extend(rng: Prng, frame: Uint8Array, link: LinkOptions): Uint8Array {
  let next = frame[20]!;
  let payload: Uint8Array = frame.slice(54);
  for (let n = rng.pick([0, 0, 1, 2]); n > 0; n--) {
    const kind = rng.pick([EXT_HOP, EXT_ROUTING, EXT_ROUTING, EXT_FRAGMENT, EXT_DESTINATION, 51]);
    if (kind === EXT_FRAGMENT) {
      const offset = rng.pick([0, 0, 8]);
      payload = buildIpv6Fragment(
        { nextHeader: next, offset, more: rng.below(2) === 1, id: rng.u32() },
        payload,
      );
    } else {
      payload = buildIpv6Extension(kind, next, 8 * (1 + rng.below(3)), payload);
      if (kind === EXT_ROUTING) payload[3] = rng.below(2); // segments left
    }
    next = kind;
  }
  const header = frame.slice(14, 54);
  header[6] = next;
  header[4] = payload.length >> 8;
  header[5] = payload.length;
  return ethernetFrame(link, 0x86dd, Uint8Array.from([...header, ...payload]));
}

/** A frame cut short, or a byte changed: wrong checksums, lying lengths. */
function spoil(rng: Prng, frame: Uint8Array, least: number): Uint8Array {
  if (rng.below(2) === 0 && frame.length > least)
    return frame.slice(0, least + rng.below(frame.length - least + 1));
  const out = frame.slice();
  out[14 + rng.below(out.length - 14)] = rng.u32();
  return out;
}

function pad(frame: Uint8Array, size: number, rng: Prng): Uint8Array {
  const out = rng.bytes(size);
  out.set(frame);
  return out;
}

function mac(rng: Prng): string {
  const bytes = rng.bytes(6);
  bytes[0] = bytes[0]! & 0xfe;
  return formatMac(bytes);
}

const ipv4 = (rng: Prng) => (rng.below(5) === 0 ? "255.255.255.255" : formatIpv4(rng.bytes(4)));
const ipv6 = (rng: Prng) => formatIpv6(rng.bytes(16));

/** `set_field:VALUE[/MASK]->NAME` with random bits; masked half the time. */
function setBytes(rng: Prng, name: string, size: number, format: (b: Uint8Array) => string): string {
  const value = rng.bytes(size);
  if (rng.below(2) === 0) return `set_field:${format(value)}->${name}`;
  const mask = rng.bytes(size);
  mask[size - 1] = mask[size - 1]! | 1;
  if (size === 16) mask[0] = 0xff; // OVS takes a mask that begins with a decimal digit for a prefix length
  for (let i = 0; i < size; i++) value[i] = value[i]! & mask[i]!;
  return `set_field:${format(value)}/${format(mask)}->${name}`;
}

const hex = (b: Uint8Array) => "0x" + Buffer.from(b).toString("hex");
const set = (name: string, value: number | string) => `set_field:${value}->${name}`;

function randomActions(rng: Prng, kind: string, frame: Uint8Array): string[] {
  const choices: string[] = [];
  const maybe = (text: string) => {
    if (rng.below(3) === 0) choices.push(text);
  };
  maybe(setBytes(rng, "eth_src", 6, formatMac));
  maybe(setBytes(rng, "eth_dst", 6, formatMac));
  maybe(set("pkt_mark", rng.u32()));
  const four = ["tcp", "udp", "sctp", "icmp"].includes(kind);
  const six = ["tcp6", "udp6", "sctp6", "icmp6", "ns", "na"].includes(kind);
  if (four) {
    maybe(setBytes(rng, "nw_src", 4, formatIpv4));
    maybe(setBytes(rng, "nw_dst", 4, formatIpv4));
  }
  if (six) {
    maybe(setBytes(rng, "ipv6_src", 16, formatIpv6));
    maybe(setBytes(rng, "ipv6_dst", 16, formatIpv6));
    maybe(set("ipv6_label", rng.below(0x100000)));
  }
  if (four || six) {
    maybe(`mod_nw_tos:${rng.below(64) * 4}`);
    maybe(`mod_nw_ecn:${rng.below(4)}`);
    maybe(rng.pick(["dec_ttl", "mod_nw_ttl:17"]));
  }
  const l4 = kind.replace("6", "");
  if (["tcp", "udp", "sctp"].includes(l4)) {
    maybe(setBytes(rng, `${l4}_src`, 2, hex));
    maybe(setBytes(rng, `${l4}_dst`, 2, hex));
  } else if (l4 === "icmp") {
    const name = kind === "icmp" ? "icmp" : "icmpv6";
    // Not the types of neighbour discovery: the flow would have other fields then.
    maybe(set(`${name}_type`, rng.below(100)));
    maybe(set(`${name}_code`, rng.below(256)));
  } else if (kind === "ns" || kind === "na") {
    maybe(setBytes(rng, "nd_target", 16, formatIpv6));
    maybe(setBytes(rng, kind === "ns" ? "nd_sll" : "nd_tll", 6, formatMac));
    if (rng.below(3) === 0) {
      maybe(set("nd_reserved", rng.u32()));
      maybe(set("nd_options_type", 1 + rng.below(2)));
    }
  } else if (kind === "arp") {
    maybe(set("arp_op", rng.pick([1, 2, 255])));
    maybe(setBytes(rng, "arp_spa", 4, formatIpv4));
    maybe(setBytes(rng, "arp_tpa", 4, formatIpv4));
    maybe(setBytes(rng, "arp_sha", 6, formatMac));
    maybe(setBytes(rng, "arp_tha", 6, formatMac));
  } else if (kind === "mpls") {
    maybe(set("mpls_label", rng.below(0x100000)));
    maybe(set("mpls_tc", rng.below(8)));
    maybe(rng.pick(["dec_mpls_ttl", "set_mpls_ttl:9"]));
    // Last: what follows it is translated after recirculation, which the trace does not follow here.
    if (rng.below(3) === 0) return [...choices, "pop_mpls:0x0800"];
  }
  if (frame[12] === 0x81) maybe("pop_vlan");
  const tag = rng.below(16);
  if (tag < 4) {
    choices.push(`push_vlan:${rng.pick(["0x8100", "0x88a8"])}`);
    maybe(`set_field:${4096 + rng.below(4096)}->vlan_vid`);
    maybe(set("vlan_pcp", rng.below(8)));
  } else if (tag < 7) {
    choices.push(`push_mpls:${rng.pick(["0x8847", "0x8848"])}`);
    maybe(set("mpls_label", rng.below(0x100000)));
  }
  return choices;
}
