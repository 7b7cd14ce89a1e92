// More connections than the exact-match cache has entries, with the caches as they are by default.
import { aclCase, measureAcl } from "./acl.ts";
import type { BenchContext, BenchResult } from "./harness.ts";
import type { PeerCase } from "./peer/ovs-dpdk.ts";

export const name = "megaflow-100k";
export const question = "How fast are frames of 100,000 connections, the caches as configured by default?";

export function run(context: BenchContext): BenchResult {
  return measureAcl(context, 100_000, {});
}

export function peer(seed: number): PeerCase {
  return aclCase(seed, 100_000);
}
