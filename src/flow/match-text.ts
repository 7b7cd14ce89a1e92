// A match as OVS prints it: the text of dump-flows, ofproto/trace's Flow: and Megaflow: lines and parse-pcap.
import { formatMac } from "../packet/address.ts";
import { formatIpv4Masked, formatIpv6Masked } from "./address-text.ts";
import { FRAG_TEXT, formatHex, formatPacketType } from "./field-text.ts";
import {
  CT_STATE_NAMES,
  formatFlags,
  formatFlagsMasked,
  TCP_FLAG_NAMES,
  TUN_FLAG_NAMES,
} from "./flags-text.ts";
import type { Flow, Match } from "./flow.ts";
import * as L from "./layout.ts";
import { isPresent } from "./option-bits.ts";
import { formatPort } from "./port-text.ts";
import type { TlvMap } from "./tlv-map.ts";

const ETH_IP = 0x0800;
const ETH_ARP = 0x0806;
const ETH_RARP = 0x8035;
const ETH_IPV6 = 0x86dd;
const ETH_NSH = 0x894f;

const IPV4_PROTOCOLS: Readonly<Record<number, string>> = {
  1: "icmp,",
  6: "tcp,",
  17: "udp,",
  132: "sctp,",
};
const IPV6_PROTOCOLS: Readonly<Record<number, string>> = {
  58: "icmp6,",
  6: "tcp6,",
  17: "udp6,",
  132: "sctp6,",
};
const OTHER_TYPES: Readonly<Record<number, string>> = {
  2054: "arp,",
  32821: "rarp,",
  34887: "mpls,",
  34888: "mplsm,",
};

/** The priority that `priority=` is left out for. */
const DEFAULT_PRIORITY = 32768;

export interface MatchTextOptions {
  /** Names the tunnel options; without it they are left out. */
  readonly tlvMap?: TlvMap | null;
  /**
   * As a match comes back over OpenFlow: only the bytes of an option's mask that the highest set bit needs, so that
   * a mask of whole low bytes looks like none.
   */
  readonly overWire?: boolean;
}

const NO_OPTIONS: MatchTextOptions = {};

/**
 * Prints a match; "" when it matches everything. `priority` is printed first unless it is null or the default, and
 * `portName` gives in_port's text (the number, or a reserved port's name, when not given).
 */
