// The connection table: memory, hash, expiry. It knows nothing of protocols or verdicts.
//
// All of it is one region, sized at start for a fixed number of connections:
//
//   header  secrets, counters, the wheel's lists, zones (conntrack-zone.ts), helpers' memory (conntrack-expect.ts)
//   heads   a power of two of u32: the first reference of each hash chain
//   hot     64 bytes a connection: what every frame of it reads and writes (datapath/abi.ts draws it)
//   cold    112 bytes a connection: label, IPv6 addresses, reply tuple under NAT, wheel links
//
// A connection is named by its index. A reference is (index + 1) << 1, plus 1 when it stands for the reply tuple: a
// connection without NAT is in the table once, since the hash is the same for both directions and a lookup compares
// both ways; under NAT its reply tuple has a place of its own.
//
// The hash is NH (Black et al., UMAC, 1999; RFC 4418 section 5.2): sums of products of key words, each first added to
// a secret word. Two different keys collide with probability 2^-32 whatever the sender knows but the secret.
//
// Expiry is a wheel of three levels (64 slots each, of about 1 s, 65 s and 70 min). A frame only writes its connection's
// expiration; the connection stays in its slot, and when the slot's time comes it is either dead or moves on. Only
// an expiration that comes nearer moves it at once. Sweeping is bounded work at a time and may lag behind: a lookup
// never finds an expired connection, swept or not, so verdicts do not depend on it.
//
// The wheel is there twice: for connections that are answered and for those that are not. When the table is full, the
// first of the un-answered ones makes room: the one whose time would be over first. A connection that was answered in the
// meantime moves over when it is met, once, so that a flood costs the same for each of its frames.
import {
  COLD_ADMITTED,
  COLD_DST6,
  COLD_PREV,
  COLD_REPLY_DST,
  COLD_REPLY_NEXT,
  COLD_REPLY_PORTS,
  COLD_REPLY_SRC,
  COLD_SRC6,
  COLD_WHEEL_NEXT,
  CONN_COLD_SIZE,
  CONN_DST,
  CONN_DUE,
  CONN_EXPIRATION,
  CONN_F_REPLY_NODE,
  CONN_F_USED,
  CONN_FAMILY,
  CONN_FLAGS,
  CONN_HOT_SIZE,
  CONN_META,
  CONN_NEXT,
  CONN_PEER_ORIG,
  CONN_PEER_REPLY,
  CONN_POLICY_SHIFT,
  CONN_PORTS,
  CONN_PROTO,
  CONN_SRC,
  CTC_CONNECTIONS,
  CTC_COUNT,
  CTC_CREATED,
  CTC_EARLY_DROP,
  ICMP_FIRST,
  OTHER_BIDIR,
  PEER_STATE,
  TCPS_ESTABLISHED,
  ZONE_TIMEOUTS,
} from "../datapath/abi.ts";
import { expectForget, expectInit, expectSize } from "./conntrack-expect.ts";
import { zoneLeave, zoneRecords, zonesInit, zonesSize } from "./conntrack-zone.ts";

const IPPROTO_ICMP: u32 = 1;
const IPPROTO_TCP: u32 = 6;
const IPPROTO_ICMPV6: u32 = 58;

// Region header.
const H_SECRETS: usize = 0; //    16 u32
const H_COUNTERS: usize = 128; // CTC_COUNT u64
const H_FIRST: usize = 256; //    WHEEL_LISTS u32: the first connection of each list, plus one
const H_LAST: usize = 2048; //    and its last
const HEADER_SIZE: usize = 4096;

/** Connections that are found in a second-level cache of 1 MB, heads and hot parts. */
const LARGE: u64 = 10_000;
const SLOTS: u32 = 64;
const TICK_SHIFT: u64 = 10; // a tick is 1,024 ms
// Lists of a wheel; the un-answered connections' wheel has the same from UNANSWERED on.
const LEVEL1: u32 = 64;
const LEVEL2: u32 = 128;
const UNANSWERED: u32 = 192;
const PENDING: u32 = 384; // taken out of their slot, waiting to be looked at
/** In COLD_PREV and COLD_WHEEL_NEXT: the connection is the first or the last of the list whose number follows. */
const END_OF: u32 = 0x80000000;

