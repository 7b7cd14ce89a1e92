// What packets that match a flow are known to have, as OVS's checks of actions see it (ovs-fields(7), "Prerequisites").

import type { Prerequisite } from "../../flow/field.ts";
import type { Flow, Match } from "../../flow/flow.ts";
import * as L from "../../flow/layout.ts";

const ETH_IP = 0x0800;
const ETH_ARP = 0x0806;
const ETH_RARP = 0x8035;
const ETH_IPV6 = 0x86dd;
const ETH_NSH = 0x894f;
const CFI = 0x1000;

/** The match at hand says `ct_state=+trk-inv`. */
let $isNotInvalid = false;
/** See `uncoverType`. */
let $uncovered = 0;
let $isUncoveredUsed = false;

/** Begins with the actions of another match. */
export function startOf(match: Match): void {
  const ctState = match.flow.get8(L.O_CT_STATE);
  $isNotInvalid =
    (ctState & L.CS_TRACKED) !== 0 && (match.mask.get8(L.O_CT_STATE) & ~ctState & L.CS_INVALID) !== 0;
  $uncovered = 0;
  $isUncoveredUsed = false;
}

/**
 * An Ethernet header comes before a packet that had none. ovs-ofctl goes on with the type that packet_type said, but a switch
 * does not know it; `isUncoveredUsed` tells whether anything has depended on it.
 */
export function uncoverType(flow: Flow): void {
  const packetType = flow.get32(L.O_PACKET_TYPE);
  if (packetType >>> 16 !== 1 || flow.get16(L.O_DL_TYPE) !== 0) return;
  $uncovered = packetType & 0xffff;
  flow.set16(L.O_DL_TYPE, $uncovered);
}

/** What `uncoverType` has brought to light; 0 for nothing. Nested actions begin with it, and leave it as it was. */
export function uncoveredType(): number {
  return $uncovered;
}

export function setUncoveredType(type: number): void {
  $uncovered = type;
}

export function isUncoveredUsed(): boolean {
  return $isUncoveredUsed;
}

export function isIp(flow: Flow): boolean {
  const dlType = typeOf(flow);
  return dlType === ETH_IP || dlType === ETH_IPV6;
}

/** Any of these bits says that there is a connection. */
const CS_OF_CONNECTION =
  L.CS_NEW | L.CS_ESTABLISHED | L.CS_RELATED | L.CS_REPLY_DIR | L.CS_SRC_NAT | L.CS_DST_NAT;

/** Whether connection tracking's original tuple is known. */
export function isCtKnown(flow: Flow): boolean {
  return (flow.get8(L.O_CT_STATE) & CS_OF_CONNECTION) !== 0 || $isNotInvalid;
}

/** The Ethernet type, which for packets without an Ethernet header is in packet_type. */
export function typeOf(flow: Flow): number {
  const packetType = flow.get32(L.O_PACKET_TYPE);
  if (packetType === 0) return flow.get16(L.O_DL_TYPE);
  return packetType >>> 16 === 1 ? packetType & 0xffff : 0;
}

/** Prerequisites that are not about the type. */
const ANY_TYPE: ReadonlySet<Prerequisite> = new Set(["none", "ethernet", "vlan", "ct"]);

/** Whether packets that match `flow` have the fields that `prereq` stands for. */
export function isPresent(prereq: Prerequisite, flow: Flow): boolean {
  const dlType = typeOf(flow);
  if (dlType === $uncovered && $uncovered !== 0 && !ANY_TYPE.has(prereq)) $isUncoveredUsed = true;
  const isIpv4 = dlType === ETH_IP;
  const isIpv6 = dlType === ETH_IPV6;
  const isIp = isIpv4 || isIpv6;
  const proto = flow.get8(L.O_NW_PROTO);
  const notLater = (flow.get8(L.O_NW_FRAG) & L.FRAG_LATER) === 0;
  switch (prereq) {
    case "none":
      return true;
    case "ethernet":
      return flow.get32(L.O_PACKET_TYPE) === 0;
    case "vlan":
      return flow.get32(L.O_PACKET_TYPE) === 0 && (flow.get16(L.O_VLAN0_TCI) & CFI) !== 0;
    case "arp":
      return dlType === ETH_ARP || dlType === ETH_RARP;
    case "ipv4":
      return isIpv4;
    case "ipv6":
      return isIpv6;
    case "ip":
      return isIp;
    case "mpls":
      return dlType === 0x8847 || dlType === 0x8848;
    case "tcp":
      return isIp && proto === 6 && notLater;
    case "udp":
      return isIp && proto === 17 && notLater;
    case "sctp":
      return isIp && proto === 132 && notLater;
    case "icmpv4":
      return isIpv4 && proto === 1;
    case "icmpv6":
      return isIpv6 && proto === 58;
    case "nd":
      return isIpv6 && proto === 58 && flow.get16(L.O_TP_DST) === 0 && isNdType(flow, 135, 136);
    case "nd_solicit":
      return isIpv6 && proto === 58 && flow.get16(L.O_TP_DST) === 0 && isNdType(flow, 135, 135);
    case "nd_advert":
      return isIpv6 && proto === 58 && flow.get16(L.O_TP_DST) === 0 && isNdType(flow, 136, 136);
    case "nsh":
      return dlType === ETH_NSH;
    case "ct":
      return isCtKnown(flow);
  }
}

function isNdType(flow: Flow, low: number, high: number): boolean {
  const type = flow.get16(L.O_TP_SRC);
  return type >= low && type <= high;
}
