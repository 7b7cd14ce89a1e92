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
  ST_COUNT,
  ST_HITS,
  ST_MAP,
  ST_MASKS,
  ST_PORT,
  ST_PORT_MASK,
  ST_SLOT_MASK,
  ST_SLOTS,
} from "../datapath/abi.ts";
import { B_CT, B_META, KEY_BLOCKS } from "../flow/layout.ts";
import { heapAlloc, heapFree } from "./heap.ts";
import { blockHash, finishHash } from "./key.ts";
import { KEY, KEY_IN, MASK_IN } from "./memory.ts";

const SLOTS_MIN: u32 = 16;
// The masks of most IPv4 traffic: blocks META, ETH and IP4, and after ct() also CT.
const FEW_MAP: u64 = 7;
const FEW_CT_MAP: u64 = 7 | (1 << B_CT);
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
  const ct = v128.load(KEY, <usize>B_CT * 16);
  const port = i64x2.extract_lane(meta, 0);
  for (let i: u32 = 0; i < subtables; i++) {
    const subtable = <usize>load<u32>(order + <usize>i * 4);
    if ((port & load<i64>(subtable, ST_PORT_MASK)) != load<i64>(subtable, ST_PORT)) continue;
    probes++;
    const map = load<u64>(subtable, ST_MAP);
    let found: usize;
    if (map == FEW_MAP) found = probeFew(subtable, meta, eth, ip4, ct, false);
    else if (map == FEW_CT_MAP) found = probeFew(subtable, meta, eth, ip4, ct, true);
    else found = probe(subtable, KEY);
    if (found != 0) {
      store<u32>(subtable, load<u32>(subtable, ST_HITS) + 1, ST_HITS);
      return found;
    }
  }
  return 0;
}

/** probe() for a mask of FEW_MAP, or of FEW_CT_MAP with `tracked`: no loop over blocks, each masked once. */
function probeFew(subtable: usize, meta: v128, eth: v128, ip4: v128, ct: v128, tracked: bool): usize {
  const a = v128.and(meta, v128.load(subtable, ST_MASKS));
  const b = v128.and(eth, v128.load(subtable, ST_MASKS + 16));
  const c = v128.and(ip4, v128.load(subtable, ST_MASKS + 32));
  const d = v128.and(ct, v128.load(subtable, ST_MASKS + 48));
  let sum = blockHash(a, 0) + blockHash(b, 1) + blockHash(c, 2);
  if (tracked) sum += blockHash(d, B_CT);
  const hash = finishHash(sum);
  const slotMask = load<u32>(subtable, ST_SLOT_MASK);
  const slots = <usize>load<u32>(subtable, ST_SLOTS);
  for (let i = hash & slotMask; ; i = (i + 1) & slotMask) {
    const slot = load<u64>(slots + ((<usize>i) << 3));
    const record = <usize>(slot >> 32);
    if (record == 0) return 0;
    if (<u32>slot != hash) continue;
    let diff = v128.or(
      v128.or(v128.xor(a, v128.load(record, MF_KEY)), v128.xor(b, v128.load(record, MF_KEY + 16))),
      v128.xor(c, v128.load(record, MF_KEY + 32)),
    );
    if (tracked) diff = v128.or(diff, v128.xor(d, v128.load(record, MF_KEY + 48)));
    if (!v128.any_true(diff)) return record;
  }
  return 0; // not reached; asc wants it
}

function maskedHash(subtable: usize, key: usize): u32 {
  const blocks = load<u32>(subtable, ST_BLOCKS);
  let sum: u64 = 0;
  let mask = subtable + ST_MASKS;
  for (let i: u32 = 0; i < blocks; i++) {
    const number = <usize>load<u8>(subtable + <usize>i, ST_BLOCK_NUMBERS);
    sum += blockHash(v128.and(v128.load(key + number * 16), v128.load(mask)), number);
    mask += 16;
  }
  return finishHash(sum);
}

