// Fragments in ct: they wait until their datagram is whole, are judged together as one, and then go on as they came, in
// order, when the last of them arrives. As OVS's userspace conntrack does (its ipf): a datagram is known by its addresses,
// id, protocol, zone and recirculation; a fragment that is not the last must have at least MIN_IPV4 or MIN_IPV6 bytes; one
// that overlaps another is invalid, and so is what cannot wait because too much is waiting.
//
// A datagram that waits, a block of the heap for tables:
//   0 src 16 | 16 dst 16 | 32 id u32 | 36 recirculation id u32 | 40 zone u16 | 42 protocol u8 | 43 family u8
//  44 fragments u32 | 48 expires ms u64 | 56 payload bytes so far u32 | 60 whether the last was seen u32
//  64 fragments by offset, 16 bytes each: block u32 | size of the block u32 | first payload byte u32 | the one after its last u32
// A fragment's block, of the same heap: PKT and KEY as they were (SAVE_SIZE) | HEADROOM | the frame
import { MAX_FRAME } from "../datapath/abi.ts";
import {
  B_CT,
  B_CT_IPV6_DST,
  B_CT_IPV6_SRC,
  B_CT_LABEL,
  B_META,
  O_CT_IPV6_DST,
  O_CT_IPV6_SRC,
  O_CT_LABEL,
  O_CT_STATE,
  O_CT_TP_SRC,
  O_DL_TYPE,
  O_IPV6_DST,
  O_IPV6_SRC,
  O_NW_SRC,
  O_RECIRC_ID,
} from "../flow/layout.ts";
import { conntrackExecute } from "./conntrack.ts";
import { checksumGood } from "./conntrack-checksum.ts";
import { heapAlloc, heapFree } from "./heap.ts";
import {
  HEADROOM,
  KEY,
  OFFSET_NONE,
  PKT,
  PKT_CONN,
  PKT_F_ABOVE_IPV4,
  PKT_F_ABOVE_IPV6,
  PKT_F_DATAGRAM,
  PKT_F_DIRTY,
  PKT_F_OWNED,
  PKT_FLAGS,
  PKT_FRAME,
  PKT_KEY_MAP,
  PKT_L3,
  PKT_LEN,
  PKT_NOW,
  PKT_PTR,
  PKT_WIRE_LEN,
  SAVE_SIZE,
} from "./memory.ts";
import { makeWritable } from "./output.ts";
import { parse, parseForConntrack } from "./parse.ts";
import { liftVlanLimit, setVlanLimit } from "./parse-link.ts";

/** Fragments that may wait at once, and those of one datagram. */
const WAITING_MAX: u32 = 1000;
const FRAGMENTS_MAX: u32 = 64;
const TIMEOUT_MS: u64 = 15_000;
const MIN_IPV4: u32 = 1200;
const MIN_IPV6: u32 = 1280;

const D_SRC: usize = 0;
const D_DST: usize = 16;
const D_ID: usize = 32;
const D_RECIRC: usize = 36;
const D_WHO: usize = 40;
const D_COUNT: usize = 44;
const D_EXPIRES: usize = 48;
const D_BYTES: usize = 56;
const D_LAST: usize = 60;
const D_FRAGMENTS: usize = 64;
const F_SIZE: usize = 16;
const D_SIZE: usize = D_FRAGMENTS + <usize>FRAGMENTS_MAX * F_SIZE;

const KEY_IN_BLOCK: usize = KEY - PKT;
const ETH_IPV4: u32 = 0x0008; // as it stands in memory
const IPV6_HEADER: u32 = 40;
const PROTO_FRAGMENT: u32 = 44;

/** What holdFragment() answers when it is no datagram. */
export const FRAGMENT_HELD: usize = 0;
export const FRAGMENT_INVALID: usize = 1;

const waiting: usize = memory.data(1000 * 4);
let waitingCount: u32 = 0;
let waitingFragments: u32 = 0;
let heap: usize = 0;

// The fragment in PKT, as readFragment() found it.
let v4: bool = false;
/** The first byte of its payload, how much there is, where in the datagram, and whether it is the last. */
let data: usize = 0;
let dataSize: u32 = 0;
let offset: u32 = 0;
let last: bool = false;
let id: u32 = 0;
let proto: u32 = 0;

