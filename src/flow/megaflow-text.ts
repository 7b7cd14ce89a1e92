// A datapath flow's key and mask in text, as `ovs-appctl dpctl/dump-flows` writes them (ovs-dpctl(8)): only what is looked at.
// The values are printed as they stand in the key: OVS's userspace datapath keeps the bits that its mask wildcards.
import { formatIpv4, formatIpv6, formatMac } from "../packet/address.ts";
import { prefixLength } from "./address-text.ts";
import { formatHex } from "./field-text.ts";
import { CT_STATE_NAMES, formatFlagsMasked, TCP_FLAG_NAMES, TUN_FLAG_NAMES } from "./flags-text.ts";
import type { Flow } from "./flow.ts";
import * as L from "./layout.ts";
import { formatNshMatch } from "./nsh-text.ts";
import { formatGeneve } from "./option-text.ts";
import type { TlvMap } from "./tlv-map.ts";

const ETH_TYPE_MIN = 0x600;

/** `recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(src=..),eth_type(0x0800),ipv4(frag=no)`; "" for no bits at all. */
export function formatMegaflow(
  key: Flow,
  mask: Flow,
  portName: (no: number) => string = (no) => String(no),
  tlvMap: TlvMap | null = null,
): string {
  const out: string[] = [];
  word(out, "skb_priority", key, mask, L.O_SKB_PRIORITY);
  tunnel(out, key, mask, tlvMap);
  word(out, "skb_mark", key, mask, L.O_PKT_MARK);
  conntrack(out, key, mask);
  word(out, "recirc_id", key, mask, L.O_RECIRC_ID);
  word(out, "dp_hash", key, mask, L.O_DP_HASH);
  if (mask.get32(L.O_IN_PORT) !== 0) out.push(`in_port(${portName(key.get32(L.O_IN_PORT) & 0xffff)})`);
  const packetType = key.get32(L.O_PACKET_TYPE);
  if (mask.get32(L.O_PACKET_TYPE) !== 0) {
    out.push(`packet_type(ns=${packetType >>> 16},id=${hex(packetType & 0xffff)})`);
  }
  if (packetType !== 0) {
    payload(out, key, mask, packetType >>> 16 === 1 ? packetType & 0xffff : 0);
    return out.join(",");
  }
  attribute(out, "eth", ethernet("src", key, mask, L.O_DL_SRC) + ethernet("dst", key, mask, L.O_DL_DST));
  out.push(...behindVlans(key, mask, L.O_VLAN0));
  return out.join(",");
}

/** The tag at `at`, what it encapsulates, or what stands behind the last tag. */
function behindVlans(key: Flow, mask: Flow, at: number): string[] {
  const out: string[] = [];
  const tci = at <= L.O_VLAN1 ? key.get16(at + 2) : 0;
  const dlType = key.get16(L.O_DL_TYPE);
  // A frame that ends within its tag has the tag's type and a tag of zero.
  const isCut = tci === 0 && at === L.O_VLAN0 && (dlType === 0x8100 || dlType === 0x88a8);
  if (tci === 0 && !isCut) {
    if (dlType >= ETH_TYPE_MIN || at === L.O_VLAN0) payload(out, key, mask, dlType);
    return out;
  }
  out.push(`eth_type(0x${pad4(isCut ? dlType : key.get16(at))})`);
  const m = mask.get16(at + 2);
  if (m !== 0) {
    let text = "";
    if (tci & 0xfff || m & 0xfff) text += number("vid", tci & 0xfff, m & 0xfff, 0xfff, true);
    if (tci >>> 13 || m >>> 13) text += number("pcp", tci >>> 13, m >>> 13, 7, true);
    if (!(tci & L.VLAN_CFI)) text += "cfi=0,";
    out.push(`vlan(${chomp(text)})`);
  }
  out.push(`encap(${isCut ? "" : behindVlans(key, mask, at + 4).join(",")})`);
  return out;
}

/** eth_type and the headers after it. */
function payload(out: string[], key: Flow, mask: Flow, dlType: number): void {
  if (dlType < ETH_TYPE_MIN) {
    out.push("eth_type(0/0xffff)");
    return;
  }
  const typeMask = key.get32(L.O_PACKET_TYPE) === 0 ? mask.get16(L.O_DL_TYPE) : 0xffff;
  if (typeMask === 0xffff) out.push(`eth_type(0x${pad4(dlType)})`);
  else if (typeMask !== 0) out.push(`eth_type(0x${pad4(dlType)}/0x${pad4(typeMask)})`);
  switch (dlType) {
    case 0x0800:
      ipv4Header(out, key, mask);
      break;
    case 0x86dd:
      ipv6Header(out, key, mask);
      break;
    case 0x0806:
    case 0x8035:
      arpHeader(out, key, mask);
      return;
    case 0x8847:
    case 0x8848:
      mplsLabels(out, key, mask);
      return;
    case 0x894f:
      out.push(`nsh(${formatNshMatch(key, mask)})`);
      return;
    default:
      return;
  }
  if ((key.get8(L.O_NW_FRAG) & L.FRAG_LATER) === 0) transport(out, key, mask, dlType);
}

