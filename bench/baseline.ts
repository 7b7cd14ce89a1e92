// Holds speeds against those of before, kept in bench/baseline.json: how many times longer a frame takes than its memory is read
// (`memory-floor`), both measured in turn, in time that the process had a processor. Of the runs of either the best counts, and
// who is slower than allowed is measured again some times before it is said: other work on the machine can make a run slower,
// nothing can make it faster.
//   npm run bench -- --check [WORKLOAD...]             exit status 1 when one has fallen by more than its tolerance
//   npm run bench -- --update-baseline [WORKLOAD...]   keeps what is measured now
// --baseline FILE takes another file: made before a change and asked after it.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import type { Bench } from "./harness.ts";

/** The file: floors of each workload by processor, as os.cpus() names it. */
export interface Baseline {
  /** The share of speed that may be lost: 0.15; and those of workloads that differ from run to run for reasons of their own. */
  readonly tolerance: number;
  readonly tolerances: Readonly<Record<string, number>>;
  readonly floors: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

const FILE = fileURLToPath(new URL("../../bench/baseline.json", import.meta.url));
const FLOOR = "memory-floor";
const ATTEMPTS = 8;
const RUN_MS = 40;
/** On a processor that the file does not know, nothing but losing half of the speed it knows of others is told. */
const ELSEWHERE = 0.5;

/** Throws when the file is not there, or is not what updateBaseline() writes. */
export function readBaseline(file = FILE): Baseline {
  const read = JSON.parse(readFileSync(file, "utf8")) as Partial<Baseline> | null;
  if (typeof read?.tolerance !== "number" || !read.tolerances || !read.floors)
    throw new Error(`${file}: no baseline: tolerance, tolerances and floors are wanted (--update-baseline)`);
  return read as Baseline;
}

export interface CheckOptions {
  readonly seed: number;
  /** Takes the place of the file's tolerances. */
  readonly tolerance?: number;
  readonly baseline?: Baseline;
  readonly print: (line: string) => void;
}

/** Names of the workloads that lost more speed than they may. */
export function checkBaseline(benches: readonly Bench[], options: CheckOptions): string[] {
  const { seed, baseline = readBaseline(), print } = options;
  const processor = cpus()[0]?.model ?? "unknown processor";
  const known = baseline.floors[processor];
  if (known === undefined) print(`no baseline for ${processor}: held to half of the slowest that is known`);
  const slow: string[] = [];
  for (const bench of benches) {
    const before = known?.[bench.name] ?? slowest(baseline, bench.name);
    if (before === undefined) continue;
    const own = baseline.tolerances[bench.name] ?? baseline.tolerance;
    const tolerance = options.tolerance ?? (known === undefined ? ELSEWHERE : own);
    const measured = measure(bench, benches, seed, before / (1 - tolerance));
    const kept = before / measured;
    const ok = kept >= 1 - tolerance;
    if (!ok) slow.push(bench.name);
    print(
      `${bench.name.padEnd(20)} ${measured.toFixed(1)} floors, ${kept.toFixed(2)} times the baseline's speed${ok ? "" : ` (too slow: ${1 - tolerance} is allowed)`}`,
    );
  }
  return slow;
}

/** Measures the workloads and keeps them for this machine's processor; others stay as they are. A file that is not there is made. */
export function updateBaseline(
  benches: readonly Bench[],
  seed: number,
  print: (line: string) => void,
  file = FILE,
): void {
  const baseline = existsSync(file) ? readBaseline(file) : { ...readBaseline(), floors: {} };
  const processor = cpus()[0]?.model ?? "unknown processor";
  const floors = { ...baseline.floors[processor] };
  for (const bench of benches) {
    if (bench.name === FLOOR) continue;
    floors[bench.name] = Number(measure(bench, benches, seed, 0).toPrecision(3));
    print(`${bench.name.padEnd(20)} ${floors[bench.name]} floors`);
  }
  const next: Baseline = { ...baseline, floors: { ...baseline.floors, [processor]: floors } };
  writeFileSync(file, `${JSON.stringify(next, null, 2)}\n`);
}

/** Floors that a unit takes; goes on until it is `enough` or the attempts are used up. */
function measure(bench: Bench, benches: readonly Bench[], seed: number, enough: number): number {
  const floor = benches.find(({ name }) => name === FLOOR)!;
  const context = { seed, smoke: false, runMs: RUN_MS, cpuTime: true };
  let floorNs = Number.POSITIVE_INFINITY;
  let benchNs = Number.POSITIVE_INFINITY;
  for (let i = 0; i < ATTEMPTS; i++) {
    floorNs = Math.min(floorNs, ...floor.run(context).nsPerUnit);
    benchNs = Math.min(benchNs, ...bench.run(context).nsPerUnit);
    if (benchNs / floorNs <= enough) break;
  }
  return benchNs / floorNs;
}

function slowest({ floors }: Baseline, name: string): number | undefined {
  const all = Object.values(floors).flatMap((of) => of[name] ?? []);
  return all.length === 0 ? undefined : Math.max(...all);
}
