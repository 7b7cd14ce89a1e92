// How results are told: as text, as a line of JSON (DESIGN section 6), or as a row of the table in README.md.
import { type BenchResult, median } from "./harness.ts";
import type { PeerResult } from "./peer/ovs-dpdk.ts";

/** What is asked of every workload: so many times the peer's speed, and of upcalls more. */
const GOAL = 5;
const GOALS: Readonly<Record<string, number>> = { upcall: 10 };

export interface Measured {
  readonly name: string;
  readonly result: BenchResult;
  /** Null where there is none, or none was asked for. */
  readonly peer: PeerResult | null;
  /** Nanoseconds of a frame in `memory-floor`, when that was measured too. */
  readonly floorNs: number | null;
}

export type Report = (measured: Measured) => string[];

export const textReport: Report = ({ name, result, peer, floorNs }) => {
  const ns = median(result.nsPerUnit);
  const { unit, hash, note } = result;
  const spread = `${Math.min(...result.nsPerUnit).toFixed(1)}-${Math.max(...result.nsPerUnit).toFixed(1)}`;
  const floors = floorNs !== null && unit === "frame" ? `  ${(ns / floorNs).toFixed(1)} floors` : "";
  const lines = [
    `${name.padEnd(20)} ${(1000 / ns).toFixed(3)} M ${unit}s/s  ${ns.toFixed(1)} ns (${spread})  ${hash}${floors}`,
  ];
  const below = (words: string) => lines.push(`${"".padEnd(20)} ${words}`);
  if (note !== undefined) below(note);
  if (peer !== null) {
    const less = lessDriver(peer);
    below(
      `${peer.name} ${peer.mframes_per_s} M frames/s (${range(peer.runs)}): ${ratio(ns, peer.mframes_per_s)} times its speed` +
        (less === null
          ? ""
          : `; ${less} without its driver's ${peer.driver_ns} ns: ${ratio(ns, less)} times`),
    );
  }
  return lines;
};

/** Frames in the form that DESIGN section 6 gives, operations likewise. */
export const jsonReport: Report = ({ name, result, peer }) => {
  const millions = (ns: number) => Number((1000 / ns).toPrecision(4));
  const ns = Number(median(result.nsPerUnit).toPrecision(4));
  const runs = result.nsPerUnit.map(millions);
  const { count, hash } = result;
  const line =
    result.unit === "operation"
      ? {
          workload: name,
          moperations_per_s: millions(ns),
          ns_per_operation: ns,
          operations: count,
          runs,
          hash,
        }
      : { workload: name, mframes_per_s: millions(ns), ns_per_frame: ns, frames: count, runs, hash, peer };
  return [JSON.stringify(line)];
};

/** The head of the rows that markdownReport gives. */
export const MARKDOWN_HEAD: readonly string[] = [
  "| name | Megaflow, M/s (range) | ns each | floors | OVS with DPDK, M/s (range) | ratio | less driver | ratio | goal |",
  "|---|---|---|---|---|---|---|---|---|",
];

export const markdownReport: Report = ({ name, result, peer, floorNs }) => {
  const ns = median(result.nsPerUnit);
  const ours = result.nsPerUnit.map((each) => Number((1000 / each).toPrecision(3)));
  const less = peer === null ? null : lessDriver(peer);
  const cells = [
    `\`${name}\``,
    `${(1000 / ns).toPrecision(3)} (${range(ours)})`,
    ns.toPrecision(3),
    floorNs !== null && result.unit === "frame" ? (ns / floorNs).toPrecision(3) : "",
    peer === null
      ? ""
      : `${peer.mframes_per_s.toPrecision(3)} (${range(peer.runs.map((each) => Number(each.toPrecision(3))))})`,
    peer === null ? "" : ratio(ns, peer.mframes_per_s),
    less === null ? "" : less.toPrecision(3),
    less === null ? "" : ratio(ns, less),
    peer === null ? "" : String(GOALS[name] ?? GOAL),
  ];
  return [`| ${cells.join(" | ")} |`];
};

/** The peer's speed without what its driver costs alone; null where that is not known. */
function lessDriver({ mframes_per_s, driver_ns }: PeerResult): number | null {
  if (driver_ns === null) return null;
  const ns = 1000 / mframes_per_s - driver_ns;
  return ns <= 0 ? null : Number((1000 / ns).toPrecision(4));
}

const ratio = (ns: number, peer: number) => (1000 / ns / peer).toFixed(2);

const range = (runs: readonly number[]) => `${Math.min(...runs)} to ${Math.max(...runs)}`;