function ipv4Header(out: string[], key: Flow, mask: Flow): void {
  const text =
    ipv4("src", key, mask, L.O_NW_SRC) +
    ipv4("dst", key, mask, L.O_NW_DST) +
    byte("proto", key, mask, L.O_NW_PROTO) +
    byte("tos", key, mask, L.O_NW_TOS, true) +
    byte("ttl", key, mask, L.O_NW_TTL) +
    fragment(key, mask);
  attribute(out, "ipv4", text);
}

function ipv6Header(out: string[], key: Flow, mask: Flow): void {
  const label = key.get32(L.O_IPV6_LABEL);
  const labelMask = mask.get32(L.O_IPV6_LABEL) & 0xfffff;
  let text = ipv6("src", key, mask, L.O_IPV6_SRC) + ipv6("dst", key, mask, L.O_IPV6_DST);
  if (labelMask !== 0) text += `label=${hex(label)}${labelMask === 0xfffff ? "" : `/${hex(labelMask)}`},`;
  text +=
    byte("proto", key, mask, L.O_NW_PROTO) +
    byte("tclass", key, mask, L.O_NW_TOS, true) +
    byte("hlimit", key, mask, L.O_NW_TTL) +
    fragment(key, mask);
  attribute(out, "ipv6", text);
}

/** The datapath knows fragments by kind and matches the kind as a whole. */
function fragment(key: Flow, mask: Flow): string {
  if ((mask.get8(L.O_NW_FRAG) & 3) !== 3) return "";
  const frag = key.get8(L.O_NW_FRAG);
  return `frag=${frag & L.FRAG_ANY ? (frag & L.FRAG_LATER ? "later" : "first") : "no"},`;
}

function arpHeader(out: string[], key: Flow, mask: Flow): void {
  const text =
    ipv4("sip", key, mask, L.O_NW_SRC) +
    ipv4("tip", key, mask, L.O_NW_DST) +
    byte("op", key, mask, L.O_NW_PROTO) +
    ethernet("sha", key, mask, L.O_ARP_SHA) +
    ethernet("tha", key, mask, L.O_ARP_THA);
  attribute(out, "arp", text);
}

function transport(out: string[], key: Flow, mask: Flow, dlType: number): void {
  const proto = key.get8(L.O_NW_PROTO);
  const name = { 6: "tcp", 17: "udp", 132: "sctp" }[proto];
  if (name !== undefined) {
    attribute(out, name, half("src", key, mask, L.O_TP_SRC) + half("dst", key, mask, L.O_TP_DST));
    if (proto === 6) {
      const m = mask.get16(L.O_TCP_FLAGS) & 0xfff;
      if (m !== 0) {
        const flags = key.get16(L.O_TCP_FLAGS);
        out.push(`tcp_flags(${formatFlagsMasked(TCP_FLAG_NAMES, flags, m, 0xfff)})`);
      }
    }
    return;
  }
  const isIcmpv6 = dlType === 0x86dd && proto === 58;
  if (!isIcmpv6 && !(dlType === 0x0800 && proto === 1)) return;
  const typeAndCode = byte("type", key, mask, L.O_TP_SRC + 1) + byte("code", key, mask, L.O_TP_DST + 1);
  attribute(out, isIcmpv6 ? "icmpv6" : "icmp", typeAndCode);
  const type = key.get16(L.O_TP_SRC);
  const isNd = isIcmpv6 && key.get16(L.O_TP_DST) === 0 && (type === 135 || type === 136);
  if (!isNd || mask.get8(L.O_TP_SRC + 1) !== 0xff || mask.get8(L.O_TP_DST + 1) !== 0xff) return;
  const nd =
    ipv6("target", key, mask, L.O_ND_TARGET) +
    ethernet("sll", key, mask, L.O_ARP_SHA) +
    ethernet("tll", key, mask, L.O_ARP_THA);
  attribute(out, "nd", nd);
  // The rest of the message (nd_ext) is not shown by OVS, looked at or not.
}

