// Translation, the slow path alone: every frame of antrea-est goes through the OpenFlow tables, twice (before and after ct()).
import { Prng } from "../src/lib/prng.ts";
import { antreaPods } from "./antrea.ts";
import { type BenchContext, type BenchResult, measureFrames } from "./harness.ts";
import { trackedSwitch } from "./tracked.ts";

export const name = "translate";
export const question =
  "How long does a frame take through the tables of an Antrea v0.6 node without any cache?";

const CONNECTIONS = 256; // a batch

/** Every frame is an upcall. */
export const allocates = true;

export function run(context: BenchContext): BenchResult {
  const traffic = antreaPods(CONNECTIONS, new Prng(context.seed));
  const bench = trackedSwitch(context, traffic, { cache: false });
  return measureFrames(context, () => bench.batch(), bench.hash(), 1);
}