export function fragmentsInit(tablesHeap: usize): void {
  heap = tablesHeap;
  waitingCount = 0;
  waitingFragments = 0;
}

function be16(at: usize): u32 {
  return bswap<u16>(load<u16>(at)) as u32;
}

/** Takes the fragment in PKT. FRAGMENT_HELD: it waits. FRAGMENT_INVALID. Else the datagram that it made whole, which waits no more. */
export function holdFragment(zone: u32): usize {
  const now = load<u64>(PKT, PKT_NOW);
  expire(now);
  if (!readFragment() || waitingFragments == WAITING_MAX) return FRAGMENT_INVALID;
  let datagram = find(zone);
  if (datagram == 0) {
    datagram = heapAlloc(heap, D_SIZE);
    if (datagram == 0) return FRAGMENT_INVALID;
    describe(datagram, zone);
    store<u64>(datagram, now + TIMEOUT_MS, D_EXPIRES);
    store<u32>(waiting + <usize>waitingCount * 4, <u32>datagram);
    waitingCount++;
  }
  if (!add(datagram)) {
    if (load<u32>(datagram, D_COUNT) == 0) {
      forget(datagram);
      freeDatagram(datagram);
    }
    return FRAGMENT_INVALID;
  }
  if (!isWhole(datagram)) return FRAGMENT_HELD;
  forget(datagram);
  return datagram;
}

/** OVS's demands on a fragment: lengths that are true, a right IPv4 checksum, and no tiny one but the last. */
function readFragment(): bool {
  const ptr = <usize>load<u32>(PKT, PKT_PTR);
  const length = load<u32>(PKT, PKT_LEN);
  const l3Offset = load<u32>(PKT, PKT_L3);
  if (l3Offset == OFFSET_NONE || length != load<u32>(PKT, PKT_WIRE_LEN)) return false;
  const l3 = ptr + <usize>l3Offset;
  const present = length - l3Offset;
  v4 = load<u16>(KEY, O_DL_TYPE) == ETH_IPV4;
  if (v4) {
    if (present < 20) return false;
    const header = (<u32>(load<u8>(l3) & 15)) << 2;
    const total = be16(l3 + 2);
    if (header < 20 || total <= header || total > present || !checksumGood(l3, header)) return false;
    const word = be16(l3 + 6);
    id = load<u16>(l3, 4);
    proto = load<u8>(l3, 9);
    offset = (word & 0x1fff) << 3;
    last = (word & 0x2000) == 0;
    data = l3 + <usize>header;
    dataSize = total - header;
    return (last || total >= MIN_IPV4) && header + offset + dataSize <= <u32>MAX_FRAME;
  }
  if (present < IPV6_HEADER) return false;
  const end = IPV6_HEADER + be16(l3 + 4);
  if (end > present) return false;
  const header = fragmentHeader(l3, end);
  if (header == 0 || header + 8 >= end) return false;
  const at = l3 + <usize>header;
  const word = be16(at + 2);
  id = load<u32>(at, 4);
  proto = load<u8>(at);
  offset = word & 0xfff8;
  last = (word & 1) == 0;
  data = at + 8;
  dataSize = end - header - 8;
  return (last || end >= MIN_IPV6) && header + 8 + offset + dataSize <= <u32>MAX_FRAME;
}

/** Where the fragment header is, from the IPv6 header on; 0 when there is none (RFC 8200 section 4). */
function fragmentHeader(l3: usize, end: u32): u32 {
  let next: u32 = load<u8>(l3, 6);
  let at: u32 = IPV6_HEADER;
  while (next != PROTO_FRAGMENT) {
    if ((next != 0 && next != 43 && next != 60) || at + 8 > end) return 0;
    next = load<u8>(l3 + <usize>at);
    at += (<u32>load<u8>(l3 + <usize>at, 1) + 1) << 3;
  }
  return at + 8 > end ? 0 : at;
}

function who(zone: u32): u32 {
  return zone | (proto << 16) | ((v4 ? 4 : 6) << 24);
}

