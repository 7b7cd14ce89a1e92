// Makes random texts of matches, flows and datapath keys: mostly sensible, sometimes with fields that do not belong.

type Make = () => string;

export class FlowTextMaker {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A number from 0 to below `n` (mulberry32). */
  below(n: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  /** One match in ovs-ofctl's syntax. */
  match(): string {
    const proto = this.pick(Object.keys(BY_PROTOCOL));
    const own = BY_PROTOCOL[proto]!;
    const items = new Map<string, string>();
    const count = this.below(6);
    for (let i = 0; i < count; i++) {
      const name = this.pick(
        this.below(3) === 0 ? METADATA : this.below(25) === 0 ? ALL : own.length ? own : METADATA,
      );
      items.set(name, `${name}=${this.value(name, true)}`);
    }
    return [proto, ...items.values()].filter((x) => x !== "").join(",");
  }

  /** One flow for ofproto/trace: exact values, prerequisites first, mostly. */
  flow(): string {
    const proto = this.pick(Object.keys(BY_PROTOCOL));
    const names = new Set<string>();
    for (const name of [...METADATA, ...BY_PROTOCOL[proto]!]) if (this.below(3) === 0) names.add(name);
    if (this.below(20) === 0) names.add(this.pick(ALL));
    const items = [...names]
      .filter((n) => !n.includes("["))
      .map((n) => `${n}=${this.value(n, this.below(60) === 0)}`);
    return ["in_port=1", proto, ...items].filter((x) => x !== "").join(",");
  }

  /** One datapath key with masks. */
  odp(): string {
    const out: string[] = [];
    const maybe = (p: number, make: Make): void => {
      if (this.below(p) === 0) out.push(make());
    };
    maybe(6, () => `skb_priority(${this.hex(32)})`);
    maybe(
      6,
      () => `tunnel(tun_id=${this.hex(32)},src=${this.ip(true, ".")},dst=1.2.3.4,ttl=64,flags(df|csum|key))`,
    );
    maybe(6, () => `skb_mark(${this.hex(32)}${this.mask(32)})`);
    maybe(4, () => `ct_state(${this.flags(["new", "est", "rel", "rpl", "inv", "trk"], true)})`);
    maybe(5, () => `ct_zone(${this.hex(16)})`);
    maybe(5, () => `ct_mark(${this.hex(32)}${this.mask(32)})`);
    maybe(5, () => `ct_label(${this.hex(32)}${this.mask(32)})`);
    out.push(`recirc_id(${this.pick(["0", "0x5"])})`);
    maybe(6, () => `dp_hash(${this.hex(32)}${this.mask(32)})`);
    out.push("in_port(1)", "packet_type(ns=0,id=0)");
    out.push(
      `eth(${this.parts([
        ["src", () => this.mac(true)],
        ["dst", () => this.mac(true)],
      ])})`,
    );
    const inner = this.pick([
      () => this.ipv4Key(),
      () => this.ipv4Key(),
      () => this.ipv6Key(),
      () => this.ipv6Key(),
      () =>
        `eth_type(0x0806),arp(${this.parts([
          ["sip", () => this.ip(true, ".")],
          ["tip", () => this.ip(true, ".")],
          ["op", () => this.pick(["1", "2"])],
          ["sha", () => this.mac(true)],
          ["tha", () => this.mac(true)],
        ])})`,
      () =>
        `eth_type(0x8847),mpls(label=${this.below(2 ** 20)},tc=${this.below(8)},ttl=${this.below(256)},bos=1)`,
      () => "eth_type(0x1234)",
    ])();
    if (this.below(4) === 0) {
      out.push(
        "eth_type(0x8100)",
        `vlan(vid=${this.below(4096)}${this.mask(12)},pcp=${this.below(8)}${this.mask(3)})`,
      );
      out.push(`encap(${inner})`);
    } else out.push(inner);
    return out.join(",");
  }

  private ipv4Key(): string {
    const proto = this.pick([6, 17, 1, 132, 47]);
    const header = this.parts([
      ["src", () => this.ip(true, ".")],
      ["dst", () => this.ip(true, ".")],
      ["tos", () => `${this.hex(8)}${this.mask(8)}`],
      ["ttl", () => `${this.below(256)}${this.mask(8)}`],
    ]);
    const frag = this.pick(["no", "no", "no", "first", "later"]);
    const l4 = frag === "later" ? "" : this.transportKey(proto, 1);
    return `eth_type(0x0800),ipv4(${header === "" ? "" : header + ","}proto=${proto},frag=${frag})${l4}`;
  }

  private ipv6Key(): string {
    const proto = this.pick([6, 17, 58, 132, 47]);
    const header = this.parts([
      ["src", () => this.ip(true, ":")],
      ["dst", () => this.ip(true, ":")],
      ["label", () => `${this.hex(20)}${this.mask(20)}`],
      ["tclass", () => `${this.hex(8)}${this.mask(8)}`],
      ["hlimit", () => `${this.below(256)}${this.mask(8)}`],
    ]);
    const frag = this.pick(["no", "no", "no", "first", "later"]);
    const l4 = frag === "later" ? "" : this.transportKey(proto, 58);
    return `eth_type(0x86dd),ipv6(${header === "" ? "" : header + ","}proto=${proto},frag=${frag})${l4}`;
  }

  private transportKey(proto: number, icmp: number): string {
    const ports = (): string =>
      this.parts([
        ["src", () => `${this.below(65536)}${this.mask(16)}`],
        ["dst", () => `${this.below(65536)}${this.mask(16)}`],
      ]);
    if (proto === 6)
      return `,tcp(${ports()})${this.below(3) === 0 ? `,tcp_flags(${this.flags(TCP_FLAGS, true)})` : ""}`;
    if (proto === 17) return `,udp(${ports()})`;
    if (proto === 132) return `,sctp(${ports()})`;
    if (proto !== icmp) return "";
    if (proto === 1) return `,icmp(type=${this.below(256)},code=${this.below(256)}${this.mask(8)})`;
    if (this.below(2) === 0)
      return `,icmpv6(type=${128 + this.below(4)},code=${this.below(256)}${this.mask(8)})`;
    const nd = this.parts([
      ["target", () => this.ip(true, ":")],
      ["sll", () => this.mac(true)],
      ["tll", () => this.mac(true)],
    ]);
    return `,icmpv6(type=${135 + this.below(2)},code=0),nd(${nd})`;
  }

  private parts(all: readonly (readonly [name: string, make: Make])[]): string {
    return all
      .filter(() => this.below(2) === 0)
      .map(([name, make]) => `${name}=${make()}`)
      .join(",");
  }

  /** A random value for a match field; with a mask at times when `masked`. */
  value(name: string, masked: boolean): string {
    const kind = FIELDS[name];
    if (kind === undefined) throw new Error(name);
    if (typeof kind === "number") {
      const number = this.number(kind);
      return masked && MASKABLE.has(name) ? number + this.mask(Math.min(kind, 32)) : number;
    }
    switch (kind) {
      case "mac":
        return this.mac(masked);
      case "ipv4":
        return this.ip(masked, ".");
      case "ipv6":
        return this.ip(masked, ":");
      case "ct_state":
        return this.flags(["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"], masked);
      case "tcp_flags":
        return this.flags(TCP_FLAGS, masked);
      case "frag":
        return this.pick(masked ? ["no", "yes", "first", "later", "not_later"] : ["no", "first"]);
      case "port":
        return this.pick(["1", "2", "LOCAL", "65279", "CONTROLLER"]);
    }
  }

  private number(bits: number): string {
    const small = Math.min(bits, 32);
    let n = this.below(2 ** this.below(small + 1));
    if (bits > 32 && this.below(2) === 0)
      return `0x${this.below(2 ** 32).toString(16)}${n.toString(16).padStart(8, "0")}`;
    if (this.below(8) === 0) n = 0;
    return this.below(2) === 0 ? String(n) : `0x${n.toString(16)}`;
  }

  private hex(bits: number): string {
    const n = this.below(2 ** this.below(bits + 1));
    return n === 0 ? "0" : `0x${n.toString(16)}`;
  }

  /** "" or `/0xmask` */
  private mask(bits: number): string {
    const kind = this.below(4);
    if (kind < 2) return "";
    const whole = 2 ** bits - 1;
    const n = kind === 2 ? 1 + this.below(whole) : whole - (2 ** this.below(bits) - 1);
    return `/0x${n.toString(16)}`;
  }

  private mac(masked: boolean): string {
    const one = (): string =>
      Array.from({ length: 6 }, () => this.below(256).toString(16).padStart(2, "0")).join(":");
    if (!masked || this.below(3) !== 0) return one();
    return `${one()}/${this.pick(["01:00:00:00:00:00", "ff:ff:ff:00:00:00", one()])}`;
  }

  private ip(masked: boolean, kind: "." | ":"): string {
    const one = (): string =>
      kind === "."
        ? Array.from({ length: 4 }, () => this.below(256)).join(".")
        : Array.from({ length: 8 }, () => (this.below(2) === 0 ? 0 : this.below(65536)).toString(16)).join(
            ":",
          );
    if (!masked) return one();
    const form = this.below(4);
    if (form === 0) return `${one()}/${1 + this.below(kind === "." ? 32 : 128)}`;
    // OVS takes a mask that begins with a decimal digit for a prefix length, and refuses it; we do not.
    const mask = kind === "." ? one() : one().replace(/^[^:]*/, "ffff");
    return form === 1 ? `${one()}/${mask}` : one();
  }

  private flags(names: readonly string[], masked: boolean): string {
    const some = names.filter(() => this.below(3) === 0);
    if (some.length === 0) some.push(names[0]!);
    return masked && this.below(3) !== 0
      ? some.map((n) => this.pick(["+", "-"]) + n).join("")
      : some.join("|");
  }
}

const TCP_FLAGS = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns"];

/** Width in bits, or the form of the value. */
const FIELDS: Readonly<
  Record<string, number | "mac" | "ipv4" | "ipv6" | "ct_state" | "tcp_flags" | "frag" | "port">
> = {
  in_port: "port",
  pkt_mark: 32,
  metadata: 64,
  tun_id: 64,
  tun_src: "ipv4",
  tun_dst: "ipv4",
  tun_ipv6_src: "ipv6",
  tun_gbp_id: 16,
  tun_gbp_flags: 8,
  tun_erspan_ver: 4,
  tun_erspan_idx: 20,
  tun_erspan_dir: 1,
  tun_erspan_hwid: 6,
  reg0: 32,
  reg1: 32,
  reg7: 32,
  reg15: 32,
  xreg1: 64,
  xxreg1: 64,
  conj_id: 32,
  dp_hash: 32,
  ct_state: "ct_state",
  ct_zone: 16,
  ct_mark: 32,
  ct_label: 64,
  ct_nw_src: "ipv4",
  ct_nw_dst: "ipv4",
  ct_nw_proto: 8,
  ct_tp_src: 16,
  ct_tp_dst: 16,
  dl_src: "mac",
  eth_dst: "mac",
  dl_type: 16,
  vlan_tci: 16,
  dl_vlan: 12,
  vlan_vid: 13,
  dl_vlan_pcp: 3,
  vlan_pcp: 3,
  mpls_label: 20,
  mpls_tc: 3,
  mpls_bos: 1,
  mpls_ttl: 8,
  nw_src: "ipv4",
  ip_dst: "ipv4",
  ipv6_src: "ipv6",
  ipv6_dst: "ipv6",
  ipv6_label: 20,
  nw_proto: 8,
  nw_tos: 8,
  ip_dscp: 6,
  nw_ecn: 2,
  nw_ttl: 8,
  nw_frag: "frag",
  arp_op: 8,
  arp_spa: "ipv4",
  arp_tpa: "ipv4",
  arp_sha: "mac",
  arp_tha: "mac",
  tp_src: 16,
  tp_dst: 16,
  tcp_src: 16,
  tcp_dst: 16,
  tcp_flags: "tcp_flags",
  udp_src: 16,
  udp_dst: 16,
  sctp_src: 16,
  sctp_dst: 16,
  icmp_type: 8,
  icmp_code: 8,
  icmpv6_type: 8,
  icmpv6_code: 8,
  nd_target: "ipv6",
  nd_sll: "mac",
  nd_tll: "mac",
};

const MASKABLE = new Set(
  (
    "pkt_mark metadata tun_id tun_gbp_id tun_gbp_flags reg0 reg1 reg7 reg15 xreg1 xxreg1 dp_hash ct_mark ct_label " +
    "ct_tp_src ct_tp_dst vlan_tci vlan_vid ipv6_label tp_src tp_dst tcp_src tcp_dst udp_src udp_dst sctp_src sctp_dst"
  ).split(" "),
);

const ALL = Object.keys(FIELDS);
const METADATA = ALL.slice(0, ALL.indexOf("ct_nw_src")).concat([
  "dl_src",
  "eth_dst",
  "vlan_tci",
  "dl_vlan",
  "vlan_vid",
  "dl_vlan_pcp",
]);
const IP = ["nw_tos", "ip_dscp", "nw_ecn", "nw_ttl", "nw_frag"];
const IPV4 = ["nw_src", "ip_dst", ...IP];
const IPV6 = ["ipv6_src", "ipv6_dst", "ipv6_label", ...IP];
const ARP = ["arp_op", "arp_spa", "arp_tpa", "arp_sha", "arp_tha"];
const MPLS = ["mpls_label", "mpls_tc", "mpls_bos", "mpls_ttl"];
const TCP = ["tcp_src", "tp_dst", "tcp_flags"];
const CT = ["ct_nw_src", "ct_nw_dst", "ct_nw_proto", "ct_tp_src", "ct_tp_dst"];

const BY_PROTOCOL: Readonly<Record<string, readonly string[]>> = {
  "": [],
  ip: [...IPV4, "nw_proto", ...CT],
  ipv6: [...IPV6, "nw_proto"],
  tcp: [...IPV4, ...TCP],
  tcp6: [...IPV6, ...TCP],
  udp: [...IPV4, "udp_src", "udp_dst"],
  udp6: [...IPV6, "tp_src", "udp_dst"],
  sctp: [...IPV4, "sctp_src", "tp_dst"],
  sctp6: [...IPV6, "sctp_src", "sctp_dst"],
  icmp: [...IPV4, "icmp_type", "icmp_code"],
  icmp6: [...IPV6, "icmpv6_type", "icmpv6_code", "nd_target"],
  "icmp6,icmp_type=135,icmp_code=0": ["nd_target", "nd_sll", ...IPV6],
  "icmp6,icmpv6_type=136,icmpv6_code=0": ["nd_target", "nd_tll", ...IPV6],
  arp: ARP,
  rarp: ARP,
  mpls: MPLS,
  mplsm: MPLS,
  "dl_type=0x88cc": [],
  "dl_type=0x800,nw_proto=2": IPV4,
};