function probe(subtable: usize, key: usize): usize {
  const hash = maskedHash(subtable, key);
  const slotMask = load<u32>(subtable, ST_SLOT_MASK);
  const slots = <usize>load<u32>(subtable, ST_SLOTS);
  let i = hash & slotMask;
  while (true) {
    const slot = slots + ((<usize>i) << 3);
    const record = <usize>load<u32>(slot, 4);
    if (record == 0) return 0;
    if (load<u32>(slot) == hash && sameMasked(subtable, key, record)) return record;
    i = (i + 1) & slotMask;
  }
  return 0; // not reached; asc wants it
}

function sameMasked(subtable: usize, key: usize, record: usize): bool {
  const blocks = load<u32>(subtable, ST_BLOCKS);
  let mask = subtable + ST_MASKS;
  let at = record + MF_KEY;
  for (let i: u32 = 0; i < blocks; i++) {
    const number = <usize>load<u8>(subtable + <usize>i, ST_BLOCK_NUMBERS);
    const masked = v128.and(v128.load(key + number * 16), v128.load(mask));
    if (v128.any_true(v128.xor(masked, v128.load(at)))) return false;
    mask += 16;
    at += 16;
  }
  return true;
}

/** The subtable whose mask is MASK_IN, made when there is none; 0 when there is no room. */
function subtableFor(): usize {
  let map: u64 = 0;
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
  const slots = heapAlloc(tables, <usize>SLOTS_MIN * 8);
  if (slots == 0) {
    heapFree(tables, subtable, SUBTABLE_SIZE);
    return 0;
  }
  memory.fill(slots, 0, <usize>SLOTS_MIN * 8);
  store<u32>(subtable, <u32>popcnt<u64>(map), ST_BLOCKS);
  store<u32>(subtable, SLOTS_MIN - 1, ST_SLOT_MASK);
  store<u32>(subtable, <u32>slots, ST_SLOTS);
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
  heapFree(tables, <usize>load<u32>(subtable, ST_SLOTS), (<usize>load<u32>(subtable, ST_SLOT_MASK) + 1) * 8);
  heapFree(tables, subtable, SUBTABLE_SIZE);
}

function putSlot(subtable: usize, hash: u32, record: u32): void {
  const slotMask = load<u32>(subtable, ST_SLOT_MASK);
  const slots = <usize>load<u32>(subtable, ST_SLOTS);
  let i = hash & slotMask;
  while (load<u32>(slots + ((<usize>i) << 3), 4) != 0) i = (i + 1) & slotMask;
  store<u32>(slots + ((<usize>i) << 3), hash);
  store<u32>(slots + ((<usize>i) << 3), record, 4);
}

