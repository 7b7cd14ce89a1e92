// A node with today's Antrea: established connections from pod to pod through its pipeline with groups and meters.
import { Prng } from "../src/lib/prng.ts";
import { antreaV2Pods } from "./antrea.ts";
import type { BenchContext, BenchResult } from "./harness.ts";
import type { PeerCase } from "./peer/ovs-dpdk.ts";
import { measureTracked, trackedCase } from "./tracked.ts";

export const name = "antrea-v2-est";
export const question =
  "How fast do segments of 1,000 established pod-to-pod connections pass a node of today's Antrea?";

export function run(context: BenchContext): BenchResult {
  return measureTracked(context, antreaV2Pods(1_000, new Prng(context.seed)));
}

export function peer(seed: number): PeerCase {
  return trackedCase(antreaV2Pods(1_000, new Prng(seed)));
}
