// The exact-match cache: 1,000 connections through a two-table pipeline, each in the cache.
import { Prng } from "../src/lib/prng.ts";
import { measureAcl } from "./acl.ts";
import type { BenchContext, BenchResult } from "./harness.ts";

export const name = "exact-1k";
export const question = "How fast are frames of 1,000 connections that the exact-match cache holds?";

export function run(context: BenchContext): BenchResult {
  return measureAcl(context, new Prng(context.seed), 1_000, {});
}
