// The one table of match fields (ovs-fields(7), OVS 3.1): names, places in the flow key, widths, mask rules,
// prerequisites, text forms and OXM numbers. The order is OVS's own numbering, in which table features list fields.
//
// "Run": a field's bits are a slice of the big-endian number that the `size` bytes at `offset` of the flow key make; the
// value's lowest bit is bit `shift` of that number. `valueSize` is the size of the value on the wire (OXM), which may be
// wider (ct_state: 4 bytes for 8 kept bits) or narrower (mpls_tc: 1 byte from a run of 4) than the run.
//
// Fields that share bits share runs: nw_tos, ip_dscp and nw_ecn; the VLAN forms; reg, xreg and xxreg; tcp, udp, sctp and
// icmp ports; arp_sha and nd_sll. A few values differ from their bits in the key and are converted by flow/subfield.ts:
// in_port_oxm and actset_output (32-bit OpenFlow 1.1+ port numbers of 16-bit ports).
import * as L from "./layout.ts";

/** How a field's value is written in text (ovs-fields(7)). */
export type FieldForm =
  | "decimal"
  | "hexadecimal"
  | "ct_state"
  | "ethernet"
  | "ipv4"
  | "ipv6"
  | "of_port"
  | "of_port_oxm"
  | "frag"
  | "tunnel_flags"
  | "tcp_flags"
  | "packet_type";

/** What a match must hold besides, for the field to be present in a packet (ovs-fields(7), Prerequisites). */
export type Prerequisite =
  | "none"
  | "ethernet"
  | "vlan"
  | "arp"
  | "ipv4"
  | "ipv6"
  | "ip"
  | "mpls"
  | "tcp"
  | "udp"
  | "sctp"
  | "icmpv4"
  | "icmpv6"
  | "nd"
  | "nd_solicit"
  | "nd_advert"
  | "nsh"
  | "ct";

/** One OXM or NXM code point of a field. `experimenter` is 0 unless the class is 0xffff. */
export interface CodePoint {
  readonly name: string;
  readonly class: number;
  readonly field: number;
  readonly experimenter: number;
}

/** One match field of ovs-fields(7). */
export interface Field {
  /** Index in FIELDS, dense from 0, in OVS's own order. */
  readonly id: number;
  /** OVS's first name, printed by `set_field:..->NAME`: `ip_src`, `eth_dst`, `tcp_dst`. */
  readonly name: string;
  /** Another name OVS accepts, e.g. `nw_src` for `ip_src`; null when none. */
  readonly alias: string | null;
  /** Width of the value in bits, as OVS counts for subfields (`NXM_OF_ETH_DST[]` has 48). */
  readonly bits: number;
  /** Size of the value in bytes in OXM. */
  readonly valueSize: number;
  /** Where it lies in the flow key: see "Run" above. `size` is 0 for tunnel options, which get their place from a map (tlv-map.ts). */
  readonly offset: number;
  readonly size: number;
  readonly shift: number;
  /** Whether a match may cover some bits only. */
  readonly maskable: boolean;
  /** Whether set_field, load and move may change it. */
  readonly writable: boolean;
  readonly form: FieldForm;
  readonly prereq: Prerequisite;
  /** N of tun_metadataN, -1 for all other fields: to write it is also to say that the option is present. */
  readonly option: number;
  /** Every code point, the one printed for subfields first; empty for the obsolete fields that have none. */
  readonly codePoints: readonly CodePoint[];
  /** `NXM_OF_IP_SRC`, `OXM_OF_METADATA`...: null when there is none of that kind. */
  readonly nxmName: string | null;
  readonly oxmName: string | null;
}

/** Bits `ofs` to `ofs + bits - 1` of a field: `NXM_NX_REG0[0..15]`. */
export interface Subfield {
  readonly field: Field;
  readonly ofs: number;
  readonly bits: number;
}

/** OXM classes and experimenters by the prefix of a code point's name (ovs-fields(7)). */
const CLASSES: readonly (readonly [prefix: string, cls: number, experimenter: number])[] = [
  ["NXM_OF_", 0x0000, 0],
  ["NXM_NX_", 0x0001, 0],
  ["ERICOXM_OF_", 0x1000, 0],
  ["OXM_OF_PKT_REG", 0x8001, 0],
  ["OXM_OF_", 0x8000, 0],
  ["NXOXM_ET_", 0xffff, 0x00002320],
  ["NXOXM_NSH_", 0xffff, 0x005ad650],
  ["ONFOXM_ET_", 0xffff, 0x4f4e4600],
];