function addressOf(v6At: usize, v4At: usize): v128 {
  return v4 ? i32x4(load<u32>(KEY + v4At), 0, 0, 0) : v128.load(KEY + v6At);
}

function describe(datagram: usize, zone: u32): void {
  memory.fill(datagram, 0, D_FRAGMENTS);
  v128.store(datagram, addressOf(O_IPV6_SRC, O_NW_SRC), D_SRC);
  v128.store(datagram, addressOf(O_IPV6_DST, O_NW_SRC + 4), D_DST);
  store<u32>(datagram, id, D_ID);
  store<u32>(datagram, load<u32>(KEY, O_RECIRC_ID), D_RECIRC);
  store<u32>(datagram, who(zone), D_WHO);
}

function find(zone: u32): usize {
  const src = addressOf(O_IPV6_SRC, O_NW_SRC);
  const dst = addressOf(O_IPV6_DST, O_NW_SRC + 4);
  const recirc = load<u32>(KEY, O_RECIRC_ID);
  for (let i: u32 = 0; i < waitingCount; i++) {
    const d = <usize>load<u32>(waiting + <usize>i * 4);
    if (load<u32>(d, D_ID) != id || load<u32>(d, D_RECIRC) != recirc || load<u32>(d, D_WHO) != who(zone))
      continue;
    const differs = v128.or(v128.xor(v128.load(d, D_SRC), src), v128.xor(v128.load(d, D_DST), dst));
    if (!v128.any_true(differs)) return d;
  }
  return 0;
}

function fragment(datagram: usize, i: u32): usize {
  return datagram + D_FRAGMENTS + <usize>i * F_SIZE;
}

/** Copies the fragment in PKT to its place in the datagram; false when it overlaps another, or there is no room. */
function add(datagram: usize): bool {
  const count = load<u32>(datagram, D_COUNT);
  if (count == FRAGMENTS_MAX) return false;
  let place = count;
  for (let i: u32 = 0; i < count; i++) {
    const other = fragment(datagram, i);
    // As OVS sees it, one that contains another does not overlap it; such a datagram is never whole.
    if (isWithin(other, offset) || isWithin(other, offset + dataSize - 1)) return false;
    if (place == count && offset < load<u32>(other, 8)) place = i;
  }
  const length = load<u32>(PKT, PKT_LEN);
  const size = SAVE_SIZE + <usize>HEADROOM + <usize>length + 16;
  const block = heapAlloc(heap, size);
  if (block == 0) return false;
  const frame = block + SAVE_SIZE + <usize>HEADROOM;
  memory.copy(block, PKT, SAVE_SIZE);
  memory.copy(frame, <usize>load<u32>(PKT, PKT_PTR), length);
  store<u32>(block, <u32>frame, PKT_PTR);
  const at = fragment(datagram, place);
  memory.copy(at + F_SIZE, at, <usize>(count - place) * F_SIZE);
  store<u32>(at, <u32>block);
  store<u32>(at, <u32>size, 4);
  store<u32>(at, offset, 8);
  store<u32>(at, offset + dataSize, 12);
  store<u32>(datagram, count + 1, D_COUNT);
  waitingFragments++;
  store<u32>(datagram, load<u32>(datagram, D_BYTES) + dataSize, D_BYTES);
  if (last) store<u32>(datagram, 1, D_LAST);
  return true;
}

function isWithin(fragment: usize, byte: u32): bool {
  return byte >= load<u32>(fragment, 8) && byte < load<u32>(fragment, 12);
}

/** From byte 0 on without a gap, and the last was seen. */
function isWhole(datagram: usize): bool {
  if (load<u32>(datagram, D_LAST) == 0) return false;
  const count = load<u32>(datagram, D_COUNT);
  let end: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const at = fragment(datagram, i);
    if (load<u32>(at, 8) != end) return false;
    end = load<u32>(at, 12);
  }
  return true;
}

function l3Of(block: usize): usize {
  return <usize>load<u32>(block, PKT_PTR) + <usize>load<u32>(block, PKT_L3);
}

/** Takes the datagram out of those that wait. */
function forget(datagram: usize): void {
  for (let i: u32 = 0; i < waitingCount; i++) {
    const at = waiting + <usize>i * 4;
    if (<usize>load<u32>(at) != datagram) continue;
    waitingCount--;
    waitingFragments -= load<u32>(datagram, D_COUNT);
    store<u32>(at, load<u32>(waiting + <usize>waitingCount * 4));
    return;
  }
}

