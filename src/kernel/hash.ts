// dp_hash: what a select group or a bond chooses by. The values are OVS's own (its build without SSE 4.2, as Debian's
// for amd64 is), so that the same frames choose the same buckets: MurmurHash3's mixing (public domain, Austin Appleby)
// over words loaded little endian from the frame's big-endian fields.
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
  O_PACKET_TYPE,
  O_TP_DST,
  O_TP_SRC,
  O_VLAN0_TCI,
  O_VLAN1_TCI,
} from "../flow/layout.ts";
import { KEY, PKT, PKT_HASH, PKT_L3, PKT_L4, PKT_PTR } from "./memory.ts";
import { isTcpWhole, transportPresent, UDP_SIZE } from "./rewrite-ip.ts";

const BE_IPV4: u32 = 0x0008;
const BE_IPV6: u32 = 0xdd86;
const BE_ARP: u32 = 0x0608;

/** The VLAN id of a tci. */
const BE_VID: u32 = 0xff0f;

const PROTO_ICMP: u32 = 1;
const PROTO_TCP: u32 = 6;
const PROTO_UDP: u32 = 17;
const PROTO_ICMPV6: u32 = 58;
const PROTO_SCTP: u32 = 132;

function hashAdd(hash: u32, data: u32): u32 {
  data *= 0xcc9e2d51;
  data = rotl<u32>(data, 15);
  data *= 0x1b873593;
  return rotl<u32>(hash ^ data, 13) * 5 + 0xe6546b64;
}

function hashFinish(hash: u32): u32 {
  hash ^= hash >> 16;
  hash *= 0x85ebca6b;
  hash ^= hash >> 13;
  hash *= 0xc2b2ae35;
  return hash ^ (hash >> 16);
}

/** Never 0: dp_hash 0 means that there is none. */
function nonZero(hash: u32): u32 {
  return hash == 0 ? 1 : hash;
}

/** dp_hash of KEY by algorithm sym_l4: the same for both directions of a connection; by the link addresses if not IP. */
export function hashSymL4(basis: u32): u32 {
  let hash = basis;
  const type: u32 = load<u16>(KEY, O_DL_TYPE);
  if (type == BE_IPV4) {
    hash = hashAdd(hash, load<u32>(KEY, O_NW_SRC) ^ load<u32>(KEY, O_NW_DST));
  } else if (type == BE_IPV6) {
    for (let i: usize = 0; i < 16; i += 4) {
      hash = hashAdd(hash, load<u32>(KEY + i, O_IPV6_SRC) ^ load<u32>(KEY + i, O_IPV6_DST));
    }
  } else {
    return nonZero(hashSymL2(basis));
  }
  const proto: u32 = load<u8>(KEY, O_NW_PROTO);
  hash = hashAdd(hash, proto);
  // Not in a fragment, so that all of a datagram's go one way.
  if ((proto == PROTO_TCP || proto == PROTO_SCTP) && load<u8>(KEY, O_NW_FRAG) == 0) {
    hash = hashAdd(hash, <u32>(load<u16>(KEY, O_TP_SRC) ^ load<u16>(KEY, O_TP_DST)));
  }
  return nonZero(hashFinish(hash ^ basis));
}

/** EtherType, VLAN ids and link addresses; 0 for a frame that came without an Ethernet header. */
function hashSymL2(basis: u32): u32 {
  if (load<u32>(KEY, O_PACKET_TYPE) != 0) return 0;
  const vlans: u32 = (load<u16>(KEY, O_VLAN0_TCI) ^ load<u16>(KEY, O_VLAN1_TCI)) & BE_VID;
  const macs = load<u32>(KEY, O_DL_SRC) ^ load<u32>(KEY, O_DL_DST);
  const macsEnd: u32 = load<u16>(KEY, O_DL_SRC + 4) ^ load<u16>(KEY, O_DL_DST + 4);
  let hash = hashAdd(basis, <u32>load<u16>(KEY, O_DL_TYPE) | (vlans << 16));
  hash = hashAdd(hash, macs);
  hash = hashAdd(hash, macsEnd);
  return hashFinish(hash ^ basis);
}

/** dp_hash by algorithm l4: addresses, protocol and ports of the frame as it was received, before any change. */
export function hashL4(basis: u32): u32 {
  keepHash();
  return nonZero(hashFinish(hashAdd(hashAdd(load<u32>(PKT, PKT_HASH), 0), basis) ^ 8));
}

/** Before KEY is made anew of a changed frame: keeps the hash of what it said. */
export function keepHash(): void {
  if (load<u32>(PKT, PKT_HASH) == 0) store<u32>(PKT, nonZero(hash5Tuple()), PKT_HASH);
}

function hash5Tuple(): u32 {
  let hash: u32 = 0;
  const type: u32 = load<u16>(KEY, O_DL_TYPE);
  let ip = true;
  if (type == BE_IPV6) {
    for (let i: usize = 0; i < 32; i += 4) hash = hashAdd(hash, load<u32>(KEY + i, O_IPV6_SRC));
  } else if (type == BE_IPV4 || type == BE_ARP) {
    hash = hashAdd(hash, load<u32>(KEY, O_NW_SRC));
    hash = hashAdd(hash, load<u32>(KEY, O_NW_DST));
  } else {
    ip = false;
  }
  if (ip) {
    const proto: u32 = load<u8>(KEY, O_NW_PROTO);
    hash = hashAdd(hash, type == BE_IPV6 ? firstNextHeader(proto) : proto);
    if (
      proto == PROTO_TCP ||
      proto == PROTO_UDP ||
      proto == PROTO_SCTP ||
      proto == PROTO_ICMP ||
      proto == PROTO_ICMPV6
    ) {
      hash = hashAdd(hash, load<u32>(KEY, O_TP_SRC));
    }
  }
  return hashFinish(hash ^ 42);
}

/**
 * What OVS takes for the protocol of an IPv6 frame that has a whole TCP or UDP header: the next header of the IPv6 header
 * itself, which an extension header makes another number.
 */
function firstNextHeader(proto: u32): u32 {
  const frame: usize = load<u32>(PKT, PKT_PTR);
  if (proto == PROTO_TCP) {
    if (!isTcpWhole(frame + load<u32>(PKT, PKT_L4))) return proto;
  } else if (proto != PROTO_UDP || transportPresent() < UDP_SIZE) {
    return proto;
  }
  return load<u8>(frame + load<u32>(PKT, PKT_L3), 6);
}
