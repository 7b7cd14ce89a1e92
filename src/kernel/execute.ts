// Runs a megaflow's program (datapath/abi.ts) on the frame in PKT, and follows it through recirculation, the one loop.
import {
  A_ADD_MPLS,
  A_CHECK_PKT_LEN,
  A_CLONE,
  A_CT,
  A_CT_CLEAR,
  A_DROP,
  A_END,
  A_HASH,
  A_METER,
  A_OUTPUT,
  A_POP_ETH,
  A_POP_MPLS,
  A_POP_NSH,
  A_POP_VLAN,
  A_PUSH_ETH,
  A_PUSH_MPLS,
  A_PUSH_NSH,
  A_PUSH_VLAN,
  A_RECIRC,
  A_SAMPLE,
  A_SET,
  A_TRUNC,
  A_USERSPACE,
  DROP_FRAGMENT,
  DROP_METER,
  DROP_NONE,
  DROP_OUTPUT_MEMORY,
  DROP_RECIRC_DEPTH,
  DROP_UPCALL,
  HASH_SYM_L4,
  MF_PROGRAM,
  MF_QUICK_PORT,
  MF_TAG,
  MF_TCP_FLAGS,
  MF_USED,
  NO_QUICK_PORT,
  RECIRC_DEPTH_MAX,
  SET_PKT_MARK,
  SET_SKB_PRIORITY,
  SET_TUNNEL,
  SET_TUNNEL_OPTIONS,
} from "../datapath/abi.ts";
import {
  O_DL_TYPE,
  O_DP_HASH,
  O_NW_FRAG,
  O_RECIRC_ID,
  O_TCP_FLAGS,
  O_VLAN0,
  O_VLAN1,
} from "../flow/layout.ts";
import { conntrackClear, conntrackExecute, judged } from "./conntrack.ts";
import { establishedNote } from "./established.ts";
import { chainInsert, chainLookup, exactMatchInsert, exactMatchLookup } from "./exact-match.ts";
import {
  FRAGMENT_HELD,
  FRAGMENT_INVALID,
  fragmentCount,
  freeDatagram,
  holdFragment,
  takeFragment,
  trackDatagram,
} from "./fragments.ts";
import { hashL4, hashSymL4, keepHash } from "./hash.ts";
import { keyHash } from "./key.ts";
import { megaflowLookup } from "./megaflow.ts";
import {
  CLONE_DEPTH_MAX,
  KEY,
  PKT,
  PKT_DEPTH,
  PKT_ENTRY,
  PKT_F_DIRTY,
  PKT_F_OWNED,
  PKT_F_REHASH,
  PKT_FLAGS,
  PKT_HASH,
  PKT_KEY_MAP,
  PKT_NOW,
  PKT_TRUNC,
  PKT_WIRE_LEN,
  SAVE,
  SAVE_SIZE,
} from "./memory.ts";
import { meterRun } from "./meter.ts";
import { makeWritable, output, outputUserspace } from "./output.ts";
import { parse, parseForConntrack } from "./parse.ts";
import { liftVlanLimit, setVlanLimit } from "./parse-link.ts";
import { setHeader } from "./rewrite.ts";
import { addMpls, popEthernet, popNsh, pushEthernet, pushNsh } from "./rewrite-encap.ts";
import { paddingSize } from "./rewrite-ip.ts";
import { forgetLabels, popMpls, popVlan, pushMpls, pushVlan } from "./rewrite-tags.ts";
import { trackedGuess, trackedInit, trackedNote } from "./tracked.ts";

declare function upcall(): u32;

let caching: bool = true;
let saved: u32 = 0;
let random: u64 = 1;
let dropReason: u32 = 0;
let lastTag: u32 = 0;
/** The entry of the frame's first lookup, until the second. */
let noteEntry: usize = 0;
// Lookups answered by each, for the summary.
export let exactHits: u64 = 0;
export let megaflowHits: u64 = 0;
export let upcalls: u64 = 0;

/** Without caching every lookup is an upcall (DESIGN D4: the plain twin of the caches). */
export function executeInit(cache: bool, seed: u64): void {
  caching = cache;
  trackedInit();
  saved = 0;
  random = seed | 1;
  exactHits = 0;
  megaflowHits = 0;
  upcalls = 0;
}