/** Most connections looked at, and most ticks walked over, by one conntrackExpire. */
const SWEEP_MAX: u32 = 512;
const SWEEP_TICKS_MAX: u32 = 16384;
/** The same when a commit finds the table full: so many at a time until there is room, and so many at most. */
const SWEEP_STEP: u32 = 64;
const SWEEP_FULL: u32 = 2048;

let base: usize = 0;
let heads: usize = 0;
let headMask: u32 = 0;
let hot: usize = 0;
let cold: usize = 0;
let capacity: u32 = 0;
/** Connections ever handed out; beyond it the memory is untouched. */
let reached: u32 = 0;
/** Free connections below `reached`, chained by CONN_NEXT: index + 1. */
let free: u32 = 0;
/** The wheel's time, in ticks. */
let tick: u64 = 0;
/** Lists of this tick that are not yet taken: 6 the coarse slots and its own, 2 its own, each of both wheels, 0 none. */
let slotsLeft: u32 = 0;

function headCount(max: u32): u32 {
  let n: u32 = 64;
  while (n < max) n <<= 1;
  return n;
}

function align64(n: usize): usize {
  return (n + 63) & ~63;
}

/** Bytes needed for `max` connections. */
export function conntrackSize(max: u32): usize {
  return (
    HEADER_SIZE +
    zonesSize() +
    expectSize(max) +
    align64((headCount(max) as usize) * 4) +
    (max as usize) * (CONN_HOT_SIZE as usize) +
    align64((max as usize) * (CONN_COLD_SIZE as usize))
  );
}

/** Lays the table out at `at` (64-byte aligned) and returns the end address. The secret is zero until seedHash. */
export function conntrackInit(at: usize, max: u32): usize {
  base = at;
  capacity = max;
  const zones = at + HEADER_SIZE;
  const expectations = zones + zonesSize();
  heads = expectations + expectSize(max);
  headMask = headCount(max) - 1;
  hot = heads + align64((headCount(max) as usize) * 4);
  cold = hot + (max as usize) * (CONN_HOT_SIZE as usize);
  const end = at + conntrackSize(max);
  memory.fill(base, 0, hot - base);
  reached = 0;
  free = 0;
  tick = 0;
  slotsLeft = 0;
  seedHash(0);
  zonesInit(zones);
  expectInit(expectations, max);
  return end;
}

/** Makes the hash's secret words out of a seed (splitmix64). Only while the table is empty. */
export function seedHash(seed: u64): void {
  let x = seed;
  for (let i: usize = 0; i < 16; i++) {
    x += 0x9e3779b97f4a7c15;
    let z = x;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    store<u32>(base + H_SECRETS + (i << 2), ((z ^ (z >> 31)) >> 32) as u32);
  }
}

/** A counter, CTC_*. */
export function conntrackCounter(which: u32): u64 {
  return which < (CTC_COUNT as u32) ? load<u64>(base + H_COUNTERS + ((which as usize) << 3)) : 0;
}

export function count(which: u32): void {
  const at = base + H_COUNTERS + ((which as usize) << 3);
  store<u64>(at, load<u64>(at) + 1);
}

/** Address of a connection's hot part. */
export function conntrackHot(index: u32): usize {
  return hot + (index as usize) * (CONN_HOT_SIZE as usize);
}

/** Address of a connection's cold part. */
export function conntrackCold(index: u32): usize {
  return cold + (index as usize) * (CONN_COLD_SIZE as usize);
}

/** The connection whose cold part is at `at`. */
export function indexOfCold(at: usize): u32 {
  return ((at - cold) / (CONN_COLD_SIZE as usize)) as u32;
}

/** All connections are at places below this one. */
export function conntrackReached(): u32 {
  return reached;
}

// --- hash ----------------------------------------------------------------------------------------------------------

/** Folds an IPv6 address to 32 bits: what stands for it in the hot part and in the hash. */
export function foldAddress(at: usize): u32 {
  const k = base + H_SECRETS;
  const sum =
    ((load<u32>(at) + load<u32>(k, 32)) as u64) * ((load<u32>(at, 4) + load<u32>(k, 36)) as u64) +
    ((load<u32>(at, 8) + load<u32>(k, 40)) as u64) * ((load<u32>(at, 12) + load<u32>(k, 44)) as u64);
  return (sum ^ (sum >> 32)) as u32;
}

