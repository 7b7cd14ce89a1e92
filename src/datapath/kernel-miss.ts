// The frame that the kernel has no megaflow for, as it lies in the kernel's memory (kernel/memory.ts, PKT and KEY).
import { Flow } from "../flow/flow.ts";
import { BLOCK_SIZE, KEY_BLOCKS } from "../flow/layout.ts";
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
  readonly flow = new Flow();
  wireLen = 0;
  nowMs = 0;
  readonly #kernel: Kernel;
  readonly #pkt: number;
  readonly #key: number;

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
    const flow = this.flow.clear().words;
    const few = words[pkt + PKT_KEY_MAP / 4]!;
    const more = words[pkt + PKT_KEY_MAP / 4 + 1]!;
    for (let block = 0; block < KEY_BLOCKS; block++) {
      const map = block < 32 ? few : more;
      if (((map >>> (block & 31)) & 1) === 0) continue;
      const to = block * BLOCK_WORDS;
      const from = this.#key + to;
      for (let i = 0; i < BLOCK_WORDS; i++) flow[to + i] = words[from + i]!;
    }
  }

  /** A view of the frame: making one takes a third as long as a whole upcall of few actions, and few look at it. */
  get frame(): Uint8Array {
    const { words, bytes } = this.#kernel;
    const ptr = words[this.#pkt + PKT_PTR / 4]!;
    return bytes.subarray(ptr, ptr + words[this.#pkt + PKT_LEN / 4]!);
  }
}
