// Helpers (application level gateways): ct(alg=ftp) and ct(alg=tftp), as OVS's userspace conntrack has them.
//
// A connection that was committed with a helper has its control frames read. What they announce becomes an expectation
// (conntrack-expect.ts); a connection that it foretold is new and related, inherits its parent's mark and label as they were
// then, keeps them, and shows its parent's original tuple. Under NAT the address in an FTP message is exchanged, which may
// change the message's length: from then on sequence numbers one way, and acknowledgments the other way, are off by a skew.
//
// What counts as control: TCP from or to port 21, UDP to port 69, and any port in a ct() that names the helper.
import {
  COLD_DST6,
  COLD_LABEL,
  COLD_PARENT,
  COLD_REPLY_DST,
  COLD_REPLY_PORTS,
  COLD_REPLY_SRC,
  COLD_SKEW,
  COLD_SRC6,
  CONN_DST,
  CONN_F_DST_NAT,
  CONN_F_HELPER_FTP,
  CONN_F_HELPER_TFTP,
  CONN_F_LABEL,
  CONN_F_RELATED,
  CONN_F_REPLY_NODE,
  CONN_F_SKEW_REPLY,
  CONN_F_SKEWED,
  CONN_F_SRC_NAT,
  CONN_FAMILY,
  CONN_FLAGS,
  CONN_MARK,
  CONN_META,
  CONN_PORTS,
  CONN_SRC,
  CT_F_ALG_FTP,
  CT_F_ALG_TFTP,
  MAX_FRAME,
  PARENT_DST6,
  PARENT_SRC6,
} from "../datapath/abi.ts";
import {
  CS_INVALID,
  CS_REPLY_DIR,
  CS_TRACKED,
  O_CT_STATE,
  O_DL_TYPE,
  O_NW_PROTO,
  O_TP_SRC,
} from "../flow/layout.ts";
import {
  E_F_REPLACES_DST,
  E_FLAGS,
  E_LABEL,
  E_MARK,
  E_PARENT,
  E_REPLACEMENT,
  expectAdd,
  expectations,
  expectLookup,
  parentTake,
} from "./conntrack-expect.ts";
import {
  FTP_ADDRESS,
  FTP_INVALID,
  FTP_OTHER,
  ftpActive,
  ftpAddressAt,
  ftpAddressSize,
  ftpPort,
  readFtp,
} from "./conntrack-ftp.ts";
import { dst6, IPPROTO_TCP, IPPROTO_UDP, src6, tuple } from "./conntrack-key.ts";
import { conntrackCold, conntrackHot, foldAddress, indexOfCold, tupleHash } from "./conntrack-table.ts";
import { writeIpv4, writeIpv6 } from "./ip-text.ts";
import {
  KEY,
  PKT,
  PKT_F_DATAGRAM,
  PKT_FLAGS,
  PKT_L3,
  PKT_L4,
  PKT_LEN,
  PKT_PTR,
  PKT_WIRE_LEN,
} from "./memory.ts";
import { makeRoom, makeWritable } from "./output.ts";
import { addBytes, finishSum, updateChecksum16, updateChecksum32 } from "./rewrite-checksum.ts";
import { BE_IPV6, TCP_CHECKSUM, transportPresent, transportSize } from "./rewrite-ip.ts";

export const ALG_NONE: u32 = 0;
export const ALG_FTP: u32 = 1;
export const ALG_TFTP: u32 = 2;

const PORT_FTP: u32 = 0x1500; // 21 and 69 as they stand in memory
const PORT_TFTP: u32 = 0x4500;
const COMMA: u32 = 0x2c;
const TCP_SEQ: usize = 4;
const TCP_ACK: usize = 8;
const IPV4_LENGTH: usize = 2;
const IPV6_LENGTH: usize = 4;
const IPV6_NEXT: usize = 6;

