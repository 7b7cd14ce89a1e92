// Connection tracking under source NAT: each frame has its address rewritten by ct(nat), and is sent on.
import { Prng } from "../src/lib/prng.ts";
import type { BenchContext, BenchResult } from "./harness.ts";
import { oneAddress } from "./one-zone.ts";
import type { PeerCase } from "./peer/ovs-dpdk.ts";
import { measureTracked, trackedCase } from "./tracked.ts";

export const name = "conntrack-snat";
export const question =
  "How fast are segments of 1,000 established connections with a translated source tracked and sent on?";

export function run(context: BenchContext): BenchResult {
  return measureTracked(context, oneAddress(1_000, new Prng(context.seed)));
}

export function peer(seed: number): PeerCase {
  return trackedCase(oneAddress(1_000, new Prng(seed)));
}
