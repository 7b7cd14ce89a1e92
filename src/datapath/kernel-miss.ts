// The frame that the kernel has no megaflow for, as it lies in the kernel's memory (kernel/memory.ts, PKT and KEY).
import { Flow } from "../flow/flow.ts";
import { BLOCK_SIZE } from "../flow/layout.ts";
import type { Kernel } from "./kernel.ts";
import type { Miss } from "./upcall.ts";

const PKT_PTR = 0;
const PKT_LEN = 4;
const PKT_WIRE_LEN = 8;
const PKT_KEY_MAP = 32;
const PKT_NOW = 40;
const BLOCK_WORDS = BLOCK_SIZE / 4;

/** One for all upcalls: read() makes it the one at hand. */
export class KernelMiss implements Miss {
  /** Not to be written to. */
  readonly flow = new Flow();
  wireLen = 0;
  nowMs = 0;
  readonly #kernel: Kernel;
  readonly #pkt: number;
  readonly #key: number;
  // The blocks of `flow` that may be other than zero, a bit each.
  #few = 0;
  #more = 0;

  /** `pkt` and `key`: where PKT and KEY are. */
  constructor(kernel: Kernel, pkt: number, key: number) {
    this.#kernel = kernel;
    this.#pkt = pkt >>> 2;
    this.#key = key >>> 2;
  }

  /** Takes over what the kernel has now. */
  read(): void {
    const { words } = this.#kernel;
    const pkt = this.#pkt;
    this.wireLen = words[pkt + PKT_WIRE_LEN / 4]!;
    this.nowMs = words[pkt + PKT_NOW / 4]! + words[pkt + PKT_NOW / 4 + 1]! * 0x100000000;
    const few = words[pkt + PKT_KEY_MAP / 4]!;
    const more = words[pkt + PKT_KEY_MAP / 4 + 1]!;
    const flow = this.flow.words;
    for (let map = this.#few & ~few; map !== 0; map &= map - 1) clearBlock(flow, lowest(map));
    for (let map = this.#more & ~more; map !== 0; map &= map - 1) clearBlock(flow, 32 + lowest(map));
    for (let map = few; map !== 0; map &= map - 1) copyBlock(words, this.#key, flow, lowest(map));
    for (let map = more; map !== 0; map &= map - 1) copyBlock(words, this.#key, flow, 32 + lowest(map));
    this.#few = few;
    this.#more = more;
  }

  /** A view of the frame: making one takes a third as long as a whole upcall of few actions, and few look at it. */
  get frame(): Uint8Array {
    const { words, bytes } = this.#kernel;
    const ptr = words[this.#pkt + PKT_PTR / 4]!;
    return bytes.subarray(ptr, ptr + words[this.#pkt + PKT_LEN / 4]!);
  }
}

/** The number of the lowest bit that is set. */
function lowest(map: number): number {
  return 31 - Math.clz32(map & -map);
}

function clearBlock(flow: Uint32Array, block: number): void {
  const at = block * BLOCK_WORDS;
  for (let i = at; i < at + BLOCK_WORDS; i++) flow[i] = 0;
}

function copyBlock(words: Uint32Array, key: number, flow: Uint32Array, block: number): void {
  const at = block * BLOCK_WORDS;
  for (let i = at; i < at + BLOCK_WORDS; i++) flow[i] = words[key + i]!;
}
