// The megaflow cache: tuple space search. Megaflows with the same mask form a subtable, a hash table of masked keys;
// a lookup probes subtable after subtable until one has the key. Megaflows never overlap, so the first hit is the only
// one and the order of the subtables is free: those hit most go first. Records and subtables are drawn in datapath/abi.ts.
import {
  A_OUTPUT,
  MF_GENERATION,
  MF_HASH,
  MF_KEY,
  MF_PROGRAM,
  MF_PROGRAM_WORDS,
  MF_QUICK_PORT,
  MF_SIZE,
  MF_SUBTABLE,
  NO_QUICK_PORT,
  ST_BLOCK_NUMBERS,
  ST_BLOCKS,
  ST_BUCKET_MASK,
  ST_BUCKETS,
  ST_COUNT,
  ST_DISPLACED,
  ST_HITS,
  ST_MAP,
  ST_MASKS,
  ST_PORT,
  ST_PORT_MASK,
} from "../datapath/abi.ts";
import { B_MPLS, B_VLAN, KEY_BLOCKS } from "../flow/layout.ts";
import { heapAlloc, heapFree } from "./heap.ts";
import { finishHash, pairHash } from "./key.ts";
import { GROUP, KEY, LIST_IN, MASK_IN, PKT, PKT_KEY_MAP, UNTAGGED_HASH } from "./memory.ts";

const BUCKET_SIZE: usize = 32;
const BUCKETS_MIN: u32 = 4;
/**
 * Every subtable has these blocks, and the masks of most IPv4 traffic no others: META, ETH, IP4, CT, MPLS (every mask has the
 * packet type) and VLAN (nearly every mask has the tag).
 */
const FEW_BLOCKS: usize = 6;
const FEW_MAP: u64 = 63;
/** The blocks of them that are zero in an untagged frame. */
const TAG_MAP: u64 = (1 << B_MPLS) | (1 << B_VLAN);
const GROUP_SIZE: usize = 4;
/** From a member of GROUP to the address of the key's bucket in it. */
const GROUP_BUCKETS: usize = 16;
/** How many removals the next buckets are touched ahead. */
const AHEAD: u32 = 8;
const SUBTABLE_SIZE: usize = <usize>ST_MASKS + <usize>KEY_BLOCKS * 16;

// The subtables in the order they are probed: addresses, u32 each.
let order: usize = 0;
let records: usize = 0;
let tables: usize = 0;
let generations: u32 = 0;
// Records removed while a frame was on its way: their programs may still be running. Linked by MF_HASH.
let removed: usize = 0;
let orderMax: u32 = 0;
let subtables: u32 = 0;
let megaflows: u32 = 0;
/** Where what is read ahead goes, so that it is read. */
let touched: u32 = 0;
/** Subtables probed by all lookups. */
export let probes: u64 = 0;

export function megaflowOrderSize(subtablesMax: u32): usize {
  return <usize>subtablesMax * 4;
}

/** `recordHeap` and `tableHeap` are heaps of their own (heap.ts). */
export function megaflowInit(at: usize, subtablesMax: u32, recordHeap: usize, tableHeap: usize): void {
  order = at;
  records = recordHeap;
  tables = tableHeap;
  orderMax = subtablesMax;
  subtables = 0;
  megaflows = 0;
  generations = 0;
  removed = 0;
  probes = 0;
  v128.store(UNTAGGED_HASH, pairHash(i64x2(0, 0), i64x2(0, 0), 2));
}

export function megaflowCount(): u32 {
  return megaflows;
}

export function subtableCount(): u32 {
  return subtables;
}

/** The address of the n-th subtable in probing order. */
export function subtableAt(n: u32): usize {
  return <usize>load<u32>(order + <usize>n * 4);
}

