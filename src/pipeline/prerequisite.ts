// Prerequisites of header fields (ovs-fields(7)): a write to a field that the frame does not have is ignored, and
// checking for it un-wildcards what was looked at.
import type { Field, Prerequisite } from "../flow/field.ts";
import type { Flow } from "../flow/flow.ts";
import {
  CS_ESTABLISHED,
  CS_NEW,
  CS_REPLY_DIR,
  FRAG_LATER,
  O_CT_STATE,
  O_DL_TYPE,
  O_NW_FRAG,
  O_NW_PROTO,
  O_PACKET_TYPE,
  O_TP_DST,
  O_TP_SRC,
  O_VLAN0_TCI,
  VLAN_CFI,
} from "../flow/layout.ts";
import {
  ETH_ARP,
  ETH_IP,
  ETH_IPV6,
  ETH_RARP,
  isIpType,
  isMplsType,
  PROTO_ICMP,
  PROTO_ICMPV6,
  PROTO_SCTP,
  PROTO_TCP,
  PROTO_UDP,
} from "./wildcards.ts";

export const PRE_NONE = 0;
export const PRE_VLAN = 1;
export const PRE_IPV4 = 2;
export const PRE_IPV6 = 3;
export const PRE_IP = 4;
export const PRE_ARP = 5;
export const PRE_MPLS = 6;
export const PRE_TCP = 7;
export const PRE_UDP = 8;
export const PRE_SCTP = 9;
export const PRE_ICMP = 10;
export const PRE_ICMPV6 = 11;
export const PRE_ND = 12;
export const PRE_ND_SOLICIT = 13;
export const PRE_ND_ADVERT = 14;
export const PRE_NSH = 15;
export const PRE_ETHERNET = 16;
export const PRE_CT = 17;

const CT_VALID = CS_NEW | CS_ESTABLISHED | CS_REPLY_DIR;

const CODES: Readonly<Record<Prerequisite, number>> = {
  none: PRE_NONE,
  ethernet: PRE_ETHERNET,
  ct: PRE_CT,
  vlan: PRE_VLAN,
  ipv4: PRE_IPV4,
  ipv6: PRE_IPV6,
  ip: PRE_IP,
  arp: PRE_ARP,
  mpls: PRE_MPLS,
  tcp: PRE_TCP,
  udp: PRE_UDP,
  sctp: PRE_SCTP,
  icmpv4: PRE_ICMP,
  icmpv6: PRE_ICMPV6,
  nd: PRE_ND,
  nd_solicit: PRE_ND_SOLICIT,
  nd_advert: PRE_ND_ADVERT,
  nsh: PRE_NSH,
};

/** PRE_* of a field. */
export function prerequisiteOf(field: Field): number {
  return CODES[field.prereq];
}

/** Whether `flow` has what PRE_* asks for; bits that had to be looked at are set in `wc`. */
export function prerequisiteMet(pre: number, flow: Flow, wc: Flow): boolean {
  switch (pre) {
    case PRE_NONE:
      return true;
    case PRE_ETHERNET: // packet_type is always looked at
      return flow.get32(O_PACKET_TYPE) === 0;
    case PRE_VLAN:
      if (flow.get32(O_PACKET_TYPE) !== 0) return false;
      wc.set16(O_VLAN0_TCI, wc.get16(O_VLAN0_TCI) | VLAN_CFI);
      return (flow.get16(O_VLAN0_TCI) & VLAN_CFI) !== 0;
    case PRE_IPV4:
      return flow.get16(O_DL_TYPE) === ETH_IP;
    case PRE_IPV6:
      return flow.get16(O_DL_TYPE) === ETH_IPV6;
    case PRE_IP:
      return isIpType(flow.get16(O_DL_TYPE));
    case PRE_ARP: {
      const type = flow.get16(O_DL_TYPE);
      return type === ETH_ARP || type === ETH_RARP;
    }
    case PRE_MPLS:
      return isMplsType(flow.get16(O_DL_TYPE));
    case PRE_TCP:
      return isTransport(flow, wc, PROTO_TCP);
    case PRE_UDP:
      return isTransport(flow, wc, PROTO_UDP);
    case PRE_SCTP:
      return isTransport(flow, wc, PROTO_SCTP);
    case PRE_ICMP:
      if (flow.get16(O_DL_TYPE) !== ETH_IP) return false;
      wc.set8(O_NW_PROTO, 0xff);
      return flow.get8(O_NW_PROTO) === PROTO_ICMP;
    case PRE_ICMPV6:
      return isIcmpv6(flow, wc);
    case PRE_ND:
      return isNd(flow, wc);
    case PRE_CT: // the bits that OVS asks: an ICMP error that is only related has no original tuple for it
      wc.set8(O_CT_STATE, wc.get8(O_CT_STATE) | CT_VALID);
      return (flow.get8(O_CT_STATE) & CT_VALID) !== 0;
    case PRE_ND_SOLICIT:
      return isNd(flow, wc) && flow.get16(O_TP_SRC) === 135;
    case PRE_ND_ADVERT:
      return isNd(flow, wc) && flow.get16(O_TP_SRC) === 136;
    default:
      return flow.get16(O_DL_TYPE) === 0x894f;
  }
}

function isTransport(flow: Flow, wc: Flow, proto: number): boolean {
  if (!isIpType(flow.get16(O_DL_TYPE))) return false;
  wc.set8(O_NW_PROTO, 0xff);
  return flow.get8(O_NW_PROTO) === proto && (flow.get8(O_NW_FRAG) & FRAG_LATER) === 0;
}

function isIcmpv6(flow: Flow, wc: Flow): boolean {
  if (flow.get16(O_DL_TYPE) !== ETH_IPV6) return false;
  wc.set8(O_NW_PROTO, 0xff);
  return flow.get8(O_NW_PROTO) === PROTO_ICMPV6;
}

function isNd(flow: Flow, wc: Flow): boolean {
  if (!isIcmpv6(flow, wc)) return false;
  wc.setExact(O_TP_DST, 2);
  if (flow.get16(O_TP_DST) !== 0) return false;
  wc.setExact(O_TP_SRC, 2);
  const type = flow.get16(O_TP_SRC);
  return type === 135 || type === 136;
}

const L3_FIELDS = new Set([
  "ip_src",
  "ip_dst",
  "ipv6_src",
  "ipv6_dst",
  "ipv6_label",
  "nw_tos",
  "ip_dscp",
  "nw_ecn",
  "nw_ttl",
]);

/** 1: writing the field looks at an IP frame's protocol, 2: at an ARP frame's opcode, 0: neither. */
export function protocolMaskOf(field: Field): number {
  return L3_FIELDS.has(field.name) ? 1 : field.prereq === "arp" ? 2 : 0;
}

/** Un-wildcards nw_proto as `protocolMaskOf` says: the datapath only rewrites headers of a known protocol. */
export function maskProtocol(kind: number, flow: Flow, wc: Flow): void {
  const type = flow.get16(O_DL_TYPE);
  if (kind === 1 ? isIpType(type) : type === ETH_ARP) wc.set8(O_NW_PROTO, 0xff);
}
