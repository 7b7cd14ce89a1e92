// A Kubernetes node at work: the pipeline of Antrea v0.6, established connections from pod to pod. Each frame passes 14 tables
// when translated, and in the caches one ct() and one recirculation.
import { Prng } from "../src/lib/prng.ts";
import { antreaPods } from "./antrea.ts";
import type { BenchContext, BenchResult } from "./harness.ts";
import type { PeerCase } from "./peer/ovs-dpdk.ts";
import { measureTracked, trackedCase } from "./tracked.ts";

export const name = "antrea-est";
export const question =
  "How fast do segments of 1,000 established pod-to-pod connections pass an Antrea v0.6 node?";

export function run(context: BenchContext): BenchResult {
  return measureTracked(context, antreaPods(1_000, new Prng(context.seed)));
}

export function peer(seed: number): PeerCase {
  return trackedCase(antreaPods(1_000, new Prng(seed)));
}
