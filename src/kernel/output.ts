// What the kernel hands to the host: output descriptors and frames it had to copy. Neither is ever lost: when the
// descriptors are full the host is called to take them (flush), in the middle of a frame if need be; the copies are
// given back between frames only, when no frame is being worked on.
import {
  OUT_ARG,
  OUT_DESC_SIZE,
  OUT_FRAME,
  OUT_KEY,
  OUT_KIND,
  OUT_KIND_PORT,
  OUT_KIND_TUNNEL,
  OUT_KIND_USERSPACE,
  OUT_LEN,
  OUT_PTR,
  OUT_WIRE_LEN,
} from "../datapath/abi.ts";
import {
  HEADROOM,
  KEY,
  KEY_BYTES,
  PKT,
  PKT_F_OWNED,
  PKT_F_TUNNEL,
  PKT_FLAGS,
  PKT_FRAME,
  PKT_LEN,
  PKT_PTR,
  PKT_TRUNC,
  PKT_WIRE_LEN,
} from "./memory.ts";

declare function flush(): void;

let descriptors: usize = 0;
let descriptorsMax: u32 = 0;
let count: u32 = 0;
let arena: usize = 0;
let arenaEnd: usize = 0;
let arenaNext: usize = 0;
/** Frames handed to ports and to userspace for the frame being worked on. */
export let frameOutputs: u32 = 0;
export let frameUserspace: u32 = 0;

export function outputInit(at: usize, max: u32, arenaAt: usize, arenaLimit: usize): void {
  descriptors = at;
  descriptorsMax = max;
  count = 0;
  arena = arenaAt;
  arenaEnd = arenaLimit;
  arenaNext = arenaAt;
}

/** Descriptors waiting for the host. */
export function outputCount(): u32 {
  return count;
}

/** The host has taken all descriptors. */
export function outputTaken(): void {
  count = 0;
}

/** Between frames: makes sure that a frame finds at least half of the arena free. */
export function outputBegin(): void {
  frameOutputs = 0;
  frameUserspace = 0;
  if (arenaNext - arena > (arenaEnd - arena) / 2) {
    if (count != 0) {
      flush();
      count = 0;
    }
    arenaNext = arena;
  }
}

/** The host has taken the batch's frames: the arena is free again. */
export function outputReset(): void {
  count = 0;
  arenaNext = arena;
}

function descriptor(): usize {
  if (count == descriptorsMax) {
    flush();
    count = 0;
  }
  const d = descriptors + <usize>count * OUT_DESC_SIZE;
  count++;
  return d;
}

/** Sends the frame as it stands to a port. */
export function output(port: u32): void {
  const flags = load<u32>(PKT, PKT_FLAGS);
  let key: usize = 0;
  if (flags & PKT_F_TUNNEL) {
    key = take(KEY_BYTES);
    if (key != 0) memory.copy(key, KEY, KEY_BYTES);
  }
  const d = descriptor();
  let len = load<u32>(PKT, PKT_LEN);
  let wireLen = load<u32>(PKT, PKT_WIRE_LEN);
  const cut = load<u32>(PKT, PKT_TRUNC);
  if (cut != 0) {
    wireLen = wireLen > cut ? wireLen - cut : 0;
    if (len > wireLen) len = wireLen;
    store<u32>(PKT, 0, PKT_TRUNC);
  }
  store<u32>(d, load<u32>(PKT, PKT_PTR), OUT_PTR);
  store<u32>(d, len, OUT_LEN);
  store<u32>(d, wireLen, OUT_WIRE_LEN);
  store<u32>(d, port, OUT_ARG);
  store<u32>(d, load<u32>(PKT, PKT_FRAME), OUT_FRAME);
  store<u32>(d, key == 0 ? OUT_KIND_PORT : OUT_KIND_TUNNEL, OUT_KIND);
  store<u32>(d, <u32>key, OUT_KEY);
  // The bytes now belong to the descriptor: a later change needs a copy.
  store<u32>(PKT, flags & ~PKT_F_OWNED, PKT_FLAGS);
  frameOutputs++;
}

/** Makes sure that there is a descriptor for outputQuick(): before each frame. */
export function outputRoom(): void {
  if (count != descriptorsMax) return;
  flush();
  count = 0;
}

