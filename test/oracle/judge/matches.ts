// Random matches over the whole vocabulary. A kind of frame comes first, as most fields need it.
import type { Prng } from "../../../src/lib/prng.ts";
import {
  anyPort,
  BROADCAST,
  hex,
  IPV4,
  IPV6,
  LINK_LOCAL,
  MACS,
  type Make,
  MULTICAST,
  oneIn,
  VIDS,
  VIRTUAL,
} from "./hosts.ts";

export interface Kind {
  /** The words that a match of this kind begins with. */
  readonly words: string;
  readonly ip: 0 | 4 | 6;
  readonly l4: "" | "tcp" | "udp" | "sctp" | "icmp" | "icmp6" | "ns" | "na";
  readonly arp: boolean;
  readonly mpls: boolean;
  readonly nsh: boolean;
}

const kind = (words: string, ip: 0 | 4 | 6 = 0, l4: Kind["l4"] = "", arp = false, mpls = false): Kind => ({
  words,
  ip,
  l4,
  arp,
  mpls,
  nsh: words === "dl_type=0x894f",
});

export const ANY = kind("");
const IP = kind("ip", 4);
const TCP = kind("tcp", 4, "tcp");
const KINDS: readonly Kind[] = [
  ANY,
  ANY,
  IP,
  IP,
  IP,
  TCP,
  TCP,
  TCP,
  kind("udp", 4, "udp"),
  kind("udp", 4, "udp"),
  kind("icmp", 4, "icmp"),
  kind("sctp", 4, "sctp"),
  kind("ip,nw_proto=2", 4),
  kind("ip,nw_proto=47", 4),
  kind("ipv6", 6),
  kind("ipv6", 6),
  kind("tcp6", 6, "tcp"),
  kind("udp6", 6, "udp"),
  kind("icmp6", 6, "icmp6"),
  kind("sctp6", 6, "sctp"),
  kind("icmp6,icmp_type=135,icmp_code=0", 6, "ns"),
  kind("icmp6,icmp_type=136,icmp_code=0", 6, "na"),
  kind("arp", 0, "", true),
  kind("arp", 0, "", true),
  kind("rarp", 0, "", true),
  kind("mpls", 0, "", false, true),
  kind("dl_type=0x894f"),
  kind("dl_type=0x88cc"),
  kind("dl_type=0x05ff"),
  kind("packet_type=(0,0)"),
];

export interface MadeMatch {
  readonly kind: Kind;
  /** Whether the match says that there is a VLAN tag, which some actions need. */
  readonly tagged: boolean;
  /** Without a leading comma; may be empty. */
  readonly text: string;
}

const macMatch =
  (name: string): Make =>
  (r) => {
    const k = r.below(8);
    if (k === 0) return `${name}=01:00:00:00:00:00/01:00:00:00:00:00`;
    if (k === 1) return `${name}=00:00:00:00:00:00/01:00:00:00:00:00`;
    if (k === 2) return `${name}=${r.pick([BROADCAST, ...MULTICAST])}`;
    if (k === 4 && oneIn(r, 2))
      return `${name}=02:00:00:00:00:01/${r.pick(["ff:00:00:00:00:01", "ff:ff:ff:00:00:00"])}`;
    if (k === 3) return `${name}=00:00:00:00:00:0${r.below(4)}/00:00:00:00:00:0${1 + r.below(3)}`;
    return `${name}=${r.pick(MACS)}`;
  };

const ipv4Match =
  (name: string): Make =>
  (r) => {
    const k = r.below(8);
    const a = oneIn(r, 8) ? VIRTUAL[0] : r.pick(IPV4);
    if (k < 3) return `${name}=${a}`;
    if (k < 6) return `${name}=${a}/${r.pick([8, 9, 15, 16, 24, 30, 31])}`;
    return `${name}=${a}/${r.pick(["0.0.0.3", "255.0.0.1", "255.255.0.255", "0.128.1.0", "255.0.255.254"])}`;
  };

