// NAT: chooses the reply tuple of a connection when it is committed, and rewrites its frames from then on.
//
// A connection's reply tuple says all: a frame in the direction that opened it gets the addresses and ports that its
// replies are sent to, and a reply gets back those of the original tuple. An ICMP error has the packet that it quotes
// rewritten too, the other way round.
import {
  COLD_DST6,
  COLD_REPLY_DST,
  COLD_REPLY_PORTS,
  COLD_REPLY_SRC,
  COLD_SRC6,
  CONN_DST,
  CONN_F_DST_NAT,
  CONN_F_REPLY_NODE,
  CONN_F_SRC_NAT,
  CONN_FAMILY,
  CONN_FLAGS,
  CONN_PORTS,
  CONN_PROTO,
  CONN_SRC,
  NAT_F_DST,
  NAT_F_RANDOM,
  NAT_F_SRC,
} from "../datapath/abi.ts";
import { CS_DST_NAT, CS_SRC_NAT } from "../flow/layout.ts";
import { IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP } from "./conntrack-key.ts";
import { conntrackCold, conntrackHot, hashOfKey, lookup, replyKey } from "./conntrack-table.ts";
import { PKT, PKT_F_DIRTY, PKT_FLAGS, PKT_L3, PKT_L4, PKT_LEN, PKT_PTR } from "./memory.ts";
import { makeWritable } from "./output.ts";
import { addBytes, finishSum, updateChecksum32, updateChecksumBytes } from "./rewrite-checksum.ts";
import {
  ICMP_CHECKSUM,
  setIpv4Address,
  setIpv6Address,
  TCP_CHECKSUM,
  TCP_SIZE,
  transportSize,
  UDP_CHECKSUM,
} from "./rewrite-ip.ts";
import { setTcp, setUdp } from "./rewrite-transport.ts";

// The NAT words of A_CT (datapath/abi.ts), from the first of them.
const NAT_MIN: usize = 4;
const NAT_MAX: usize = 20;
const NAT_PORTS: usize = 36;
const IPV4_IN_16: usize = 12;

/** Most ports tried in the first round of a search; each further round starts elsewhere and tries half as many, down to 16. */
const PORT_ATTEMPTS: u32 = 128;
const PORT_ATTEMPTS_MIN: u32 = 16;
const EPHEMERAL_MIN: u32 = 1024;

const PORTS: usize = memory.data(8, 8);
const ALL_ONES: usize = memory.data(8, 8);

let random: u64 = 0x9e3779b97f4a7c15;

/** Where choices that OVS leaves to chance begin; the same seed makes the same choices. */
export function natSeed(seed: u64): void {
  random = seed ^ 0x9e3779b97f4a7c15;
  if (random == 0) random = 1;
}

function nextRandom(): u32 {
  // xorshift64* (Vigna, 2016)
  random ^= random >> 12;
  random ^= random << 25;
  random ^= random >> 27;
  return ((random * 0x2545f4914f6cdd1d) >> 32) as u32;
}

function be16(at: usize): u32 {
  return bswap<u16>(load<u16>(at)) as u32;
}

function be64(at: usize): u64 {
  return bswap<u64>(load<u64>(at));
}

/**
 * Gives a new connection (key set, not yet in the table) the reply tuple that the NAT words at `nat` ask for. `hash` is
 * its tuple's. False when every tuple they allow is taken.
 *
 * ct(commit,nat) without src or dst asks for nothing that makes sense. OVS then gives the reply tuple the source address
 * zero and the destination port zero, so that no reply is ever found; so do we.
 */