/** The megaflow that the key in KEY falls under, 0 for none. */
export function megaflowLookup(): usize {
  const meta = v128.load(KEY);
  const eth = v128.load(KEY, 16);
  const ip4 = v128.load(KEY, 32);
  const ct = v128.load(KEY, 48);
  const port = i64x2.extract_lane(meta, 0);
  const tagged = (load<u64>(PKT, PKT_KEY_MAP) & TAG_MAP) != 0;
  let waiting: usize = 0;
  for (let i: u32 = 0; ; i++) {
    if (i < subtables) {
      const subtable = <usize>load<u32>(order + <usize>i * 4);
      const possible = (port & load<i64>(subtable, ST_PORT_MASK)) == load<i64>(subtable, ST_PORT);
      if (load<u64>(subtable, ST_MAP) != FEW_MAP) {
        if (!possible) continue;
        probes++;
        const found = probe(subtable, KEY);
        if (found != 0) return hit(subtable, found);
        continue;
      }
      // Whether a subtable can have the key is not foreseeable: no branch on it.
      store<u32>(GROUP + waiting * 4, <u32>subtable);
      waiting += <usize>possible;
      if (waiting < GROUP_SIZE) continue;
    }
    if (waiting == 0) return 0;
    const found = probeGroup(waiting, meta, eth, ip4, ct, tagged);
    if (found != 0) return found;
    if (i >= subtables) return 0;
    waiting = 0;
  }
  return 0; // not reached; asc wants it
}

function hit(subtable: usize, record: usize): usize {
  store<u32>(subtable, load<u32>(subtable, ST_HITS) + 1, ST_HITS);
  return record;
}

/**
 * Probes the first `count` subtables in GROUP, all of FEW_MAP, at once: which of them has the key, and whether a bucket has
 * other records, decides no branch, so that the processor has nothing to guess.
 */
function probeGroup(count: usize, meta: v128, eth: v128, ip4: v128, ct: v128, tagged: bool): usize {
  probes += count;
  let matches: u32 = 0;
  for (let k: usize = 0; k < count; k++) {
    matches |= matchesOf(k, meta, eth, ip4, ct, tagged) << (<u32>k * 4);
  }
  for (; matches != 0; matches &= matches - 1) {
    const slot = <usize>ctz<u32>(matches);
    const member = GROUP + (slot >> 2) * 4;
    const record = <usize>load<u32>(<usize>load<u32>(member, GROUP_BUCKETS) + (slot & 3) * 4, 16);
    const subtable = <usize>load<u32>(member);
    const diff = v128.or(
      v128.or(differs(meta, subtable, record, 0), differs(eth, subtable, record, 16)),
      v128.or(differs(ip4, subtable, record, 32), differs(ct, subtable, record, 48)),
    );
    const tags = v128.or(
      differs(v128.load(KEY, 64), subtable, record, 64),
      differs(v128.load(KEY, 80), subtable, record, 80),
    );
    if (!v128.any_true(v128.or(diff, tags))) return hit(subtable, record);
  }
  for (let k: usize = 0; k < count; k++) {
    const subtable = <usize>load<u32>(GROUP + k * 4);
    if (load<u32>(subtable, ST_DISPLACED) == 0) continue;
    const found = probe(subtable, KEY);
    if (found != 0) return hit(subtable, found);
  }
  return 0;
}

/** The slots of the key's own bucket, in the k-th subtable of GROUP, that have its hash: a bit each. */
function matchesOf(k: usize, meta: v128, eth: v128, ip4: v128, ct: v128, tagged: bool): u32 {
  const subtable = <usize>load<u32>(GROUP + k * 4);
  const a = v128.and(meta, v128.load(subtable, ST_MASKS));
  const b = v128.and(eth, v128.load(subtable, ST_MASKS + 16));
  const c = v128.and(ip4, v128.load(subtable, ST_MASKS + 32));
  const d = v128.and(ct, v128.load(subtable, ST_MASKS + 48));
  const tags = tagged
    ? pairHash(masked(KEY, subtable + ST_MASKS, 64), masked(KEY, subtable + ST_MASKS, 80), 2)
    : v128.load(UNTAGGED_HASH);
  const hash = finishHash(i64x2.add(tags, i64x2.add(pairHash(a, b, 0), pairHash(c, d, 1))));
  const bucket = bucketOf(subtable, hash);
  store<u32>(GROUP + k * 4, <u32>bucket, GROUP_BUCKETS);
  return <u32>i32x4.bitmask(i32x4.eq(i32x4.splat(hash), v128.load(bucket)));
}

