// The datapath's inside: sets up the memory map, and exports what the host calls (datapath/datapath.ts).
import {
  CONFIG_ARENA_BYTES,
  CONFIG_BATCH,
  CONFIG_CACHE,
  CONFIG_CONNECTIONS,
  CONFIG_EXACT_ENTRIES,
  CONFIG_EXACT_INVERSE,
  CONFIG_FAST_PARSE,
  CONFIG_OUT_ARENA_BYTES,
  CONFIG_OUT_DESCRIPTORS,
  CONFIG_RECORD_BYTES,
  CONFIG_SEED,
  CONFIG_SUBTABLES,
  CONFIG_TABLE_BYTES,
  FRAME_DESC_SIZE,
  OUT_DESC_SIZE,
  PROGRAM_WORDS_MAX,
  TRANSIENT_BYTES,
  VERDICT_SIZE,
} from "../datapath/abi.ts";
import {
  conntrackAllocate,
  conntrackBeginTimeouts,
  conntrackClear,
  conntrackCold,
  conntrackCounter,
  conntrackDeleteLimit,
  conntrackEndTimeouts,
  conntrackExecute,
  conntrackExpire,
  conntrackHot,
  conntrackInit,
  conntrackReached,
  conntrackRemove,
  conntrackRestore,
  conntrackSeed,
  conntrackSetLimit,
  conntrackSetTimeout,
  conntrackSize,
  conntrackZone,
  conntrackZoneCount,
} from "./conntrack.ts";
import { parentTake } from "./conntrack-expect.ts";
import { foldAddress } from "./conntrack-table.ts";
import { exactMatchInit, exactMatchSize } from "./exact-match.ts";
import { exactHits, executeInit, megaflowHits, upcalls } from "./execute.ts";
import { extractFrame, extractKey } from "./extract.ts";
import { fragmentsInit } from "./fragments.ts";
import { hashL4, hashSymL4 } from "./hash.ts";
import { heapInit } from "./heap.ts";
import { keySeed } from "./key.ts";
import {
  megaflowCount,
  megaflowInit,
  megaflowInsert,
  megaflowOrderSize,
  megaflowRemove,
  megaflowRemoveMany,
  probes,
  subtableAt,
  subtableCount,
} from "./megaflow.ts";
import { HEAP, KEY, LIST_IN, MASK_IN, PKT } from "./memory.ts";
import { meterAt, meterBytes, meterInit } from "./meter.ts";
import { outputCount, outputInit, outputReset, outputTaken } from "./output.ts";
import { parse } from "./parse.ts";
import { setVlanLimit } from "./parse-link.ts";
import { receive, receiveInit, receiveNext } from "./receive.ts";
import { setHeader } from "./rewrite.ts";
import { popMpls, popVlan, pushMpls, pushVlan } from "./rewrite-tags.ts";
import { transientInit, transientMegaflow } from "./transient.ts";

// (asc resolves no ".ts" in an export from.)
export {
  conntrackAllocate,
  conntrackBeginTimeouts,
  conntrackClear,
  conntrackCold,
  conntrackCounter,
  conntrackDeleteLimit,
  conntrackEndTimeouts,
  conntrackExecute,
  conntrackExpire,
  conntrackHot,
  conntrackInit,
  conntrackReached,
  conntrackRemove,
  conntrackRestore,
  conntrackSeed,
  conntrackSetLimit,
  conntrackSetTimeout,
  conntrackSize,
  conntrackZone,
  conntrackZoneCount,
  exactHits,
  extractFrame,
  extractKey,
  foldAddress,
  hashL4,
  hashSymL4,
  megaflowCount,
  megaflowHits,
  megaflowInsert,
  megaflowRemove,
  megaflowRemoveMany,
  meterAt,
  outputCount,
  outputReset,
  outputTaken,
  parentTake,
  parse,
  popMpls,
  popVlan,
  probes,
  pushMpls,
  pushVlan,
  receive,
  receiveNext,
  setHeader,
  setVlanLimit,
  subtableAt,
  subtableCount,
  transientMegaflow,
  upcalls,
};

