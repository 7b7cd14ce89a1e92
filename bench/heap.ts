// The JavaScript heap under measurement: what it holds, and what its collector does meanwhile.
import { constants, PerformanceObserver, performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Collects all that is dead: buffers of what one collection found dead are given back by the next. */
export function settle(): void {
  for (let i = 0; i < 3; i++) collect();
}

/** Bytes of live and dead objects, and of the buffers they own. */
export function bytesHeld(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** What a stretch of work did to the heap. */
export interface HeapUse {
  /** By how much more it holds, dead objects included. */
  readonly grownBytes: number;
  /** When it began and ended, of performance.now(). */
  readonly beginMs: number;
  readonly endMs: number;
}

/** Begins with a clean heap; the function it gives ends the watch. */
export function watchHeap(): () => HeapUse {
  settle();
  const beginMs = performance.now();
  const before = process.memoryUsage().heapUsed;
  return () => {
    const grownBytes = process.memoryUsage().heapUsed - before;
    return { grownBytes, beginMs, endMs: performance.now() };
  };
}

export interface Collections {
  readonly count: number;
  readonly longestMs: number;
}

/** Does the work and gives, with its result, the collector's runs in the stretch of it that was watched. */
export async function collectionsDuring<T>(
  work: () => T,
  stretch: (result: T) => HeapUse | undefined,
): Promise<[T, Collections]> {
  const seen: { startMs: number; ms: number }[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { startTime, duration } = entry;
      // Those that settle() asked for do not count.
      const { flags } = (entry as typeof entry & { detail: { flags: number } }).detail;
      if ((flags & constants.NODE_PERFORMANCE_GC_FLAGS_FORCED) === 0)
        seen.push({ startMs: startTime, ms: duration });
    }
  });
  observer.observe({ entryTypes: ["gc"] });
  const result = work();
  await sleep(20); // the observer hears of them when the event loop turns
  observer.disconnect();
  const use = stretch(result);
  const inside = seen.filter(
    ({ startMs }) => use !== undefined && startMs >= use.beginMs && startMs <= use.endMs,
  );
  return [result, { count: inside.length, longestMs: Math.max(0, ...inside.map(({ ms }) => ms)) }];
}