/**
 * The hash of a tuple; the same for its reverse. `sport` and `dport` are ports as they stand in memory; for ICMP both are
 * the id, so that types do not count.
 */
export function tupleHash(src: u32, dst: u32, sport: u32, dport: u32, meta: u32): u32 {
  // The two ends in a fixed order, then each as one pair of NH.
  const a = ((src as u64) << 16) | (sport as u64);
  const b = ((dst as u64) << 16) | (dport as u64);
  const lo = a < b ? a : b;
  const hi = a < b ? b : a;
  const k = base + H_SECRETS;
  let sum =
    (((lo as u32) + load<u32>(k)) as u64) * ((((lo >> 32) as u32) + load<u32>(k, 4)) as u64) +
    (((hi as u32) + load<u32>(k, 8)) as u64) * ((((hi >> 32) as u32) + load<u32>(k, 12)) as u64) +
    ((meta + load<u32>(k, 16)) as u64) * ((load<u32>(k, 20) | 1) as u64);
  // NH's good bits are spread over 64; the chains are chosen by the low ones.
  sum ^= sum >> 32;
  sum *= 0x9fb21c651e98df25;
  return (sum >> 32) as u32;
}

/** The hash of a key as it stands in memory: src, dst, ports, meta. */
function keyHash(src: u32, dst: u32, ports: u32, meta: u32): u32 {
  const proto = meta & 0xff;
  const family = (meta >> 8) & 0xff;
  const icmp = (proto == IPPROTO_ICMP && family == 4) || (proto == IPPROTO_ICMPV6 && family == 6);
  const sport = ports & 0xffff;
  return tupleHash(src, dst, sport, icmp ? sport : ports >> 16, meta);
}

function connHash(h: usize): u32 {
  return keyHash(
    load<u32>(h, CONN_SRC),
    load<u32>(h, CONN_DST),
    load<u32>(h, CONN_PORTS),
    load<u32>(h, CONN_META),
  );
}

/** The first 16 bytes of a reply tuple's hot form, for a connection whose reply tuple is filled in. */
export function replyKey(index: u32): v128 {
  const h = conntrackHot(index);
  const c = conntrackCold(index);
  const v6 = load<u8>(h, CONN_FAMILY) == 6;
  const src = v6 ? foldAddress(c + COLD_REPLY_SRC) : load<u32>(c, COLD_REPLY_SRC);
  const dst = v6 ? foldAddress(c + COLD_REPLY_DST) : load<u32>(c, COLD_REPLY_DST);
  let key = i32x4.splat(src);
  key = i32x4.replace_lane(key, 1, dst);
  key = i32x4.replace_lane(key, 2, load<u32>(c, COLD_REPLY_PORTS));
  return i32x4.replace_lane(key, 3, load<u32>(h, CONN_META));
}

/** The hash of a tuple in the table's form. */
export function hashOfKey(key: v128): u32 {
  return keyHash(
    i32x4.extract_lane(key, 0),
    i32x4.extract_lane(key, 1),
    i32x4.extract_lane(key, 2),
    i32x4.extract_lane(key, 3),
  );
}

function same(a: v128, b: v128): bool {
  return !v128.any_true(v128.xor(a, b));
}

function sameAddresses(src: usize, dst: usize, otherSrc: usize, otherDst: usize): bool {
  return same(v128.load(src), v128.load(otherSrc)) && same(v128.load(dst), v128.load(otherDst));
}

/**
 * Finds the live connection that has `key` as its tuple or its reply tuple; `reversed` is the key the other way round.
 * `src6` and `dst6` are the addresses' places for IPv6. Returns (index + 1) << 1, plus 1 in the reply direction; 0: none.
 */
export function lookup(key: v128, reversed: v128, hash: u32, src6: usize, dst6: usize, now: u64): u32 {
  let ref = load<u32>(heads + ((hash & headMask) << 2));
  while (ref != 0) {
    const index = (ref >> 1) - 1;
    const h = conntrackHot(index);
    if ((ref & 1) == 0) {
      const stored = v128.load(h);
      if (same(stored, key)) {
        if (now < load<u64>(h, CONN_EXPIRATION) && (src6 == 0 || sameCold(index, src6, dst6))) return ref;
      } else if (same(stored, reversed) && (load<u32>(h, CONN_FLAGS) & CONN_F_REPLY_NODE) == 0) {
        if (now < load<u64>(h, CONN_EXPIRATION) && (src6 == 0 || sameCold(index, dst6, src6))) return ref | 1;
      }
      ref = load<u32>(h, CONN_NEXT);
    } else {
      const c = conntrackCold(index);
      if (same(replyKey(index), key) && now < load<u64>(h, CONN_EXPIRATION)) {
        if (src6 == 0 || sameAddresses(c + COLD_REPLY_SRC, c + COLD_REPLY_DST, src6, dst6)) return ref;
      }
      ref = load<u32>(c, COLD_REPLY_NEXT);
    }
  }
  return 0;
}