export function executeBegin(): void {
  dropReason = DROP_NONE;
  lastTag = 0;
  noteEntry = 0;
}

/** Why the frame last stopped short, DROP_NONE if it did not. */
export function executeDropReason(): u32 {
  return dropReason;
}

/** MF_TAG of the last megaflow that the frame hit. */
export function executeTag(): u32 {
  return lastTag;
}

/** Counts a frame's hit, found by the receive loop. */
export function countHit(megaflow: usize, exact: bool, wireLen: u32, nowMs: u64, tcpFlags: u32): void {
  if (exact) exactHits++;
  else megaflowHits++;
  countFrame(megaflow, wireLen, nowMs, tcpFlags);
}

/** Runs a megaflow that the receive loop has found and counted, by the exact-match entry `entry` unless that is 0. */
export function runCounted(megaflow: usize, entry: usize): void {
  noteEntry = entry;
  if (run(megaflow)) process();
}

/** Looks the key up and runs what it finds, through as many recirculations as it takes. */
export function process(): void {
  for (;;) {
    const megaflow = find();
    if (megaflow == 0) {
      dropReason = DROP_UPCALL;
      return;
    }
    if (!run(megaflow)) return;
  }
}

/** The same for a key that track() has made of a frame that `first` has counted: what it hits is tried first next time. */
export function processTracked(first: usize): void {
  let megaflow = trackedGuess(first);
  if (megaflow == 0) {
    megaflow = find();
    if (megaflow == 0) {
      dropReason = DROP_UPCALL;
      return;
    }
    trackedNote(first, megaflow);
  } else {
    megaflowHits++;
    count(megaflow);
  }
  if (run(megaflow)) process();
}

/** The same for a key that the receive loop found in no cache. */
export function processMissed(): void {
  upcalls++;
  const megaflow = <usize>upcall();
  if (megaflow == 0) dropReason = DROP_UPCALL;
  else if (run(megaflow)) process();
}

/** The megaflow for KEY, which has counted the frame. The host counts the frame of an upcall, as OVS does. */
function find(): usize {
  const note = noteEntry;
  noteEntry = 0;
  const entry = <usize>load<u32>(PKT, PKT_ENTRY);
  let megaflow = entry == 0 ? <usize>0 : chainLookup(entry);
  if (megaflow == 0) {
    const map = load<u64>(PKT, PKT_KEY_MAP);
    const hash = keyHash(map);
    megaflow = exactMatchLookup(map, hash);
    if (megaflow == 0) {
      store<u32>(PKT, 0, PKT_ENTRY);
      return findMegaflow(map, hash);
    }
    // Nothing was put into the cache since: the entry is still that of the key that the frame came from.
    if (entry != 0) chainInsert(entry, megaflow);
  }
  if (note != 0) establishedNote(note, megaflow, judged);
  store<u32>(PKT, 0, PKT_ENTRY);
  exactHits++;
  count(megaflow);
  return megaflow;
}

function findMegaflow(map: u64, hash: u32): usize {
  const megaflow = cachedMegaflow(map, hash);
  if (megaflow != 0) {
    megaflowHits++;
    count(megaflow);
    return megaflow;
  }
  upcalls++;
  return <usize>upcall();
}

/** KEY's megaflow, which the exact-match cache did not have and has now; 0 when there is none. `hash` is keyHash(map). */
export function cachedMegaflow(map: u64, hash: u32): usize {
  const megaflow = caching ? megaflowLookup() : 0;
  if (megaflow != 0) exactMatchInsert(map, hash, megaflow);
  return megaflow;
}

function count(megaflow: usize): void {
  // As in OVS, a neighbour message's option type counts as flags: it stands in the same place.
  const tcpFlags: u32 = load<u16>(KEY, O_TCP_FLAGS);
  countFrame(megaflow, load<u32>(PKT, PKT_WIRE_LEN), load<u64>(PKT, PKT_NOW), tcpFlags);
}

function countFrame(megaflow: usize, wireLen: u32, nowMs: u64, tcpFlags: u32): void {
  const delta = i64x2(1, wireLen); // MF_PACKETS and MF_BYTES
  v128.store(megaflow, i64x2.add(v128.load(megaflow), delta));
  store<u64>(megaflow, nowMs, MF_USED);
  store<u32>(megaflow, load<u32>(megaflow, MF_TCP_FLAGS) | tcpFlags, MF_TCP_FLAGS);
}

