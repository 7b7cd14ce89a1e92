// Expectations: connections that a helper has heard announced on another connection (its parent), and the parents of
// those that came. They live apart from the connection table, so that connections without helpers cost nothing.
//
// As in OVS, an expectation stays until its parent goes, however often it comes true, and does not mind the source port.
// What bounds them is ours: when its parent has EXPECTED_MAX of them, the parent's oldest makes room; when all
// the memory is taken, one of the oldest of all. A helper cannot be made to take more than that.
//
// An expectation, 128 bytes:
//   0 src (16; IPv4 in the first 4, then zeros) | 16 dst | 32 replacement address | 48 the parent's label
//  64 protocol u8, family u8, zone u16 as in a connection | 68 dport n u16 | 70 flags u16 | 72 the parent's mark n
//  76 hash of 0 to 69 | 80 next in its chain (an address) | 84 the parent, a connection's cold part (an address)
//  88 next of the same parent, 92 the one before: a ring, which the parent enters at its oldest | 96 how many, told by the oldest
// Parents (datapath/abi.ts draws one), 64 bytes: for each connection that was expected.
//
//   memory: chain heads | expectations | parents
import {
  COLD_EXPECTED,
  COLD_PARENT,
  CONN_F_HELPER_FTP,
  CONN_F_HELPER_TFTP,
  CONN_F_RELATED,
  CONN_FLAGS,
  CTC_EXPECT_DROP,
  PARENT_SIZE,
} from "../datapath/abi.ts";
import { count } from "./conntrack-table.ts";

const EXPECTATIONS_MAX: u32 = 8192;
const EXPECTED_MAX: u32 = 512;
const PARENTS_MAX: u32 = 16384;

const HEADS: u32 = 4096;
const E_SIZE: usize = 128;
export const E_SRC: usize = 0;
export const E_DST: usize = 16;
export const E_REPLACEMENT: usize = 32;
export const E_LABEL: usize = 48;
export const E_META: usize = 64;
export const E_DPORT: usize = 68;
export const E_FLAGS: usize = 70;
export const E_MARK: usize = 72;
const E_HASH: usize = 76;
const E_CHAIN: usize = 80;
export const E_PARENT: usize = 84;
const E_NEXT: usize = 88;
const E_PREV: usize = 92;
const E_COUNT: usize = 96;

/** NAT puts the replacement in the place of the reply's destination; else of its source. */
export const E_F_REPLACES_DST: u32 = 1;

/** Expectations that there are: none is looked for where none is. */
export let expectations: u32 = 0;
let heads: usize = 0;
let records: usize = 0;
let recordsMax: u32 = 0;
/** Records ever used; freed ones, chained by E_CHAIN. */
let reached: u32 = 0;
let free: usize = 0;
/** The record that makes room next when all are taken. */
let oldest: u32 = 0;
let parents: usize = 0;
let parentsMax: u32 = 0;
let parentsReached: u32 = 0;
let freeParent: usize = 0;

/** Bytes needed beside a table of `max` connections, a multiple of 64. */
export function expectSize(max: u32): usize {
  return (
    (HEADS as usize) * 4 +
    (min(max, EXPECTATIONS_MAX) as usize) * E_SIZE +
    (min(max, PARENTS_MAX) as usize) * (PARENT_SIZE as usize)
  );
}

/** Begins in memory that is all zero. */
export function expectInit(at: usize, max: u32): void {
  recordsMax = min(max, EXPECTATIONS_MAX);
  parentsMax = min(max, PARENTS_MAX);
  heads = at;
  records = heads + (HEADS as usize) * 4;
  parents = records + (recordsMax as usize) * E_SIZE;
  expectations = 0;
  reached = 0;
  free = 0;
  oldest = 0;
  parentsReached = 0;
  freeParent = 0;
}

function headOf(hash: u32): usize {
  return heads + (((hash & (HEADS - 1)) << 2) as usize);
}

function same(a: usize, b: usize): bool {
  return !v128.any_true(
    v128.or(v128.xor(v128.load(a), v128.load(b)), v128.xor(v128.load(a, 16), v128.load(b, 16))),
  );
}

/** The expectation with the 32 bytes of addresses at `key`, `meta` and `dport`, whose hash is `hash`; 0: none. */
export function expectLookup(key: usize, meta: u32, dport: u32, hash: u32): usize {
  let at = load<u32>(headOf(hash)) as usize;
  while (at != 0) {
    if (
      load<u32>(at, E_HASH) == hash &&
      load<u32>(at, E_META) == meta &&
      (load<u16>(at, E_DPORT) as u32) == dport &&
      same(at, key)
    )
      return at;
    at = load<u32>(at, E_CHAIN) as usize;
  }
  return 0;
}