/** `NXM_OF_IP_SRC 7` as a code point. */
function codePoint(text: string): CodePoint {
  const [name, number] = text.split(" ") as [string, string];
  const row = CLASSES.find(([prefix]) => name.startsWith(prefix))!;
  return { name, class: row[1], field: Number(number), experimenter: row[2] };
}

type Row = readonly [
  /** "name" or "name/alias" */
  names: string,
  bits: number,
  valueSize: number,
  place: readonly [offset: number, size: number, shift?: number],
  /** m: maskable; w: writable */
  how: "" | "m" | "w" | "mw",
  form: FieldForm,
  prereq: Prerequisite,
  /** "NAME number", comma separated */
  codes: string,
];

function many<T>(count: number, make: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => make(i));
}

// biome-ignore format: a table reads best with a row on each line.
const ROWS: readonly Row[] = [
  // Metadata.
  ["dp_hash", 32, 4, [L.O_DP_HASH, 4], "m", "hexadecimal", "none", "NXM_NX_DP_HASH 35"],
  ["recirc_id", 32, 4, [L.O_RECIRC_ID, 4], "", "decimal", "none", "NXM_NX_RECIRC_ID 36"],
  ["packet_type", 32, 4, [L.O_PACKET_TYPE, 4], "", "packet_type", "none", "OXM_OF_PACKET_TYPE 44"],
  ["conj_id", 32, 4, [L.O_CONJ_ID, 4], "", "decimal", "none", "NXM_NX_CONJ_ID 37"],
  // Tunnel.
  ["tun_id/tunnel_id", 64, 8, [L.O_TUN_ID, 8], "mw", "hexadecimal", "none", "NXM_NX_TUN_ID 16,OXM_OF_TUNNEL_ID 38"],
  ["tun_src", 32, 4, [L.O_TUN_SRC, 4], "mw", "ipv4", "none", "NXM_NX_TUN_IPV4_SRC 31"],
  ["tun_dst", 32, 4, [L.O_TUN_DST, 4], "mw", "ipv4", "none", "NXM_NX_TUN_IPV4_DST 32"],
  ["tun_ipv6_src", 128, 16, [L.O_TUN_IPV6_SRC, 16], "mw", "ipv6", "none", "NXM_NX_TUN_IPV6_SRC 109"],
  ["tun_ipv6_dst", 128, 16, [L.O_TUN_IPV6_DST, 16], "mw", "ipv6", "none", "NXM_NX_TUN_IPV6_DST 110"],
  ["tun_flags", 1, 2, [L.O_TUN_FLAGS, 2], "mw", "tunnel_flags", "none", "NXM_NX_TUN_FLAGS 104"],
  ["tun_ttl", 8, 1, [L.O_TUN_TTL, 1], "", "decimal", "none", ""],
  ["tun_tos", 8, 1, [L.O_TUN_TOS, 1], "", "decimal", "none", ""],
  ["tun_gbp_id", 16, 2, [L.O_TUN_GBP_ID, 2], "mw", "decimal", "none", "NXM_NX_TUN_GBP_ID 38"],
  ["tun_gbp_flags", 8, 1, [L.O_TUN_GBP_FLAGS, 1], "mw", "hexadecimal", "none", "NXM_NX_TUN_GBP_FLAGS 39"],
  ["tun_erspan_idx", 20, 4, [L.O_TUN_ERSPAN_IDX, 4], "mw", "hexadecimal", "none", "NXOXM_ET_ERSPAN_IDX 11"],
  ["tun_erspan_ver", 4, 1, [L.O_TUN_ERSPAN_VER, 1], "mw", "decimal", "none", "NXOXM_ET_ERSPAN_VER 12"],
  ["tun_erspan_dir", 1, 1, [L.O_TUN_ERSPAN_DIR, 1], "mw", "decimal", "none", "NXOXM_ET_ERSPAN_DIR 13"],
  ["tun_erspan_hwid", 6, 1, [L.O_TUN_ERSPAN_HWID, 1], "mw", "hexadecimal", "none", "NXOXM_ET_ERSPAN_HWID 14"],
  ["tun_gtpu_flags", 8, 1, [L.O_TUN_GTPU_FLAGS, 1], "m", "hexadecimal", "none", "NXOXM_ET_GTPU_FLAGS 15"],
  ["tun_gtpu_msgtype", 8, 1, [L.O_TUN_GTPU_MSGTYPE, 1], "m", "decimal", "none", "NXOXM_ET_GTPU_MSGTYPE 16"],
  // Tunnel options have no fixed place: a map (tlv-map.ts) gives them one.
  ...many(64, (i): Row => [`tun_metadata${i}`, 992, 124, [L.O_TUN_METADATA, 0], "mw", "hexadecimal", "none", `NXM_NX_TUN_METADATA${i} ${40 + i}`]),
  ["metadata", 64, 8, [L.O_METADATA, 8], "mw", "hexadecimal", "none", "OXM_OF_METADATA 2"],
  ["in_port", 16, 2, [L.O_IN_PORT, 4], "w", "of_port", "none", "NXM_OF_IN_PORT 0"],
  ["in_port_oxm", 32, 4, [L.O_IN_PORT, 4], "w", "of_port_oxm", "none", "OXM_OF_IN_PORT 0"],
  ["actset_output", 32, 4, [L.O_ACTSET_OUTPUT, 4], "", "of_port_oxm", "none", "ONFOXM_ET_ACTSET_OUTPUT 43,OXM_OF_ACTSET_OUTPUT 43"],
  ["skb_priority", 32, 4, [L.O_SKB_PRIORITY, 4], "", "hexadecimal", "none", ""],
  ["pkt_mark", 32, 4, [L.O_PKT_MARK, 4], "mw", "hexadecimal", "none", "NXM_NX_PKT_MARK 33"],
  // Connection tracking.
  ["ct_state", 32, 4, [L.O_CT_STATE, 1], "m", "ct_state", "none", "NXM_NX_CT_STATE 105"],
  ["ct_zone", 16, 2, [L.O_CT_ZONE, 2], "", "hexadecimal", "none", "NXM_NX_CT_ZONE 106"],
  ["ct_mark", 32, 4, [L.O_CT_MARK, 4], "mw", "hexadecimal", "none", "NXM_NX_CT_MARK 107"],
  ["ct_label", 128, 16, [L.O_CT_LABEL, 16], "mw", "hexadecimal", "none", "NXM_NX_CT_LABEL 108"],
  ["ct_nw_proto", 8, 1, [L.O_CT_NW_PROTO, 1], "", "decimal", "ct", "NXM_NX_CT_NW_PROTO 119"],
  ["ct_nw_src", 32, 4, [L.O_CT_NW_SRC, 4], "m", "ipv4", "ct", "NXM_NX_CT_NW_SRC 120"],
  ["ct_nw_dst", 32, 4, [L.O_CT_NW_DST, 4], "m", "ipv4", "ct", "NXM_NX_CT_NW_DST 121"],
  ["ct_ipv6_src", 128, 16, [L.O_CT_IPV6_SRC, 16], "m", "ipv6", "ct", "NXM_NX_CT_IPV6_SRC 122"],
  ["ct_ipv6_dst", 128, 16, [L.O_CT_IPV6_DST, 16], "m", "ipv6", "ct", "NXM_NX_CT_IPV6_DST 123"],
  ["ct_tp_src", 16, 2, [L.O_CT_TP_SRC, 2], "m", "decimal", "ct", "NXM_NX_CT_TP_SRC 124"],
  ["ct_tp_dst", 16, 2, [L.O_CT_TP_DST, 2], "m", "decimal", "ct", "NXM_NX_CT_TP_DST 125"],
  // Registers. A wider one lies over the narrower ones of the same place, the lower-numbered one at its high end.
  ...many(16, (i): Row => [`reg${i}`, 32, 4, [L.O_REGS + 4 * i, 4], "mw", "hexadecimal", "none", `NXM_NX_REG${i} ${i}`]),
  ...many(8, (i): Row => [`xreg${i}`, 64, 8, [L.O_REGS + 8 * i, 8], "mw", "hexadecimal", "none", `OXM_OF_PKT_REG${i} ${i}`]),
  ...many(4, (i): Row => [`xxreg${i}`, 128, 16, [L.O_REGS + 16 * i, 16], "mw", "hexadecimal", "none", `NXM_NX_XXREG${i} ${111 + i}`]),
  // Ethernet, VLAN, MPLS.
  ["eth_src/dl_src", 48, 6, [L.O_DL_SRC, 6], "mw", "ethernet", "ethernet", "NXM_OF_ETH_SRC 2,OXM_OF_ETH_SRC 4"],
  ["eth_dst/dl_dst", 48, 6, [L.O_DL_DST, 6], "mw", "ethernet", "ethernet", "NXM_OF_ETH_DST 1,OXM_OF_ETH_DST 3"],
  ["eth_type/dl_type", 16, 2, [L.O_DL_TYPE, 2], "", "hexadecimal", "ethernet", "NXM_OF_ETH_TYPE 3,OXM_OF_ETH_TYPE 5"],
  ["vlan_tci", 16, 2, [L.O_VLAN0_TCI, 2], "mw", "hexadecimal", "ethernet", "NXM_OF_VLAN_TCI 4"],
  ["dl_vlan", 12, 2, [L.O_VLAN0_TCI, 2], "w", "decimal", "ethernet", ""],
  ["vlan_vid", 12, 2, [L.O_VLAN0_TCI, 2], "mw", "decimal", "ethernet", "OXM_OF_VLAN_VID 6"],
  ["dl_vlan_pcp", 3, 1, [L.O_VLAN0_TCI, 2, 13], "w", "decimal", "ethernet", ""],
  ["vlan_pcp", 3, 1, [L.O_VLAN0_TCI, 2, 13], "w", "decimal", "vlan", "OXM_OF_VLAN_PCP 7"],
  ["mpls_label", 20, 4, [L.O_MPLS_LSE0, 4, 12], "w", "decimal", "mpls", "OXM_OF_MPLS_LABEL 34"],
  ["mpls_tc", 3, 1, [L.O_MPLS_LSE0, 4, 9], "w", "decimal", "mpls", "OXM_OF_MPLS_TC 35"],
  ["mpls_bos", 1, 1, [L.O_MPLS_LSE0, 4, 8], "", "decimal", "mpls", "OXM_OF_MPLS_BOS 36"],
  ["mpls_ttl", 8, 1, [L.O_MPLS_LSE0, 4], "w", "decimal", "mpls", "NXM_NX_MPLS_TTL 30"],
  // IPv4, IPv6, ARP.
  ["ip_src/nw_src", 32, 4, [L.O_NW_SRC, 4], "mw", "ipv4", "ipv4", "NXM_OF_IP_SRC 7,OXM_OF_IPV4_SRC 11"],
  ["ip_dst/nw_dst", 32, 4, [L.O_NW_DST, 4], "mw", "ipv4", "ipv4", "NXM_OF_IP_DST 8,OXM_OF_IPV4_DST 12"],
  ["ipv6_src", 128, 16, [L.O_IPV6_SRC, 16], "mw", "ipv6", "ipv6", "NXM_NX_IPV6_SRC 19,OXM_OF_IPV6_SRC 26"],
  ["ipv6_dst", 128, 16, [L.O_IPV6_DST, 16], "mw", "ipv6", "ipv6", "NXM_NX_IPV6_DST 20,OXM_OF_IPV6_DST 27"],
  ["ipv6_label", 20, 4, [L.O_IPV6_LABEL, 4], "mw", "hexadecimal", "ipv6", "NXM_NX_IPV6_LABEL 27,OXM_OF_IPV6_FLABEL 28"],
  ["nw_proto/ip_proto", 8, 1, [L.O_NW_PROTO, 1], "", "decimal", "ip", "NXM_OF_IP_PROTO 6,OXM_OF_IP_PROTO 10"],
  ["nw_tos", 8, 1, [L.O_NW_TOS, 1], "w", "decimal", "ip", "NXM_OF_IP_TOS 5"],
  ["ip_dscp", 6, 1, [L.O_NW_TOS, 1, 2], "w", "decimal", "ip", "OXM_OF_IP_DSCP 8"],
  ["nw_ecn/ip_ecn", 2, 1, [L.O_NW_TOS, 1], "w", "decimal", "ip", "NXM_NX_IP_ECN 28,OXM_OF_IP_ECN 9"],
  ["nw_ttl", 8, 1, [L.O_NW_TTL, 1], "w", "decimal", "ip", "NXM_NX_IP_TTL 29"],
  ["ip_frag/nw_frag", 2, 1, [L.O_NW_FRAG, 1], "m", "frag", "ip", "NXM_NX_IP_FRAG 26"],
  ["arp_op", 16, 2, [L.O_NW_PROTO, 1], "w", "decimal", "arp", "NXM_OF_ARP_OP 15,OXM_OF_ARP_OP 21"],
  ["arp_spa", 32, 4, [L.O_NW_SRC, 4], "mw", "ipv4", "arp", "NXM_OF_ARP_SPA 16,OXM_OF_ARP_SPA 22"],
  ["arp_tpa", 32, 4, [L.O_NW_DST, 4], "mw", "ipv4", "arp", "NXM_OF_ARP_TPA 17,OXM_OF_ARP_TPA 23"],
  ["arp_sha", 48, 6, [L.O_ARP_SHA, 6], "mw", "ethernet", "arp", "NXM_NX_ARP_SHA 17,OXM_OF_ARP_SHA 24"],
  ["arp_tha", 48, 6, [L.O_ARP_THA, 6], "mw", "ethernet", "arp", "NXM_NX_ARP_THA 18,OXM_OF_ARP_THA 25"],
  // TCP, UDP, SCTP, ICMP, ICMPv6.
  ["tcp_src/tp_src", 16, 2, [L.O_TP_SRC, 2], "mw", "decimal", "tcp", "NXM_OF_TCP_SRC 9,OXM_OF_TCP_SRC 13"],
  ["tcp_dst/tp_dst", 16, 2, [L.O_TP_DST, 2], "mw", "decimal", "tcp", "NXM_OF_TCP_DST 10,OXM_OF_TCP_DST 14"],
  ["tcp_flags", 12, 2, [L.O_TCP_FLAGS, 2], "m", "tcp_flags", "tcp", "NXM_NX_TCP_FLAGS 34,ONFOXM_ET_TCP_FLAGS 42,OXM_OF_TCP_FLAGS 42"],
  ["udp_src", 16, 2, [L.O_TP_SRC, 2], "mw", "decimal", "udp", "NXM_OF_UDP_SRC 11,OXM_OF_UDP_SRC 15"],
  ["udp_dst", 16, 2, [L.O_TP_DST, 2], "mw", "decimal", "udp", "NXM_OF_UDP_DST 12,OXM_OF_UDP_DST 16"],
  ["sctp_src", 16, 2, [L.O_TP_SRC, 2], "mw", "decimal", "sctp", "OXM_OF_SCTP_SRC 17"],
  ["sctp_dst", 16, 2, [L.O_TP_DST, 2], "mw", "decimal", "sctp", "OXM_OF_SCTP_DST 18"],
  ["icmp_type", 8, 1, [L.O_TP_SRC, 2], "w", "decimal", "icmpv4", "NXM_OF_ICMP_TYPE 13,OXM_OF_ICMPV4_TYPE 19"],
  ["icmp_code", 8, 1, [L.O_TP_DST, 2], "w", "decimal", "icmpv4", "NXM_OF_ICMP_CODE 14,OXM_OF_ICMPV4_CODE 20"],
  ["icmpv6_type", 8, 1, [L.O_TP_SRC, 2], "w", "decimal", "icmpv6", "NXM_NX_ICMPV6_TYPE 21,OXM_OF_ICMPV6_TYPE 29"],
  ["icmpv6_code", 8, 1, [L.O_TP_DST, 2], "w", "decimal", "icmpv6", "NXM_NX_ICMPV6_CODE 22,OXM_OF_ICMPV6_CODE 30"],
  ["nd_target", 128, 16, [L.O_ND_TARGET, 16], "mw", "ipv6", "nd", "NXM_NX_ND_TARGET 23,OXM_OF_IPV6_ND_TARGET 31"],
  ["nd_sll", 48, 6, [L.O_ARP_SHA, 6], "mw", "ethernet", "nd_solicit", "NXM_NX_ND_SLL 24,OXM_OF_IPV6_ND_SLL 32"],
  ["nd_tll", 48, 6, [L.O_ARP_THA, 6], "mw", "ethernet", "nd_advert", "NXM_NX_ND_TLL 25,OXM_OF_IPV6_ND_TLL 33"],
  ["nd_reserved", 32, 4, [L.O_IGMP_GROUP, 4], "w", "decimal", "nd", "ERICOXM_OF_ICMPV6_ND_RESERVED 1"],
  ["nd_options_type", 8, 1, [L.O_TCP_FLAGS, 2], "w", "decimal", "nd", "ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE 2"],
  // Network service header.
  ["nsh_flags", 8, 1, [L.O_NSH_FLAGS, 1], "mw", "decimal", "nsh", "NXOXM_NSH_FLAGS 1"],
  ["nsh_mdtype", 8, 1, [L.O_NSH_MDTYPE, 1], "", "decimal", "nsh", "NXOXM_NSH_MDTYPE 2"],
  ["nsh_np", 8, 1, [L.O_NSH_NP, 1], "", "decimal", "nsh", "NXOXM_NSH_NP 3"],
  ["nsh_spi/nsp", 24, 4, [L.O_NSH_PATH_HDR, 4, 8], "w", "hexadecimal", "nsh", "NXOXM_NSH_SPI 4"],
  ["nsh_si/nsi", 8, 1, [L.O_NSH_PATH_HDR, 4], "w", "decimal", "nsh", "NXOXM_NSH_SI 5"],
  ...many(4, (i): Row => [`nsh_c${i + 1}/nshc${i + 1}`, 32, 4, [L.O_NSH_CONTEXT + 4 * i, 4], "mw", "hexadecimal", "nsh", `NXOXM_NSH_C${i + 1} ${6 + i}`]),
  ["nsh_ttl", 8, 1, [L.O_NSH_TTL, 1], "w", "decimal", "nsh", "NXOXM_NSH_TTL 10"],
];