export function formatMatch(
  match: Match,
  priority: number | null = null,
  portName: (no: number) => string = formatPort,
  options: MatchTextOptions = NO_OPTIONS,
): string {
  const { flow, mask } = match;
  const f = flow.bytes;
  const m = mask.bytes;
  let s = priority !== null && priority !== DEFAULT_PRIORITY ? `priority=${priority},` : "";
  s += hex32("pkt_mark", flow, mask, L.O_PKT_MARK);
  const isMegaflow = !isZero(mask, L.O_RECIRC_ID, 4);
  s += hex32("recirc_id", flow, mask, L.O_RECIRC_ID);
  s += hex32("dp_hash", flow, mask, L.O_DP_HASH);
  if (!isZero(mask, L.O_CONJ_ID, 4)) s += `conj_id=${flow.get32(L.O_CONJ_ID)},`;
  if (!isZero(mask, L.O_SKB_PRIORITY, 4)) s += `skb_priority=${hex(flow.get32(L.O_SKB_PRIORITY))},`;
  if (!isZero(mask, L.O_ACTSET_OUTPUT, 4))
    s += `actset_output=${portName(flow.get32(L.O_ACTSET_OUTPUT) & 0xffff)},`;
  s += formatCt(flow, mask);

  // A packet type says what dl_type is, where it is not Ethernet.
  let dlType = flow.get16(L.O_DL_TYPE);
  if (!isZero(mask, L.O_PACKET_TYPE, 4)) {
    const type = flow.get32(L.O_PACKET_TYPE);
    const typeMask = mask.get32(L.O_PACKET_TYPE);
    if (type !== 0 || typeMask !== 0xffffffff || isMegaflow) {
      s += formatPacketType(type, typeMask) + ",";
      if (type >>> 16 === 1) dlType = type & 0xffff;
    }
  }

  const nwProto = f[L.O_NW_PROTO]!;
  const protoMask = m[L.O_NW_PROTO]!;
  let skipType = false;
  let skipProto = false;
  if (mask.get16(L.O_DL_TYPE) !== 0) {
    skipType = true;
    if (dlType === ETH_IP || dlType === ETH_IPV6) {
      const known = protoMask ? (dlType === ETH_IP ? IPV4_PROTOCOLS : IPV6_PROTOCOLS)[nwProto] : undefined;
      skipProto = known !== undefined;
      s += known ?? (dlType === ETH_IP ? "ip," : "ipv6,");
    } else {
      const name = OTHER_TYPES[dlType];
      if (name === undefined) skipType = false;
      else s += name;
    }
  }
  if (!isZero(mask, L.O_REGS, 64)) {
    for (let i = 0; i < 16; i++) s += hex32(`reg${i}`, flow, mask, L.O_REGS + 4 * i);
  }
  if (!isZero(mask, L.O_TUN_ID, 80)) s += formatTunnel(flow, mask, options);
  s += hex64("metadata", flow, mask, L.O_METADATA);
  if (!isZero(mask, L.O_IN_PORT, 4)) s += `in_port=${portName(flow.get32(L.O_IN_PORT) & 0xffff)},`;
  s += formatVlans(flow, mask);
  s += ethernet("dl_src", f, m, L.O_DL_SRC);
  s += ethernet("dl_dst", f, m, L.O_DL_DST);
  if (!skipType && mask.get16(L.O_DL_TYPE) !== 0) s += `dl_type=0x${pad(dlType, 4)},`;
  const isArp = dlType === ETH_ARP || dlType === ETH_RARP;
  if (dlType === ETH_IPV6) {
    s += ipv6("ipv6_src", flow, mask, L.O_IPV6_SRC);
    s += ipv6("ipv6_dst", flow, mask, L.O_IPV6_DST);
    const label = mask.get32(L.O_IPV6_LABEL);
    if (label !== 0) {
      s += `ipv6_label=0x${pad(flow.get32(L.O_IPV6_LABEL), 5)}`;
      // A match on the label fills its 32 bits; actions look at 20 of them.
      s += label === 0xffffffff ? "," : `/0x${pad(label & 0xfffff, 5)},`;
    }
  } else if (isArp) {
    s += ipv4("arp_spa", flow, mask, L.O_NW_SRC);
    s += ipv4("arp_tpa", flow, mask, L.O_NW_DST);
  } else if (dlType === ETH_NSH) {
    s += formatNsh(flow, mask);
  } else {
    s += ipv4("nw_src", flow, mask, L.O_NW_SRC);
    s += ipv4("nw_dst", flow, mask, L.O_NW_DST);
  }
  if (!skipProto && protoMask) s += isArp ? `arp_op=${nwProto},` : `nw_proto=${nwProto},`;
  if (isArp) {
    s += ethernet("arp_sha", f, m, L.O_ARP_SHA);
    s += ethernet("arp_tha", f, m, L.O_ARP_THA);
  }
  const tosMask = m[L.O_NW_TOS]!;
  if (tosMask & 0xfc) s += `nw_tos=${f[L.O_NW_TOS]! & 0xfc},`;
  if (tosMask & 3) s += `nw_ecn=${f[L.O_NW_TOS]! & 3},`;
  if (m[L.O_NW_TTL]) s += `nw_ttl=${f[L.O_NW_TTL]},`;
  if (!isZero(mask, L.O_MPLS_LSE0, 12)) s += formatMpls(flow, mask);
  const fragText = FRAG_TEXT[m[L.O_NW_FRAG]! & 3];
  if (fragText !== undefined) s += `nw_frag=${fragText[f[L.O_NW_FRAG]! & m[L.O_NW_FRAG]! & 3]},`;
  s += formatTransport(flow, mask, dlType);
  return s.endsWith(",") ? s.slice(0, -1) : s;
}

