// IPv6 and its extension headers (RFC 8200).
import {
  B_ADDR,
  B_IPV6_DST,
  B_IPV6_SRC,
  FRAG_ANY,
  FRAG_LATER,
  O_DL_DST,
  O_IPV6_DST,
  O_IPV6_LABEL,
  O_IPV6_SRC,
  O_NW_SRC,
} from "../flow/layout.ts";
import { KEY, PKT, PKT_KEY_MAP, PKT_L4 } from "./memory.ts";
import { LANE_NW_PROTO, PADDING_MAX } from "./parse.ts";
import { parseTransport } from "./parse-transport.ts";

const IPV6_SIZE: u32 = 40;
const EXTENSION_SIZE_MIN: u32 = 8;
const PROTO_HOP_OPTIONS: u32 = 0;
const PROTO_ROUTING: u32 = 43;
const PROTO_FRAGMENT: u32 = 44;
const PROTO_AUTHENTICATION: u32 = 51;
const PROTO_DESTINATION_OPTIONS: u32 = 60;

/**
 * A broken extension header leaves the addresses and nothing else. A later fragment's nw_proto is 44 (fragment).
 * Extension headers may repeat and come in any order, as with OVS.
 */
export function parseIpv6(ptr: usize, at: usize, end: usize, wireEnd: usize): void {
  if (<u32>(end - at) < IPV6_SIZE) return;
  const datagramEnd = at + IPV6_SIZE + <usize>bswap<u16>(load<u16>(at, 4));
  if (datagramEnd > wireEnd || wireEnd - datagramEnd > PADDING_MAX) return;

  v128.store(KEY, v128.load(at, 8), O_IPV6_SRC);
  v128.store(KEY, v128.load(at, 24), O_IPV6_DST);
  let map = load<u64>(PKT, PKT_KEY_MAP) | (1 << B_IPV6_SRC) | (1 << B_IPV6_DST);
  store<u64>(PKT, map, PKT_KEY_MAP);

  let proto: u32 = load<u8>(at, 6);
  let frag: u32 = 0;
  let next = at + IPV6_SIZE;
  let left = <u32>(min(datagramEnd, end) - next);
  while (true) {
    let headerSize: u32 = 0;
    if (proto == PROTO_HOP_OPTIONS || proto == PROTO_ROUTING || proto == PROTO_DESTINATION_OPTIONS) {
      if (left < EXTENSION_SIZE_MIN) return;
      headerSize = (<u32>load<u8>(next, 1) + 1) << 3;
    } else if (proto == PROTO_AUTHENTICATION) {
      if (left < EXTENSION_SIZE_MIN) return;
      headerSize = (<u32>load<u8>(next, 1) + 2) << 2;
    } else if (proto == PROTO_FRAGMENT) {
      if (left < EXTENSION_SIZE_MIN) return;
      headerSize = 8;
      const offset: u32 = load<u16>(next, 2); // 13 bits of offset, 2 reserved, more-fragments; big endian
      if (offset != 0) frag |= FRAG_ANY;
      if ((offset & 0xf8ff) != 0) {
        frag |= FRAG_LATER;
        next += 8;
        break; // proto stays 44
      }
    } else {
      break;
    }
    if (headerSize > left) return;
    proto = load<u8>(next);
    next += headerSize;
    left -= headerSize;
  }

  const first: u32 = bswap<u32>(load<u32>(at)); // version 4 bits, traffic class 8, flow label 20
  const eth = v128.load(KEY, O_DL_DST);
  v128.store(KEY, i16x8.replace_lane(eth, LANE_NW_PROTO, <i16>(proto | (frag << 8))), O_DL_DST);
  let half: u64 = ((<u64>((first >> 20) & 0xff)) << 32) | ((<u64>load<u8>(at, 7)) << 40); // nw_tos, nw_ttl
  const label = load<u32>(at) & 0xffff_0f00;
  if (label != 0) {
    store<u32>(KEY, label, O_IPV6_LABEL);
    map |= 1 << B_ADDR;
    store<u64>(PKT, map, PKT_KEY_MAP);
  }
  store<u32>(PKT, <u32>(next - ptr), PKT_L4);
  if ((frag & FRAG_LATER) == 0) half |= parseTransport(proto, next, end, datagramEnd);
  v128.store(KEY, i64x2.replace_lane(i64x2.splat(0), 1, half), O_NW_SRC);
}
