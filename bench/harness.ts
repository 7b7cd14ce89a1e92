// The harness of the benches. A bench is a file NAME.bench.ts here that answers one question and exports
//
//   export const name = "flow-text";                          // as it is called on the command line
//   export const question = "How fast are flow files read?";
//   export function run(context: BenchContext): BenchResult;
//
// or, where one question is asked of several sizes, `benches`, an array of such. bench/run.ts finds it there. Small operations are measured with the library `benchmark` (measureOperation), frames per
// second with a plain timed loop over batches (measureFrames). Every bench hashes its output, so that the work cannot be
// optimised away and a wrong answer cannot pass for a fast one: equal seeds give equal hashes, in smoke mode too.
import { createHash } from "node:crypto";
import Benchmark from "benchmark";
import { type HeapUse, watchHeap } from "./heap.ts";
import type { PeerCase } from "./peer/ovs-dpdk.ts";

export interface BenchContext {
  /** Of everything random in a bench. */
  readonly seed: number;
  /** A moment only, to see that the bench works. */
  readonly smoke: boolean;
  /** Milliseconds of a run of measureFrames; a second when not given. */
  readonly runMs?: number;
  /** Measure the time that this process had a processor, whatever else the machine does: ratios of it are steady. */
  readonly cpuTime?: boolean;
  /** Instead of five runs one of so many frames, with an eye on the JavaScript heap and not on the clock. */
  readonly frames?: number;
}

/** What is counted: frames, or calls of something smaller. */
export type Unit = "frame" | "operation";

export interface BenchResult {
  readonly unit: Unit;
  /** Nanoseconds of one unit, of each run. */
  readonly nsPerUnit: readonly number[];
  /** Units of all runs. */
  readonly count: number;
  /** Of the output. */
  readonly hash: string;
  /** What else there is to know of the runs, in a few words. */
  readonly note?: string;
  /** What a run of so many frames did to the JavaScript heap. */
  readonly heap?: HeapUse;
}

export interface Bench {
  readonly name: string;
  readonly question: string;
  run(context: BenchContext): BenchResult;
  /** Its frames make JavaScript objects: upcalls, each an answer of its own. */
  readonly allocates?: boolean;
  /** The same frames and flows for another switch; benches without it have no peer. */
  peer?(seed: number): PeerCase;
}

const RUNS = 5;
const RUN_MS = 1000;
const SMOKE_MS = 20;

/** Sixteen hexadecimal digits of what a bench put out. */
export function hashOf(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex").slice(0, 16);
}

/**
 * Measures `call`, which does `perCall` operations, with the library: its samples are the runs.
 * `hash` is the output's, made by the bench before or after.
 */
export function measureOperation(
  context: BenchContext,
  perCall: number,
  call: () => void,
  hash: string,
): BenchResult {
  const options = context.smoke
    ? { maxTime: SMOKE_MS / 1000, minSamples: 1, minTime: SMOKE_MS / 1000 }
    : { maxTime: (RUNS * RUN_MS) / 1000, minSamples: RUNS };
  const bench = new Benchmark({ fn: call, ...options });
  bench.run({ async: false });
  if (bench.error !== undefined) throw bench.error;
  const nsPerUnit = bench.stats.sample.map((seconds) => (seconds * 1e9) / perCall);
  return { unit: "operation", nsPerUnit, count: bench.count * nsPerUnit.length * perCall, hash };
}

/**
 * Measures `batch`, which handles a batch of frames and gives their number, in a plain loop: five runs of a second after
 * one of warming up. The clock is read once in `between` batches: of slow batches, after each.
 */
export function measureFrames(
  context: BenchContext,
  batch: () => number,
  hash: string,
  between = 16,
): BenchResult {
  const runMs = context.smoke ? SMOKE_MS : (context.runMs ?? RUN_MS);
  const clock = context.cpuTime ? cpuNs : process.hrtime.bigint;
  const nsPerUnit: number[] = [];
  let count = 0;
  for (let run = context.smoke ? 1 : 0; run <= (context.smoke ? 1 : RUNS); run++) {
    let frames = 0;
    const begin = clock();
    const end = begin + BigInt(runMs) * 1_000_000n;
    let now = begin;
    while (now < end) {
      for (let i = 0; i < between; i++) frames += batch();
      now = clock();
    }
    if (run === 0 && context.frames !== undefined) return measureHeap(context.frames, batch, hash);
    if (run === 0) continue;
    nsPerUnit.push(Number(now - begin) / frames);
    count += frames;
  }
  return { unit: "frame", nsPerUnit, count, hash };
}

/** One run of at least `wanted` frames, in which nothing but `batch` runs. */
function measureHeap(wanted: number, batch: () => number, hash: string): BenchResult {
  const watch = watchHeap();
  const begin = process.hrtime.bigint();
  let count = 0;
  while (count < wanted) count += batch();
  const ns = Number(process.hrtime.bigint() - begin);
  return { unit: "frame", nsPerUnit: [ns / count], count, hash, heap: watch() };
}

/** For how long this process has had a processor. */
export function cpuNs(): bigint {
  const { user, system } = process.cpuUsage();
  return BigInt(user + system) * 1000n;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