export function natChoose(index: u32, nat: usize, hash: u32, now: u64): bool {
  const kind = load<u32>(nat);
  const h = conntrackHot(index);
  const c = conntrackCold(index);
  const isSource = (kind & NAT_F_SRC) != 0;
  const six = load<u8>(h, CONN_FAMILY) == 6;
  const isNone = (kind & (NAT_F_SRC | NAT_F_DST)) == 0;
  const how = isNone ? 0 : isSource ? CONN_F_SRC_NAT : CONN_F_DST_NAT;
  store<u32>(h, load<u32>(h, CONN_FLAGS) | CONN_F_REPLY_NODE | how, CONN_FLAGS);

  // The reverse of the original tuple, then the new address in the place of the old.
  if (six) {
    v128.store(c, v128.load(c, COLD_DST6), COLD_REPLY_SRC);
    v128.store(c, v128.load(c, COLD_SRC6), COLD_REPLY_DST);
  } else {
    store<u32>(c, load<u32>(h, CONN_DST), COLD_REPLY_SRC);
    store<u32>(c, load<u32>(h, CONN_SRC), COLD_REPLY_DST);
  }
  if (isNone) v128.store(c, i32x4.splat(0), COLD_REPLY_SRC);
  else chooseAddress(c + ((isSource ? COLD_REPLY_DST : COLD_REPLY_SRC) as usize), nat, hash, six);

  const proto = load<u8>(h, CONN_PROTO) as u32;
  if (proto != IPPROTO_TCP && proto != IPPROTO_UDP) {
    store<u32>(c, reversedPorts, COLD_REPLY_PORTS);
    return !taken(index, now);
  }
  const ports = load<u32>(nat, NAT_PORTS);
  const hasPorts = (ports & 0xffff) != 0;
  const offset = (kind & NAT_F_RANDOM) != 0 ? nextRandom() : hash;
  const sport = be16(h + (CONN_PORTS as usize));
  const dport = be16(h + (CONN_PORTS as usize) + 2);
  let low = ports & 0xffff;
  let high = ports >> 16;
  if (high < low) high = low;
  const first = low + (offset % (high - low + 1));
  store<u16>(c, bswap<u16>(dport as u16), COLD_REPLY_PORTS);
  store<u16>(c, bswap<u16>(sport as u16), COLD_REPLY_PORTS + 2);
  const replySport = c + (COLD_REPLY_PORTS as usize);
  const replyDport = replySport + 2;
  if (isNone) return choosePort(index, replyDport, 0, 0, 0, now);
  if (!isSource && hasPorts) {
    if (choosePort(index, replySport, first, low, high, now)) return true;
  }
  if (isSource && hasPorts) return choosePort(index, replyDport, first, low, high, now);
  // The sender's own port when it is free, else one of the same class.
  if (sport < 512) {
    low = 1;
    high = 511;
  } else if (sport < 1024) {
    low = 600;
    high = 1023;
  } else {
    low = EPHEMERAL_MIN;
    high = 65535;
  }
  return choosePort(index, replyDport, sport, low, high, now);
}

/** What the reply ports of a protocol without ports are: set by the caller before natChoose. */
export let reversedPorts: u32 = 0;
export function setReversedPorts(ports: u32): void {
  reversedPorts = ports;
}

/** Writes an address of the range at `nat` to `field`; a range of zeros leaves what is there. */
function chooseAddress(field: usize, nat: usize, hash: u32, six: bool): void {
  const from = nat + NAT_MIN;
  const to = nat + NAT_MAX;
  if (!v128.any_true(v128.load(from))) return;
  if (!six) {
    const min = bswap<u32>(load<u32>(from, IPV4_IN_16));
    const span = bswap<u32>(load<u32>(to, IPV4_IN_16)) - min;
    const offset = span == 0xffffffff ? hash : hash % (span + 1);
    store<u32>(field, bswap<u32>(min + offset));
    return;
  }
  // At most 2^32 - 1 addresses of an IPv6 range are used, as in OVS.
  const most: u64 = 0xfffffffe;
  const lowMin = be64(from + 8);
  const lowMax = be64(to + 8);
  let span = most;
  if (be64(from) == be64(to) && lowMin <= lowMax) span = min<u64>(lowMax - lowMin, most);
  else if (be64(from) + 1 == be64(to) && lowMin > lowMax) span = min<u64>(lowMax - lowMin, most);
  const low = lowMin + ((hash as u64) % (span + 1));
  store<u64>(field, bswap<u64>(be64(from) + (low < lowMin ? 1 : 0)));
  store<u64>(field, bswap<u64>(low), 8);
}