/** Ports, ICMP type and code, neighbour discovery, TCP flags. */
function formatTransport(flow: Flow, mask: Flow, dlType: number): string {
  const proto = flow.bytes[L.O_NW_PROTO]!;
  let s = "";
  let src = "tp_src";
  let dst = "tp_dst";
  const isIcmp6 = dlType === ETH_IPV6 && proto === 58;
  if (isIcmp6 || (dlType === ETH_IP && proto === 1)) {
    src = "icmp_type";
    dst = "icmp_code";
  }
  s += decimal16(src, flow, mask, L.O_TP_SRC);
  s += decimal16(dst, flow, mask, L.O_TP_DST);
  if (isIcmp6) {
    s += ipv6("nd_target", flow, mask, L.O_ND_TARGET);
    s += ethernet("nd_sll", flow.bytes, mask.bytes, L.O_ARP_SHA);
    s += ethernet("nd_tll", flow.bytes, mask.bytes, L.O_ARP_THA);
    if (!isZero(mask, L.O_IGMP_GROUP, 4)) s += `nd_reserved=${flow.get32(L.O_IGMP_GROUP)},`;
    s += decimal16("nd_options_type", flow, mask, L.O_TCP_FLAGS);
  }
  if (proto === 6 && (dlType === ETH_IP || dlType === ETH_IPV6)) {
    const flagsMask = mask.get16(L.O_TCP_FLAGS) & 0xfff;
    if (flagsMask !== 0) {
      s += `tcp_flags=${formatFlagsMasked(TCP_FLAG_NAMES, flow.get16(L.O_TCP_FLAGS), flagsMask, 0xfff)},`;
    }
  }
  return s;
}

function formatCt(flow: Flow, mask: Flow): string {
  const f = flow.bytes;
  const m = mask.bytes;
  let s = "";
  if (!isZero(mask, L.O_CT_STATE, 4)) {
    const stateMask = m[L.O_CT_STATE]!;
    if (stateMask === 0xff) s += `ct_state=${formatFlags(CT_STATE_NAMES, f[L.O_CT_STATE]!)},`;
    else if (stateMask)
      s += `ct_state=${formatFlagsMasked(CT_STATE_NAMES, f[L.O_CT_STATE]!, stateMask, 0xff)},`;
    s += decimal16("ct_zone", flow, mask, L.O_CT_ZONE);
  }
  s += hex32("ct_mark", flow, mask, L.O_CT_MARK);
  if (!isZero(mask, L.O_CT_LABEL, 16)) {
    s += `ct_label=${formatHex(f, 16, L.O_CT_LABEL)}`;
    s += isOnes(mask, L.O_CT_LABEL, 16) ? "," : `/${formatHex(m, 16, L.O_CT_LABEL)},`;
  }
  s += ipv4("ct_nw_src", flow, mask, L.O_CT_NW_SRC);
  s += ipv6("ct_ipv6_src", flow, mask, L.O_CT_IPV6_SRC);
  s += ipv4("ct_nw_dst", flow, mask, L.O_CT_NW_DST);
  s += ipv6("ct_ipv6_dst", flow, mask, L.O_CT_IPV6_DST);
  if (m[L.O_CT_NW_PROTO]) {
    s += `ct_nw_proto=${f[L.O_CT_NW_PROTO]},`;
    s += decimal16("ct_tp_src", flow, mask, L.O_CT_TP_SRC);
    s += decimal16("ct_tp_dst", flow, mask, L.O_CT_TP_DST);
  }
  return s;
}

function formatTunnel(flow: Flow, mask: Flow, options: MatchTextOptions): string {
  const f = flow.bytes;
  const m = mask.bytes;
  let s = hex64("tun_id", flow, mask, L.O_TUN_ID);
  s += ipv4("tun_src", flow, mask, L.O_TUN_SRC);
  s += ipv4("tun_dst", flow, mask, L.O_TUN_DST);
  s += ipv6("tun_ipv6_src", flow, mask, L.O_TUN_IPV6_SRC);
  s += ipv6("tun_ipv6_dst", flow, mask, L.O_TUN_IPV6_DST);
  s += decimal16("tun_gbp_id", flow, mask, L.O_TUN_GBP_ID);
  if (m[L.O_TUN_GBP_FLAGS]) s += `tun_gbp_flags=${hex(f[L.O_TUN_GBP_FLAGS]!)},`;
  if (m[L.O_TUN_TOS]) s += `tun_tos=${f[L.O_TUN_TOS]!.toString(16)},`;
  if (m[L.O_TUN_TTL]) s += `tun_ttl=${f[L.O_TUN_TTL]},`;
  const version = f[L.O_TUN_ERSPAN_VER];
  if (m[L.O_TUN_ERSPAN_VER]) s += `tun_erspan_ver=${version},`;
  if (version === 1 && !isZero(mask, L.O_TUN_ERSPAN_IDX, 4)) {
    s += `tun_erspan_idx=${hex(flow.get32(L.O_TUN_ERSPAN_IDX))},`;
  }
  if (version === 2) {
    if (m[L.O_TUN_ERSPAN_DIR]) s += `tun_erspan_dir=${f[L.O_TUN_ERSPAN_DIR]},`;
    if (m[L.O_TUN_ERSPAN_HWID]) s += `tun_erspan_hwid=${hex(f[L.O_TUN_ERSPAN_HWID]!)},`;
  }
  if (m[L.O_TUN_GTPU_FLAGS]) s += `gtpu_flags=${hex(f[L.O_TUN_GTPU_FLAGS]!)},`;
  if (m[L.O_TUN_GTPU_MSGTYPE]) s += `gtpu_msgtype=${f[L.O_TUN_GTPU_MSGTYPE]},`;
  const flagsMask = mask.get16(L.O_TUN_FLAGS) & 0xf;
  if (flagsMask)
    s += `tun_flags=${formatFlagsMasked(TUN_FLAG_NAMES, flow.get16(L.O_TUN_FLAGS) & 0xf, flagsMask, 0xf)},`;
  const { tlvMap } = options;
  if (tlvMap === undefined || tlvMap === null || isZero(mask, L.O_TUN_METADATA_PRESENT, 8)) return s;
  return s + formatTunnelOptions(flow, mask, tlvMap, options.overWire === true);
}

