// The exact-match cache: from a whole flow key to the megaflow it hit, so that the common frame costs one probe.
//
//   a set is two entries; an entry is 192 bytes:
//   0 megaflow u32 (0: empty) | 4 its generation when cached u32 | 8 key map u64 | 16 the key's blocks that are in the map
//   and, behind a key of up to CHAIN_BLOCKS blocks, where a frame of this key went when it was last recirculated:
//   128 META | 144 CT | 160 CT_LABEL then | 176 megaflow u32 (0: none) | 180 its generation u32
//
// A chain makes recirculation cheap: the megaflow's program and the key decide all of the new key but what ct() found and
// the hash, and those stand in these three blocks. If they are the same, so is the megaflow; no key is hashed and probed.
//
// Of a key of three blocks much more may be kept, in bytes 64 to 128: established.ts.
//
// Keys of more than ENTRY_BLOCKS blocks are not cached. An entry whose megaflow is gone (another generation) is as good as
// empty. When both entries of a set are in use, one insertion in `insertInverse` replaces one of them: when there are more
// flows than entries, replacing on every miss would cost more than it brings (OVS: emc-insert-inv-prob). For the same reason
// the cache rests, neither asked nor filled, after a stretch in which it answered fewer than a quarter of the lookups: an
// answer saves a megaflow lookup, but asking in vain costs cache lines. From time to time it is tried again.
import { MF_GENERATION } from "../datapath/abi.ts";
import { O_CT_LABEL, O_CT_STATE } from "../flow/layout.ts";
import { KEY } from "./memory.ts";

const ENTRY_SIZE: usize = 192;
const ENTRY_BLOCKS: i32 = 11;
const CHAIN_BLOCKS: i32 = 7;
const CHAIN_META: usize = 128;
const CHAIN_CT: usize = 144;
const CHAIN_LABEL: usize = 160;
export const CHAIN_MEGAFLOW: usize = 176;
const CHAIN_GENERATION: usize = 180;
/** Of a key of three blocks: whether more is known of where its frames go (established.ts). */
const KEPT: usize = 64;

// A stretch is long enough for a cache that could hold all flows to fill and to show it.
const STRETCH_PER_ENTRY: u64 = 4;
const REST_STRETCHES: u64 = 15;

let all: usize = 0;
/** The cache's address; 0 while it rests, or when there is none. */
let base: usize = 0;
let stretch: u64 = 0;
let nextJudgement: u64 = 0;
let hitsBefore: u64 = 0;
let setMask: u32 = 0;
let insertInverse: u32 = 32;
let insertCount: u32 = 0;
let victim: u32 = 0;
/** The entry that exactMatchLookup3 found, or exactMatchInsert filled. */
export let lastEntry: usize = 0;

/** Bytes for a cache of `entries` (a power of two; 0 for none). */
export function exactMatchSize(entries: u32): usize {
  return <usize>entries * ENTRY_SIZE;
}

export function exactMatchInit(at: usize, entries: u32, inverse: u32): void {
  all = entries == 0 ? 0 : at;
  base = all;
  stretch = <u64>entries * STRETCH_PER_ENTRY;
  nextJudgement = stretch;
  hitsBefore = 0;
  setMask = entries == 0 ? 0 : entries / 2 - 1;
  insertInverse = inverse;
  insertCount = 0;
  memory.fill(at, 0, exactMatchSize(entries));
}

/** Between batches: lets the cache rest or work, by how many of all lookups it has answered so far. */
export function exactMatchJudge(hits: u64, lookups: u64): void {
  if (lookups < nextJudgement) return;
  const poor = base != 0 && (hits - hitsBefore) * 4 < stretch;
  base = poor ? 0 : all;
  nextJudgement = lookups + (poor ? stretch * REST_STRETCHES : stretch);
  hitsBefore = hits;
}

function sameBlocks(entry: usize, map: u64): bool {
  let at = entry + 16;
  for (let m = map; m != 0; m &= m - 1) {
    const diff = v128.xor(v128.load(at), v128.load(KEY + <usize>ctz<u64>(m) * 16));
    if (v128.any_true(diff)) return false;
    at += 16;
  }
  return true;
}

