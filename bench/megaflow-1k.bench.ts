// The megaflow cache alone: the frames of exact-1k without an exact-match cache before it.
import { Prng } from "../src/lib/prng.ts";
import { measureAcl } from "./acl.ts";
import type { BenchContext, BenchResult } from "./harness.ts";

export const name = "megaflow-1k";
export const question =
  "How fast are frames of 1,000 connections found in the megaflow cache under four masks?";

export function run(context: BenchContext): BenchResult {
  return measureAcl(context, new Prng(context.seed), 1_000, { exactEntries: 0 });
}
