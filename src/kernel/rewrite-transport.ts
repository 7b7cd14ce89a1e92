// Changes to TCP, UDP, SCTP, ICMP and ICMPv6 headers and to neighbour discovery, with their checksums. A header that is
// not there whole is left alone.
import { PKT, PKT_CONN, PKT_L3, PKT_L4, PKT_LEN, PKT_PTR } from "./memory.ts";
import {
  addBytes,
  crc32cChange,
  finishSum,
  updateChecksum16,
  updateChecksum32,
  updateChecksumBytes,
} from "./rewrite-checksum.ts";
import {
  ICMP_CHECKSUM,
  isTcpWhole,
  masked8,
  masked16,
  masked32,
  setIpv6Masked,
  storeUdpChecksum,
  TCP_CHECKSUM,
  transportPresent,
  transportSize,
  UDP_CHECKSUM,
  UDP_SIZE,
} from "./rewrite-ip.ts";

const SCTP_SIZE: u32 = 12;
const ICMP_SIZE: u32 = 8;
const PROTO_ICMPV6: u32 = 58;

/** Neighbour discovery messages up to their options: type, code, checksum, 4 bytes of flags, target. */
const ND_SIZE: u32 = 24;
const ND_TARGET: usize = 8;
const ND_OPTION_SOURCE: u32 = 1;
const ND_OPTION_TARGET: u32 = 2;
/** A link-layer address option: type, length in units of 8 bytes, the address. */
const ND_OPTION_SIZE: u32 = 8;

function transportHeader(): usize {
  return <usize>load<u32>(PKT, PKT_PTR) + load<u32>(PKT, PKT_L4);
}

/** tp_src and tp_dst of a TCP header. `value` and `mask` point at the two ports, four bytes. */
export function setTcp(value: usize, mask: usize): void {
  const l4 = transportHeader();
  if (!isTcpWhole(l4)) return;
  setPort(l4, value, mask, TCP_CHECKSUM, l4);
  setPort(l4 + 2, value + 2, mask + 2, TCP_CHECKSUM, l4);
}

export function setUdp(value: usize, mask: usize): void {
  if (transportPresent() < UDP_SIZE) return;
  const l4 = transportHeader();
  if (load<u16>(l4, UDP_CHECKSUM) == 0) {
    store<u32>(l4, masked32(load<u32>(l4), value, mask));
    store<u32>(PKT, 0, PKT_CONN);
    return;
  }
  setPort(l4, value, mask, UDP_CHECKSUM, l4);
  setPort(l4 + 2, value + 2, mask + 2, UDP_CHECKSUM, l4);
  storeUdpChecksum(l4, load<u16>(l4, UDP_CHECKSUM));
}

function setPort(field: usize, value: usize, mask: usize, checksum: usize, l4: usize): void {
  const was: u32 = load<u16>(field);
  const now = masked16(was, value, mask);
  if (was == now) return;
  store<u16>(l4 + checksum, <u16>updateChecksum16(load<u16>(l4 + checksum), was, now));
  store<u16>(field, <u16>now);
  store<u32>(PKT, 0, PKT_CONN); // another connection's frame now
}

export function setSctp(value: usize, mask: usize): void {
  if (transportPresent() < SCTP_SIZE) return;
  const l4 = transportHeader();
  const was = load<u32>(l4);
  const now = masked32(was, value, mask);
  if (was == now) return;
  store<u32>(PKT, 0, PKT_CONN);
  store<u32>(l4, now);
  store<u32>(l4, load<u32>(l4, 8) ^ crc32cChange(was ^ now, transportSize()), 8);
}

