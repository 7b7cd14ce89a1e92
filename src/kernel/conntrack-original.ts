// The connection that the original tuple in the frame's key names, which the last ct() wrote there: so a frame is known again
// that NAT and then an action have changed, and whose own tuple is no connection's.
import { O_CT_IPV6_DST, O_CT_IPV6_SRC, O_CT_NW_PROTO, O_CT_NW_SRC, O_CT_TP_SRC } from "../flow/layout.ts";
import { ICMP_NOT_QUERY, reverseIcmp6Type, reverseIcmpType } from "./conntrack-icmp.ts";
import { IPPROTO_ICMP, IPPROTO_ICMPV6, proto, src6, tuple } from "./conntrack-key.ts";
import { foldAddress, hashOfKey, lookup } from "./conntrack-table.ts";
import { KEY } from "./memory.ts";

/** Its index, or -1 when there is none. The frame's tuple must have been extracted: it gives zone, family and ICMP id. */
export function originalConnection(now: u64): i32 {
  if ((load<u8>(KEY, O_CT_NW_PROTO) as u32) != proto) return -1;
  const six = src6 != 0;
  const from = six ? KEY + (O_CT_IPV6_SRC as usize) : 0;
  const to = six ? KEY + (O_CT_IPV6_DST as usize) : 0;
  const src = six ? foldAddress(from) : load<u32>(KEY, O_CT_NW_SRC);
  const dst = six ? foldAddress(to) : load<u32>(KEY, O_CT_NW_SRC + 4);
  let ports = load<u32>(KEY, O_CT_TP_SRC);
  let back = (ports << 16) | (ports >> 16);
  if (proto == (six ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) {
    // The type stands for the source port.
    const type = (ports >> 8) & 0xff;
    const answer = six ? reverseIcmp6Type(type) : reverseIcmpType(type);
    if (answer == ICMP_NOT_QUERY) return -1;
    const id = (i32x4.extract_lane(tuple, 2) as u32) & 0xffff;
    ports = id | (type << 16);
    back = id | (answer << 16);
  }
  const meta = i32x4.extract_lane(tuple, 3);
  const key = keyOf(src, dst, ports, meta);
  return ((lookup(key, keyOf(dst, src, back, meta), hashOfKey(key), from, to, now) >> 1) as i32) - 1;
}

function keyOf(src: u32, dst: u32, ports: u32, meta: u32): v128 {
  return i32x4.replace_lane(
    i32x4.replace_lane(i32x4.replace_lane(i32x4.splat(src), 1, dst), 2, ports),
    3,
    meta,
  );
}