/** Finds a port between `low` and `high`, from `first` on, that makes the reply tuple free; writes it to `field`. */
function choosePort(index: u32, field: usize, first: u32, low: u32, high: u32, now: u64): bool {
  const range = high - low + 1;
  let attempts = min(range, PORT_ATTEMPTS);
  let port = first;
  for (;;) {
    for (let i: u32 = 0; i < attempts; i++) {
      store<u16>(field, bswap<u16>(port as u16));
      if (!taken(index, now)) return true;
      port = port == high ? low : port + 1;
    }
    if (attempts >= range || attempts < PORT_ATTEMPTS_MIN) break;
    attempts >>= 1;
    port = low + (nextRandom() % range);
  }
  store<u16>(field, bswap<u16>(first as u16));
  return false;
}

/** Whether a connection in the table has this one's reply tuple. */
function taken(index: u32, now: u64): bool {
  const key = replyKey(index);
  const c = conntrackCold(index);
  const six = load<u8>(conntrackHot(index), CONN_FAMILY) == 6;
  const src6 = six ? c + (COLD_REPLY_SRC as usize) : 0;
  const dst6 = six ? c + (COLD_REPLY_DST as usize) : 0;
  let back = v128.shuffle<u8>(key, key, 4, 5, 6, 7, 0, 1, 2, 3, 10, 11, 8, 9, 12, 13, 14, 15);
  // An ICMP tuple's reverse has the type that is answered; other protocols have nothing there.
  const proto = load<u8>(conntrackHot(index), CONN_PROTO) as u32;
  if (proto != IPPROTO_TCP && proto != IPPROTO_UDP) {
    back = i32x4.replace_lane(back, 2, load<u32>(conntrackHot(index), CONN_PORTS));
  }
  return lookup(key, back, hashOfKey(key), src6, dst6, now) != 0;
}

/**
 * Rewrites the frame in PKT for connection `index`; `related`: it is an ICMP error about it, with its ICMP header at PKT_L4.
 * Returns the state bits to set; 0, and no change, when the connection has no NAT or there is no memory for a copy.
 */
export function natFrame(index: u32, reply: bool, related: bool): u32 {
  const h = conntrackHot(index);
  const flags = load<u32>(h, CONN_FLAGS);
  if ((flags & (CONN_F_SRC_NAT | CONN_F_DST_NAT)) == 0) return 0;
  if (!makeWritable()) return 0;
  store<u32>(PKT, load<u32>(PKT, PKT_FLAGS) | PKT_F_DIRTY, PKT_FLAGS);
  const c = conntrackCold(index);
  // What NAT does to a source it undoes on the reply's destination.
  const source = ((flags & CONN_F_SRC_NAT) != 0) != reply;
  const six = load<u8>(h, CONN_FAMILY) == 6;
  const proto = load<u8>(h, CONN_PROTO) as u32;

  // The tuple that goes the other way: its destination is this frame's new source.
  let theirSrc: usize;
  let theirDst: usize;
  let theirPorts: usize;
  if (reply) {
    theirSrc = six ? c + (COLD_SRC6 as usize) : h + (CONN_SRC as usize);
    theirDst = six ? c + (COLD_DST6 as usize) : h + (CONN_DST as usize);
    theirPorts = h + (CONN_PORTS as usize);
  } else {
    theirSrc = c + (COLD_REPLY_SRC as usize);
    theirDst = c + (COLD_REPLY_DST as usize);
    theirPorts = c + (COLD_REPLY_PORTS as usize);
  }
  const l3: usize = (load<u32>(PKT, PKT_PTR) as usize) + (load<u32>(PKT, PKT_L3) as usize);
  const l4: usize = (load<u32>(PKT, PKT_PTR) as usize) + (load<u32>(PKT, PKT_L4) as usize);
  if (six) {
    const own = related ? IPPROTO_ICMPV6 : proto;
    setIpv6Address(own, l3 + (source ? 8 : 24), source ? theirDst : theirSrc, true);
  } else {
    setIpv4Address(l3, l3 + (source ? 12 : 16), load<u32>(source ? theirDst : theirSrc));
  }
  if (related) {
    natQuoted(l3, l4, six, proto, source, theirSrc, theirDst, theirPorts);
  } else if (proto == IPPROTO_TCP || proto == IPPROTO_UDP) {
    store<u16>(PORTS, load<u16>(theirPorts, 2));
    store<u16>(PORTS, load<u16>(theirPorts), 2);
    store<u32>(ALL_ONES, 0xffffffff);
    if (proto == IPPROTO_TCP) setTcp(PORTS, ALL_ONES);
    else setUdp(PORTS, ALL_ONES);
  }
  return source ? CS_SRC_NAT : CS_DST_NAT;
}