/** Type and code of ICMP or ICMPv6; `value` and `mask` point at them as tp_src and tp_dst, two bytes each. */
export function setIcmp(value: usize, mask: usize): void {
  if (transportPresent() < ICMP_SIZE) return;
  const l4 = transportHeader();
  const was: u32 = load<u16>(l4);
  const type = masked8(was & 0xff, value + 1, mask + 1);
  const code = masked8(was >> 8, value + 3, mask + 3);
  const now = type | (code << 8);
  if (was == now) return;
  store<u16>(l4, <u16>now);
  store<u16>(l4, <u16>updateChecksum16(load<u16>(l4, ICMP_CHECKSUM), was, now), ICMP_CHECKSUM);
}

const NEW_MAC: usize = memory.data(8, 8);

/** nd_target, nd_sll, nd_tll. `blocks` are value and mask of B_ND_TARGET and of B_ADDR (nd_sll, nd_tll). */
export function setNd(blocks: usize): void {
  const size = transportPresent();
  if (size < ND_SIZE) return;
  const l4 = transportHeader();
  const end = l4 + size;
  setIpv6Masked(PROTO_ICMPV6, l4 + ND_TARGET, blocks, blocks + 16, true);

  // The first source or target link-layer address of the usual size; another follows an option of length 0 never.
  let option = l4 + ND_SIZE;
  while (<i32>(end - option) >= <i32>ND_OPTION_SIZE) {
    const type: u32 = load<u8>(option);
    const units: u32 = load<u8>(option, 1);
    if (units == 0) return;
    if (units == 1 && (type == ND_OPTION_SOURCE || type == ND_OPTION_TARGET)) {
      const at: usize = type == ND_OPTION_SOURCE ? 32 : 38;
      setOptionMac(l4, option + 2, blocks + at, blocks + at + 16);
      return;
    }
    option += units << 3;
  }
}

function setOptionMac(l4: usize, field: usize, value: usize, mask: usize): void {
  store<u32>(NEW_MAC, masked32(load<u32>(field), value, mask));
  store<u16>(NEW_MAC, <u16>masked16(load<u16>(field, 4), value + 4, mask + 4), 4);
  const sum = updateChecksumBytes(load<u16>(l4, ICMP_CHECKSUM), field, NEW_MAC, 6);
  if (load<u32>(field) == load<u32>(NEW_MAC) && load<u16>(field, 4) == load<u16>(NEW_MAC, 4)) return;
  store<u16>(l4, <u16>sum, ICMP_CHECKSUM);
  store<u32>(field, load<u32>(NEW_MAC));
  store<u16>(field, load<u16>(NEW_MAC, 4), 4);
}

/**
 * nd_reserved (four bytes at `reserved`, its mask at 16 bytes further) and nd_options_type (two bytes at `optionType`,
 * its mask likewise). The checksum is made anew, so here a wrong one becomes right, as with OVS; but not that of a frame
 * that a snaplen cut, which is updated.
 */
export function setNdExtensions(reserved: usize, optionType: usize): void {
  const size = transportPresent();
  if (size < ND_SIZE) return;
  const l4 = transportHeader();
  const was = load<u32>(l4, 4);
  const now = masked32(was, reserved, reserved + 16);
  store<u32>(l4, now, 4);
  let sum = updateChecksum32(load<u16>(l4, ICMP_CHECKSUM), was, now);
  const option = l4 + ND_SIZE;
  if (option < <usize>load<u32>(PKT, PKT_PTR) + load<u32>(PKT, PKT_LEN)) {
    const type: u32 = load<u8>(option);
    const newType = masked8(type, optionType + 1, optionType + 17);
    store<u8>(option, <u8>newType);
    sum = updateChecksum16(sum, type, newType);
  }
  if (size == transportSize()) {
    const l3: usize = <usize>load<u32>(PKT, PKT_PTR) + load<u32>(PKT, PKT_L3);
    store<u16>(l4, 0, ICMP_CHECKSUM);
    let words = addBytes(0, l3 + 8, 32); // both addresses
    words += load<u16>(l3, 4); // payload length
    words += (<u64>load<u8>(l3, 6)) << 8; // next header
    sum = finishSum(addBytes(words, l4, size));
  }
  store<u16>(l4, <u16>sum, ICMP_CHECKSUM);
}