/** Runs the program. True when the frame, its KEY made anew, is to be looked up again. */
function run(megaflow: usize): bool {
  lastTag = load<u32>(megaflow, MF_TAG);
  const port = load<u32>(megaflow, MF_QUICK_PORT);
  if (port != <u32>NO_QUICK_PORT) {
    output(port);
    return false;
  }
  return execute(<usize>load<u32>(megaflow, MF_PROGRAM));
}

/** KEY may have been overtaken by changes to the frame. */
function refreshKey(): void {
  const flags = load<u32>(PKT, PKT_FLAGS);
  if (flags & PKT_F_DIRTY) {
    store<u32>(PKT, flags & ~PKT_F_DIRTY, PKT_FLAGS);
    store<u32>(PKT, 0, PKT_ENTRY);
    if (flags & PKT_F_REHASH) store<u32>(PKT, 0, PKT_HASH);
    else keepHash();
    parse();
  }
}

/**
 * The same for what acts on the network header: it is found behind the tags that were pushed, though the parser's limit keeps
 * the next lookup from seeing past them.
 */
function refreshWholeKey(): void {
  if ((load<u32>(PKT, PKT_FLAGS) & PKT_F_DIRTY) == 0) return;
  const limit = liftVlanLimit();
  refreshKey();
  setVlanLimit(limit);
  const tags: u32 = load<u16>(KEY, O_VLAN1) != 0 ? 2 : load<u16>(KEY, O_VLAN0) != 0 ? 1 : 0;
  if (tags > limit) store<u32>(PKT, load<u32>(PKT, PKT_FLAGS) | PKT_F_DIRTY, PKT_FLAGS);
}

/** Sets the frame aside while a copy of it goes another way. False when copies nest too deep. */
function save(): bool {
  if (saved == CLONE_DEPTH_MAX) return false;
  // Neither side may change the bytes that both now refer to.
  store<u32>(PKT, load<u32>(PKT, PKT_FLAGS) & ~PKT_F_OWNED, PKT_FLAGS);
  memory.copy(SAVE + <usize>saved * SAVE_SIZE, PKT, SAVE_SIZE);
  saved++;
  return true;
}

function restore(): void {
  saved--;
  memory.copy(PKT, SAVE + <usize>saved * SAVE_SIZE, SAVE_SIZE);
}

function runCopy(program: usize): void {
  if (!save()) {
    dropReason = DROP_RECIRC_DEPTH;
    return;
  }
  if (execute(program)) process();
  restore();
}

function recirculate(id: u32): bool {
  const depth = load<u32>(PKT, PKT_DEPTH);
  if (depth >= <u32>RECIRC_DEPTH_MAX) {
    dropReason = DROP_RECIRC_DEPTH;
    return false;
  }
  store<u32>(PKT, depth + 1, PKT_DEPTH);
  refreshKey();
  store<u32>(PKT, load<u32>(PKT, PKT_FLAGS) & ~PKT_F_REHASH, PKT_FLAGS);
  forgetLabels();
  store<u32>(KEY, bswap<u32>(id), O_RECIRC_ID);
  return true;
}

function nextRandom(): u32 {
  // xorshift64*
  random ^= random >> 12;
  random ^= random << 25;
  random ^= random >> 27;
  return <u32>((random * 0x2545f4914f6cdd1d) >> 32);
}