const ipv6Match =
  (name: string): Make =>
  (r) => {
    const k = r.below(8);
    const a = oneIn(r, 8) ? VIRTUAL[1] : r.pick(IPV6);
    if (k < 3) return `${name}=${a}`;
    if (k < 6) return `${name}=${a}/${r.pick([1, 16, 32, 63, 64, 126, 127])}`;
    return `${name}=${a}/${r.pick(["::3", "ffff::1", "ff00:0:0:ffff::"])}`;
  };

/** A 16-bit number or a piece of its bits. */
function bits16(r: Prng, value: number): string {
  const k = r.below(6);
  if (k < 4) return String(value);
  const mask = k === 4 ? 0xffff & (0xffff << (1 + r.below(15))) : 1 + r.below(0xffff);
  return `${hex(value & mask)}/${hex(mask)}`;
}

function bits(r: Prng, value: number, all: number, masks: readonly number[]): string {
  if (r.below(2) === 0) return hex(value & all);
  const mask = r.pick(masks) >>> 0;
  return `${hex((value & mask) >>> 0)}/${hex(mask)}`;
}

const tunnelFields: readonly Make[] = [
  (r) => `tun_metadata${r.pick([0, 1, 63])}`,
  (r) => `tun_metadata${r.pick([0, 1, 63])}=${bits(r, r.below(4), 3, [1, 2])}`,
  ipv4Match("tun_dst"),
  ipv6Match("tun_ipv6_dst"),
  (r) => `tun_gbp_id=${r.below(4)}`,
  (r) => `tun_ttl=${r.below(4)}`,
  (r) => `tun_flags=${r.pick(["oam", "+oam", "-oam"])}`,
];

const metadataFields: readonly Make[] = [
  (r) => `in_port=${1 + r.below(4)}`,
  (r) => `in_port=${1 + r.below(4)}`,
  (r) => `in_port=${1 + r.below(4)}`,
  (r) => `reg${r.below(3)}=${bits(r, r.below(4), 0xf, [1, 2, 3, 0xff, 0xffff0000])}`,
  (r) => `reg${r.below(3)}=${bits(r, r.below(4), 0xf, [1, 2, 3, 0xff, 0xffff0000])}`,
  (r) => `xreg0=${bits(r, r.below(4), 0xf, [1, 3, 0xff])}`,
  (r) => `xxreg0=${bits(r, r.below(4), 0xf, [1, 3, 0xff])}`,
  (r) => `metadata=${bits(r, r.below(4), 0xf, [1, 2, 3, 0xff])}`,
  (r) => `pkt_mark=${bits(r, r.below(4), 0xf, [1, 2, 0xff])}`,
  (r) => `in_port=${r.pick(["LOCAL", "1", "2"])}`,
  (r) => `actset_output=${r.pick([1, 2, 3])}`,
  (r) => `skb_priority=${r.below(2)}`,
  (r) => `tun_id=${hex(r.below(2))}`,
  (r) => r.pick(tunnelFields)(r),
  (r) => `reg${r.pick([3, 7, 15])}=${bits(r, r.below(4), 0xf, [1, 2, 3])}`,
  (r) => `${r.pick(["xreg1", "xreg7", "xxreg1", "xxreg3"])}=${bits(r, r.below(4), 0xf, [1, 2, 3])}`,
];

const ctFields: readonly Make[] = [
  (r) =>
    `ct_state=${r.pick(["+trk", "-trk", "+trk+new", "+trk+est", "+trk-new", "+trk+est+rpl", "+trk+est-rpl", "+trk+inv", "+trk+rel", "+snat", "+trk+dnat", "-rel", "-rpl", "-new", "-est", "+trk-inv"])}`,
  (r) => `ct_state=${r.pick(["+trk", "-trk", "+trk+new", "+trk+est", "+trk+inv"])}`,
  (r) => `ct_mark=${bits(r, r.below(4), 0xf, [1, 2, 3, 0xff])}`,
  (r) => `ct_label=${bits(r, r.below(4), 0xf, [1, 2, 3, 0xff])}`,
  (r) =>
    `ct_label=${r.pick(["0x8/0x8", "0", "0x1000000000000000000000001", "0x3000000000000000000000000/0x7000000000000000000000000"])}`,
  (r) => `ct_label=${hex(BigInt(r.below(4)) << 64n)}/${hex(3n << 64n)}`,
  (r) => `ct_zone=${r.below(3)}`,
];