/** Doubles the slots when half of them are in use; false when there is no room. */
function grow(subtable: usize): bool {
  const count = load<u32>(subtable, ST_COUNT);
  const oldSize = load<u32>(subtable, ST_SLOT_MASK) + 1;
  if (count * 2 < oldSize) return true;
  const old = <usize>load<u32>(subtable, ST_SLOTS);
  const slots = heapAlloc(tables, <usize>oldSize * 16);
  if (slots == 0) return false;
  memory.fill(slots, 0, <usize>oldSize * 16);
  store<u32>(subtable, oldSize * 2 - 1, ST_SLOT_MASK);
  store<u32>(subtable, <u32>slots, ST_SLOTS);
  for (let i: u32 = 0; i < oldSize; i++) {
    const slot = old + ((<usize>i) << 3);
    const record = load<u32>(slot, 4);
    if (record != 0) putSlot(subtable, load<u32>(slot), record);
  }
  heapFree(tables, old, <usize>oldSize * 8);
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
 * Installs a megaflow: key KEY_IN, mask MASK_IN, `words` words of program at `program`. Returns its record, 0 when the
 * heap or the list of subtables is full. The caller has made sure that it overlaps none.
 */
export function megaflowInsert(program: usize, words: u32): usize {
  const subtable = subtableFor();
  if (subtable == 0) return 0;
  const blocks = <usize>load<u32>(subtable, ST_BLOCKS);
  const size = <usize>MF_KEY + blocks * 32 + <usize>words * 4;
  const record = grow(subtable) ? heapAlloc(records, size) : 0;
  if (record == 0) {
    if (load<u32>(subtable, ST_COUNT) == 0) dropSubtable(subtable);
    return 0;
  }
  memory.fill(record, 0, MF_KEY);
  store<u32>(record, ++generations, MF_GENERATION);
  store<u32>(record, <u32>subtable, MF_SUBTABLE);
  store<u32>(record, <u32>size, MF_SIZE);
  for (let i: usize = 0; i < blocks; i++) {
    const number = <usize>load<u8>(subtable + i, ST_BLOCK_NUMBERS);
    const masked = v128.and(v128.load(KEY_IN + number * 16), v128.load(subtable + i * 16, ST_MASKS));
    v128.store(record + i * 16, masked, MF_KEY);
    v128.store(record + size - (blocks - i) * 16, v128.load(KEY_IN + number * 16));
  }
  setProgram(record, record + MF_KEY + blocks * 16, program, words);
  notePort(subtable, record);
  const hash = maskedHash(subtable, KEY_IN);
  store<u32>(record, hash, MF_HASH);
  putSlot(subtable, hash, <u32>record);
  store<u32>(subtable, load<u32>(subtable, ST_COUNT) + 1, ST_COUNT);
  megaflows++;
  return record;
}

/** Keeps ST_PORT true of the subtable that `record` is about to join. */
function notePort(subtable: usize, record: usize): void {
  const hasMeta = (load<u64>(subtable, ST_MAP) & (1 << B_META)) != 0;
  const mask = hasMeta ? load<u64>(subtable, ST_MASKS) : 0;
  const port = hasMeta ? load<u64>(record, MF_KEY) : 0;
  if (load<u32>(subtable, ST_COUNT) == 0) {
    store<u64>(subtable, port, ST_PORT);
    store<u64>(subtable, mask, ST_PORT_MASK);
  } else if (load<u64>(subtable, ST_PORT) != port) {
    store<u64>(subtable, 0, ST_PORT);
    store<u64>(subtable, 0, ST_PORT_MASK);
  }
}

/** Removes a megaflow; what still refers to it notices by its generation. */
export function megaflowRemove(record: usize): void {
  const subtable = <usize>load<u32>(record, MF_SUBTABLE);
  const slotMask = load<u32>(subtable, ST_SLOT_MASK);
  const slots = <usize>load<u32>(subtable, ST_SLOTS);
  let hole = load<u32>(record, MF_HASH) & slotMask;
  while (load<u32>(slots + ((<usize>hole) << 3), 4) != <u32>record) hole = (hole + 1) & slotMask;
  // Close the gap: move back each later entry of the run that may stand in the hole.
  for (let i = (hole + 1) & slotMask; ; i = (i + 1) & slotMask) {
    const slot = slots + ((<usize>i) << 3);
    if (load<u32>(slot, 4) == 0) break;
    const home = load<u32>(slot) & slotMask;
    if (((i - home) & slotMask) >= ((i - hole) & slotMask)) {
      store<u64>(slots + ((<usize>hole) << 3), load<u64>(slot));
      hole = i;
    }
  }
  store<u64>(slots + ((<usize>hole) << 3), 0);
  store<u32>(record, ++generations, MF_GENERATION);
  // The frame at hand may still be running its program, and read its tag: the link takes the place of the hash.
  store<u32>(record, <u32>removed, MF_HASH);
  removed = record;
  megaflows--;
  const count = load<u32>(subtable, ST_COUNT) - 1;
  store<u32>(subtable, count, ST_COUNT);
  if (count == 0) dropSubtable(subtable);
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
