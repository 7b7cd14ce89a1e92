// No frame that the caches answer makes a JavaScript object: each bench of frames for a hundred million of them, and what that did to
// the heap.
//   npm run bench -- --heap [WORKLOAD...] [--frames N]
import type { Bench } from "./harness.ts";
import { collectionsDuring } from "./heap.ts";

const GROWN_KIB_MAX = 512;
const PAUSE_MS_MAX = 5;

/** Runs them; true when every heap stayed flat and no collection took longer than 5 ms. */
export async function checkHeap(
  benches: readonly Bench[],
  frames: number,
  seed: number,
  print: (line: string) => void,
): Promise<boolean> {
  let flat = true;
  for (const bench of benches) {
    const [result, { count, longestMs }] = await collectionsDuring(
      () => bench.run({ seed, smoke: false, runMs: 100, frames }),
      (made) => made.heap,
    );
    if (result.heap === undefined) continue;
    const grownKib = result.heap.grownBytes / 1024;
    const ok = grownKib <= GROWN_KIB_MAX && longestMs <= PAUSE_MS_MAX;
    flat &&= ok;
    print(
      `${bench.name.padEnd(20)} ${result.count} frames: heap grown by ${grownKib.toFixed(0)} KiB, ` +
        `${count} collections, the longest ${longestMs.toFixed(1)} ms${ok ? "" : " (too much)"}`,
    );
  }
  return flat;
}