function differs(block: v128, subtable: usize, record: usize, at: usize): v128 {
  return v128.xor(v128.and(block, v128.load(subtable + at, ST_MASKS)), v128.load(record + at, MF_KEY));
}

/** A hash is odd: its lowest bit says nothing. */
function bucketOf(subtable: usize, hash: u32): usize {
  return (
    <usize>load<u32>(subtable, ST_BUCKETS) +
    <usize>((hash >> 1) & load<u32>(subtable, ST_BUCKET_MASK)) * BUCKET_SIZE
  );
}

/** Where a record goes whose own bucket is full; there are always two buckets or more. */
function otherBucket(subtable: usize, bucket: usize): usize {
  const buckets = <usize>load<u32>(subtable, ST_BUCKETS);
  return buckets + ((bucket - buckets) ^ BUCKET_SIZE);
}

function maskedHash(subtable: usize, key: usize): u32 {
  const masks = subtable + ST_MASKS;
  let sum = i64x2.add(
    pairHash(masked(key, masks, 0), masked(key, masks, 16), 0),
    pairHash(masked(key, masks, 32), masked(key, masks, 48), 1),
  );
  sum = i64x2.add(sum, pairHash(masked(key, masks, 64), masked(key, masks, 80), 2));
  const blocks = <usize>load<u32>(subtable, ST_BLOCKS);
  for (let i = FEW_BLOCKS; i < blocks; ) {
    const number = <usize>load<u8>(subtable + i, ST_BLOCK_NUMBERS);
    const block = v128.and(v128.load(key + number * 16), v128.load(masks + i * 16));
    i++;
    if (number & 1) {
      sum = i64x2.add(sum, pairHash(i64x2(0, 0), block, number >> 1));
    } else if (i < blocks && <usize>load<u8>(subtable + i, ST_BLOCK_NUMBERS) == number + 1) {
      const odd = v128.and(v128.load(key + number * 16, 16), v128.load(masks + i * 16));
      sum = i64x2.add(sum, pairHash(block, odd, number >> 1));
      i++;
    } else {
      sum = i64x2.add(sum, pairHash(block, i64x2(0, 0), number >> 1));
    }
  }
  return finishHash(sum);
}

function masked(key: usize, masks: usize, at: usize): v128 {
  return v128.and(v128.load(key + at), v128.load(masks + at));
}

function probe(subtable: usize, key: usize): usize {
  const hash = maskedHash(subtable, key);
  const bucket = bucketOf(subtable, hash);
  const found = probeBucket(subtable, key, bucket, hash);
  if (found != 0 || load<u32>(subtable, ST_DISPLACED) == 0) return found;
  return probeBucket(subtable, key, otherBucket(subtable, bucket), hash);
}

function probeBucket(subtable: usize, key: usize, bucket: usize, hash: u32): usize {
  let matches = i32x4.bitmask(i32x4.eq(i32x4.splat(hash), v128.load(bucket)));
  for (; matches != 0; matches &= matches - 1) {
    const record = <usize>load<u32>(bucket + <usize>ctz<i32>(matches) * 4, 16);
    if (sameMasked(subtable, key, record)) return record;
  }
  return 0;
}

function sameMasked(subtable: usize, key: usize, record: usize): bool {
  const blocks = load<u32>(subtable, ST_BLOCKS);
  let mask = subtable + ST_MASKS;
  let at = record + MF_KEY;
  for (let i: u32 = 0; i < blocks; i++) {
    const number = <usize>load<u8>(subtable + <usize>i, ST_BLOCK_NUMBERS);
    const block = v128.and(v128.load(key + number * 16), v128.load(mask));
    if (v128.any_true(v128.xor(block, v128.load(at)))) return false;
    mask += 16;
    at += 16;
  }
  return true;
}

