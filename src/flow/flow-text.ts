// A whole flow in text: as OVS prints it (the Flow: lines of ofproto/trace, the lines of `ovs-ofctl parse-pcap`) and as
// ofproto/trace's FLOW argument gives it (ovs-vswitchd(8), OFPROTO COMMANDS).
import { MegaflowError } from "../lib/errors.ts";
import { type Field, fieldByMatchName, NW_TOS, VLAN_VID } from "./field.ts";
import { parseFieldInto } from "./field-text.ts";
import { Flow } from "./flow.ts";
import * as L from "./layout.ts";
import { emptyMatch, PROTOCOLS, setMatchField, splitKeyValues } from "./match.ts";
import { formatMatch } from "./match-text.ts";
import { isOdpText, parseOdpFlow } from "./odp-text.ts";
import { isPresent } from "./option-bits.ts";
import { formatPort, type PortResolver } from "./port-text.ts";
import type { TlvMap } from "./tlv-map.ts";

const ETH_IP = 0x0800;
const ETH_ARP = 0x0806;
const ETH_RARP = 0x8035;
const ETH_IPV6 = 0x86dd;
const ETH_MPLS = 0x8847;
const ETH_MPLS_MCAST = 0x8848;
const ETH_NSH = 0x894f;

/** OFPP_NONE: the in_port of a flow that has none. */
const NO_PORT = 0xffff;

const $mask = new Flow();

/** Prints a flow: the fields its packet type has, and of the metadata what is not zero. `tlvMap` names its tunnel options. */
export function formatFlow(
  flow: Flow,
  portName: (no: number) => string = formatPort,
  tlvMap: TlvMap | null = null,
): string {
  $mask.clear();
  maskForPacket(flow, $mask);
  // What is zero goes without saying, registers and metadata included.
  const mask = $mask.words;
  const words = flow.words;
  for (const at of CONTEXT_WORDS) mask[at] = words[at] === 0 ? 0 : 0xffffffff;
  const f = flow.bytes;
  if (f[L.O_CT_STATE] === 0) $mask.set8(L.O_CT_STATE, 0);
  if (flow.get16(L.O_CT_ZONE) === 0) $mask.set16(L.O_CT_ZONE, 0);
  exactUnlessZero(flow, L.O_CT_LABEL, 16);
  exactUnlessZero(flow, L.O_METADATA, 8);
  if ((f[L.O_CT_STATE]! & CT_VALID) === 0 || f[L.O_CT_NW_PROTO] === 0) {
    $mask.set8(L.O_CT_NW_PROTO, 0);
    $mask.set32(L.O_CT_TP_SRC, 0);
    const dlType = flow.get16(L.O_DL_TYPE);
    if (dlType === ETH_IP) clear($mask, L.O_CT_NW_SRC, 8);
    else if (dlType === ETH_IPV6) clear($mask, L.O_CT_IPV6_SRC, 32);
  }
  return formatMatch({ flow, mask: $mask }, null, portName, { tlvMap });
}

/** The ct_state bits that say that the original direction's addresses are there. */
const CT_VALID = 0xff & ~(L.CS_TRACKED | L.CS_INVALID);

/** Words that formatFlow prints unless they are zero. */
const CONTEXT_WORDS: readonly number[] = [
  L.O_IN_PORT,
  L.O_RECIRC_ID,
  L.O_DP_HASH,
  L.O_PKT_MARK,
  L.O_SKB_PRIORITY,
  L.O_CT_MARK,
  ...Array.from({ length: 16 }, (_, i) => L.O_REGS + 4 * i),
].map((offset) => offset >> 2);

function exactUnlessZero(flow: Flow, at: number, size: number): void {
  for (let i = at; i < at + size; i++) {
    if (flow.bytes[i] !== 0) {
      $mask.setExact(at, size);
      return;
    }
  }
  clear($mask, at, size);
}