function execute(program: usize): bool {
  let at = program;
  while (true) {
    const word = load<u32>(at);
    const size = <usize>(word >> 8) * 4;
    switch (word & 0xff) {
      case A_END:
        return false;
      case A_OUTPUT:
        output(load<u32>(at, 4));
        break;
      case A_SET: {
        const code = load<u32>(at, 4);
        const keyOnly =
          code == SET_PKT_MARK ||
          code == SET_SKB_PRIORITY ||
          code == SET_TUNNEL ||
          code == SET_TUNNEL_OPTIONS;
        if (!keyOnly && !makeWritable()) return outOfMemory();
        setHeader(at);
        break;
      }
      case A_PUSH_VLAN:
        if (!makeWritable()) return outOfMemory();
        pushVlan(load<u32>(at, 4));
        break;
      case A_POP_VLAN:
        if (!makeWritable()) return outOfMemory();
        popVlan();
        break;
      case A_PUSH_MPLS:
        if (!makeWritable()) return outOfMemory();
        pushMpls(load<u32>(at, 4), load<u32>(at, 8));
        break;
      case A_POP_MPLS:
        if (!makeWritable()) return outOfMemory();
        popMpls(load<u32>(at, 4));
        break;
      case A_ADD_MPLS:
        if (!addMpls(load<u32>(at, 4), load<u32>(at, 8))) return outOfMemory();
        break;
      case A_PUSH_ETH:
        if (!pushEthernet(at + 4)) return outOfMemory();
        break;
      case A_POP_ETH:
        if (!makeWritable()) return outOfMemory();
        popEthernet();
        break;
      case A_PUSH_NSH:
        if (!pushNsh(at + 8, load<u32>(at, 4))) return outOfMemory();
        break;
      case A_POP_NSH:
        if (!makeWritable()) return outOfMemory();
        popNsh();
        break;
      case A_CT: {
        const seen: u32 = load<u16>(KEY, O_DL_TYPE);
        refreshWholeKey();
        parseForConntrack(seen);
        if (load<u8>(KEY, O_NW_FRAG) != 0) {
          const datagram = holdFragment(load<u32>(at, 8) & 0xffff);
          if (datagram == FRAGMENT_HELD) {
            dropReason = DROP_FRAGMENT;
            return false;
          }
          if (datagram != FRAGMENT_INVALID) {
            releaseDatagram(datagram, at, at + size);
            return false;
          }
        }
        conntrackExecute(at);
        break;
      }
      case A_CT_CLEAR:
        conntrackClear();
        break;
      case A_RECIRC: {
        const id = load<u32>(at, 4);
        const last = (load<u32>(at + size) & 0xff) == A_END;
        if (last) return recirculate(id);
        if (!save()) {
          dropReason = DROP_RECIRC_DEPTH;
          break;
        }
        if (recirculate(id)) process();
        restore();
        break;
      }
      case A_HASH: {
        refreshKey();
        const basis = load<u32>(at, 8);
        const hash = load<u32>(at, 4) == HASH_SYM_L4 ? hashSymL4(basis) : hashL4(basis);
        // Zero means "no hash"; OVS stores 1 instead.
        store<u32>(KEY, bswap<u32>(hash == 0 ? 1 : hash), O_DP_HASH);
        break;
      }
      case A_CLONE:
        runCopy(at + 4);
        break;
      case A_SAMPLE:
        if (nextRandom() < load<u32>(at, 4)) runCopy(at + 8);
        break;
      case A_CHECK_PKT_LEN: {
        // As OVS: with the headers and the padding of when the frame was last parsed, whatever has been put before them since.
        const greater = load<u32>(PKT, PKT_WIRE_LEN) - paddingSize() > load<u32>(at, 4);
        runCopy(greater ? at + 16 : at + 16 + <usize>load<u32>(at, 8) * 4);
        break;
      }
      case A_USERSPACE:
        refreshWholeKey();
        if (!outputUserspace(load<u32>(at, 4))) return outOfMemory();
        break;
      case A_METER:
        if (!meterRun(load<u32>(at, 4))) {
          dropReason = DROP_METER;
          return false;
        }
        break;
      case A_TRUNC: {
        const length = load<u32>(PKT, PKT_WIRE_LEN);
        const max = load<u32>(at, 4);
        store<u32>(PKT, length > max ? length - max : 0, PKT_TRUNC);
        break;
      }
      case A_DROP:
        dropReason = load<u32>(at, 4);
        return false;
    }
    at += size;
  }
  return false; // not reached; asc wants it
}

/** The datagram goes through the ct at `action`, and each of its fragments does the rest of the program, from `rest` on. */
function releaseDatagram(datagram: usize, action: usize, rest: usize): void {
  const tracked = trackDatagram(datagram, action);
  const count = fragmentCount(datagram);
  for (let i: u32 = 0; i < count; i++) {
    if (takeFragment(datagram, i) && tracked) {
      if (execute(rest)) process();
    } else {
      outOfMemory();
    }
  }
  freeDatagram(datagram);
}

function outOfMemory(): bool {
  dropReason = DROP_OUTPUT_MEMORY;
  return false;
}