/** The subtable whose mask is MASK_IN, made when there is none; 0 when there is no room. */
function subtableFor(): usize {
  let map = FEW_MAP;
  for (let b: usize = 0; b < <usize>KEY_BLOCKS; b++) {
    if (v128.any_true(v128.load(MASK_IN + b * 16))) map |= (<u64>1) << b;
  }
  for (let i: u32 = 0; i < subtables; i++) {
    const subtable = subtableAt(i);
    if (load<u64>(subtable, ST_MAP) == map && sameMask(subtable)) return subtable;
  }
  if (subtables == orderMax) return 0;
  const subtable = heapAlloc(tables, SUBTABLE_SIZE);
  if (subtable == 0) return 0;
  const buckets = heapAlloc(tables, <usize>BUCKETS_MIN * BUCKET_SIZE);
  if (buckets == 0) {
    heapFree(tables, subtable, SUBTABLE_SIZE);
    return 0;
  }
  memory.fill(buckets, 0, <usize>BUCKETS_MIN * BUCKET_SIZE);
  store<u32>(subtable, <u32>popcnt<u64>(map), ST_BLOCKS);
  store<u32>(subtable, BUCKETS_MIN - 1, ST_BUCKET_MASK);
  store<u32>(subtable, <u32>buckets, ST_BUCKETS);
  store<u32>(subtable, 0, ST_DISPLACED);
  store<u32>(subtable, 0, ST_COUNT);
  store<u64>(subtable, map, ST_MAP);
  store<u32>(subtable, 0, ST_HITS);
  let i: usize = 0;
  for (let m = map; m != 0; m &= m - 1) {
    const number = <usize>ctz<u64>(m);
    store<u8>(subtable + i, <u8>number, ST_BLOCK_NUMBERS);
    v128.store(subtable + i * 16, v128.load(MASK_IN + number * 16), ST_MASKS);
    i++;
  }
  store<u32>(order + <usize>subtables * 4, <u32>subtable);
  subtables++;
  return subtable;
}

function sameMask(subtable: usize): bool {
  let i: usize = 0;
  for (let m = load<u64>(subtable, ST_MAP); m != 0; m &= m - 1) {
    const wanted = v128.load(MASK_IN + <usize>ctz<u64>(m) * 16);
    if (v128.any_true(v128.xor(wanted, v128.load(subtable + i * 16, ST_MASKS)))) return false;
    i++;
  }
  return true;
}

function dropSubtable(subtable: usize): void {
  let n: u32 = 0;
  while (subtableAt(n) != subtable) n++;
  for (; n + 1 < subtables; n++) store<u32>(order + <usize>n * 4, load<u32>(order + <usize>n * 4, 4));
  subtables--;
  freeBuckets(<usize>load<u32>(subtable, ST_BUCKETS), load<u32>(subtable, ST_BUCKET_MASK) + 1);
  heapFree(tables, subtable, SUBTABLE_SIZE);
}

function freeBuckets(buckets: usize, count: u32): void {
  heapFree(tables, buckets, <usize>count * BUCKET_SIZE);
}

/** Puts a record into its own bucket, or else the other; false when both are full. */
function place(subtable: usize, hash: u32, record: u32): bool {
  const own = bucketOf(subtable, hash);
  if (placeIn(own, hash, record)) return true;
  if (!placeIn(otherBucket(subtable, own), hash, record)) return false;
  store<u32>(subtable, load<u32>(subtable, ST_DISPLACED) + 1, ST_DISPLACED);
  return true;
}

function placeIn(bucket: usize, hash: u32, record: u32): bool {
  for (let at = bucket; at < bucket + 16; at += 4) {
    if (load<u32>(at) != 0) continue;
    store<u32>(at, hash);
    store<u32>(at, record, 16);
    return true;
  }
  return false;
}

/** Takes a record out of its bucket. */
function displace(subtable: usize, record: usize): void {
  const own = bucketOf(subtable, load<u32>(record, MF_HASH));
  if (takeFrom(own, record)) return;
  takeFrom(otherBucket(subtable, own), record);
  store<u32>(subtable, load<u32>(subtable, ST_DISPLACED) - 1, ST_DISPLACED);
}

function takeFrom(bucket: usize, record: usize): bool {
  for (let at = bucket; at < bucket + 16; at += 4) {
    if (load<u32>(at, 16) != <u32>record) continue;
    store<u32>(at, 0);
    store<u32>(at, 0, 16);
    return true;
  }
  return false;
}