/** `tun_metadata0=0x1234,`; the name alone for one that must be there, `=NP` for one that must not. */
function formatTunnelOptions(flow: Flow, mask: Flow, tlvMap: TlvMap, overWire: boolean): string {
  let s = "";
  for (const { index, size } of tlvMap.list) {
    if (!isPresent(mask.bytes, index)) continue;
    s += `tun_metadata${index}`;
    const at = tlvMap.field(index)!.offset;
    if (!isPresent(flow.bytes, index)) s += "=NP";
    else if (!isZero(mask, at, size)) {
      s += `=${formatHex(flow.bytes, size, at)}`;
      const bits = mask.bytes.subarray(at, at + size);
      const from = overWire ? bits.findIndex((b) => b !== 0) : 0;
      if (!bits.subarray(from).every((b) => b === 0xff)) s += `/${formatHex(bits, size)}`;
    }
    s += ",";
  }
  return s;
}

/** Tags as dl_vlan and dl_vlan_pcp where the mask allows it, the inner one with a 1 after the name. */
function formatVlans(flow: Flow, mask: Flow): string {
  let s = "";
  for (let i = 0; i < 2; i++) {
    const at = i === 0 ? L.O_VLAN0_TCI : L.O_VLAN1_TCI;
    const m = mask.get16(at);
    if (m === 0) break;
    const tci = flow.get16(at);
    const suffix = i === 0 ? "" : "1";
    const vid = m & 0x0fff;
    const pcp = m & 0xe000;
    const whole = (vid === 0 || vid === 0x0fff) && (pcp === 0 || pcp === 0xe000) && (vid | pcp) !== 0;
    if (m & L.VLAN_CFI && tci & L.VLAN_CFI && whole) {
      if (vid) s += `dl_vlan${suffix}=${tci & 0x0fff},`;
      if (pcp) s += `dl_vlan_pcp${suffix}=${tci >>> 13},`;
    } else if (m === 0xffff) s += `vlan_tci${suffix}=0x${pad(tci, 4)},`;
    else s += `vlan_tci${suffix}=0x${pad(tci, 4)}/0x${pad(m, 4)},`;
  }
  return s;
}

function formatMpls(flow: Flow, mask: Flow): string {
  const lse = flow.get32(L.O_MPLS_LSE0);
  const m = mask.get32(L.O_MPLS_LSE0);
  let s = "";
  if (m >>> 12) s += `mpls_label=${lse >>> 12},`;
  if (m & 0xe00) s += `mpls_tc=${(lse >>> 9) & 7},`;
  if (m & 0xff) s += `mpls_ttl=${lse & 0xff},`;
  if (m & 0x100) s += `mpls_bos=${(lse >>> 8) & 1},`;
  s += lseWord("mpls_lse1", flow, mask, L.O_MPLS_LSE1);
  s += lseWord("mpls_lse2", flow, mask, L.O_MPLS_LSE2);
  return s;
}