/** The first reference of a hash chain. */
export function headOf(hash: u32): u32 {
  return load<u32>(heads + ((hash & headMask) << 2));
}

/** Whether there are more connections than a processor's caches have room for. */
export function isLarge(): bool {
  return load<u64>(base + H_COUNTERS + ((CTC_CONNECTIONS as usize) << 3)) > LARGE;
}

function sameCold(index: u32, src6: usize, dst6: usize): bool {
  const c = conntrackCold(index);
  return sameAddresses(c + COLD_SRC6, c + COLD_DST6, src6, dst6);
}

// --- making and ending connections -----------------------------------------------------------------------------------

/** A connection's memory, zeroed; -1 when the table is full of connections that are answered. */
export function allocate(now: u64): i32 {
  if (free == 0 && reached == capacity) {
    for (let left = SWEEP_FULL; free == 0 && left != 0; left -= SWEEP_STEP) {
      if (sweep(now, SWEEP_STEP) == 0) break;
    }
    if (free == 0 && !dropUnanswered()) return -1;
  }
  let index: u32;
  if (free != 0) {
    index = free - 1;
    free = load<u32>(conntrackHot(index), CONN_NEXT);
  } else {
    index = reached++;
  }
  const h = conntrackHot(index);
  memory.fill(h, 0, CONN_HOT_SIZE);
  memory.fill(conntrackCold(index), 0, CONN_COLD_SIZE);
  return index as i32;
}

/** Gives back a connection that allocate() gave and that was never inserted. */
export function giveBack(index: u32): void {
  const h = conntrackHot(index);
  store<u32>(h, 0, CONN_FLAGS);
  store<u32>(h, free, CONN_NEXT);
  free = index + 1;
}

/** Puts a connection whose key, expiration and (CONN_F_REPLY_NODE) reply tuple are set into the table. */
export function insert(index: u32, now: u64): void {
  const h = conntrackHot(index);
  const flags = load<u32>(h, CONN_FLAGS) | CONN_F_USED;
  store<u32>(h, flags, CONN_FLAGS);
  const head = heads + ((connHash(h) & headMask) << 2);
  store<u32>(h, load<u32>(head), CONN_NEXT);
  store<u32>(head, (index + 1) << 1);
  if ((flags & CONN_F_REPLY_NODE) != 0) {
    const replyHead = heads + ((hashOfKey(replyKey(index)) & headMask) << 2);
    store<u32>(conntrackCold(index), load<u32>(replyHead), COLD_REPLY_NEXT);
    store<u32>(replyHead, ((index + 1) << 1) | 1);
  }
  const live = base + H_COUNTERS + ((CTC_CONNECTIONS as usize) << 3);
  if (load<u64>(live) == 0) {
    tick = now >> TICK_SHIFT;
    slotsLeft = 0;
  }
  store<u64>(live, load<u64>(live) + 1);
  count(CTC_CREATED);
  wheelPut(index);
}

/** Takes a connection out of the table and frees it. */
export function remove(index: u32): void {
  const h = conntrackHot(index);
  unchain(connHash(h), (index + 1) << 1);
  if ((load<u32>(h, CONN_FLAGS) & CONN_F_REPLY_NODE) != 0) {
    unchain(hashOfKey(replyKey(index)), ((index + 1) << 1) | 1);
  }
  wheelTake(index);
  const live = base + H_COUNTERS + ((CTC_CONNECTIONS as usize) << 3);
  store<u64>(live, load<u64>(live) - 1);
  zoneLeave(load<u32>(conntrackCold(index), COLD_ADMITTED));
  expectForget(h, conntrackCold(index));
  giveBack(index);
}

