// The named sets of fields that bundle, multipath and select groups hash (ovs-actions(7), bundle): what they un-wildcard
// and their hash. Both directions of a connection have the same symmetric hash.
import type { Flow } from "../flow/flow.ts";
import {
  O_DL_DST,
  O_DL_SRC,
  O_DL_TYPE,
  O_IPV6_DST,
  O_IPV6_SRC,
  O_NW_DST,
  O_NW_FRAG,
  O_NW_PROTO,
  O_NW_SRC,
  O_TP_DST,
  O_TP_SRC,
  O_VLAN0_TCI,
  O_VLAN1_TCI,
  VLAN_CFI,
} from "../flow/layout.ts";
import { hashAdd, hashFinish, jhashBytes } from "./flow-hash.ts";
import { ETH_IP, ETH_IPV6, isIpType, PROTO_SCTP, PROTO_TCP, PROTO_UDP } from "./wildcards.ts";

export function maskHashFields(flow: Flow, wc: Flow, fields: string): void {
  const type = flow.get16(O_DL_TYPE);
  switch (fields) {
    case "eth_src":
      wc.setExact(O_DL_SRC, 6);
      return;
    case "nw_src":
      maskAddress(type, wc, O_NW_SRC, O_IPV6_SRC);
      return;
    case "nw_dst":
      maskAddress(type, wc, O_NW_DST, O_IPV6_DST);
      return;
    case "symmetric_l3":
      maskAddress(type, wc, O_NW_SRC, O_IPV6_SRC);
      maskAddress(type, wc, O_NW_DST, O_IPV6_DST);
      return;
    case "symmetric_l3l4":
    case "symmetric_l3l4+udp": {
      maskAddress(type, wc, O_NW_SRC, O_IPV6_SRC);
      maskAddress(type, wc, O_NW_DST, O_IPV6_DST);
      if (!isIpType(type)) {
        // Hashed by layer 2 then. OVS forgets to say so.
        wc.setExact(O_DL_DST, 12);
        wc.set16(O_VLAN0_TCI, wc.get16(O_VLAN0_TCI) | 0x0fff | VLAN_CFI);
        wc.set16(O_VLAN1_TCI, wc.get16(O_VLAN1_TCI) | 0x0fff | VLAN_CFI);
        return;
      }
      wc.set8(O_NW_PROTO, 0xff);
      if (hasPorts(flow, fields)) wc.setExact(O_TP_SRC, 4);
      return;
    }
    default: // symmetric_l4
      wc.setExact(O_DL_DST, 12);
      maskAddress(type, wc, O_NW_SRC, O_IPV6_SRC);
      maskAddress(type, wc, O_NW_DST, O_IPV6_DST);
      if (isIpType(type)) {
        wc.set8(O_NW_PROTO, 0xff);
        // As in OVS: all but UDP's, though only those of TCP and SCTP are hashed.
        if (flow.get8(O_NW_PROTO) !== PROTO_UDP) wc.setExact(O_TP_SRC, 4);
      }
      wc.set16(O_VLAN0_TCI, wc.get16(O_VLAN0_TCI) | 0x0fff | VLAN_CFI);
      wc.set16(O_VLAN1_TCI, wc.get16(O_VLAN1_TCI) | 0x0fff | VLAN_CFI);
  }
}

function maskAddress(type: number, wc: Flow, v4: number, v6: number): void {
  if (type === ETH_IP) wc.setExact(v4, 4);
  else if (type === ETH_IPV6) wc.setExact(v6, 16);
}

/** Whether ports are hashed: never those of a fragment, not even of the first. */
function hasPorts(flow: Flow, fields: string): boolean {
  if (flow.get8(O_NW_FRAG) !== 0) return false;
  const proto = flow.get8(O_NW_PROTO);
  return (
    proto === PROTO_TCP || proto === PROTO_SCTP || (proto === PROTO_UDP && fields === "symmetric_l3l4+udp")
  );
}

export function hashFlowFields(flow: Flow, fields: string, basis: number): number {
  const { bytes } = flow;
  switch (fields) {
    case "eth_src":
      return jhashBytes(bytes.subarray(O_DL_SRC, O_DL_SRC + 6), basis);
    case "nw_src":
      return hashAddress(flow, O_NW_SRC, O_IPV6_SRC, basis);
    case "nw_dst":
      return hashAddress(flow, O_NW_DST, O_IPV6_DST, basis);
    case "symmetric_l3":
      return hashSymmetricL3(flow, basis);
    case "symmetric_l3l4":
    case "symmetric_l3l4+udp":
      return hashLayers34(flow, fields, basis);
    default:
      return hashSymmetricL4(flow, basis);
  }
}

