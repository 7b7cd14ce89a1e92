// megaflow bench: measures this switch. The benches are no part of the program: they stand in the bench/ of a checkout, and run in
// a process of their own.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { MegaflowError, systemWords } from "../lib/errors.ts";
import { wholeNumber } from "./assignment.ts";

const RUNNER = join(fileURLToPath(new URL("../../..", import.meta.url)), "dist/bench/run.js");
const PEERS = ["ovs-dpdk"];

interface BenchOptions {
  json: boolean;
  smoke: boolean;
  seed: string;
  save?: string;
  compare?: string;
  peer?: string;
  check: boolean;
  updateBaseline: boolean;
  heap: boolean;
  frames?: string;
}

/** Adds the command to the program. */
export function register(program: Command): void {
  program
    .command("bench")
    .summary("measure this switch")
    .description(
      "Measures the workloads named, or all: frames per second, medians of several runs, on one core.",
    )
    .argument("[workload...]", "their names; a name that is not there gets the list of those that are")
    .option("--json", "a line of JSON per workload", false)
    .option("--smoke", "a moment each, to see that they work", false)
    .option("--seed <N>", "of everything random", "1")
    .option("--save <FILE>", "keep the medians as a baseline")
    .option(
      "--compare <FILE>",
      "hold the medians against a baseline; exit status 1 when one is slower by more than a quarter",
    )
    .option(
      "--check",
      "hold them against the memory floor as bench/baseline.json does; exit status 1 when one lost more than it may",
      false,
    )
    .option("--update-baseline", "keep what is measured now in bench/baseline.json", false)
    .option(
      "--heap",
      "run them for --frames frames and tell what the JavaScript heap did; exit status 1 unless it stayed flat",
      false,
    )
    .option("--frames <N>", "frames for --heap (default: 100000000)")
    .option(
      "--peer <NAME>",
      "measure another switch beside this one: ovs-dpdk, Open vSwitch with DPDK; needs root, huge pages and two cores",
    )
    .addHelpText(
      "after",
      `
Each workload prints its median, the range of its runs, and a hash of its output: equal seeds give equal output.
The benches are in a checkout of the project, after npm ci; bench/README.md says what each of them answers.

Exit status: 0 done; 1 slower than the baseline, or objects on the heap; 2 bad arguments, or the benches are not there.

Examples:
  megaflow bench
  megaflow bench exact-1k conntrack-100k
  megaflow bench forward --json
  megaflow bench --heap exact-1k --frames 10000000`,
    )
    .action(bench);
}

async function bench(workloads: readonly string[], options: BenchOptions): Promise<void> {
  if (options.peer !== undefined) {
    if (!PEERS.includes(options.peer)) {
      throw new MegaflowError("EARGS", `--peer: no such peer: ${options.peer}; there is ${PEERS.join(", ")}`);
    }
  }
  if (!existsSync(RUNNER)) {
    throw new MegaflowError("EFILE", "the benches are not there: they run in a checkout, after npm ci", {
      file: RUNNER,
    });
  }
  const args = [...workloads, "--seed", String(wholeNumber(options.seed, "--seed", 0))];
  if (options.json) args.push("--json");
  if (options.peer !== undefined) args.push("--peer", options.peer);
  if (options.smoke) args.push("--smoke");
  if (options.check) args.push("--check");
  if (options.updateBaseline) args.push("--update-baseline");
  if (options.heap) args.push("--heap");
  if (options.frames !== undefined) args.push("--frames", String(wholeNumber(options.frames, "--frames", 1)));
  if (options.save !== undefined) args.push("--save", options.save);
  if (options.compare !== undefined) {
    checkBaseline(options.compare);
    args.push("--compare", options.compare);
  }
  const child = spawn(process.execPath, [RUNNER, ...args], { stdio: "inherit" });
  const [status] = (await once(child, "exit")) as [number | null];
  process.exitCode = status ?? 1;
}

/** Throws MegaflowError when the file is not what --save writes. */
function checkBaseline(path: string): void {
  try {
    JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new MegaflowError("EFILE", systemWords(error), { file: path });
  }
}
