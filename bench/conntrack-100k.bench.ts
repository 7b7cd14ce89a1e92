// Connection tracking with 100,000 connections: each frame goes through ct(), recirculates, and is sent on.
import { Prng } from "../src/lib/prng.ts";
import type { BenchContext, BenchResult } from "./harness.ts";
import { oneZone } from "./one-zone.ts";
import type { PeerCase } from "./peer/ovs-dpdk.ts";
import { measureTracked, trackedCase } from "./tracked.ts";

export const name = "conntrack-100k";
export const question = "How fast are segments of 100,000 established connections tracked and sent on?";

export function run(context: BenchContext): BenchResult {
  return measureTracked(context, oneZone(100_000, new Prng(context.seed)));
}

export function peer(seed: number): PeerCase {
  return trackedCase(oneZone(100_000, new Prng(seed)));
}
