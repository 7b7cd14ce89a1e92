// Starts a kernel: how large each region of its memory is (kernel/memory.ts draws the map).
import { assert } from "../lib/assert.ts";
import * as abi from "./abi.ts";
import type { DatapathOptions } from "./datapath.ts";
import { type Kernel, type KernelImports, loadKernel } from "./kernel.ts";

/** Of the connections and the megaflows of a bridge (DESIGN section 7), when nothing else is asked for. */
export const CONNECTIONS_MAX = 1_000_000;
export const MEGAFLOWS_MAX = 200_000;

const HEAP = 0x20000;
/** Room for staged frames: a batch of the longest. */
export const ARENA_BYTES = 17 << 20;
const OUT_ARENA_BYTES = 32 << 20;
const OUT_DESCRIPTORS = 4096;
const SUBTABLES_MAX = 4096;
const RECORD_BYTES_EACH = 384; // a megaflow of 7 key blocks (twice) and a program of 24 words

/** Loads and sets up a kernel of the sizes that the options ask for. */
export function startKernel(options: DatapathOptions, imports: KernelImports): Kernel {
  const megaflows = options.megaflowsMax ?? MEGAFLOWS_MAX;
  const seed = options.seed ?? 1n;
  const batch = options.batchMax ?? abi.BATCH_MAX;
  const exact = options.exactEntries ?? 16_384;
  assert(exact === 0 || (exact & (exact - 1)) === 0, "exactEntries is a power of two");
  const config = new Uint32Array(16);
  config[abi.CONFIG_EXACT_ENTRIES] = exact;
  config[abi.CONFIG_EXACT_INVERSE] = options.exactInverse ?? 32;
  config[abi.CONFIG_SUBTABLES] = SUBTABLES_MAX;
  config[abi.CONFIG_CONNECTIONS] = options.connectionsMax ?? CONNECTIONS_MAX;
  config[abi.CONFIG_OUT_DESCRIPTORS] = Math.max(OUT_DESCRIPTORS, 2 * batch);
  config[abi.CONFIG_ARENA_BYTES] = Math.max(ARENA_BYTES, options.arenaBytes ?? 0);
  config[abi.CONFIG_OUT_ARENA_BYTES] = OUT_ARENA_BYTES;
  config[abi.CONFIG_RECORD_BYTES] = megaflows * RECORD_BYTES_EACH + 65536;
  config[abi.CONFIG_TABLE_BYTES] = megaflows * 64 + SUBTABLES_MAX * 1024 + 65536;
  config[abi.CONFIG_BATCH] = batch;
  config[abi.CONFIG_CACHE] = (options.cache ?? true) ? 1 : 0;
  config[abi.CONFIG_FAST_PARSE] = (options.fastParse ?? true) ? 1 : 0;
  config[abi.CONFIG_SEED] = Number(seed & 0xffffffffn);
  config[abi.CONFIG_SEED + 1] = Number((seed >> 32n) & 0xffffffffn);
  // A first kernel says how much memory the configuration needs.
  const sizing = loadKernel(HEAP + 65536, imports);
  sizing.words.set(config, HEAP >>> 2);
  const byteLength: number = sizing.exports.init(1) >>> 0;
  const kernel = (options.load ?? loadKernel)(byteLength, imports);
  kernel.words.set(config, HEAP >>> 2);
  kernel.exports.init(0);
  return kernel;
}