const vlanFields: readonly Make[] = [
  () => "vlan_tci=0x0000/0x1fff",
  () => "vlan_tci=0x0000/0x1000",
  () => "vlan_tci=0x1000/0x1000",
  (r) => `dl_vlan=${r.pick(VIDS)}`,
  (r) => `dl_vlan=${r.pick(VIDS)},dl_vlan_pcp=${r.below(4)}`,
  (r) => `dl_vlan_pcp=${r.below(4)}`,
  (r) => `vlan_vid=${hex(0x1000 | r.pick(VIDS))}/${hex(0x1000 | (1 + r.below(30)))}`,
  (r) =>
    `vlan_tci=${hex(0x1000 | (r.below(4) << 13) | r.pick(VIDS))}/${hex(0x1000 | r.pick([0xe000, 0xffff & ~0x1000, 0xfff, 0xf]))}`,
];

const ethFields: readonly Make[] = [macMatch("dl_src"), macMatch("dl_dst"), macMatch("dl_dst")];

const ipFields: readonly Make[] = [
  (r) => `nw_tos=${r.pick([0, 32, 184])}`,
  (r) => `ip_dscp=${r.pick([0, 8, 46])}`,
  (r) => `nw_ecn=${r.below(4)}`,
  (r) => `nw_ttl=${r.pick([1, 2, 64, 63])}`,
  (r) => `ip_frag=${r.pick(["no", "yes", "first", "later", "not_later"])}`,
];

const ctTuple4: readonly Make[] = [
  ipv4Match("ct_nw_src"),
  ipv4Match("ct_nw_dst"),
  (r) => `ct_nw_proto=${r.pick([6, 17, 1])}`,
  (r) => `ct_nw_proto=${r.pick([6, 17])},ct_tp_${r.pick(["src", "dst"])}=${bits16(r, anyPort(r))}`,
];
const ctTuple6: readonly Make[] = [
  ipv6Match("ct_ipv6_src"),
  ipv6Match("ct_ipv6_dst"),
  (r) => `ct_nw_proto=${r.pick([6, 17])},ct_tp_dst=${bits16(r, anyPort(r))}`,
];

const nshFields: readonly Make[] = [
  (r) => `nsh_flags=${bits(r, r.below(4), 3, [1, 2])}`,
  (r) => `nsh_ttl=${r.pick([1, 63])}`,
  (r) => `nsh_mdtype=${1 + r.below(2)}`,
  (r) => `nsh_np=${r.pick([1, 3])}`,
  (r) => `nsh_spi=${hex(r.pick([0x123456, 1, 7]))}`,
  (r) => `nsh_si=${r.pick([254, 255])}`,
  (r) => `nsh_c${1 + r.below(4)}=${bits(r, r.below(4), 0xf, [1, 3, 0xff])}`,
];