/** Addresses of an expectation that is looked for or made: 32 bytes. */
const ADDRESSES: usize = memory.data(32, 16);
const TEXT: usize = memory.data(64, 16);

// --- which frames a helper reads ----------------------------------------------------------------------------------

/** The helper whose control frame the frame in PKT is, for a ct() with these flags (CT_F_ALG_*): ALG_*. */
export function algOf(flags: u32): u32 {
  const proto = load<u8>(KEY, O_NW_PROTO) as u32;
  if (proto != IPPROTO_TCP && proto != IPPROTO_UDP) return ALG_NONE;
  const ports = load<u32>(KEY, O_TP_SRC);
  let alg = ALG_NONE;
  if (proto == IPPROTO_UDP) {
    if (ports >> 16 == PORT_TFTP || (flags & CT_F_ALG_TFTP) != 0) alg = ALG_TFTP;
  } else if ((ports & 0xffff) == PORT_FTP || ports >> 16 == PORT_FTP || (flags & CT_F_ALG_FTP) != 0) {
    alg = ALG_FTP;
  }
  // OVS looks for TCP and UDP right after the IPv6 header only.
  if (alg != ALG_NONE && load<u16>(KEY, O_DL_TYPE) == (BE_IPV6 as u16)) {
    const l3: usize = (load<u32>(PKT, PKT_PTR) as usize) + (load<u32>(PKT, PKT_L3) as usize);
    if ((load<u8>(l3, IPV6_NEXT) as u32) != proto) return ALG_NONE;
  }
  return alg;
}

/** The helper (CONN_F_HELPER_*) that a connection gets whose first frame is of `alg`, committed with these flags. */
export function helperOf(flags: u32, alg: u32): u32 {
  if ((flags & CT_F_ALG_FTP) != 0) return alg == ALG_TFTP ? 0 : CONN_F_HELPER_FTP;
  if ((flags & CT_F_ALG_TFTP) != 0) return alg == ALG_FTP ? 0 : CONN_F_HELPER_TFTP;
  return 0;
}

// --- expectations ----------------------------------------------------------------------------------------------------

function hashOf(six: bool, meta: u32, dport: u32): u32 {
  const src = six ? foldAddress(ADDRESSES) : load<u32>(ADDRESSES);
  const dst = six ? foldAddress(ADDRESSES + 16) : load<u32>(ADDRESSES, 16);
  return tupleHash(src, dst, 0, dport, meta);
}

/** The expectation that the frame whose tuple has been extracted fulfils; 0: none. */
export function expectationOf(): usize {
  if (expectations == 0) return 0;
  const six = src6 != 0;
  v128.store(ADDRESSES, six ? v128.load(src6) : i32x4(i32x4.extract_lane(tuple, 0), 0, 0, 0));
  v128.store(ADDRESSES, six ? v128.load(dst6) : i32x4(i32x4.extract_lane(tuple, 1), 0, 0, 0), 16);
  const meta = i32x4.extract_lane(tuple, 3) as u32;
  const dport = (i32x4.extract_lane(tuple, 2) as u32) >> 16;
  return expectLookup(ADDRESSES, meta, dport, hashOf(six, meta, dport));
}

/** The connection that announced an expectation. */
export function parentOf(expectation: usize): u32 {
  return indexOfCold(load<u32>(expectation, E_PARENT) as usize);
}

export function expectedMark(expectation: usize): u32 {
  return load<u32>(expectation, E_MARK);
}

export function expectedLabel(expectation: usize): v128 {
  return v128.load(expectation, E_LABEL);
}

/** An address of a connection, as an expectation has it: 16 bytes, IPv4 in the first four. */
function address(h: usize, six: bool, v4At: usize, v6At: usize): v128 {
  return six ? v128.load(v6At) : i32x4(load<u32>(h + v4At), 0, 0, 0);
}

