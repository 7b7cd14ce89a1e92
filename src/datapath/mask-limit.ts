// Holds down the masks of each input port. A lookup probes the subtable of every mask that its port's megaflows have, so a peer
// whose frames make the pipeline look at ever other bits would slow all of the port's frames (a tuple space explosion). At the
// limit a new megaflow gets a narrower mask than it needs: one that is there already, or every bit of the blocks it touches. A
// narrower mask only makes more megaflows, and those are limited too.
import { Flow, KEY_WORDS } from "../flow/flow.ts";
import { BLOCK_SIZE, KEY_BLOCKS } from "../flow/layout.ts";
import * as abi from "./abi.ts";
import type { Kernel } from "./kernel.ts";

const BLOCK_WORDS = BLOCK_SIZE / 4;

/** How many megaflows of a port have a mask. */
interface Count {
  readonly port: number;
  readonly subtable: number;
  megaflows: number;
}

export class MaskLimit {
  readonly #kernel: Kernel;
  readonly #max: number;
  /** Per input port, as the masked key has it: its subtables (addresses; a subtable is a mask), and its megaflows in each. */
  readonly #ports = new Map<number, Map<number, Count>>();
  /** The count asked for last: megaflows of one mask come and go together. */
  #last: Count | null = null;
  readonly #mask = new Flow();

  /** `max`: masks per input port. */
  constructor(kernel: Kernel, max: number) {
    this.#kernel = kernel;
    this.#max = max;
  }

  /** Whether the megaflow's mask is one too many for its port. */
  exceeds(at: number): boolean {
    const port = this.#port(at);
    const subtable = this.#subtable(at);
    if (this.#last?.port === port && this.#last.subtable === subtable) return false;
    const masks = this.#ports.get(port);
    return masks !== undefined && masks.size >= this.#max && !masks.has(subtable);
  }

  /** Counts a megaflow that stays. */
  add(at: number): void {
    const port = this.#port(at);
    const subtable = this.#subtable(at);
    this.#countOf(port, subtable).megaflows++;
  }

  /** Counts out a megaflow, before the kernel removes it. */
  remove(at: number): void {
    const port = this.#port(at);
    const subtable = this.#subtable(at);
    if (--this.#countOf(port, subtable).megaflows > 0) return;
    this.#last = null;
    const masks = this.#ports.get(port)!;
    masks.delete(subtable);
    if (masks.size === 0) this.#ports.delete(port);
  }

  #countOf(port: number, subtable: number): Count {
    const last = this.#last;
    if (last !== null && last.port === port && last.subtable === subtable) return last;
    let masks = this.#ports.get(port);
    if (masks === undefined) this.#ports.set(port, (masks = new Map()));
    let count = masks.get(subtable);
    if (count === undefined) masks.set(subtable, (count = { port, subtable, megaflows: 0 }));
    this.#last = count;
    return count;
  }

  /** The mask to have in place of that of megaflow `at`, whose port is at its limit; valid until the next call. */
  narrowed(at: number, wanted: Flow): Flow {
    const mask = this.#mask;
    let fewest = Number.POSITIVE_INFINITY;
    let best = 0;
    for (const subtable of this.#ports.get(this.#port(at))!.keys()) {
      this.#readMask(subtable);
      if (!isNarrower(mask, wanted)) continue;
      const bits = bitCount(mask);
      if (bits >= fewest) continue;
      fewest = bits;
      best = subtable;
    }
    if (best !== 0) this.#readMask(best);
    else exactOf(wanted, mask);
    return mask;
  }

  /** The first word of the masked key: in_port, which every mask has whole. */
  #port(at: number): number {
    return this.#kernel.words[(at + abi.MF_KEY) >>> 2]!;
  }

  #subtable(at: number): number {
    return this.#kernel.words[(at + abi.MF_SUBTABLE) >>> 2]!;
  }

  #readMask(subtable: number): void {
    const { bytes, words } = this.#kernel;
    this.#mask.clear();
    const blocks = words[(subtable + abi.ST_BLOCKS) >>> 2]!;
    for (let i = 0; i < blocks; i++) {
      const from = subtable + abi.ST_MASKS + i * BLOCK_SIZE;
      const to = bytes[subtable + abi.ST_BLOCK_NUMBERS + i]! * BLOCK_SIZE;
      this.#mask.bytes.set(bytes.subarray(from, from + BLOCK_SIZE), to);
    }
  }
}

/** Whether every bit of `wide` is one of `narrow`'s. */
export function isNarrower(narrow: Flow, wide: Flow): boolean {
  for (let i = 0; i < KEY_WORDS; i++) if ((wide.words[i]! & ~narrow.words[i]!) !== 0) return false;
  return true;
}

function bitCount(mask: Flow): number {
  let count = 0;
  for (let i = 0; i < KEY_WORDS; i++) for (let w = mask.words[i]!; w !== 0; w &= w - 1) count++;
  return count;
}

/** Every bit of every block that `mask` touches. */
function exactOf(mask: Flow, exact: Flow): void {
  exact.clear();
  for (let b = 0; b < KEY_BLOCKS; b++) {
    const from = b * BLOCK_WORDS;
    const touched = mask.words.subarray(from, from + BLOCK_WORDS).some((word) => word !== 0);
    if (touched) exact.words.fill(0xffffffff, from, from + BLOCK_WORDS);
  }
}