/** Ends a connection before its time; its place is free at once. */
export function conntrackRemove(index: u32): void {
  if ((load<u32>(conntrackHot(index), CONN_FLAGS) & CONN_F_USED) != 0) remove(index);
}

/** Where the reference that follows `ref` in its chain is kept. */
function nextOf(ref: u32): usize {
  const index = (ref >> 1) - 1;
  return (ref & 1) == 0
    ? conntrackHot(index) + (CONN_NEXT as usize)
    : conntrackCold(index) + (COLD_REPLY_NEXT as usize);
}

function unchain(hash: u32, ref: u32): void {
  let at = heads + ((hash & headMask) << 2);
  while (load<u32>(at) != ref) at = nextOf(load<u32>(at));
  store<u32>(at, load<u32>(nextOf(ref)));
}

// --- expiry --------------------------------------------------------------------------------------------------------

/** When a connection would end whose timer is set now to the timeout of class TM_*, by the policy that it has. */
function expirationOf(h: usize, timeout: u32, now: u64): u64 {
  const policy = load<u32>(h, CONN_FLAGS) >> (CONN_POLICY_SHIFT as u32);
  const record = zoneRecords + ((policy as usize) << 6); // ZONE_RECORD_SIZE
  return now + (load<u32>(record + ((timeout as usize) << 2), ZONE_TIMEOUTS) as u64) * 1000;
}

/** Sets a connection's timer to the timeout of class TM_*. For a connection that is in the table. */
export function restartTimer(index: u32, h: usize, timeout: u32, now: u64): void {
  setExpiration(index, h, expirationOf(h, timeout, now));
}

/** The same for a connection that is not yet in the table. */
export function startTimer(h: usize, timeout: u32, now: u64): void {
  store<u64>(h, expirationOf(h, timeout, now), CONN_EXPIRATION);
}

/** Sets when a connection in the table ends. */
function setExpiration(index: u32, h: usize, expiration: u64): void {
  store<u64>(h, expiration, CONN_EXPIRATION);
  if (((expiration >> TICK_SHIFT) as u32) + 1 < load<u32>(h, CONN_DUE)) {
    wheelTake(index);
    wheelPut(index);
  }
}

/** No answer has come yet; of TCP, the handshake is not done. */
function isUnanswered(h: usize): bool {
  const proto = load<u8>(h, CONN_PROTO) as u32;
  const state = load<u8>(h, CONN_PEER_ORIG + PEER_STATE) as u32;
  if (proto == IPPROTO_TCP) {
    return (
      state < (TCPS_ESTABLISHED as u32) ||
      load<u8>(h, CONN_PEER_REPLY + PEER_STATE) < (TCPS_ESTABLISHED as u8)
    );
  }
  if (proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6) return state == ICMP_FIRST;
  return state != OTHER_BIDIR;
}

function firstOf(list: u32): usize {
  return base + H_FIRST + ((list as usize) << 2);
}

function lastOf(list: u32): usize {
  return base + H_LAST + ((list as usize) << 2);
}

/** Puts a connection at the end of the list where it belongs. */
function wheelPut(index: u32): void {
  const h = conntrackHot(index);
  let due = (load<u64>(h, CONN_EXPIRATION) >> TICK_SHIFT) + 1;
  if (due <= tick) due = tick + 1;
  const furthest = tick + ((SLOTS * SLOTS * (SLOTS - 1)) as u64);
  if (due > furthest) due = furthest; // it is looked at then, and moves on
  const ahead = due - tick;
  let list: u32;
  if (ahead < (SLOTS as u64)) list = (due as u32) & (SLOTS - 1);
  else if (ahead < ((SLOTS * SLOTS) as u64)) list = LEVEL1 + (((due >> 6) as u32) & (SLOTS - 1));
  else list = LEVEL2 + (((due >> 12) as u32) & (SLOTS - 1));
  if (isUnanswered(h)) list += UNANSWERED;
  store<u32>(h, due as u32, CONN_DUE);
  const c = conntrackCold(index);
  const last = load<u32>(lastOf(list));
  store<u32>(c, END_OF | list, COLD_WHEEL_NEXT);
  store<u32>(c, last == 0 ? END_OF | list : last, COLD_PREV);
  if (last == 0) store<u32>(firstOf(list), index + 1);
  else store<u32>(conntrackCold(last - 1), index + 1, COLD_WHEEL_NEXT);
  store<u32>(lastOf(list), index + 1);
}