function mplsLabels(out: string[], key: Flow, mask: Flow): void {
  // The labels up to the bottom of the stack; of a frame that ends before it, those that are not zero.
  let count = 0;
  for (let i = 0; i < 3; i++) {
    const label = key.get32(L.O_MPLS_LSE0 + 4 * i);
    if ((label & 0x100) !== 0) {
      count = i + 1;
      break;
    }
    if (label !== 0) count++;
  }
  let any = 0;
  let all = 0xffffffff;
  for (let i = 0; i < count; i++) {
    any |= mask.get32(L.O_MPLS_LSE0 + 4 * i);
    all &= mask.get32(L.O_MPLS_LSE0 + 4 * i);
  }
  if (any === 0) return;
  // One wildcarded bit and every part shows its mask, tc's and bos's without a 0x.
  const isExact = all === -1;
  let text = "";
  for (let i = 0; i < count; i++) {
    const lse = key.get32(L.O_MPLS_LSE0 + 4 * i);
    const m = mask.get32(L.O_MPLS_LSE0 + 4 * i);
    const part = (name: string, shift: number, whole: number, prefix = ""): string => {
      const value = `${name}=${(lse >>> shift) & whole}`;
      return isExact ? `${value},` : `${value}/${prefix}${((m >>> shift) & whole).toString(16)},`;
    };
    text +=
      part("label", 12, 0xfffff, "0x") + part("tc", 9, 7) + part("ttl", 0, 0xff, "0x") + part("bos", 8, 1);
  }
  out.push(`mpls(${chomp(text)})`);
}

function tunnel(out: string[], key: Flow, mask: Flow, tlvMap: TlvMap | null): void {
  const has = (at: number, size: number): boolean => {
    for (let i = at; i < at + size; i++) if (key.bytes[i] !== 0) return true;
    return false;
  };
  if (!has(L.O_TUN_SRC, 8) && !has(L.O_TUN_IPV6_SRC, 32)) return;
  const flags = key.get16(L.O_TUN_FLAGS);
  let flagsMask = mask.get16(L.O_TUN_FLAGS) & 0xf;
  const hasId = has(L.O_TUN_ID, 8) || (flags & L.TUN_FLAG_KEY) !== 0;
  let text = "";
  const idMask = formatHex(mask.bytes, 8, L.O_TUN_ID);
  if (hasId && idMask !== "0") {
    const id = formatHex(key.bytes, 8, L.O_TUN_ID);
    text += `tun_id=${id === "0" ? "0x0" : id}`;
    text += idMask === "0xffffffffffffffff" ? "," : `/${idMask},`;
  }
  if (!hasId) flagsMask &= ~L.TUN_FLAG_KEY;
  text += ipv4("src", key, mask, L.O_TUN_SRC, has(L.O_TUN_SRC, 4));
  text += ipv4("dst", key, mask, L.O_TUN_DST, has(L.O_TUN_DST, 4));
  text += ipv6("ipv6_src", key, mask, L.O_TUN_IPV6_SRC, has(L.O_TUN_IPV6_SRC, 16));
  text += ipv6("ipv6_dst", key, mask, L.O_TUN_IPV6_DST, has(L.O_TUN_IPV6_DST, 16));
  if (key.get8(L.O_TUN_TOS) !== 0) text += byte("tos", key, mask, L.O_TUN_TOS, true);
  text += byte("ttl", key, mask, L.O_TUN_TTL);
  if (key.get16(L.O_TUN_TP_SRC) !== 0) text += half("tp_src", key, mask, L.O_TUN_TP_SRC);
  if (key.get16(L.O_TUN_TP_DST) !== 0) text += half("tp_dst", key, mask, L.O_TUN_TP_DST);
  const gbp =
    (has(L.O_TUN_GBP_ID, 2) ? half("id", key, mask, L.O_TUN_GBP_ID) : "") +
    (has(L.O_TUN_GBP_FLAGS, 1) ? byte("flags", key, mask, L.O_TUN_GBP_FLAGS, true) : "");
  if (gbp !== "") text += `vxlan(gbp(${chomp(gbp)})),`;
  const options = formatGeneve(key.bytes, mask.bytes, tlvMap);
  if (options !== "") text += `${options},`;
  if (flagsMask !== 0) text += `flags(${formatFlagsMasked(TUN_FLAG_NAMES, flags & 0xf, flagsMask, 0xf)}),`;
  out.push(`tunnel(${chomp(text)})`);
}

