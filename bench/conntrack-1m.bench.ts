// Connection tracking with a million connections, the table full. The peer has no room for as many frames.
import { Prng } from "../src/lib/prng.ts";
import type { BenchContext, BenchResult } from "./harness.ts";
import { oneZone } from "./one-zone.ts";
import { measureTracked } from "./tracked.ts";

export const name = "conntrack-1m";
export const question = "How fast are segments of 1,000,000 established connections tracked and sent on?";

export function run(context: BenchContext): BenchResult {
  return measureTracked(context, oneZone(context.smoke ? 20_000 : 1_000_000, new Prng(context.seed)));
}
