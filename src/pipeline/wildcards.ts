// What a translation un-wildcards besides what the tables looked at: fields that are always examined, prerequisites of
// header writes, and the clean-up at the end. A mask is a Flow whose set bits were looked at.
import { type Flow, ZEROS } from "../flow/flow.ts";
import {
  FRAG_LATER,
  KEY_SIZE,
  O_DL_DST,
  O_DL_TYPE,
  O_IN_PORT,
  O_MPLS_LSE0,
  O_NSH_FLAGS,
  O_NSH_PATH_HDR,
  O_NW_FRAG,
  O_NW_PROTO,
  O_NW_TOS,
  O_PACKET_TYPE,
  O_RECIRC_ID,
  O_TP_DST,
  O_TP_SRC,
  O_TUN_DST,
  O_TUN_FLAGS,
  O_TUN_ID,
  O_TUN_IPV6_DST,
  O_TUN_IPV6_SRC,
  O_TUN_SRC,
  O_TUN_TOS,
  O_VLAN0,
  O_VLAN0_TCI,
  O_VLAN1,
  O_VLAN1_TCI,
  TUN_FLAG_CSUM,
  TUN_FLAG_DF,
  TUN_FLAG_KEY,
  VLAN_CFI,
} from "../flow/layout.ts";

export const ETH_IP = 0x0800;
export const ETH_ARP = 0x0806;
export const ETH_RARP = 0x8035;
export const ETH_IPV6 = 0x86dd;
export const ETH_MPLS = 0x8847;
export const ETH_MPLS_MC = 0x8848;
export const ETH_NSH = 0x894f;
export const ETH_VLAN = 0x8100;
export const ETH_VLAN_AD = 0x88a8;

export const PROTO_ICMP = 1;
export const PROTO_TCP = 6;
export const PROTO_UDP = 17;
export const PROTO_ICMPV6 = 58;
export const PROTO_SCTP = 132;

export const isIpType = (dlType: number): boolean => dlType === ETH_IP || dlType === ETH_IPV6;
export const isMplsType = (dlType: number): boolean => dlType === ETH_MPLS || dlType === ETH_MPLS_MC;
export const isVlanType = (tpid: number): boolean => tpid === ETH_VLAN || tpid === ETH_VLAN_AD;

export function isIpAny(flow: Flow): boolean {
  return isIpType(flow.get16(O_DL_TYPE));
}

/** Whether the frame came with a tunnel header (its destination is set). */
export function hasTunnel(flow: Flow): boolean {
  const w = flow.words;
  const v6 = O_TUN_IPV6_DST >> 2;
  return (w[O_TUN_DST >> 2]! | w[v6]! | w[v6 + 1]! | w[v6 + 2]! | w[v6 + 3]!) !== 0;
}

/** Starts a mask: the fields that OVS always examines. */
export function initWildcards(wc: Flow, flow: Flow): void {
  const w = wc.words;
  w[O_IN_PORT >> 2] = 0xffffffff;
  w[O_RECIRC_ID >> 2] = 0xffffffff;
  w[O_PACKET_TYPE >> 2] = 0xffffffff;
  wc.set16(O_DL_TYPE, 0xffff);
  if (isIpAny(flow)) wc.set8(O_NW_FRAG, 0x3);
  if (hasTunnel(flow)) initTunnelWildcards(wc, flow);
}

function initTunnelWildcards(wc: Flow, flow: Flow): void {
  wc.setExact(O_TUN_ID, 8);
  if (flow.get32(O_TUN_DST) !== 0) {
    wc.setExact(O_TUN_SRC, 4);
    wc.setExact(O_TUN_DST, 4);
  } else {
    wc.setExact(O_TUN_IPV6_SRC, 16);
    wc.setExact(O_TUN_IPV6_DST, 16);
  }
  wc.set16(O_TUN_FLAGS, TUN_FLAG_DF | TUN_FLAG_CSUM | TUN_FLAG_KEY);
  wc.set8(O_TUN_TOS, 0xff);
  if (isIpAny(flow) && (flow.get8(O_TUN_TOS) & 3) === 3) wc.bytes[O_NW_TOS]! |= 3;
}