// Frames of the arena may be read up to this many bytes past their end (and nothing of it used).
const SLACK: usize = 64;

let frames: usize = 0;
let verdicts: usize = 0;
let descriptors: usize = 0;
let program: usize = 0;
let arena: usize = 0;

function aligned(at: usize): usize {
  return (at + 63) & ~63;
}

function config(index: usize): u32 {
  return load<u32>(HEAP + index * 4);
}

/**
 * Lays out the memory after the configuration that the host left at HEAP (words, CONFIG_*), and clears it.
 * Returns the first address after all regions: with `dry` set nothing is written, and the host learns how much it needs.
 */
export function init(dry: bool): u32 {
  const exactEntries = config(CONFIG_EXACT_ENTRIES);
  const exactInverse = config(CONFIG_EXACT_INVERSE);
  const subtables = config(CONFIG_SUBTABLES);
  const connections = config(CONFIG_CONNECTIONS);
  const outDescriptors = config(CONFIG_OUT_DESCRIPTORS);
  const arenaBytes = <usize>config(CONFIG_ARENA_BYTES);
  const outArenaBytes = <usize>config(CONFIG_OUT_ARENA_BYTES);
  const recordBytes = <usize>config(CONFIG_RECORD_BYTES);
  const tableBytes = <usize>config(CONFIG_TABLE_BYTES);
  const batch = <usize>config(CONFIG_BATCH);
  const cache = config(CONFIG_CACHE) != 0;
  const fastParse = config(CONFIG_FAST_PARSE) != 0;
  const seed = <u64>config(CONFIG_SEED) | ((<u64>config(CONFIG_SEED + 1)) << 32);

  const orderAt = HEAP + 256;
  const exactAt = aligned(orderAt + megaflowOrderSize(subtables));
  const metersAt = aligned(exactAt + exactMatchSize(exactEntries));
  const connectionsAt = aligned(metersAt + meterBytes());
  frames = aligned(connectionsAt + conntrackSize(connections));
  verdicts = frames + batch * FRAME_DESC_SIZE;
  descriptors = aligned(verdicts + batch * VERDICT_SIZE);
  program = aligned(descriptors + <usize>outDescriptors * OUT_DESC_SIZE);
  const transientAt = program + PROGRAM_WORDS_MAX * 4;
  arena = transientAt + TRANSIENT_BYTES;
  const outArenaAt = aligned(arena + arenaBytes + SLACK);
  const recordsAt = aligned(outArenaAt + outArenaBytes + SLACK);
  const tablesAt = recordsAt + recordBytes;
  const end = tablesAt + tableBytes;
  if (dry) return <u32>end;

  keySeed(seed);
  megaflowInit(orderAt, subtables, recordsAt, tablesAt);
  heapInit(recordsAt, tablesAt);
  heapInit(tablesAt, end);
  exactMatchInit(exactAt, exactEntries, exactInverse);
  meterInit(metersAt);
  conntrackInit(connectionsAt, connections);
  conntrackSeed(seed);
  outputInit(descriptors, outDescriptors, outArenaAt, outArenaAt + outArenaBytes);
  transientInit(transientAt, arena);
  fragmentsInit(tablesAt);
  executeInit(cache, seed);
  receiveInit(verdicts, fastParse);
  setVlanLimit(1);
  return <u32>end;
}

// Where the host finds and puts things.
export function pktAt(): usize {
  return PKT;
}
export function keyAt(): usize {
  return KEY;
}
export function maskInAt(): usize {
  return MASK_IN;
}
export function listInAt(): usize {
  return LIST_IN;
}
export function framesAt(): usize {
  return frames;
}
export function verdictsAt(): usize {
  return verdicts;
}
export function descriptorsAt(): usize {
  return descriptors;
}
export function programAt(): usize {
  return program;
}
export function arenaAt(): usize {
  return arena;
}