/** Places a record, in more buckets when half of their slots are in use or its two are full; false when there is no room. */
function placeGrowing(subtable: usize, hash: u32, record: u32): bool {
  const slots = (load<u32>(subtable, ST_BUCKET_MASK) + 1) * 4;
  if (load<u32>(subtable, ST_COUNT) * 2 < slots && place(subtable, hash, record)) return true;
  do {
    if (!grow(subtable)) return false;
  } while (!place(subtable, hash, record));
  return true;
}

/** Doubles the buckets, or more where that is not enough; false when there is no room. */
function grow(subtable: usize): bool {
  const oldCount = load<u32>(subtable, ST_BUCKET_MASK) + 1;
  const old = <usize>load<u32>(subtable, ST_BUCKETS);
  const oldDisplaced = load<u32>(subtable, ST_DISPLACED);
  for (let count = oldCount * 2; ; count *= 2) {
    const buckets = heapAlloc(tables, <usize>count * BUCKET_SIZE);
    if (buckets == 0) {
      store<u32>(subtable, oldCount - 1, ST_BUCKET_MASK);
      store<u32>(subtable, <u32>old, ST_BUCKETS);
      store<u32>(subtable, oldDisplaced, ST_DISPLACED);
      return false;
    }
    memory.fill(buckets, 0, <usize>count * BUCKET_SIZE);
    store<u32>(subtable, count - 1, ST_BUCKET_MASK);
    store<u32>(subtable, <u32>buckets, ST_BUCKETS);
    store<u32>(subtable, 0, ST_DISPLACED);
    if (placeAll(subtable, old, oldCount)) {
      freeBuckets(old, oldCount);
      return true;
    }
    freeBuckets(buckets, count);
  }
  return false; // not reached; asc wants it
}

function placeAll(subtable: usize, buckets: usize, count: u32): bool {
  const end = buckets + <usize>count * BUCKET_SIZE;
  for (let bucket = buckets; bucket < end; bucket += BUCKET_SIZE) {
    for (let at = bucket; at < bucket + 16; at += 4) {
      const record = load<u32>(at, 16);
      if (record != 0 && !place(subtable, load<u32>(at), record)) return false;
    }
  }
  return true;
}

/** Writes a program into a record and notes the shortcut when it is a single output. */
export function setProgram(record: usize, at: usize, program: usize, words: u32): void {
  memory.copy(at, program, <usize>words * 4);
  store<u32>(record, <u32>at, MF_PROGRAM);
  store<u32>(record, words, MF_PROGRAM_WORDS);
  const single = words == 3 && (load<u32>(at) & 0xff) == A_OUTPUT;
  store<u32>(record, single ? load<u32>(at, 4) : <u32>NO_QUICK_PORT, MF_QUICK_PORT);
}

/**
 * Installs a megaflow: key KEY, mask MASK_IN, `words` words of program at `program`. Returns its record, 0 when the
 * heap or the list of subtables is full. The caller has made sure that it overlaps none.
 */
export function megaflowInsert(program: usize, words: u32): usize {
  const subtable = subtableFor();
  if (subtable == 0) return 0;
  const blocks = <usize>load<u32>(subtable, ST_BLOCKS);
  const size = <usize>MF_KEY + blocks * 32 + <usize>words * 4;
  const hash = maskedHash(subtable, KEY);
  const record = heapAlloc(records, size);
  if (record == 0 || !placeGrowing(subtable, hash, <u32>record)) {
    if (record != 0) heapFree(records, record, size);
    if (load<u32>(subtable, ST_COUNT) == 0) dropSubtable(subtable);
    return 0;
  }
  memory.fill(record, 0, MF_KEY);
  store<u32>(record, ++generations, MF_GENERATION);
  store<u32>(record, <u32>subtable, MF_SUBTABLE);
  store<u32>(record, <u32>size, MF_SIZE);
  for (let i: usize = 0; i < blocks; i++) {
    const number = <usize>load<u8>(subtable + i, ST_BLOCK_NUMBERS);
    const masked = v128.and(v128.load(KEY + number * 16), v128.load(subtable + i * 16, ST_MASKS));
    v128.store(record + i * 16, masked, MF_KEY);
    v128.store(record + size - (blocks - i) * 16, v128.load(KEY + number * 16));
  }
  setProgram(record, record + MF_KEY + blocks * 16, program, words);
  notePort(subtable, record);
  store<u32>(record, hash, MF_HASH);
  store<u32>(subtable, load<u32>(subtable, ST_COUNT) + 1, ST_COUNT);
  megaflows++;
  return record;
}

