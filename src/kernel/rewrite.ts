// The set action: changes header fields in the frame, or metadata in KEY. The frame is owned by now (PKT_F_OWNED).
//
// A pipeline sets a field only where its flow has it, so what follows trusts that a transport header is of the kind
// named; that it is there whole it finds out itself.
// Checksums are updated, not made anew (rewrite-checksum.ts).
import {
  SET_ARP,
  SET_ETHERNET,
  SET_ICMP,
  SET_ICMPV6,
  SET_IPV4,
  SET_IPV6,
  SET_MPLS,
  SET_ND,
  SET_ND_EXT,
  SET_NSH,
  SET_PKT_MARK,
  SET_SCTP,
  SET_SKB_PRIORITY,
  SET_TCP,
  SET_TUNNEL,
  SET_TUNNEL_OPTIONS,
  SET_UDP,
} from "../datapath/abi.ts";
import { B_VLAN, BLOCK_SIZE, O_DL_TYPE, O_PKT_MARK, O_SKB_PRIORITY } from "../flow/layout.ts";
import {
  KEY,
  OFFSET_NONE,
  PKT,
  PKT_F_DIRTY,
  PKT_FLAGS,
  PKT_KEY_MAP,
  PKT_L2_5,
  PKT_L3,
  PKT_L4,
  PKT_LEN,
  PKT_PTR,
} from "./memory.ts";
import { setNsh } from "./rewrite-encap.ts";
import { BE_IPV4, BE_IPV6, masked16, masked32, setIpv4, setIpv6 } from "./rewrite-ip.ts";
import { setIcmp, setNd, setNdExtensions, setSctp, setTcp, setUdp } from "./rewrite-transport.ts";
import { setTunnel, setTunnelOptions } from "./tunnel.ts";

const BLOCK: usize = BLOCK_SIZE;
/** Two blocks: a value and its mask. */
const PAIR: usize = 32;
const ETHERNET_SIZE: u32 = 14;
// Where the parts of an ARP packet end.
const ARP_OP_END: u32 = 8;
const ARP_SHA_END: u32 = 14;
const ARP_SPA_END: u32 = 18;
const ARP_THA_END: u32 = 24;
const ARP_SIZE: u32 = 28;
const PORTS: usize = 8; // of tp_src in B_IP4

/** Executes the A_SET at `action` (abi.ts) on the frame in PKT. */
export function setHeader(action: usize): void {
  const code = load<u32>(action, 4);
  const value = action + 8;
  const mask = value + BLOCK;
  if (code == SET_PKT_MARK) return setMetadata(O_PKT_MARK, value, mask);
  if (code == SET_SKB_PRIORITY) return setMetadata(O_SKB_PRIORITY, value, mask);
  if (code == SET_TUNNEL) return setTunnel(value);
  if (code == SET_TUNNEL_OPTIONS) return setTunnelOptions(value);

  store<u32>(PKT, load<u32>(PKT, PKT_FLAGS) | PKT_F_DIRTY, PKT_FLAGS);
  if (code == SET_ETHERNET) return setEthernet(value, mask);
  if (code == SET_MPLS) return setLabel(value, mask);
  if (code == SET_NSH) return setNsh(value);
  if (load<u32>(PKT, PKT_L3) == OFFSET_NONE) return;
  if (code == SET_ARP) return setArp(value);
  // Set only where the IP header was found whole.
  if (load<u32>(PKT, PKT_L4) == OFFSET_NONE) return;
  const type: u32 = load<u16>(KEY, O_DL_TYPE);
  if (code == SET_IPV4) {
    if (type == BE_IPV4) setIpv4(value, mask);
  } else if (code == SET_IPV6) {
    if (type == BE_IPV6) setIpv6(value);
  } else if (code == SET_TCP) setTcp(value + PORTS, mask + PORTS);
  else if (code == SET_UDP) setUdp(value + PORTS, mask + PORTS);
  else if (code == SET_SCTP) setSctp(value + PORTS, mask + PORTS);
  else if (code == SET_ICMP || code == SET_ICMPV6) setIcmp(value + PORTS, mask + PORTS);
  else if (code == SET_ND) setNd(value);
  else if (code == SET_ND_EXT) setNdExtensions(value, value + PAIR + 14);
}

function setEthernet(value: usize, mask: usize): void {
  if (load<u32>(PKT, PKT_LEN) < ETHERNET_SIZE) return;
  const at: usize = load<u32>(PKT, PKT_PTR);
  store<u32>(at, masked32(load<u32>(at), value, mask));
  store<u32>(at, masked32(load<u32>(at, 4), value + 4, mask + 4), 4);
  store<u32>(at, masked32(load<u32>(at, 8), value + 8, mask + 8), 8);
}

function setLabel(value: usize, mask: usize): void {
  const l2_5 = load<u32>(PKT, PKT_L2_5);
  if (l2_5 == OFFSET_NONE || load<u32>(PKT, PKT_LEN) < l2_5 + 4) return;
  const at: usize = load<u32>(PKT, PKT_PTR) + l2_5;
  store<u32>(at, masked32(load<u32>(at), value, mask));
}

/**
 * `blocks` are value and mask of B_ETH (nw_proto: the opcode), of B_IP4 (nw_src, nw_dst: spa, tpa), of B_ADDR (sha, tha).
 * Of a frame that ends too soon the parts are written that it has.
 * The key holds the opcode's low byte only, and OVS takes 0xff, value or mask, for 0xffff.
 */
function setArp(blocks: usize): void {
  const l3 = load<u32>(PKT, PKT_L3);
  const len = load<u32>(PKT, PKT_LEN);
  if (l3 > len) return;
  const present = len - l3;
  const at: usize = load<u32>(PKT, PKT_PTR) + l3;
  const opcode = arpOpcode(load<u8>(blocks, 14));
  const opcodeMask = arpOpcode(load<u8>(blocks + BLOCK, 14));
  if (present < ARP_OP_END) return;
  const was: u32 = load<u16>(at, 6);
  store<u16>(at, <u16>((opcode & opcodeMask) | (was & ~opcodeMask)), 6);

  const mac = blocks + 2 * PAIR;
  if (present >= ARP_SHA_END) setMac(at + 8, mac, mac + BLOCK);
  const ip = blocks + PAIR;
  if (present >= ARP_SPA_END) store<u32>(at, masked32(load<u32>(at, 14), ip, ip + BLOCK), 14);
  if (present >= ARP_THA_END) setMac(at + 18, mac + 6, mac + BLOCK + 6);
  if (present >= ARP_SIZE) store<u32>(at, masked32(load<u32>(at, 24), ip + 4, ip + BLOCK + 4), 24);
}

/** An opcode of the key as two bytes of the frame, as if loaded from it. */
function arpOpcode(byte: u32): u32 {
  return byte == 0xff ? 0xffff : byte << 8;
}

function setMac(at: usize, value: usize, mask: usize): void {
  store<u32>(at, masked32(load<u32>(at), value, mask));
  store<u16>(at, <u16>masked16(load<u16>(at, 4), value + 4, mask + 4), 4);
}

/** pkt_mark and skb_priority live in block VLAN of KEY. */
function setMetadata(offset: usize, value: usize, mask: usize): void {
  const inBlock = offset - <usize>B_VLAN * BLOCK;
  store<u32>(KEY + offset, masked32(load<u32>(KEY + offset), value + inBlock, mask + inBlock));
  store<u64>(PKT, load<u64>(PKT, PKT_KEY_MAP) | (1 << B_VLAN), PKT_KEY_MAP);
}
