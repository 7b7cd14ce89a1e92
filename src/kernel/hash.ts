// dp_hash: what a select group or a bond chooses by. The values are OVS's own (its build without SSE 4.2, as Debian's
// for amd64 is), so that the same frames choose the same buckets: MurmurHash3's mixing (public domain, Austin Appleby)
// over words loaded little endian from the frame's big-endian fields.
import {
  O_DL_TYPE,
  O_IPV6_DST,
  O_IPV6_SRC,
  O_NW_DST,
  O_NW_PROTO,
  O_NW_SRC,
  O_TP_DST,
  O_TP_SRC,
} from "../flow/layout.ts";
import { KEY } from "./memory.ts";

const BE_IPV4: u32 = 0x0008;
const BE_IPV6: u32 = 0xdd86;
const BE_ARP: u32 = 0x0608;

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

/** dp_hash of KEY by algorithm sym_l4: the same for both directions of a connection. 1 for what is not IP. */
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
    return 1;
  }
  const proto: u32 = load<u8>(KEY, O_NW_PROTO);
  hash = hashAdd(hash, proto);
  if (proto == PROTO_TCP || proto == PROTO_SCTP) {
    hash = hashAdd(hash, <u32>(load<u16>(KEY, O_TP_SRC) ^ load<u16>(KEY, O_TP_DST)));
  }
  return nonZero(hashFinish(hash ^ basis));
}

/** dp_hash of KEY by algorithm l4: addresses, protocol and ports as they are. */
export function hashL4(basis: u32): u32 {
  let hash = basis;
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
    hash = hashAdd(hash, proto);
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
  return nonZero(hashFinish(hash ^ 42));
}