/** Keeps ST_PORT true of the subtable that `record` is about to join. */
function notePort(subtable: usize, record: usize): void {
  const mask = load<u64>(subtable, ST_MASKS);
  const port = load<u64>(record, MF_KEY);
  if (load<u32>(subtable, ST_COUNT) == 0) {
    store<u64>(subtable, port, ST_PORT);
    store<u64>(subtable, mask, ST_PORT_MASK);
  } else if (load<u64>(subtable, ST_PORT) != port) {
    store<u64>(subtable, 0, ST_PORT);
    store<u64>(subtable, 0, ST_PORT_MASK);
  }
}

/** Whether KEY falls under a megaflow. */
export function isUnder(record: usize): bool {
  const subtable = <usize>load<u32>(record, MF_SUBTABLE);
  if (load<u64>(subtable, ST_MAP) != FEW_MAP) return sameMasked(subtable, KEY, record);
  const diff = v128.or(
    v128.or(differsAt(subtable, record, 0), differsAt(subtable, record, 16)),
    v128.or(differsAt(subtable, record, 32), differsAt(subtable, record, 48)),
  );
  const tags = v128.or(differsAt(subtable, record, 64), differsAt(subtable, record, 80));
  return !v128.any_true(v128.or(diff, tags));
}

function differsAt(subtable: usize, record: usize, at: usize): v128 {
  return differs(v128.load(KEY + at), subtable, record, at);
}

/** Removes a megaflow; what still refers to it notices by its generation. */
export function megaflowRemove(record: usize): void {
  const subtable = <usize>load<u32>(record, MF_SUBTABLE);
  displace(subtable, record);
  store<u32>(record, ++generations, MF_GENERATION);
  // The frame at hand may still be running its program, and read its tag: the link takes the place of the hash.
  store<u32>(record, <u32>removed, MF_HASH);
  removed = record;
  megaflows--;
  const count = load<u32>(subtable, ST_COUNT) - 1;
  store<u32>(subtable, count, ST_COUNT);
  if (count == 0) dropSubtable(subtable);
}

/**
 * Removes the first `count` megaflows of LIST_IN. What a removal touches lies anywhere: a few are touched ahead, so that memory is waited
 * for once, not for each (a removal took 130 ns, and 40 so).
 */
export function megaflowRemoveMany(count: u32): void {
  for (let i: u32 = 0; i < count; i++) {
    if (i + AHEAD < count) touchBucket(<usize>load<u32>(LIST_IN + <usize>(i + AHEAD) * 4));
    megaflowRemove(<usize>load<u32>(LIST_IN + <usize>i * 4));
  }
}

function touchBucket(record: usize): void {
  touched = load<u32>(bucketOf(<usize>load<u32>(record, MF_SUBTABLE), load<u32>(record, MF_HASH)));
}

/** Between frames: gives back the memory of removed megaflows. */
export function megaflowReclaim(): void {
  while (removed != 0) {
    const record = removed;
    removed = <usize>load<u32>(record, MF_HASH);
    heapFree(records, record, <usize>load<u32>(record, MF_SIZE));
  }
}

/** Sorts the subtables by the hits since the last call, most first, and halves the counts. */
export function rankSubtables(): void {
  for (let i: u32 = 1; i < subtables; i++) {
    const moving = subtableAt(i);
    const hits = load<u32>(moving, ST_HITS);
    let j = i;
    for (; j > 0 && load<u32>(subtableAt(j - 1), ST_HITS) < hits; j--) {
      store<u32>(order + <usize>j * 4, <u32>subtableAt(j - 1));
    }
    store<u32>(order + <usize>j * 4, <u32>moving);
  }
  for (let i: u32 = 0; i < subtables; i++) {
    const subtable = subtableAt(i);
    store<u32>(subtable, load<u32>(subtable, ST_HITS) >> 1, ST_HITS);
  }
}
