// The transport header, of an IPv4 or an IPv6 datagram alike: OVS reads a protocol number the same way in both.
import { B_EXTRA, O_IGMP_GROUP, O_TCP_FLAGS, O_TP_SRC } from "../flow/layout.ts";
import { KEY, PKT, PKT_KEY_MAP } from "./memory.ts";
import { parseNeighbour } from "./parse-nd.ts";

const PROTO_ICMP: u32 = 1;
const PROTO_IGMP: u32 = 2;
const PROTO_TCP: u32 = 6;
const PROTO_UDP: u32 = 17;
const PROTO_ICMPV6: u32 = 58;
const PROTO_SCTP: u32 = 132;

const TCP_SIZE: u32 = 20;
const UDP_SIZE: u32 = 8;
const SCTP_SIZE: u32 = 12;
const ICMP_SIZE: u32 = 8; // IGMP's too

/** Bits of the returned half before tcp_flags. */
const TCP_FLAGS_SHIFT: u64 = (O_TCP_FLAGS - O_TP_SRC) * 8;

/**
 * Reads the transport header at `at`. `end` is the end of the bytes present, `datagramEnd` that of the datagram: beyond `end`
 * when the frame is cut, before it when the frame is padded. Returns the second half of block IP4 as it lies in memory:
 * tp_src, tp_dst, two bytes zero for tos and ttl, tcp_flags. It is returned and not stored because the caches load the
 * block whole right after, and that load would stall behind smaller stores. A header that is cut gives zero.
 */
export function parseTransport(proto: u32, at: usize, end: usize, datagramEnd: usize): u64 {
  if (end > datagramEnd) end = datagramEnd;
  const size = <u32>(end - at);
  if (proto == PROTO_TCP) {
    if (size < TCP_SIZE) return 0;
    // The data offset: 20 bytes at least, and inside the datagram.
    const headerSize: u32 = (<u32>load<u8>(at, 12) >> 4) << 2;
    if (headerSize < TCP_SIZE || headerSize > <u32>(datagramEnd - at)) return 0;
    return <u64>load<u32>(at) | ((<u64>(load<u16>(at, 12) & 0xff0f)) << TCP_FLAGS_SHIFT);
  }
  if (proto == PROTO_UDP) return size < UDP_SIZE ? 0 : load<u32>(at);
  if (proto == PROTO_SCTP) return size < SCTP_SIZE ? 0 : load<u32>(at);
  return size < ICMP_SIZE ? 0 : parseControl(proto, at, end);
}

/** ICMP, IGMP and ICMPv6: tp_src is the type, tp_dst the code, a byte each in the low byte of the 16-bit field. */
function parseControl(proto: u32, at: usize, end: usize): u64 {
  let half: u64 = 0;
  if (proto == PROTO_IGMP) {
    store<u32>(KEY, load<u32>(at, 4), O_IGMP_GROUP);
    store<u64>(PKT, load<u64>(PKT, PKT_KEY_MAP) | (1 << B_EXTRA), PKT_KEY_MAP);
  } else if (proto == PROTO_ICMPV6) {
    // nd_options_type stands in tcp_flags.
    half = (<u64>parseNeighbour(at, end)) << (TCP_FLAGS_SHIFT + 8);
  } else if (proto != PROTO_ICMP) {
    return 0;
  }
  return half | ((<u64>load<u8>(at)) << 8) | ((<u64>load<u8>(at, 1)) << 24);
}