function wheelTake(index: u32): void {
  const c = conntrackCold(index);
  const prev = load<u32>(c, COLD_PREV);
  const next = load<u32>(c, COLD_WHEEL_NEXT);
  if ((prev & END_OF) == 0) store<u32>(conntrackCold(prev - 1), next, COLD_WHEEL_NEXT);
  else store<u32>(firstOf(prev & ~END_OF), (next & END_OF) != 0 ? 0 : next);
  if ((next & END_OF) == 0) store<u32>(conntrackCold(next - 1), prev, COLD_PREV);
  else store<u32>(lastOf(next & ~END_OF), (prev & END_OF) != 0 ? 0 : prev);
}

/** Moves a whole list to PENDING, which is empty, in one step; false when there is nothing in it. */
function makePending(list: u32): bool {
  const first = load<u32>(firstOf(list));
  if (first == 0) return false;
  const last = load<u32>(lastOf(list));
  store<u32>(firstOf(list), 0);
  store<u32>(lastOf(list), 0);
  store<u32>(firstOf(PENDING), first);
  store<u32>(lastOf(PENDING), last);
  store<u32>(conntrackCold(first - 1), END_OF | PENDING, COLD_PREV);
  store<u32>(conntrackCold(last - 1), END_OF | PENDING, COLD_WHEEL_NEXT);
  return true;
}

/** Ends the un-answered connection whose time would be over first; false when there is none among those looked at. */
function dropUnanswered(): bool {
  let left = SWEEP_FULL;
  for (let level: u32 = 0; level < 3; level++) {
    const slot = ((tick >> ((level * 6) as u64)) as u32) & (SLOTS - 1);
    for (let ahead: u32 = 0; ahead < SLOTS; ahead++) {
      const list = UNANSWERED + level * SLOTS + ((slot + ahead) & (SLOTS - 1));
      for (let first = load<u32>(firstOf(list)); first != 0; first = load<u32>(firstOf(list))) {
        if (isUnanswered(conntrackHot(first - 1))) {
          remove(first - 1);
          count(CTC_EARLY_DROP);
          return true;
        }
        if (--left == 0) return false;
        wheelTake(first - 1);
        wheelPut(first - 1);
      }
    }
  }
  return false;
}

/** Looks at the connections in PENDING, `max` at most: dead ones go, others take their place. Returns what is left of `max`. */
function settlePending(now: u64, max: u32): u32 {
  while (max != 0) {
    const first = load<u32>(firstOf(PENDING));
    if (first == 0) break;
    max--;
    if (now >= load<u64>(conntrackHot(first - 1), CONN_EXPIRATION)) {
      remove(first - 1);
    } else {
      wheelTake(first - 1);
      wheelPut(first - 1);
    }
  }
  return max;
}

/**
 * Frees expired connections: bounded work, so that a million connections never pause the frames. Called again soon where it says so.
 * Returns 1 when there is more to do now.
 */
export function conntrackExpire(nowMs: u64): u32 {
  return sweep(nowMs, SWEEP_MAX);
}

function sweep(now: u64, max: u32): u32 {
  const target = now >> TICK_SHIFT;
  if (load<u64>(base + H_COUNTERS + ((CTC_CONNECTIONS as usize) << 3)) == 0) {
    if (target > tick) tick = target;
    slotsLeft = 0;
    return 0;
  }
  for (let steps: u32 = 0; steps < SWEEP_TICKS_MAX; steps++) {
    max = settlePending(now, max);
    if (max == 0) return 1;
    if (slotsLeft == 0) {
      if (tick >= target) return 0;
      tick++;
      slotsLeft = 6;
    }
    const t = tick as u32;
    slotsLeft--;
    const wheel = (slotsLeft & 1) == 0 ? UNANSWERED : 0;
    if (slotsLeft >= 4) {
      if ((t & (SLOTS * SLOTS - 1)) == 0) makePending(wheel + LEVEL2 + (((tick >> 12) as u32) & (SLOTS - 1)));
    } else if (slotsLeft >= 2) {
      if ((t & (SLOTS - 1)) == 0) makePending(wheel + LEVEL1 + ((t >> 6) & (SLOTS - 1)));
    } else {
      makePending(wheel + (t & (SLOTS - 1)));
    }
  }
  return 1;
}