/** Expects a connection to `port` (as in a frame) between the ends of connection `index`, towards who sent this frame. */
function expect(index: u32, port: u32): void {
  const h = conntrackHot(index);
  const c = conntrackCold(index);
  const six = load<u8>(h, CONN_FAMILY) == 6;
  const flags = load<u32>(h, CONN_FLAGS);
  const src = address(h, six, CONN_SRC, c + (COLD_SRC6 as usize));
  const dst = address(h, six, CONN_DST, c + (COLD_DST6 as usize));
  let replySrc = dst;
  let replyDst = src;
  if ((flags & CONN_F_REPLY_NODE) != 0) {
    replySrc = six ? v128.load(c, COLD_REPLY_SRC) : i32x4(load<u32>(c, COLD_REPLY_SRC), 0, 0, 0);
    replyDst = six ? v128.load(c, COLD_REPLY_DST) : i32x4(load<u32>(c, COLD_REPLY_DST), 0, 0, 0);
  }
  const dstNat = (flags & CONN_F_DST_NAT) != 0;
  const reply = (load<u8>(KEY, O_CT_STATE) & CS_REPLY_DIR) != 0;
  v128.store(ADDRESSES, reply ? src : replySrc);
  v128.store(ADDRESSES, reply ? dst : replyDst, 16);
  const replacement = reply ? (dstNat ? replySrc : replyDst) : dstNat ? dst : src;
  const meta = load<u32>(h, CONN_META);
  const hash = hashOf(six, meta, port);
  if (expectLookup(ADDRESSES, meta, port, hash) != 0) return;
  const at = expectAdd(c, ADDRESSES, meta, port, hash);
  if (at == 0) return;
  v128.store(at, replacement, E_REPLACEMENT);
  store<u16>(at, (reply != dstNat ? E_F_REPLACES_DST : 0) as u16, E_FLAGS);
  store<u32>(at, load<u32>(h, CONN_MARK), E_MARK);
  v128.store(at, v128.load(c, COLD_LABEL), E_LABEL);
}

/** Makes a new connection (key set, not yet in the table) the one that was expected. False when there is no memory for it. */
export function adopt(index: u32, expectation: usize): bool {
  const parent = parentTake();
  if (parent == 0) return false;
  const other = parentOf(expectation);
  const c = conntrackCold(index);
  v128.store(parent, v128.load(conntrackHot(other)));
  v128.store(parent, v128.load(conntrackCold(other), COLD_SRC6), PARENT_SRC6);
  v128.store(parent, v128.load(conntrackCold(other), COLD_DST6), PARENT_DST6);
  store<u32>(c, parent as u32, COLD_PARENT);
  const h = conntrackHot(index);
  const label = expectedLabel(expectation);
  v128.store(c, label, COLD_LABEL);
  store<u32>(h, expectedMark(expectation), CONN_MARK);
  const flags = load<u32>(h, CONN_FLAGS) | CONN_F_RELATED;
  store<u32>(h, v128.any_true(label) ? flags | CONN_F_LABEL : flags, CONN_FLAGS);
  return true;
}

/** NAT for an expected connection: its reply tuple has the address that its parent's NAT asks for. `ports` are the reply's. */
export function adoptNat(index: u32, expectation: usize, ports: u32): void {
  const h = conntrackHot(index);
  const c = conntrackCold(index);
  const six = load<u8>(h, CONN_FAMILY) == 6;
  const replacesDst = (load<u16>(expectation, E_FLAGS) & E_F_REPLACES_DST) != 0;
  const replacement = v128.load(expectation, E_REPLACEMENT);
  v128.store(
    c,
    replacesDst ? address(h, six, CONN_DST, c + (COLD_DST6 as usize)) : replacement,
    COLD_REPLY_SRC,
  );
  v128.store(
    c,
    replacesDst ? replacement : address(h, six, CONN_SRC, c + (COLD_SRC6 as usize)),
    COLD_REPLY_DST,
  );
  store<u32>(c, ports, COLD_REPLY_PORTS);
  const how = replacesDst ? CONN_F_SRC_NAT : CONN_F_DST_NAT;
  store<u32>(h, load<u32>(h, CONN_FLAGS) | CONN_F_REPLY_NODE | how, CONN_FLAGS);
}