function clear(mask: Flow, at: number, size: number): void {
  mask.bytes.fill(0, at, at + size);
}

/**
 * Sets in `mask` (given clear) every bit of the fields that exist for a packet of `flow`'s type: all that its datapath
 * key may hold, less what the headers exclude. Registers and metadata stay out.
 */
export function maskForPacket(flow: Flow, mask: Flow): void {
  const m = mask.bytes;
  const hasTunnel = flow.get32(L.O_TUN_DST) !== 0 || !isZero(flow, L.O_TUN_IPV6_DST, 16);
  if (hasTunnel) {
    if (flow.get16(L.O_TUN_FLAGS) & L.TUN_FLAG_KEY) mask.setExact(L.O_TUN_ID, 8);
    mask.setExact(L.O_TUN_SRC, L.O_TUN_TP_DST + 2 - L.O_TUN_SRC);
    if (!isZero(flow, L.O_TUN_METADATA_PRESENT, 8)) {
      mask.bytes.set(
        flow.bytes.subarray(L.O_TUN_METADATA_PRESENT, L.O_TUN_METADATA),
        L.O_TUN_METADATA_PRESENT,
      );
      mask.setExact(L.O_TUN_METADATA, 256);
    }
  } else if (!isZero(flow, L.O_TUN_ID, 8)) mask.setExact(L.O_TUN_ID, 8);

  mask.setExact(L.O_IN_PORT, 12);
  mask.setExact(L.O_PKT_MARK, 8);
  m[L.O_CT_STATE] = 0xff;
  mask.setExact(L.O_CT_ZONE, 6);
  mask.setExact(L.O_CT_LABEL, 16);

  mask.setExact(L.O_PACKET_TYPE, 4);
  let dlType: number;
  if (flow.get32(L.O_PACKET_TYPE) === 0) {
    mask.setExact(L.O_DL_DST, 14);
    mask.setExact(L.O_VLAN0, flow.get16(L.O_VLAN0_TCI) === 0 ? 4 : 8);
    dlType = flow.get16(L.O_DL_TYPE);
  } else dlType = flow.get16(L.O_PACKET_TYPE + 2);

  switch (dlType) {
    case ETH_IP:
      mask.setExact(L.O_NW_SRC, 8);
      mask.setExact(L.O_CT_NW_SRC, 8);
      break;
    case ETH_IPV6:
      mask.setExact(L.O_IPV6_SRC, 32);
      mask.setExact(L.O_IPV6_LABEL, 4);
      if (isNd(flow)) {
        mask.setExact(L.O_ARP_SHA, 12);
        mask.setExact(L.O_ND_TARGET, 16);
      } else mask.setExact(L.O_CT_IPV6_SRC, 32);
      break;
    case ETH_ARP:
    case ETH_RARP:
      mask.setExact(L.O_NW_SRC, 8);
      m[L.O_NW_PROTO] = 0xff;
      mask.setExact(L.O_ARP_SHA, 12);
      return;
    case ETH_MPLS:
    case ETH_MPLS_MCAST:
      for (let at = L.O_MPLS_LSE0; at <= L.O_MPLS_LSE2; at += 4) {
        mask.setExact(at, 4);
        if (flow.get32(at) & 0x100) break;
      }
      return;
    case ETH_NSH:
      if (flow.get16(L.O_DL_TYPE) !== ETH_NSH) return;
      mask.setExact(L.O_NSH_FLAGS, 8);
      mask.setExact(L.O_NSH_CONTEXT, 16);
      break;
    default:
      return;
  }
  mask.setExact(L.O_NW_PROTO, 2);
  mask.setExact(L.O_NW_TOS, 2);
  m[L.O_CT_NW_PROTO] = 0xff;
  mask.setExact(L.O_CT_TP_SRC, 4);

  const proto = flow.get8(L.O_NW_PROTO);
  const isLater = (flow.get8(L.O_NW_FRAG) & L.FRAG_LATER) !== 0;
  if (isLater || !HAS_PORTS.has(proto)) return;
  mask.setExact(L.O_TP_SRC, 4);
  if (proto === 6) mask.set16(L.O_TCP_FLAGS, 0x0fff);
  else if (proto === 2) mask.setExact(L.O_IGMP_GROUP, 4);
}