/** The megaflow that the key in KEY hit before, 0 for none. `hash` is keyHash(map). */
export function exactMatchLookup(map: u64, hash: u32): usize {
  if (base == 0) return 0;
  const set = base + <usize>((hash >> 1) & setMask) * (2 * ENTRY_SIZE);
  if (load<u64>(set, 8) == map && sameBlocks(set, map)) {
    const megaflow = <usize>load<u32>(set);
    if (load<u32>(megaflow, MF_GENERATION) == load<u32>(set, 4)) return megaflow;
  }
  const second = set + ENTRY_SIZE;
  if (load<u64>(second, 8) == map && sameBlocks(second, map)) {
    const megaflow = <usize>load<u32>(second);
    if (load<u32>(megaflow, MF_GENERATION) == load<u32>(second, 4)) return megaflow;
  }
  return 0;
}

/** The same for a key of blocks 0, 1 and 2, which are at hand: most frames. */
export function exactMatchLookup3(a: v128, b: v128, c: v128, hash: u32): usize {
  lastEntry = 0;
  if (base == 0) return 0;
  let entry = base + <usize>((hash >> 1) & setMask) * (2 * ENTRY_SIZE);
  for (let way = 0; way < 2; way++) {
    const diff = v128.or(
      v128.or(v128.xor(a, v128.load(entry, 16)), v128.xor(b, v128.load(entry, 32))),
      v128.xor(c, v128.load(entry, 48)),
    );
    if (!v128.any_true(diff) && load<u64>(entry, 8) == 7) {
      const megaflow = <usize>load<u32>(entry);
      if (load<u32>(megaflow, MF_GENERATION) == load<u32>(entry, 4)) {
        lastEntry = entry;
        return megaflow;
      }
    }
    entry += ENTRY_SIZE;
  }
  return 0;
}

/** The megaflow that KEY falls under, which came of the key of `entry` by recirculation; 0 when it is not known. */
export function chainLookup(entry: usize): usize {
  const megaflow = <usize>load<u32>(entry, CHAIN_MEGAFLOW);
  if (megaflow == 0 || load<u32>(megaflow, MF_GENERATION) != load<u32>(entry, CHAIN_GENERATION)) return 0;
  const diff = v128.or(
    v128.or(
      v128.xor(v128.load(KEY), v128.load(entry, CHAIN_META)),
      v128.xor(v128.load(KEY, O_CT_STATE), v128.load(entry, CHAIN_CT)),
    ),
    v128.xor(v128.load(KEY, O_CT_LABEL), v128.load(entry, CHAIN_LABEL)),
  );
  return v128.any_true(diff) ? 0 : megaflow;
}

/** Remembers that it is `megaflow`. */
export function chainInsert(entry: usize, megaflow: usize): void {
  v128.store(entry, v128.load(KEY), CHAIN_META);
  v128.store(entry, v128.load(KEY, O_CT_STATE), CHAIN_CT);
  v128.store(entry, v128.load(KEY, O_CT_LABEL), CHAIN_LABEL);
  store<u32>(entry, <u32>megaflow, CHAIN_MEGAFLOW);
  store<u32>(entry, load<u32>(megaflow, MF_GENERATION), CHAIN_GENERATION);
}

function inUse(entry: usize): bool {
  const megaflow = <usize>load<u32>(entry);
  return megaflow != 0 && load<u32>(megaflow, MF_GENERATION) == load<u32>(entry, 4);
}

/** Remembers that the key in KEY hit `megaflow`, in `lastEntry`: 0 if it does not. */
export function exactMatchInsert(map: u64, hash: u32, megaflow: usize): void {
  lastEntry = 0;
  if (base == 0 || <i32>popcnt<u64>(map) > ENTRY_BLOCKS) return;
  let entry = base + <usize>((hash >> 1) & setMask) * (2 * ENTRY_SIZE);
  if (inUse(entry)) {
    if (!inUse(entry + ENTRY_SIZE)) {
      entry += ENTRY_SIZE;
    } else {
      if (++insertCount < insertInverse) return;
      insertCount = 0;
      victim ^= 1;
      entry += <usize>victim * ENTRY_SIZE;
    }
  }
  lastEntry = entry;
  store<u32>(entry, <u32>megaflow);
  store<u32>(entry, load<u32>(megaflow, MF_GENERATION), 4);
  store<u64>(entry, map, 8);
  if (<i32>popcnt<u64>(map) <= CHAIN_BLOCKS) store<u32>(entry, 0, CHAIN_MEGAFLOW);
  store<u32>(entry, 0, KEPT);
  let at = entry + 16;
  for (let m = map; m != 0; m &= m - 1) {
    v128.store(at, v128.load(KEY + <usize>ctz<u64>(m) * 16));
    at += 16;
  }
}