/** A new expectation of the parent whose cold part is at `cold`, known by what expectLookup() looks for; 0 when there is no memory at all. */
export function expectAdd(cold: usize, key: usize, meta: u32, dport: u32, hash: u32): usize {
  const first = load<u32>(cold, COLD_EXPECTED) as usize;
  if (first != 0 && load<u32>(first, E_COUNT) >= EXPECTED_MAX) {
    expectRemove(first);
    count(CTC_EXPECT_DROP);
  }
  const at = take();
  if (at == 0) return 0;
  memory.fill(at, 0, E_SIZE);
  memory.copy(at, key, 32);
  store<u32>(at, meta, E_META);
  store<u16>(at, dport as u16, E_DPORT);
  store<u32>(at, hash, E_HASH);
  store<u32>(at, load<u32>(headOf(hash)), E_CHAIN);
  store<u32>(headOf(hash), at as u32);
  store<u32>(at, cold as u32, E_PARENT);
  const ring = load<u32>(cold, COLD_EXPECTED) as usize;
  if (ring == 0) {
    store<u32>(cold, at as u32, COLD_EXPECTED);
    store<u32>(at, at as u32, E_NEXT);
    store<u32>(at, at as u32, E_PREV);
    store<u32>(at, 1, E_COUNT);
  } else {
    const last = load<u32>(ring, E_PREV) as usize;
    store<u32>(last, at as u32, E_NEXT);
    store<u32>(at, last as u32, E_PREV);
    store<u32>(at, ring as u32, E_NEXT);
    store<u32>(ring, at as u32, E_PREV);
    store<u32>(ring, load<u32>(ring, E_COUNT) + 1, E_COUNT);
  }
  expectations++;
  return at;
}

function take(): usize {
  if (free != 0) {
    const at = free;
    free = load<u32>(at, E_CHAIN) as usize;
    return at;
  }
  if (reached < recordsMax) return records + (reached++ as usize) * E_SIZE;
  if (recordsMax == 0) return 0;
  // All are in use.
  expectRemove(records + (oldest as usize) * E_SIZE);
  oldest = oldest + 1 == recordsMax ? 0 : oldest + 1;
  count(CTC_EXPECT_DROP);
  return take();
}

function expectRemove(at: usize): void {
  let link = headOf(load<u32>(at, E_HASH));
  while ((load<u32>(link) as usize) != at) link = (load<u32>(link) as usize) + E_CHAIN;
  store<u32>(link, load<u32>(at, E_CHAIN));
  const cold = load<u32>(at, E_PARENT) as usize;
  const first = load<u32>(cold, COLD_EXPECTED) as usize;
  const left = load<u32>(first, E_COUNT) - 1;
  const next = load<u32>(at, E_NEXT) as usize;
  const prev = load<u32>(at, E_PREV) as usize;
  store<u32>(prev, next as u32, E_NEXT);
  store<u32>(next, prev as u32, E_PREV);
  const ring: usize = left == 0 ? 0 : at == first ? next : first;
  store<u32>(cold, ring as u32, COLD_EXPECTED);
  if (ring != 0) store<u32>(ring, left, E_COUNT);
  store<u32>(at, free as u32, E_CHAIN);
  free = at;
  expectations--;
}

/** Memory for the parent of a related connection, to be filled in; 0 when it is all taken. */
export function parentTake(): usize {
  if (freeParent != 0) {
    const at = freeParent;
    freeParent = load<u32>(at) as usize;
    return at;
  }
  return parentsReached < parentsMax ? parents + (parentsReached++ as usize) * (PARENT_SIZE as usize) : 0;
}

/** A connection goes, and with it what it had announced and what it remembered of its parent. */
export function expectForget(h: usize, c: usize): void {
  const flags = load<u32>(h, CONN_FLAGS);
  if ((flags & (CONN_F_HELPER_FTP | CONN_F_HELPER_TFTP)) != 0) {
    while (load<u32>(c, COLD_EXPECTED) != 0) expectRemove(load<u32>(c, COLD_EXPECTED) as usize);
  }
  if ((flags & CONN_F_RELATED) != 0) {
    const parent = load<u32>(c, COLD_PARENT) as usize;
    store<u32>(parent, freeParent as u32);
    freeParent = parent;
  }
}