/** Protocols whose ports, or type and code, are in the flow. */
const HAS_PORTS: ReadonlySet<number> = new Set([1, 2, 6, 17, 58, 132]);

function isZero(flow: Flow, at: number, size: number): boolean {
  for (let i = at >> 2; i < (at + size) >> 2; i++) if (flow.words[i] !== 0) return false;
  return true;
}

/** dl_type, or what takes its place in a packet without an Ethernet header. */
function etherType(flow: Flow): number {
  if (flow.get32(L.O_PACKET_TYPE) === 0) return flow.get16(L.O_DL_TYPE);
  return flow.get16(L.O_PACKET_TYPE) === 1 ? flow.get16(L.O_PACKET_TYPE + 2) : 0;
}

/** ICMPv6 neighbour solicitation or advertisement. */
function isNd(flow: Flow): boolean {
  if (flow.get8(L.O_NW_PROTO) !== 58 || etherType(flow) !== ETH_IPV6) return false;
  const type = flow.get16(L.O_TP_SRC);
  return flow.get16(L.O_TP_DST) === 0 && (type === 135 || type === 136);
}

/** Whether the flow is IP with that protocol and its header is in this packet. */
function isTransport(flow: Flow, proto: number): boolean {
  const dlType = etherType(flow);
  return (
    (dlType === ETH_IP || dlType === ETH_IPV6) &&
    flow.get8(L.O_NW_PROTO) === proto &&
    (flow.get8(L.O_NW_FRAG) & L.FRAG_LATER) === 0
  );
}

/** Whether a packet of this flow has the field (ovs-fields(7), Prerequisites). */
export function hasField(flow: Flow, field: Field): boolean {
  const dlType = etherType(flow);
  switch (field.prereq) {
    case "none":
      return true;
    case "ethernet":
      return flow.get32(L.O_PACKET_TYPE) === 0;
    case "vlan":
      return (flow.get16(L.O_VLAN0_TCI) & L.VLAN_CFI) !== 0;
    case "arp":
      return dlType === ETH_ARP || dlType === ETH_RARP;
    case "ipv4":
      return dlType === ETH_IP;
    case "ipv6":
      return dlType === ETH_IPV6;
    case "ip":
      return dlType === ETH_IP || dlType === ETH_IPV6;
    case "mpls":
      return dlType === ETH_MPLS || dlType === ETH_MPLS_MCAST;
    case "tcp":
      return isTransport(flow, 6);
    case "udp":
      return isTransport(flow, 17);
    case "sctp":
      return isTransport(flow, 132);
    case "icmpv4":
      return dlType === ETH_IP && flow.get8(L.O_NW_PROTO) === 1;
    case "icmpv6":
      return dlType === ETH_IPV6 && flow.get8(L.O_NW_PROTO) === 58;
    case "nd":
      return isNd(flow);
    case "nd_solicit":
      return isNd(flow) && flow.get16(L.O_TP_SRC) === 135;
    case "nd_advert":
      return isNd(flow) && flow.get16(L.O_TP_SRC) === 136;
    case "nsh":
      return dlType === ETH_NSH;
    case "ct":
      return (flow.get8(L.O_CT_STATE) & (L.CS_NEW | L.CS_ESTABLISHED | L.CS_REPLY_DIR)) !== 0;
  }
}

const $value = new Uint8Array(128);
const $bits = new Uint8Array(128);

/**
 * Parses ofproto/trace's FLOW argument in either of its styles: a datapath key, `in_port(1),eth(...),...`, or the style
 * of a match, as parseExactFlow does. Throws ETEXT in OVS's words.
 */