/** Drops the datagrams whose time is over, fragments and all. */
function expire(now: u64): void {
  for (let i: u32 = 0; i < waitingCount; ) {
    const datagram = <usize>load<u32>(waiting + <usize>i * 4);
    if (load<u64>(datagram, D_EXPIRES) > now) {
      i++;
      continue;
    }
    forget(datagram);
    const count = load<u32>(datagram, D_COUNT);
    for (let k: u32 = 0; k < count; k++) freeFragment(datagram, k);
    freeDatagram(datagram);
  }
}

function freeFragment(datagram: usize, i: u32): void {
  const at = fragment(datagram, i);
  heapFree(heap, <usize>load<u32>(at), <usize>load<u32>(at, 4));
}

export function freeDatagram(datagram: usize): void {
  heapFree(heap, datagram, D_SIZE);
}

export function fragmentCount(datagram: usize): u32 {
  return load<u32>(datagram, D_COUNT);
}

/** Runs the A_CT word on the whole datagram, and gives its verdict and translation to each fragment. False when memory is short. */
export function trackDatagram(datagram: usize, action: usize): bool {
  const now = load<u64>(PKT, PKT_NOW);
  const frameIndex = load<u32>(PKT, PKT_FRAME);
  const count = load<u32>(datagram, D_COUNT);
  const first = <usize>load<u32>(fragment(datagram, 0));
  const head = load<u32>(first, PKT_LEN);
  const size = SAVE_SIZE + <usize>HEADROOM + <usize>head + <usize>load<u32>(datagram, D_BYTES) + 16;
  const block = heapAlloc(heap, size);
  if (block != 0) {
    assemble(datagram, count, first, block + SAVE_SIZE + <usize>HEADROOM);
    store<u64>(PKT, now, PKT_NOW);
    store<u32>(PKT, 0, PKT_CONN);
    // Tags that actions have pushed may be more than are looked at, and what is below them is tracked all the same.
    const limit = liftVlanLimit();
    parse();
    setVlanLimit(limit);
    parseForConntrack(load<u16>(KEY, O_DL_TYPE));
    conntrackExecute(action);
  }
  for (let i: u32 = 0; i < count; i++) {
    const held = <usize>load<u32>(fragment(datagram, i));
    store<u64>(held, now, PKT_NOW);
    store<u32>(held, frameIndex, PKT_FRAME);
    if (block != 0) inherit(held, fragment(datagram, i));
  }
  if (block != 0) heapFree(heap, block, size);
  return block != 0;
}

/** Makes PKT the whole datagram, at `frame`: the first fragment's headers, everyone's payload. */
function assemble(datagram: usize, count: u32, first: usize, frame: usize): void {
  memory.copy(PKT, first, SAVE_SIZE);
  const l3Offset = <usize>load<u32>(first, PKT_L3);
  const total = load<u32>(datagram, D_BYTES);
  let headers: usize = 0;
  for (let i: u32 = 0; i < count; i++) {
    const at = fragment(datagram, i);
    const held = <usize>load<u32>(at);
    const from = payloadOf(held);
    if (i == 0) {
      headers = from - <usize>load<u32>(held, PKT_PTR);
      memory.copy(frame, <usize>load<u32>(held, PKT_PTR), headers);
    }
    const start = load<u32>(at, 8);
    memory.copy(frame + headers + <usize>start, from, <usize>(load<u32>(at, 12) - start));
  }
  const l3 = frame + l3Offset;
  if (load<u8>(l3) >> 4 == 4) {
    store<u16>(l3, bswap<u16>(<u16>(<u32>(headers - l3Offset) + total)), 2);
    store<u16>(l3, 0, 6);
    setChecksum(l3);
  } else {
    store<u16>(l3, bswap<u16>(<u16>(<u32>(headers - l3Offset) - IPV6_HEADER + total)), 4);
    store<u16>(frame + headers - 8, 0, 2);
  }
  const length = <u32>headers + total;
  store<u32>(PKT, <u32>frame, PKT_PTR);
  store<u32>(PKT, length, PKT_LEN);
  store<u32>(PKT, length, PKT_WIRE_LEN);
  const above = load<u32>(first, PKT_FLAGS) & (PKT_F_ABOVE_IPV4 | PKT_F_ABOVE_IPV6);
  store<u32>(PKT, PKT_F_OWNED | PKT_F_DATAGRAM | above, PKT_FLAGS);
}