function formatNsh(flow: Flow, mask: Flow): string {
  const f = flow.bytes;
  const m = mask.bytes;
  let s = decimal8("nsh_flags", f, m, L.O_NSH_FLAGS);
  s += decimal8("nsh_ttl", f, m, L.O_NSH_TTL);
  s += decimal8("nsh_mdtype", f, m, L.O_NSH_MDTYPE);
  s += decimal8("nsh_np", f, m, L.O_NSH_NP);
  const path = flow.get32(L.O_NSH_PATH_HDR);
  const spiMask = mask.get32(L.O_NSH_PATH_HDR) >>> 8;
  if (spiMask)
    s += `nsh_spi=0x${(path >>> 8).toString(16)}${spiMask === 0xffffff ? "" : `/0x${spiMask.toString(16)}`},`;
  s += decimal8("nsh_si", f, m, L.O_NSH_PATH_HDR + 3);
  if (m[L.O_NSH_MDTYPE] === 0xff && f[L.O_NSH_MDTYPE] === 1) {
    for (let i = 0; i < 4; i++) {
      const at = L.O_NSH_CONTEXT + 4 * i;
      const word = mask.get32(at);
      if (word === 0) continue;
      s += `nsh_c${i + 1}=0x${flow.get32(at).toString(16)}`;
      s += word === 0xffffffff ? "," : `/0x${word.toString(16)},`;
    }
  }
  return s;
}

function ipv4(name: string, flow: Flow, mask: Flow, at: number): string {
  return isZero(mask, at, 4) ? "" : `${name}=${formatIpv4Masked(flow.bytes, mask.bytes, at)},`;
}

function ipv6(name: string, flow: Flow, mask: Flow, at: number): string {
  return isZero(mask, at, 16) ? "" : `${name}=${formatIpv6Masked(flow.bytes, mask.bytes, at)},`;
}

function ethernet(name: string, f: Uint8Array, m: Uint8Array, at: number): string {
  let or = 0;
  let and = 0xff;
  for (let i = at; i < at + 6; i++) {
    or |= m[i]!;
    and &= m[i]!;
  }
  if (or === 0) return "";
  const text = `${name}=${formatMac(f, at)}`;
  return and === 0xff ? `${text},` : `${text}/${formatMac(m, at)},`;
}

/** As C's %#x: no 0x before a zero. */
function hex(n: number): string {
  return n === 0 ? "0" : "0x" + n.toString(16);
}

function pad(n: number, width: number): string {
  return n.toString(16).padStart(width, "0");
}

function hex32(name: string, flow: Flow, mask: Flow, at: number): string {
  if (isZero(mask, at, 4)) return "";
  const m = mask.get32(at);
  const text = `${name}=${hex(flow.get32(at))}`;
  return m === 0xffffffff ? `${text},` : `${text}/${hex(m)},`;
}

function hex64(name: string, flow: Flow, mask: Flow, at: number): string {
  if (isZero(mask, at, 8)) return "";
  const text = `${name}=${formatHex(flow.bytes, 8, at)}`;
  return isOnes(mask, at, 8) ? `${text},` : `${text}/${formatHex(mask.bytes, 8, at)},`;
}

function decimal8(name: string, f: Uint8Array, m: Uint8Array, at: number): string {
  if (m[at] === 0) return "";
  return m[at] === 0xff ? `${name}=${f[at]},` : `${name}=0x${pad(f[at]!, 2)}/0x${pad(m[at]!, 2)},`;
}

function decimal16(name: string, flow: Flow, mask: Flow, at: number): string {
  const m = mask.get16(at);
  if (m === 0) return "";
  const value = flow.get16(at);
  return m === 0xffff ? `${name}=${value},` : `${name}=0x${value.toString(16)}/0x${m.toString(16)},`;
}

function lseWord(name: string, flow: Flow, mask: Flow, at: number): string {
  const m = mask.get32(at);
  if (m === 0) return "";
  const value = flow.get32(at);
  return m === 0xffffffff ? `${name}=${value},` : `${name}=0x${pad(value, 8)}/0x${pad(m, 8)},`;
}

/** Whether `size` bytes of a mask are all zero, all one. Sizes that are multiples of 4 at such offsets are read as words. */
function isZero(mask: Flow, at: number, size: number): boolean {
  const words = mask.words;
  for (let i = at >> 2; i < (at + size) >> 2; i++) if (words[i] !== 0) return false;
  return true;
}

function isOnes(mask: Flow, at: number, size: number): boolean {
  const words = mask.words;
  for (let i = at >> 2; i < (at + size) >> 2; i++) if (words[i] !== 0xffffffff) return false;
  return true;
}