export function parseFlow(text: string, ports?: PortResolver, tlvMap: TlvMap | null = null): Flow {
  if (isOdpText(text)) {
    try {
      return parseOdpFlow(text, ports, tlvMap).flow.clone();
    } catch (error) {
      // OVS then takes it for a match and complains about that.
      if (!(error instanceof MegaflowError)) throw error;
    }
  }
  return parseExactFlow(text, ports, tlvMap);
}

/**
 * Parses a flow in the style of a match: `in_port=1,tcp,nw_src=...`. What is not given is
 * zero; a missing in_port is OFPP_NONE. Unlike in a match, each field may be set once, must be whole, and must come
 * after what it needs. Throws ETEXT in OVS's words, with the column of the item at fault.
 */
export function parseExactFlow(text: string, ports?: PortResolver, tlvMap: TlvMap | null = null): Flow {
  const match = emptyMatch();
  const { flow } = match;
  for (const { key, value, column } of splitKeyValues(text)) {
    const refuse = (what: string): MegaflowError =>
      new MegaflowError("ETEXT", `${text}: ${what}`, { column });
    const protocol = PROTOCOLS.get(key);
    if (protocol !== undefined) {
      if (flow.get16(L.O_DL_TYPE) !== 0) throw refuse("Ethernet type set multiple times");
      flow.set16(L.O_DL_TYPE, protocol[0]);
      if (protocol[1] !== 0) {
        if (flow.get8(L.O_NW_PROTO) !== 0) throw refuse("network protocol set multiple times");
        flow.set8(L.O_NW_PROTO, protocol[1]);
      }
      continue;
    }
    const named = fieldByMatchName(key);
    if (named === undefined) throw refuse(`unknown field ${key}`);
    const placed = named.option < 0 ? null : (tlvMap?.field(named.option) ?? null);
    const field = placed ?? named;
    if (!hasField(flow, field)) throw refuse(`prerequisites not met for setting ${key}`);
    if (isSet(flow, field)) throw refuse(`field ${key} set multiple times`);
    try {
      parseFieldInto(named, value, ports, $value, $bits);
    } catch (error) {
      if (!(error instanceof MegaflowError)) throw error;
      throw refuse(`bad value for ${key} (${error.message})`);
    }
    for (let i = 0; i < named.valueSize; i++) {
      if ($bits[i] !== 0xff) throw refuse(`bad value for ${key} (${value}: wildcards not allowed here)`);
    }
    // An option that the map does not have is passed over; one that is too long loses its high bytes.
    if (field.size === 0) continue;
    setMatchField(match, field, $value.subarray(named.valueSize - field.valueSize), $bits);
  }
  if (flow.get32(L.O_IN_PORT) === 0) flow.set32(L.O_IN_PORT, NO_PORT);
  if (flow.get16(L.O_VLAN0_TCI) !== 0) flow.set16(L.O_VLAN0, 0x8100);
  // The flow must not keep the mask's memory alive, nor share it.
  return flow.clone();
}

/** Whether the field's bits in the flow are not all zero. */
function isSet(flow: Flow, field: Field): boolean {
  const { offset, size, shift } = field;
  if (field.option >= 0) return isPresent(flow.bytes, field.option);
  if (field === NW_TOS) return (flow.get8(offset) & 0xfc) !== 0;
  // A tag's presence counts as part of its id.
  const bits = field === VLAN_VID ? 13 : field.bits;
  for (let i = 0; i < size; i++) {
    const low = 8 * (size - 1 - i) - shift;
    let byte = flow.bytes[offset + i]!;
    if (low >= bits || low <= -8) continue;
    if (low < 0) byte >>= -low;
    if (bits - Math.max(low, 0) < 8) byte &= (1 << (bits - Math.max(low, 0))) - 1;
    if (byte !== 0) return true;
  }
  return false;
}