function payloadOf(block: usize): usize {
  const l3 = l3Of(block);
  if (load<u8>(l3) >> 4 == 4) return l3 + ((<usize>(load<u8>(l3) & 15)) << 2);
  return l3 + <usize>fragmentHeader(l3, IPV6_HEADER + be16(l3 + 4)) + 8;
}

/** Writes an IPv4 header's checksum anew (RFC 1071). */
function setChecksum(l3: usize): void {
  store<u16>(l3, 0, 10);
  const size = (<usize>(load<u8>(l3) & 15)) << 2;
  let sum: u32 = 0;
  for (let i: usize = 0; i < size; i += 2) sum += load<u16>(l3 + i);
  sum = (sum >> 16) + (sum & 0xffff);
  sum = (sum >> 16) + (sum & 0xffff);
  store<u16>(l3, <u16>~sum, 10);
}

/** What conntrack said of the datagram in PKT becomes a held fragment's; its headers change as the datagram's did. */
function inherit(held: usize, at: usize): void {
  const key = held + KEY_IN_BLOCK;
  store<u32>(key, load<u32>(KEY, O_CT_TP_SRC), O_CT_TP_SRC);
  v128.store(key, v128.load(KEY, O_CT_STATE), O_CT_STATE);
  v128.store(key, v128.load(KEY, O_CT_LABEL), O_CT_LABEL);
  v128.store(key, v128.load(KEY, O_CT_IPV6_SRC), O_CT_IPV6_SRC);
  v128.store(key, v128.load(KEY, O_CT_IPV6_DST), O_CT_IPV6_DST);
  const blocks: u64 =
    (1 << B_META) | (1 << B_CT) | (1 << B_CT_LABEL) | (1 << B_CT_IPV6_SRC) | (1 << B_CT_IPV6_DST);
  store<u64>(held, load<u64>(held, PKT_KEY_MAP) | (load<u64>(PKT, PKT_KEY_MAP) & blocks), PKT_KEY_MAP);
  // The next ct() judges anew.
  store<u32>(held, 0, PKT_CONN);

  const l3 = l3Of(held);
  const whole = <usize>load<u32>(PKT, PKT_PTR) + <usize>load<u32>(PKT, PKT_L3);
  let changed = false;
  if (load<u8>(l3) >> 4 == 4) {
    if (load<u64>(l3, 12) != load<u64>(whole, 12)) {
      changed = true;
      store<u64>(l3, load<u64>(whole, 12), 12);
      setChecksum(l3);
    }
  } else {
    const src = v128.load(whole, 8);
    const dst = v128.load(whole, 24);
    changed = v128.any_true(v128.or(v128.xor(v128.load(l3, 8), src), v128.xor(v128.load(l3, 24), dst)));
    v128.store(l3, src, 8);
    v128.store(l3, dst, 24);
  }
  if (load<u32>(at, 8) == 0) {
    // The transport header is the first fragment's.
    const payload = payloadOf(held);
    const offsetIn = payload - <usize>load<u32>(held, PKT_PTR);
    memory.copy(payload, <usize>load<u32>(PKT, PKT_PTR) + offsetIn, <usize>load<u32>(at, 12));
    changed = true;
  }
  let flags = load<u32>(held, PKT_FLAGS) & ~PKT_F_OWNED;
  if (changed) flags |= PKT_F_DIRTY;
  store<u32>(held, flags, PKT_FLAGS);
}

/** Makes PKT the datagram's fragment `i`, which is the datagram's no more. False when the output memory is full. */
export function takeFragment(datagram: usize, i: u32): bool {
  memory.copy(PKT, <usize>load<u32>(fragment(datagram, i)), SAVE_SIZE);
  const copied = makeWritable();
  freeFragment(datagram, i);
  return copied;
}
