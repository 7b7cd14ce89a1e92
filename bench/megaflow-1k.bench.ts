// The megaflow cache alone: the frames of exact-1k without an exact-match cache before it.
import { aclCase, measureAcl } from "./acl.ts";
import type { BenchContext, BenchResult } from "./harness.ts";
import type { PeerCase } from "./peer/ovs-dpdk.ts";

export const name = "megaflow-1k";
export const question =
  "How fast are frames of 1,000 connections found in the megaflow cache under four masks?";

export function run(context: BenchContext): BenchResult {
  return measureAcl(context, 1_000, { exactEntries: 0 });
}

export function peer(seed: number): PeerCase {
  return { ...aclCase(seed, 1_000), exactMatch: false };
}