/**
 * The packet quoted in an ICMP error went the other way: what is the error's source is the quoted destination. Its
 * checksums are kept right too, where the quotation reaches that far.
 */
function natQuoted(
  l3: usize,
  l4: usize,
  six: bool,
  proto: u32,
  source: bool,
  theirSrc: usize,
  theirDst: usize,
  theirPorts: usize,
): void {
  const inner = l4 + 8;
  const size = transportSize();
  const address = source ? theirDst : theirSrc;
  let transport: usize;
  let field: usize;
  if (six) {
    transport = inner + (quotedOffset(inner) as usize);
    field = inner + (source ? 24 : 8);
  } else {
    transport = inner + ((((load<u8>(inner) & 0x0f) as u32) << 2) as usize);
    field = inner + (source ? 16 : 12);
    store<u16>(
      inner,
      updateChecksum32(load<u16>(inner, 10), load<u32>(field), load<u32>(address)) as u16,
      10,
    );
  }
  const left = size - ((transport - l4) as u32);
  const ported = proto == IPPROTO_TCP || proto == IPPROTO_UDP;
  let checksum: usize = 0;
  if (proto == IPPROTO_TCP && left >= (TCP_CHECKSUM as u32) + 2) checksum = transport + TCP_CHECKSUM;
  else if (proto == IPPROTO_UDP && load<u16>(transport, UDP_CHECKSUM) != 0)
    checksum = transport + UDP_CHECKSUM;
  else if (proto == IPPROTO_ICMPV6 && six) checksum = transport + ICMP_CHECKSUM;
  if (checksum != 0) {
    let sum: u32 = load<u16>(checksum);
    // As OVS: a TCP header that is cut after its checksum has the checksum follow its ports only.
    if (proto != IPPROTO_TCP || left >= TCP_SIZE)
      sum = updateChecksumBytes(sum, field, address, six ? 16 : 4);
    if (ported) sum = updateChecksumBytes(sum, transport, theirPorts, 4);
    store<u16>(checksum, (proto == IPPROTO_UDP && sum == 0 ? 0xffff : sum) as u16);
  }
  if (six) v128.store(field, v128.load(address));
  else store<u32>(field, load<u32>(address));
  if (ported) store<u32>(transport, load<u32>(theirPorts));
  // The error's own checksum covers all this. What a capture has cut cannot be summed: the checksum stays as it was.
  if (l4 + (size as usize) > (load<u32>(PKT, PKT_PTR) as usize) + (load<u32>(PKT, PKT_LEN) as usize)) return;
  store<u16>(l4, 0, 2);
  let total: u64 = 0;
  if (six) total = addBytes(0, l3 + 8, 32) + (bswap<u16>(size as u16) as u32 as u64) + (IPPROTO_ICMPV6 << 8);
  store<u16>(l4, finishSum(addBytes(total, l4, size)) as u16, 2);
}

/** The length of a quoted IPv6 header with its extensions, which conntrack-key.ts has found whole. */
function quotedOffset(at: usize): u32 {
  let next = load<u8>(at, 6) as u32;
  let offset: u32 = 40;
  while (next == 0 || next == 43 || next == 60 || next == 51 || next == 44) {
    const header = at + (offset as usize);
    const length = load<u8>(header, 1) as u32;
    if (next == 44) offset += 8;
    else offset += next == 51 ? (length + 2) << 2 : (length + 1) << 3;
    next = load<u8>(header) as u32;
  }
  return offset;
}