function hashAddress(flow: Flow, v4: number, v6: number, basis: number): number {
  const type = flow.get16(O_DL_TYPE);
  if (type === ETH_IP) return jhashBytes(flow.bytes.subarray(v4, v4 + 4), basis);
  if (type === ETH_IPV6) return jhashBytes(flow.bytes.subarray(v6, v6 + 16), basis);
  return basis;
}

/** What is not IP: its addresses XOR-ed, its VLANs, its EtherType. */
function hashLayer2(flow: Flow, basis: number): number {
  const { bytes } = flow;
  const xor = (i: number): number => bytes[O_DL_SRC + i]! ^ bytes[O_DL_DST + i]!;
  const vid = (flow.get16(O_VLAN0_TCI) ^ flow.get16(O_VLAN1_TCI)) & 0x0fff;
  const words = [bytes[O_DL_TYPE]!, bytes[O_DL_TYPE + 1]!, vid >>> 8, vid & 0xff];
  for (let i = 0; i < 6; i++) words.push(xor(i));
  let hash = basis;
  for (let i = 0; i < 12; i += 4) {
    const [a = 0, b = 0, c = 0, d = 0] = words.slice(i, i + 4);
    hash = hashAdd(hash, a | (b << 8) | (c << 16) | (d << 24));
  }
  return hashFinish(hash, basis);
}

function hashLayers34(flow: Flow, fields: string, basis: number): number {
  const type = flow.get16(O_DL_TYPE);
  const w = flow.words;
  let hash = basis;
  if (type === ETH_IP) {
    hash = hashAdd(hash, w[O_NW_SRC >> 2]! ^ w[O_NW_DST >> 2]!);
  } else if (type === ETH_IPV6) {
    for (let i = 0; i < 4; i++) hash = hashAdd(hash, w[(O_IPV6_SRC >> 2) + i]! ^ w[(O_IPV6_DST >> 2) + i]!);
  } else {
    return hashLayer2(flow, basis);
  }
  hash = hashAdd(hash, flow.get8(O_NW_PROTO));
  if (hasPorts(flow, fields)) {
    const b = flow.bytes;
    hash = hashAdd(hash, (b[O_TP_SRC]! ^ b[O_TP_DST]!) | ((b[O_TP_SRC + 1]! ^ b[O_TP_DST + 1]!) << 8));
  }
  return hashFinish(hash, basis);
}

/** IP addresses XOR-ed over both directions, and the EtherType. */
function hashSymmetricL3(flow: Flow, basis: number): number {
  const input = new Uint8Array(20);
  const { bytes } = flow;
  xorAddresses(input, flow);
  input[16] = bytes[O_DL_TYPE]!;
  input[17] = bytes[O_DL_TYPE + 1]!;
  return jhashBytes(input, basis);
}

function xorAddresses(input: Uint8Array, flow: Flow): void {
  const { bytes } = flow;
  const type = flow.get16(O_DL_TYPE);
  if (type === ETH_IP) {
    for (let i = 0; i < 4; i++) input[i] = bytes[O_NW_SRC + i]! ^ bytes[O_NW_DST + i]!;
  } else if (type === ETH_IPV6) {
    for (let i = 0; i < 16; i++) input[i] = bytes[O_IPV6_SRC + i]! ^ bytes[O_IPV6_DST + i]!;
  }
}

/** Addresses, ports and VLANs each XOR-ed over both directions, with protocol and EtherType. */
export function hashSymmetricL4(flow: Flow, basis: number): number {
  const input = new Uint8Array(32);
  const { bytes } = flow;
  const type = flow.get16(O_DL_TYPE);
  xorAddresses(input, flow);
  input[16] = type >>> 8;
  input[17] = type & 0xff;
  const vid = (flow.get16(O_VLAN0_TCI) ^ flow.get16(O_VLAN1_TCI)) & 0x0fff;
  input[18] = vid >>> 8;
  input[19] = vid & 0xff;
  if (isIpType(type)) {
    const proto = flow.get8(O_NW_PROTO);
    if (proto === PROTO_TCP || proto === PROTO_SCTP) {
      input[20] = bytes[O_TP_SRC]! ^ bytes[O_TP_DST]!;
      input[21] = bytes[O_TP_SRC + 1]! ^ bytes[O_TP_DST + 1]!;
    }
    input[28] = proto;
  }
  for (let i = 0; i < 6; i++) input[22 + i] = bytes[O_DL_SRC + i]! ^ bytes[O_DL_DST + i]!;
  return jhashBytes(input, basis);
}
