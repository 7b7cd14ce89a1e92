// The installed megaflows, in the order in which they came. What the host knows of each stands in columns, a slot each; the kernel's
// record says the slot (MF_SLOT). 200,000 of them take 10 MB, and an upcall leaves nothing for the garbage collector.
//
//   slot:  at u32 (address of the record, 0: free) | answer | created f64 (ms) | pushed packets f64, bytes f64 | narrowed u8
//          next i32, previous i32: in order, NONE at the ends; of a free slot previous is the next free one, and next what it was,
//          so that who walks the list finds on from a megaflow that went meanwhile
import * as abi from "./abi.ts";
import type { Answer } from "./answer.ts";
import type { Kernel } from "./kernel.ts";
import { Megaflow, readStats } from "./megaflow.ts";

const NONE = -1;
const SLOTS_MIN = 64;

export class MegaflowTable {
  size = 0;
  readonly kernel: Kernel;
  at = new Uint32Array(SLOTS_MIN);
  readonly answers: (Answer | null)[] = [];
  createdMs = new Float64Array(SLOTS_MIN);
  pushedPackets = new Float64Array(SLOTS_MIN);
  pushedBytes = new Float64Array(SLOTS_MIN);
  narrowed = new Uint8Array(SLOTS_MIN);
  #next = new Int32Array(SLOTS_MIN);
  #previous = new Int32Array(SLOTS_MIN);
  #first = NONE;
  #last = NONE;
  #free = NONE;
  /** Slots ever used. */
  #used = 0;
  /** Whether each was made no earlier than the one before it; a capture's clock may go back. */
  #isInTime = true;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
  }

  /** Takes in the megaflow whose record is at `at`; returns its slot. */
  add(at: number, answer: Answer, createdMs: number, narrowed: boolean): number {
    const slot = this.#takeSlot();
    this.at[slot] = at;
    this.answers[slot] = answer;
    this.createdMs[slot] = createdMs;
    this.pushedPackets[slot] = 0;
    this.pushedBytes[slot] = 0;
    this.narrowed[slot] = narrowed ? 1 : 0;
    this.kernel.words[(at + abi.MF_SLOT) >>> 2] = slot;
    const last = this.#last;
    this.#next[slot] = NONE;
    this.#previous[slot] = last;
    if (last === NONE) {
      this.#first = slot;
      this.#isInTime = true;
    } else {
      this.#next[last] = slot;
      if (this.createdMs[last]! > createdMs) this.#isInTime = false;
    }
    this.#last = slot;
    this.size++;
    return slot;
  }

  /** Forgets a megaflow. */
  delete(slot: number): void {
    const next = this.#next[slot]!;
    const previous = this.#previous[slot]!;
    if (previous === NONE) this.#first = next;
    else this.#next[previous] = next;
    if (next === NONE) this.#last = previous;
    else this.#previous[next] = previous;
    this.at[slot] = 0;
    this.answers[slot] = null;
    this.#previous[slot] = this.#free;
    this.#free = slot;
    this.size--;
  }

  get(slot: number): Megaflow {
    return new Megaflow(this, slot);
  }

  /** All of them in order. They may go while this goes on, but none come. */
  *values(): Generator<Megaflow> {
    for (let slot = this.#first; slot !== NONE; slot = this.#next[slot]!)
      if (this.at[slot] !== 0) yield new Megaflow(this, slot);
  }

  /** When a frame last hit it, or when it was made. */
  lastUsedMs(slot: number): number {
    const { words } = this.kernel;
    const at = (this.at[slot]! + abi.MF_USED) >>> 2;
    return words[at]! + words[at + 1]! * 0x100000000 || this.createdMs[slot]!;
  }

  /** Gives its owner what it counted since the last time. */
  pushStats(slot: number): void {
    const { words } = this.kernel;
    const at = this.at[slot]!;
    const packets =
      words[(at + abi.MF_PACKETS) >>> 2]! + words[(at + abi.MF_PACKETS + 4) >>> 2]! * 0x100000000;
    if (packets === this.pushedPackets[slot]) return;
    const stats = readStats(this.kernel, at);
    const before = { packets: this.pushedPackets[slot]!, bytes: this.pushedBytes[slot]! };
    this.pushedPackets[slot] = stats.packets;
    this.pushedBytes[slot] = stats.bytes;
    this.answers[slot]!.owner.credit({
      ...stats,
      packets: stats.packets - before.packets,
      bytes: stats.bytes - before.bytes,
    });
  }

  /** The slots of the `count` that were not used for the longest time, as `lastUsedMs` has it (no earlier than made); of equals the older. */
  leastUsed(count: number, lastUsedMs: (slot: number) => number): Int32Array {
    const oldest = this.#oldestUnused(count, lastUsedMs);
    if (oldest !== null) return oldest;
    const slots = this.#inOrder();
    const usedMs = new Float64Array(slots.length);
    for (let i = 0; i < slots.length; i++) usedMs[i] = lastUsedMs(slots[i]!);
    // To sort the slots by them would take 30 to 50 ms of 200,000, and frames would wait: this takes 4 to 5 once it is compiled.
    const limitMs = nthLowest(usedMs.slice(), count - 1);
    const found = new Int32Array(count);
    const equals: number[] = [];
    let below = 0;
    for (let i = 0; i < slots.length; i++) {
      if (usedMs[i]! < limitMs) found[below++] = slots[i]!;
      else if (usedMs[i] === limitMs) equals.push(slots[i]!);
    }
    if (!this.#isInTime) equals.sort((a, b) => this.createdMs[a]! - this.createdMs[b]!); // stable
    for (let i = below; i < count; i++) found[i] = equals[i - below]!;
    return found;
  }

  #inOrder(): Int32Array {
    const slots = new Int32Array(this.size);
    let slot = this.#first;
    for (let i = 0; i < slots.length; i++) {
      slots[i] = slot;
      slot = this.#next[slot]!;
    }
    return slots;
  }

  /**
   * The first `count` in order, when none of them was used since the next one was made: then they are the least used, and no other
   * need be looked at. So it is when every frame is an upcall, and sorting all of them would be a third of the work.
   */
  #oldestUnused(count: number, lastUsedMs: (slot: number) => number): Int32Array | null {
    if (!this.#isInTime) return null;
    const slots = new Int32Array(count);
    let latestMs = 0;
    let slot = this.#first;
    for (let i = 0; i < count; i++) {
      slots[i] = slot;
      latestMs = Math.max(latestMs, lastUsedMs(slot));
      slot = this.#next[slot]!;
    }
    return slot === NONE || latestMs <= this.createdMs[slot]! ? slots : null;
  }

  #takeSlot(): number {
    const slot = this.#free;
    if (slot === NONE) {
      if (this.#used === this.at.length) this.#grow();
      return this.#used++;
    }
    this.#free = this.#previous[slot]!;
    return slot;
  }

  #grow(): void {
    const count = 2 * this.at.length;
    this.at = grown(this.at, new Uint32Array(count));
    this.createdMs = grown(this.createdMs, new Float64Array(count));
    this.pushedPackets = grown(this.pushedPackets, new Float64Array(count));
    this.pushedBytes = grown(this.pushedBytes, new Float64Array(count));
    this.narrowed = grown(this.narrowed, new Uint8Array(count));
    this.#next = grown(this.#next, new Int32Array(count));
    this.#previous = grown(this.#previous, new Int32Array(count));
  }
}

/** The value that sorting would put at index `n` (Hoare's selection); `values` is left in another order. */
function nthLowest(values: Float64Array, n: number): number {
  let low = 0;
  let high = values.length - 1;
  while (low < high) {
    const pivot = values[(low + high) >>> 1]!;
    let i = low;
    let k = high;
    while (i <= k) {
      while (values[i]! < pivot) i++;
      while (values[k]! > pivot) k--;
      if (i > k) break;
      const value = values[i]!;
      values[i++] = values[k]!;
      values[k--] = value;
    }
    // Up to k nothing is above the pivot, from i on nothing below it, and between them all are equal to it.
    if (n <= k) high = k;
    else if (n >= i) low = i;
    else return pivot;
  }
  return values[n]!;
}

function grown<T extends { set(from: T): void }>(from: T, to: T): T {
  to.set(from);
  return to;
}