/** Every field, in OVS's order; a field's `id` is its index. */
export const FIELDS: readonly Field[] = ROWS.map((row, id) => {
  const [names, bits, valueSize, place, how, form, prereq, codes] = row;
  const [name, alias] = names.split("/") as [string, string | undefined];
  const codePoints = codes === "" ? [] : codes.split(",").map(codePoint);
  return {
    id,
    name,
    alias: alias ?? null,
    bits,
    valueSize,
    offset: place[0],
    size: place[1],
    shift: place[2] ?? 0,
    maskable: how.includes("m"),
    writable: how.includes("w"),
    form,
    prereq,
    option: name.startsWith("tun_metadata") ? Number(name.slice("tun_metadata".length)) : -1,
    codePoints,
    nxmName: codePoints.find((c) => !c.name.startsWith("OXM_OF"))?.name ?? null,
    oxmName: codePoints.find((c) => c.name.startsWith("OXM_OF"))?.name ?? null,
  };
});

const byMatchName = new Map<string, Field>();
const byName = new Map<string, Field>();
const byCode = new Map<string, Field>();
for (const field of FIELDS) {
  for (const name of [field.name, field.alias]) {
    if (name === null) continue;
    byMatchName.set(name, field);
    byName.set(name, field);
  }
  for (const code of field.codePoints) {
    byName.set(code.name, field);
    byCode.set(`${code.class}.${code.field}.${code.experimenter}`, field);
  }
}