// --- sequence numbers ------------------------------------------------------------------------------------------------

/** Whether the skew goes into the frame before its connection judges it: in its acknowledgment, so that it names what was sent. */
export function skewFirst(h: usize, reply: bool): bool {
  return reply != ((load<u32>(h, CONN_FLAGS) & CONN_F_SKEW_REPLY) != 0);
}

/** Brings a control frame that announces nothing in line with the lengths that its connection has seen changed. */
export function skewOther(index: u32, reply: bool): void {
  if (readFtp(load<u8>(conntrackHot(index), CONN_FAMILY) == 6) == FTP_OTHER) skew(index, reply);
}

function skew(index: u32, reply: bool): void {
  const h = conntrackHot(index);
  if ((load<u32>(h, CONN_FLAGS) & CONN_F_SKEWED) == 0 || !makeWritable()) return;
  const by = load<i32>(conntrackCold(index), COLD_SKEW);
  const inAck = skewFirst(h, reply);
  const l4: usize = (load<u32>(PKT, PKT_PTR) as usize) + (load<u32>(PKT, PKT_L4) as usize);
  const field = l4 + (inAck ? TCP_ACK : TCP_SEQ);
  const was = load<u32>(field);
  const now = bswap<u32>(bswap<u32>(was) + ((inAck ? -by : by) as u32));
  store<u32>(field, now);
  store<u16>(l4, updateChecksum32(load<u16>(l4, TCP_CHECKSUM), was, now) as u16, TCP_CHECKSUM);
}

// --- control frames --------------------------------------------------------------------------------------------------

/** A control frame of connection `index`, which has a helper, judged and translated: what it announces is expected. */
export function algFrame(index: u32, alg: u32, reply: bool, nat: bool): void {
  const h = conntrackHot(index);
  if (alg == ALG_TFTP) {
    expect(index, load<u32>(h, CONN_PORTS) & 0xffff);
    return;
  }
  const six = load<u8>(h, CONN_FAMILY) == 6;
  const message = readFtp(six);
  if (message == FTP_OTHER) return;
  // What a capture has cut off cannot be held against the frame.
  const isCut = transportPresent() < transportSize();
  const conn = ownAddress(index, six);
  const other = translatedAddress(index, six);
  const named = six ? v128.load(FTP_ADDRESS) : i32x4(load<u32>(FTP_ADDRESS), 0, 0, 0);
  const hasAddress = ftpAddressSize != 0;
  if (message == FTP_INVALID || (hasAddress && !same(named, conn) && !same(named, other))) {
    if (message == FTP_INVALID && isCut) return;
    store<u8>(KEY, load<u8>(KEY, O_CT_STATE) | ((CS_TRACKED | CS_INVALID) as u8), O_CT_STATE);
    return;
  }
  expect(index, bswap<u16>(ftpPort as u16) as u32);
  if (!nat || !makeWritable()) return;
  const change = hasAddress ? exchange(other, six) : 0;
  skew(index, reply);
  if (!isCut) sumAnew(six);
  if (change == 0) return;
  const c = conntrackCold(index);
  const total = change + load<i32>(c, COLD_SKEW);
  // As OVS: a skew that comes to nothing is not noted.
  if (total == 0) return;
  store<i32>(c, total, COLD_SKEW);
  const flags = (load<u32>(h, CONN_FLAGS) & ~CONN_F_SKEW_REPLY) | CONN_F_SKEWED;
  store<u32>(h, reply ? flags | CONN_F_SKEW_REPLY : flags, CONN_FLAGS);
}

function same(a: v128, b: v128): bool {
  return !v128.any_true(v128.xor(a, b));
}

