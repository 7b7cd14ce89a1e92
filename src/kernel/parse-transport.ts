// The transport header, of an IPv4 or an IPv6 datagram alike: OVS reads a protocol number the same way in both.
import { B_EXTRA, O_IGMP_GROUP, O_TCP_FLAGS, O_TP_DST, O_TP_SRC } from "../flow/layout.ts";
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
const ICMP_SIZE: u32 = 8;
const IGMP_SIZE: u32 = 8;

/** `end` is the end of the datagram, which is never past the end of the frame. A header that is cut leaves all zero. */
export function parseTransport(proto: u32, at: usize, end: usize): void {
  const size = <u32>(end - at);
  if (proto == PROTO_TCP) {
    if (size < TCP_SIZE) return;
    // The data offset: from 20 bytes to what is there.
    const headerSize: u32 = (<u32>load<u8>(at, 12) >> 4) << 2;
    if (headerSize < TCP_SIZE || headerSize > size) return;
    store<u32>(KEY, load<u32>(at), O_TP_SRC);
    store<u16>(KEY, load<u16>(at, 12) & 0xff0f, O_TCP_FLAGS);
  } else if (proto == PROTO_UDP) {
    if (size >= UDP_SIZE) store<u32>(KEY, load<u32>(at), O_TP_SRC);
  } else if (proto == PROTO_SCTP) {
    if (size >= SCTP_SIZE) store<u32>(KEY, load<u32>(at), O_TP_SRC);
  } else if (proto == PROTO_ICMP) {
    if (size >= ICMP_SIZE) storeTypeCode(at);
  } else if (proto == PROTO_IGMP) {
    if (size < IGMP_SIZE) return;
    storeTypeCode(at);
    store<u32>(KEY, load<u32>(at, 4), O_IGMP_GROUP);
    store<u64>(PKT, load<u64>(PKT, PKT_KEY_MAP) | (1 << B_EXTRA), PKT_KEY_MAP);
  } else if (proto == PROTO_ICMPV6) {
    if (size < ICMP_SIZE) return;
    storeTypeCode(at);
    parseNeighbour(at, end);
  }
}

/** tp_src is the type, tp_dst the code: a byte each, in the low byte of the 16-bit field. */
function storeTypeCode(at: usize): void {
  store<u8>(KEY, load<u8>(at), O_TP_SRC + 1);
  store<u8>(KEY, load<u8>(at, 1), O_TP_DST + 1);
}