/** Sends a frame to a port, past PKT: the first that this frame puts out. */
export function outputQuick(ptr: usize, len: u32, wireLen: u32, port: u32, index: u32): void {
  const d = descriptors + <usize>count * OUT_DESC_SIZE;
  count++;
  v128.store(d, i32x4(<i32>ptr, len, wireLen, port));
  store<u64>(d, <u64>index | ((<u64>OUT_KIND_PORT) << 32), OUT_FRAME);
}

/** A copy of a frame that begin()s nothing, with room before and after it, to be changed and sent; 0 when the output memory is full. */
export function outputCopy(from: usize, len: u32): usize {
  outputBegin();
  const block = take(<usize>HEADROOM + <usize>len + 16);
  if (block == 0) return 0;
  copyFrame(block + <usize>HEADROOM, from, <usize>len);
  return block + <usize>HEADROOM;
}

/** Hands the frame and its key to userspace action `index`; false when the output memory is full. */
export function outputUserspace(index: u32): bool {
  const key = take(KEY_BYTES);
  if (key == 0) return false;
  memory.copy(key, KEY, KEY_BYTES);
  output(index);
  frameOutputs--;
  frameUserspace++;
  const d = descriptors + <usize>(count - 1) * OUT_DESC_SIZE;
  store<u32>(d, OUT_KIND_USERSPACE, OUT_KIND);
  store<u32>(d, <u32>key, OUT_KEY);
  return true;
}

function take(bytes: usize): usize {
  const size = (bytes + 15) & ~15;
  if (size > arenaEnd - arenaNext) return 0;
  const at = arenaNext;
  arenaNext += size;
  return at;
}

/** Makes room for `size` bytes before the frame, which becomes its own in a new place; false when the output memory is full. */
export function prepend(size: u32): bool {
  const len = <usize>load<u32>(PKT, PKT_LEN);
  const block = take(<usize>HEADROOM + size + len + 16);
  if (block == 0) return false;
  const to = block + <usize>HEADROOM;
  memory.copy(to + size, <usize>load<u32>(PKT, PKT_PTR), len);
  store<u32>(PKT, <u32>to, PKT_PTR);
  store<u32>(PKT, <u32>len + size, PKT_LEN);
  store<u32>(PKT, load<u32>(PKT, PKT_WIRE_LEN) + size, PKT_WIRE_LEN);
  store<u32>(PKT, load<u32>(PKT, PKT_FLAGS) | PKT_F_OWNED, PKT_FLAGS);
  return true;
}

/** Makes the frame its own in a new place, with `size` bytes free after it; false when the output memory is full. */
export function makeRoom(size: u32): bool {
  const len = <usize>load<u32>(PKT, PKT_LEN);
  const block = take(<usize>HEADROOM + len + size + 16);
  if (block == 0) return false;
  const to = block + <usize>HEADROOM;
  memory.copy(to, <usize>load<u32>(PKT, PKT_PTR), len);
  store<u32>(PKT, <u32>to, PKT_PTR);
  store<u32>(PKT, load<u32>(PKT, PKT_FLAGS) | PKT_F_OWNED, PKT_FLAGS);
  return true;
}

/** Whole vectors: both sides have 16 bytes to spare after the frame (memory.copy is a call, slower on short frames). */
function copyFrame(to: usize, from: usize, len: usize): void {
  if (len <= 256) for (let i: usize = 0; i < len; i += 16) v128.store(to + i, v128.load(from + i));
  else memory.copy(to, from, len);
}

/** Makes the frame this frame's own, with room before it and after it; false when the output memory is full. */
export function makeWritable(): bool {
  const flags = load<u32>(PKT, PKT_FLAGS);
  if (flags & PKT_F_OWNED) return true;
  const len = <usize>load<u32>(PKT, PKT_LEN);
  const block = take(<usize>HEADROOM + len + 16);
  if (block == 0) return false;
  const from = <usize>load<u32>(PKT, PKT_PTR);
  const to = block + <usize>HEADROOM;
  copyFrame(to, from, len);
  store<u32>(PKT, <u32>to, PKT_PTR);
  store<u32>(PKT, flags | PKT_F_OWNED, PKT_FLAGS);
  return true;
}