/** The address that who announces has on its own side of NAT. */
function ownAddress(index: u32, six: bool): v128 {
  const h = conntrackHot(index);
  const c = conntrackCold(index);
  if (ftpActive) return address(h, six, CONN_SRC, c + (COLD_SRC6 as usize));
  if ((load<u32>(h, CONN_FLAGS) & CONN_F_REPLY_NODE) == 0) return translatedAddress(index, six);
  return six ? v128.load(c, COLD_REPLY_SRC) : i32x4(load<u32>(c, COLD_REPLY_SRC), 0, 0, 0);
}

/** The address that the other side knows it by. */
function translatedAddress(index: u32, six: bool): v128 {
  const h = conntrackHot(index);
  const c = conntrackCold(index);
  if (!ftpActive) return address(h, six, CONN_DST, c + (COLD_DST6 as usize));
  if ((load<u32>(h, CONN_FLAGS) & CONN_F_REPLY_NODE) == 0) {
    return address(h, six, CONN_SRC, c + (COLD_SRC6 as usize));
  }
  return six ? v128.load(c, COLD_REPLY_DST) : i32x4(load<u32>(c, COLD_REPLY_DST), 0, 0, 0);
}

/** Puts an address in the place of the one in the message, and sets the IP header's length; returns by how much it grew. */
function exchange(now: v128, six: bool): i32 {
  v128.store(FTP_ADDRESS, now);
  const size = six ? writeIpv6(FTP_ADDRESS, TEXT) : writeIpv4(FTP_ADDRESS, COMMA, TEXT);
  const change = (size as i32) - (ftpAddressSize as i32);
  if (change != 0 && (load<u32>(PKT, PKT_FLAGS) & PKT_F_DATAGRAM) != 0) return 0;
  if (change > 0) {
    if ((load<u32>(PKT, PKT_WIRE_LEN) as i32) + change > MAX_FRAME || !makeRoom(change as u32)) return 0;
  }
  const frame = load<u32>(PKT, PKT_PTR) as usize;
  const l4: usize = frame + (load<u32>(PKT, PKT_L4) as usize);
  const at: usize = l4 + (((((load<u8>(l4, 12) >> 4) as u32) << 2) + ftpAddressAt) as usize);
  const end = frame + (load<u32>(PKT, PKT_LEN) as usize);
  const rest = at + (ftpAddressSize as usize);
  memory.copy(at + (size as usize), rest, end - rest);
  memory.copy(at, TEXT, size as usize);
  if (change == 0) return 0;
  store<u32>(PKT, load<u32>(PKT, PKT_LEN) + change, PKT_LEN);
  store<u32>(PKT, load<u32>(PKT, PKT_WIRE_LEN) + change, PKT_WIRE_LEN);
  const l3: usize = frame + (load<u32>(PKT, PKT_L3) as usize);
  const field = l3 + (six ? IPV6_LENGTH : IPV4_LENGTH);
  const was = load<u16>(field) as u32;
  const length = bswap<u16>((bswap<u16>(was as u16) + change) as u16) as u32;
  store<u16>(field, length as u16);
  if (!six) store<u16>(l3, updateChecksum16(load<u16>(l3, 10), was, length) as u16, 10);
  return change;
}

/** Makes the TCP checksum anew. */
function sumAnew(six: bool): void {
  const frame = load<u32>(PKT, PKT_PTR) as usize;
  const l3: usize = frame + (load<u32>(PKT, PKT_L3) as usize);
  const l4: usize = frame + (load<u32>(PKT, PKT_L4) as usize);
  const size = transportSize();
  store<u16>(l4, 0, TCP_CHECKSUM);
  let total = addBytes(0, six ? l3 + 8 : l3 + 12, six ? 32 : 8);
  total += (bswap<u16>(size as u16) as u64) + ((IPPROTO_TCP << 8) as u64);
  store<u16>(l4, finishSum(addBytes(total, l4, size)) as u16, TCP_CHECKSUM);
}
