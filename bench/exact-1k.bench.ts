// The exact-match cache: 1,000 connections through a two-table pipeline, each in the cache.
import { aclCase, measureAcl } from "./acl.ts";
import type { BenchContext, BenchResult } from "./harness.ts";
import type { PeerCase } from "./peer/ovs-dpdk.ts";

export const name = "exact-1k";
export const question = "How fast are frames of 1,000 connections that the exact-match cache holds?";

export function run(context: BenchContext): BenchResult {
  return measureAcl(context, 1_000, {});
}

export function peer(seed: number): PeerCase {
  return { ...aclCase(seed, 1_000), exactMatch: true };
}
