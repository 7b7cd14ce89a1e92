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
    .option("--markdown", "a table row per workload, as in bench/README.md", false)
    .option("--ms <N>", "milliseconds of each run (default: 1000)")
    .option(
      "--check",
      "hold them against the memory floor as bench/baseline.json does; exit status 1 when one lost more than it may",
      false,
    )
    .option("--update-baseline", "keep what is measured now in bench/baseline.json", false)
    .option("--baseline <FILE>", "another file for these two: keep it before a change, check it after")
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

/** Options that are numbers, with the least that each may be. */
const NUMBERS: Readonly<Record<string, number>> = { seed: 0, ms: 1, frames: 1 };

async function bench(
  workloads: readonly string[],
  options: Readonly<Record<string, string | boolean | undefined>>,
  command: Command,
): Promise<void> {
  const { peer, baseline, check } = options;
  if (typeof peer === "string" && !PEERS.includes(peer)) {
    throw new MegaflowError("EARGS", `--peer: no such peer: ${peer}; there is ${PEERS.join(", ")}`);
  }
  if (!existsSync(RUNNER)) {
    throw new MegaflowError("EFILE", "the benches are not there: they run in a checkout, after npm ci", {
      file: RUNNER,
    });
  }
  if (check === true && typeof baseline === "string") readable(baseline);
  // The runner knows them by the same names.
  const args = [...workloads];
  for (const option of command.options) {
    const name = option.attributeName();
    const value = options[name];
    const least = NUMBERS[name];
    const flag = `--${option.name()}`;
    if (value === true) args.push(flag);
    else if (typeof value === "string")
      args.push(flag, least === undefined ? value : String(wholeNumber(value, flag, least)));
  }
  const child = spawn(process.execPath, [RUNNER, ...args], { stdio: "inherit" });
  const [status] = (await once(child, "exit")) as [number | null];
  process.exitCode = status ?? 1;
}

/** Throws MegaflowError when the file is not what --update-baseline writes. */
function readable(path: string): void {
  try {
    JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new MegaflowError("EFILE", systemWords(error), { file: path });
  }
}
