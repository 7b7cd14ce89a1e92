// More connections than the exact-match cache has entries, with the caches as they are by default.
import { Prng } from "../src/lib/prng.ts";
import { measureAcl } from "./acl.ts";
import type { BenchContext, BenchResult } from "./harness.ts";

export const name = "megaflow-100k";
export const question = "How fast are frames of 100,000 connections, the caches as configured by default?";

export function run(context: BenchContext): BenchResult {
  return measureAcl(context, new Prng(context.seed), 100_000, {});
}