function conntrack(out: string[], key: Flow, mask: Flow): void {
  const stateMask = mask.get8(L.O_CT_STATE);
  if (stateMask !== 0) {
    out.push(`ct_state(${formatFlagsMasked(CT_STATE_NAMES, key.get8(L.O_CT_STATE), stateMask, 0x100)})`);
  }
  const zoneMask = mask.get16(L.O_CT_ZONE);
  if (zoneMask !== 0) {
    out.push(`ct_zone(${hex(key.get16(L.O_CT_ZONE))}${zoneMask === 0xffff ? "" : `/${hex(zoneMask)}`})`);
  }
  word(out, "ct_mark", key, mask, L.O_CT_MARK);
  const labelMask = formatHex(mask.bytes, 16, L.O_CT_LABEL);
  if (labelMask !== "0") {
    const isWhole = mask.bytes.subarray(L.O_CT_LABEL, L.O_CT_LABEL + 16).every((b) => b === 0xff);
    out.push(`ct_label(${formatHex(key.bytes, 16, L.O_CT_LABEL)}${isWhole ? "" : `/${labelMask}`})`);
  }
  if (key.get8(L.O_CT_NW_PROTO) === 0) return;
  const proto = byte("proto", key, mask, L.O_CT_NW_PROTO);
  if (key.get16(L.O_DL_TYPE) === 0x0800) {
    const text =
      ipv4("src", key, mask, L.O_CT_NW_SRC) +
      ipv4("dst", key, mask, L.O_CT_NW_DST) +
      proto +
      half("tp_src", key, mask, L.O_CT_TP_SRC) +
      half("tp_dst", key, mask, L.O_CT_TP_DST);
    attribute(out, "ct_tuple4", text);
  } else if (key.get16(L.O_DL_TYPE) === 0x86dd) {
    const text =
      ipv6("src", key, mask, L.O_CT_IPV6_SRC) +
      ipv6("dst", key, mask, L.O_CT_IPV6_DST) +
      proto +
      half("src_port", key, mask, L.O_CT_TP_SRC) +
      half("dst_port", key, mask, L.O_CT_TP_DST);
    attribute(out, "ct_tuple6", text);
  }
}

/** Adds `name(parts)`, or nothing when none of its parts is looked at. */
function attribute(out: string[], name: string, parts: string): void {
  if (parts !== "") out.push(`${name}(${chomp(parts)})`);
}

function word(out: string[], name: string, key: Flow, mask: Flow, at: number): void {
  const m = mask.get32(at);
  if (m !== 0) out.push(`${name}(${hex(key.get32(at))}${m === 0xffffffff ? "" : `/${hex(m)}`})`);
}

function ipv4(name: string, key: Flow, mask: Flow, at: number, present = true): string {
  const bits = prefixLength(mask.bytes, at, 4);
  if (bits === 0 || !present) return "";
  const text = `${name}=${formatIpv4(key.bytes, at)}`;
  return bits === 32 ? `${text},` : `${text}/${formatIpv4(mask.bytes, at)},`;
}

function ipv6(name: string, key: Flow, mask: Flow, at: number, present = true): string {
  const bits = prefixLength(mask.bytes, at, 16);
  if (bits === 0 || !present) return "";
  const text = `${name}=${formatIpv6(key.bytes, at)}`;
  return bits === 128 ? `${text},` : `${text}/${formatIpv6(mask.bytes, at)},`;
}

function ethernet(name: string, key: Flow, mask: Flow, at: number): string {
  const bits = prefixLength(mask.bytes, at, 6);
  if (bits === 0) return "";
  const text = `${name}=${formatMac(key.bytes, at)}`;
  return bits === 48 ? `${text},` : `${text}/${formatMac(mask.bytes, at)},`;
}

function byte(name: string, key: Flow, mask: Flow, at: number, asHex = false): string {
  const m = mask.get8(at);
  if (m === 0) return "";
  const value = key.get8(at);
  return `${name}=${asHex ? hex(value) : value}${m === 0xff ? "" : `/${hex(m)}`},`;
}

function half(name: string, key: Flow, mask: Flow, at: number): string {
  const m = mask.get16(at);
  return m === 0 ? "" : number(name, key.get16(at), m, 0xffff, false);
}

/** `name=value,` or `name=value/0xmask,`; a zero mask is `0x0` when `padded`. */
function number(name: string, value: number, mask: number, whole: number, padded: boolean): string {
  if (mask === whole) return `${name}=${value},`;
  return `${name}=${value}/${padded ? "0x" + mask.toString(16) : hex(mask)},`;
}

/** As C's %#x. */
function hex(n: number): string {
  return n === 0 ? "0" : "0x" + n.toString(16);
}

function pad4(n: number): string {
  return n.toString(16).padStart(4, "0");
}

function chomp(text: string): string {
  return text.endsWith(",") ? text.slice(0, -1) : text;
}