/** The field of that name: first name, alias, or NXM/OXM name. */
export function fieldByName(name: string): Field | undefined {
  return byName.get(name);
}

/** The field of that first name or alias: the only names that a match's `NAME=VALUE` may use. */
export function fieldByMatchName(name: string): Field | undefined {
  return byMatchName.get(name);
}

/** The field of an OXM class, field number and experimenter (0 when the class is not 0xffff). */
export function fieldByCodePoint(cls: number, field: number, experimenter = 0): Field | undefined {
  return byCode.get(`${cls}.${field}.${experimenter}`);
}

function named(name: string): Field {
  return byName.get(name)!;
}

// The fields by name, for code that knows which one it wants.
export const DP_HASH = named("dp_hash");
export const RECIRC_ID = named("recirc_id");
export const PACKET_TYPE = named("packet_type");
export const CONJ_ID = named("conj_id");
export const TUN_ID = named("tun_id");
export const TUN_SRC = named("tun_src");
export const TUN_DST = named("tun_dst");
export const TUN_IPV6_SRC = named("tun_ipv6_src");
export const TUN_IPV6_DST = named("tun_ipv6_dst");
export const TUN_FLAGS = named("tun_flags");
export const TUN_TTL = named("tun_ttl");
export const TUN_TOS = named("tun_tos");
export const TUN_GBP_ID = named("tun_gbp_id");
export const TUN_GBP_FLAGS = named("tun_gbp_flags");
export const TUN_ERSPAN_IDX = named("tun_erspan_idx");
export const TUN_ERSPAN_VER = named("tun_erspan_ver");
export const TUN_ERSPAN_DIR = named("tun_erspan_dir");
export const TUN_ERSPAN_HWID = named("tun_erspan_hwid");
export const TUN_GTPU_FLAGS = named("tun_gtpu_flags");
export const TUN_GTPU_MSGTYPE = named("tun_gtpu_msgtype");
export const METADATA = named("metadata");
export const IN_PORT = named("in_port");
export const IN_PORT_OXM = named("in_port_oxm");
export const ACTSET_OUTPUT = named("actset_output");
export const SKB_PRIORITY = named("skb_priority");
export const PKT_MARK = named("pkt_mark");
export const CT_STATE = named("ct_state");
export const CT_ZONE = named("ct_zone");
export const CT_MARK = named("ct_mark");
export const CT_LABEL = named("ct_label");
export const CT_NW_PROTO = named("ct_nw_proto");
export const CT_NW_SRC = named("ct_nw_src");
export const CT_NW_DST = named("ct_nw_dst");
export const CT_IPV6_SRC = named("ct_ipv6_src");
export const CT_IPV6_DST = named("ct_ipv6_dst");
export const CT_TP_SRC = named("ct_tp_src");
export const CT_TP_DST = named("ct_tp_dst");
/** reg0 to reg15. */
export const REGS: readonly Field[] = many(16, (i) => named(`reg${i}`));
/** xreg0 to xreg7. */
export const XREGS: readonly Field[] = many(8, (i) => named(`xreg${i}`));
/** xxreg0 to xxreg3. */
export const XXREGS: readonly Field[] = many(4, (i) => named(`xxreg${i}`));
export const ETH_SRC = named("eth_src");
export const ETH_DST = named("eth_dst");
export const ETH_TYPE = named("eth_type");
export const VLAN_TCI = named("vlan_tci");
export const DL_VLAN = named("dl_vlan");
export const VLAN_VID = named("vlan_vid");
export const DL_VLAN_PCP = named("dl_vlan_pcp");
export const VLAN_PCP = named("vlan_pcp");
export const MPLS_LABEL = named("mpls_label");
export const MPLS_TC = named("mpls_tc");
export const MPLS_BOS = named("mpls_bos");
export const MPLS_TTL = named("mpls_ttl");
export const IP_SRC = named("ip_src");
export const IP_DST = named("ip_dst");
export const IPV6_SRC = named("ipv6_src");
export const IPV6_DST = named("ipv6_dst");
export const IPV6_LABEL = named("ipv6_label");
export const NW_PROTO = named("nw_proto");
export const NW_TOS = named("nw_tos");
export const IP_DSCP = named("ip_dscp");
export const NW_ECN = named("nw_ecn");
export const NW_TTL = named("nw_ttl");
export const IP_FRAG = named("ip_frag");
export const ARP_OP = named("arp_op");
export const ARP_SPA = named("arp_spa");
export const ARP_TPA = named("arp_tpa");
export const ARP_SHA = named("arp_sha");
export const ARP_THA = named("arp_tha");
export const TCP_SRC = named("tcp_src");
export const TCP_DST = named("tcp_dst");
export const TCP_FLAGS = named("tcp_flags");
export const UDP_SRC = named("udp_src");
export const UDP_DST = named("udp_dst");
export const SCTP_SRC = named("sctp_src");
export const SCTP_DST = named("sctp_dst");
export const ICMP_TYPE = named("icmp_type");
export const ICMP_CODE = named("icmp_code");
export const ICMPV6_TYPE = named("icmpv6_type");
export const ICMPV6_CODE = named("icmpv6_code");
export const ND_TARGET = named("nd_target");
export const ND_SLL = named("nd_sll");
export const ND_TLL = named("nd_tll");
export const ND_RESERVED = named("nd_reserved");
export const ND_OPTIONS_TYPE = named("nd_options_type");
export const NSH_FLAGS = named("nsh_flags");
export const NSH_TTL = named("nsh_ttl");
export const NSH_MDTYPE = named("nsh_mdtype");
export const NSH_NP = named("nsh_np");
export const NSH_SPI = named("nsh_spi");
export const NSH_SI = named("nsh_si");
/** nsh_c1 to nsh_c4. */
export const NSH_C: readonly Field[] = many(4, (i) => named(`nsh_c${i + 1}`));
