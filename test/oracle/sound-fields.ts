// Random fields of a packet whose prerequisites are met, with values that fit, for lines that OVS is to take.
import { FIELDS, type Field, REGS } from "../../src/flow/field.ts";
import { FlowTextMaker } from "./flow-text-maker.ts";

/** Matches that bring a set of prerequisites with them, and which those are. */
export const SETTINGS: readonly (readonly [match: string, prereqs: string])[] = [
  ["", "none ethernet"],
  ["", "none ethernet"],
  ["ip", "none ethernet ipv4 ip"],
  ["ipv6", "none ethernet ipv6 ip"],
  ["tcp", "none ethernet ipv4 ip tcp"],
  ["tcp6", "none ethernet ipv6 ip tcp"],
  ["udp", "none ethernet ipv4 ip udp"],
  ["udp6", "none ethernet ipv6 ip udp"],
  ["sctp", "none ethernet ipv4 ip sctp"],
  ["sctp6", "none ethernet ipv6 ip sctp"],
  ["icmp", "none ethernet ipv4 ip icmpv4"],
  ["icmp6", "none ethernet ipv6 ip icmpv6"],
  ["icmp6,icmp_type=135,icmp_code=0", "none ethernet ipv6 ip icmpv6 nd nd_solicit"],
  ["icmp6,icmp_type=136,icmp_code=0", "none ethernet ipv6 ip icmpv6 nd nd_advert"],
  ["arp", "none ethernet arp"],
  ["rarp", "none ethernet arp"],
  ["mpls", "none ethernet mpls"],
  ["mplsm", "none ethernet mpls"],
  ["dl_vlan=5", "none ethernet vlan"],
  ["ip,vlan_tci=0x1000/0x1000", "none ethernet vlan ipv4 ip"],
  ["dl_type=0x894f", "none ethernet nsh"],
  ["ip,ct_state=+trk", "none ethernet ipv4 ip ct"],
  ["tcp6,ct_state=+trk+est", "none ethernet ipv6 ip tcp ct"],
  ["packet_type=(1,0x800)", "none ipv4 ip"],
  ["packet_type=(0,0)", "none ethernet"],
  ["packet_type=(1,0x894f)", "none nsh"],
];

const FLAG_FIELDS: Readonly<Record<string, readonly string[]>> = {
  ct_state: ["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"],
  tcp_flags: ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns"],
  tunnel_flags: ["oam"],
};

/** Fields that belong to the switch, or that no version of OpenFlow carries in a match. */
export const UNMATCHED = /^(recirc_id|dp_hash|skb_priority|tun_tos|tun_ttl|actset_output|packet_type)$/;
/** Fields that the settings are about: to match on them again would contradict. */
export const SETTLED = /^(eth_type|nw_proto|ct_state|vlan_tci|dl_vlan|vlan_vid|(icmp|icmpv6)_(type|code))$/;
const TP_FIELDS = /^(tcp|udp|sctp)_(src|dst)$/;

/** What the packet is known to hold, by the names of prerequisites; it changes as actions go by. */
export type Known = Set<string>;

export class SoundFieldMaker extends FlowTextMaker {
  /** A field whose prerequisites are met; tunnel options, being many, are few. */
  protected fieldOf(known: Known, fits: (field: Field) => boolean): Field {
    for (let tries = 0; tries < 200; tries++) {
      const field = this.pick(FIELDS);
      if (field.option >= 0 && this.below(200) !== 0) continue;
      if (known.has(field.prereq) && fits(field)) return field;
    }
    return REGS[0]!;
  }

  /** The name of a field in a match or after set_field. */
  protected shortName(field: Field): string {
    return field.alias !== null && !TP_FIELDS.test(field.name) && this.below(2) === 0
      ? field.alias
      : field.name;
  }

  /** Any name of a field. */
  protected nameOf(field: Field): string {
    return this.pick([field.name, field.nxmName ?? field.name, field.oxmName ?? field.name]);
  }

  /** A value that fits the field, with a mask at times when `masked`; no bits lie outside the mask. */
  protected soundValue(field: Field, masked: boolean): string {
    const flags = FLAG_FIELDS[field.form];
    if (flags !== undefined) {
      const some = flags.filter(() => this.below(3) === 0);
      if (masked && this.below(3) !== 0)
        return some.map((n) => this.pick(["+", "-"]) + n).join("") || `+${flags[0]}`;
      return some.join("|") || flags[0]!;
    }
    switch (field.form) {
      case "ethernet":
        return this.soundMac(masked);
      case "ipv4":
        return this.value("nw_src", masked);
      case "ipv6":
        return this.value("ipv6_src", masked);
      case "of_port":
      case "of_port_oxm":
        return this.pick(["1", "LOCAL", "controller", "65534", "65279", "5"]);
      case "frag":
        return this.pick(["no", "yes", "first", "later", "not_later"]);
      case "packet_type":
        return "(1,0x800)";
      default:
        break;
    }
    const bits = Math.min(field.bits, 31);
    const n = field.name === "nw_tos" ? this.below(64) * 4 : this.below(2 ** (1 + this.below(bits)));
    const wide = field.bits >= 64 && this.below(2) === 0;
    if (wide) return `0x${(1 + this.below(2 ** 31)).toString(16)}${n.toString(16).padStart(8, "0")}`;
    if (!masked || this.below(3) !== 0) return this.numeral(n);
    const mask = 1 + this.below(2 ** bits - 1);
    return `${this.numeral((n & mask) >>> 0)}/${this.numeral(mask)}`;
  }

  /** No bit lies outside of the mask: a match does not mind, but set_field does. */
  protected soundMac(masked: boolean): string {
    const mac = this.value("dl_src", false);
    if (!masked || this.below(3) !== 0) return mac;
    return this.below(2) === 0
      ? `01:00:00:00:00:00/01:00:00:00:00:00`
      : `${mac.slice(0, 8)}:00:00:00/ff:ff:ff:00:00:00`;
  }

  protected numeral(n: number): string {
    return this.below(2) === 0 ? String(n) : `0x${n.toString(16)}`;
  }

  protected soundSubfield(
    known: Known,
    bits: number,
    fits: (field: Field) => boolean = () => true,
    exact = true,
  ): string {
    const field = this.fieldOf(
      known,
      (f) => fits(f) && f.bits >= bits && f.codePoints.length > 0 && f.option < 0,
    );
    const name = this.nameOf(field);
    if (!exact && this.below(2) === 0) return `${name}[]`;
    const from = this.below(field.bits - bits + 1);
    return bits === 1 && this.below(2) === 0 ? `${name}[${from}]` : `${name}[${from}..${from + bits - 1}]`;
  }

  protected source(known: Known, bits: number): string {
    return this.soundSubfield(known, bits);
  }

  protected target(known: Known, bits: number): string {
    return this.soundSubfield(known, bits, isTarget);
  }
}

/** Whether an action outside of ct may change the field, a part of it too. */
export function isTarget(field: Field): boolean {
  return field.writable && field.option < 0 && field.name !== "ct_mark" && field.name !== "ct_label";
}

/** Whether a learned flow may match on the field. */
export function isMatched(field: Field): boolean {
  return field.option < 0 && field.codePoints.length > 0 && !UNMATCHED.test(field.name);
}