function kindFields(k: Kind): readonly Make[] {
  const out: Make[] = [];
  if (k.ip === 4) out.push(ipv4Match("nw_src"), ipv4Match("nw_dst"), ipv4Match("nw_dst"), ...ipFields);
  if (k.ip === 6) {
    out.push(ipv6Match("ipv6_src"), ipv6Match("ipv6_dst"), ipv6Match("ipv6_dst"), ...ipFields);
    out.push((r) => `ipv6_label=${bits(r, r.below(3), 0xf, [1, 3, 0xff])}`);
  }
  if (k.l4 === "tcp" || k.l4 === "udp" || k.l4 === "sctp") {
    out.push(
      (r) => `tp_src=${bits16(r, anyPort(r))}`,
      (r) => `tp_dst=${bits16(r, anyPort(r))}`,
      (r) => `${k.l4}_dst=${bits16(r, anyPort(r))}`,
    );
  }
  if (k.l4 === "tcp")
    out.push(
      (r) =>
        `tcp_flags=${r.pick(["+syn", "+syn-ack", "+syn+ack", "-syn", "+ack", "+fin", "+rst", "2", "0x12/0x12", "+psh", "-fin-rst", "0x10/0x13"])}`,
    );
  if (k.l4 === "icmp") {
    out.push((r) => `icmp_type=${r.pick([0, 3, 8])}`);
    out.push((r) => `icmp_type=${r.pick([0, 3, 8])},icmp_code=${r.below(2)}`);
  }
  if (k.l4 === "icmp6") {
    out.push((r) => `icmp_type=${r.pick([1, 128, 129, 135, 136])}`);
    out.push((r) => `icmpv6_type=${r.pick([128, 129])},icmpv6_code=${r.below(2)}`);
  }
  if (k.l4 === "ns")
    out.push(
      (r) => `nd_target=${r.pick(IPV6)}`,
      ipv6Match("nd_target"),
      (r) => `nd_reserved=${r.below(2)}`,
      (r) => `nd_sll=${r.pick(MACS)}`,
    );
  if (k.l4 === "na")
    out.push(
      (r) => `nd_target=${r.pick([...IPV6, LINK_LOCAL])}`,
      (r) => `nd_tll=${r.pick(MACS)}`,
    );
  if (k.arp) {
    out.push((r) => `arp_op=${1 + r.below(2)}`, ipv4Match("arp_spa"), ipv4Match("arp_tpa"));
    out.push(macMatch("arp_sha"), (r) => `arp_tha=${r.pick([...MACS, "00:00:00:00:00:00"])}`);
  }
  if (k.nsh) out.push(...nshFields);
  if (k.mpls) {
    out.push(
      (r) => `mpls_label=${r.pick([100, 5])}`,
      (r) => `mpls_tc=${r.below(4)}`,
      (r) => `mpls_bos=${r.below(2)}`,
    );
    out.push((r) => `mpls_ttl=${r.pick([1, 64])}`);
  }
  return out;
}

export function anyKind(r: Prng): Kind {
  return r.pick(KINDS);
}

/** A match of a kind with up to `most` more fields. */
export function makeMatch(r: Prng, k: Kind, most: number): MadeMatch {
  const parts: string[] = k.words === "" ? [] : [k.words];
  const names = new Set<string>(k.words.split(",").map((w) => w.split("=")[0]!));
  const own = kindFields(k);
  for (let n = r.below(most + 1); n > 0; n--) {
    const d = r.below(20);
    let group: readonly Make[] = own;
    if (d < 3) group = metadataFields;
    else if (d < 5) group = ethFields;
    else if (d < 7) group = vlanFields;
    else if (k.ip !== 0 && d < 10) group = ctFields;
    if (group.length === 0) group = metadataFields;
    let text = r.pick(group)(r);
    if (k.ip !== 0 && oneIn(r, 30))
      text = `ct_state=${r.pick(["+trk+new", "+trk+est", "+trk+rpl"])},${r.pick(k.ip === 4 ? ctTuple4 : ctTuple6)(r)}`;
    const name = fieldNames(text);
    if (name.some((x) => names.has(x))) continue;
    for (const x of name) names.add(x);
    parts.push(text);
  }
  const text = parts.join(",");
  return {
    kind: k,
    tagged: /dl_vlan=|dl_vlan_pcp=|vlan_vid=|vlan_tci=0x1000\/0x1000|vlan_tci=0x[1-9a-f]/.test(text),
    text,
  };
}

/** The fields that a text sets, by one name for those that overlap. */
function fieldNames(text: string): string[] {
  return text.split(",").map((part) => {
    const name = part.split("=")[0]!;
    if (/vlan/.test(name)) return "vlan";
    if (/^x*reg0$|^xreg0$|^reg[0-3]$/.test(name)) return /^reg[12]$/.test(name) ? name : "reg0";
    if (/tos|dscp/.test(name)) return "nw_tos";
    if (/(tp|tcp|udp|sctp)_dst$/.test(name) && !name.startsWith("ct_")) return "tp_dst";
    if (/^icmp.*type$/.test(name)) return "icmp_type";
    if (/^icmp.*code$/.test(name)) return "icmp_code";
    return name;
  });
}