const NO_REGISTERS = ZEROS.subarray(KEY_SIZE >> 2);
const NOTHING_FROM_TUNNEL = ZEROS.subarray(O_TUN_ID >> 2);
const NO_NSH = ZEROS.subarray(O_NSH_FLAGS >> 2, O_TUN_ID >> 2);

/** Ends a mask: `flow` as the actions left it, `original` as the datapath gave it. Only datapath fields stay. */
export function finishWildcards(wc: Flow, flow: Flow, original: Flow): void {
  // What the frame did not come with cannot have been looked at: writes set these bits.
  if (hasTunnel(original)) wc.clearWords(KEY_SIZE >> 2, NO_REGISTERS);
  else wc.clearWords(O_TUN_ID >> 2, NOTHING_FROM_TUNNEL);
  if (!isMplsType(original.get16(O_DL_TYPE))) {
    wc.words[O_MPLS_LSE0 >> 2] = 0;
    wc.words[(O_MPLS_LSE0 >> 2) + 1] = 0;
    wc.words[(O_MPLS_LSE0 >> 2) + 2] = 0;
  }
  if (original.get16(O_DL_TYPE) !== ETH_NSH) wc.clearWords(O_NSH_FLAGS >> 2, NO_NSH);
  if (original.get32(O_PACKET_TYPE) !== 0) wc.bytes.fill(0, O_DL_DST, O_DL_TYPE);

  const dlType = flow.get16(O_DL_TYPE);
  const proto = flow.get8(O_NW_PROTO);
  if ((isIpType(dlType) && proto === PROTO_ICMP) || (dlType === ETH_IPV6 && proto === PROTO_ICMPV6)) {
    wc.bytes[O_TP_SRC] = 0;
    wc.bytes[O_TP_DST] = 0;
  }
  if (wc.get16(O_VLAN0_TCI) !== 0) wc.set16(O_VLAN0_TCI, wc.get16(O_VLAN0_TCI) | VLAN_CFI);
  if (wc.get16(O_VLAN1_TCI) !== 0) wc.set16(O_VLAN1_TCI, wc.get16(O_VLAN1_TCI) | VLAN_CFI);
  if ((flow.get8(O_NW_FRAG) & FRAG_LATER) !== 0) wc.words[O_TP_SRC >> 2] = 0;

  if (!isVlanType(original.get16(O_VLAN0))) wc.words[O_VLAN0 >> 2] = 0;
  if (!isVlanType(original.get16(O_VLAN1))) wc.words[O_VLAN1 >> 2] = 0;
}

/**
 * The mask as it is installed. A key cannot say "with or without a VLAN tag": when the tag was not looked at, the
 * datapath matches it exactly, absence included, as OVS's userspace datapath does. A second tag is treated alike, where
 * OVS lets frames with one tag and with two share a megaflow, although pushing and popping tell them apart.
 */
export function installableWildcards(wc: Flow, original: Flow): void {
  // The kind of tag that is there is always part of the key.
  if ((original.get16(O_VLAN0_TCI) & VLAN_CFI) !== 0) wc.set16(O_VLAN0, 0xffff);
  if ((original.get16(O_VLAN1_TCI) & VLAN_CFI) !== 0) wc.set16(O_VLAN1, 0xffff);
  if (wc.get16(O_VLAN0_TCI) === 0) wc.set16(O_VLAN0_TCI, 0x1fff);
  if ((original.get16(O_VLAN0_TCI) & VLAN_CFI) !== 0 && wc.get16(O_VLAN1_TCI) === 0)
    wc.set16(O_VLAN1_TCI, 0x1fff);
  // Dumps show an NSH by its metadata type, looked at or not: this zero stands in the same block, and keeps it.
  if (original.get16(O_DL_TYPE) === ETH_NSH) wc.set32(O_NSH_PATH_HDR + 4, 0xffffffff);
}
