// A run of frames, and where their lookups were answered.
import { type BenchContext, type BenchResult, measureFrames } from "./harness.ts";
import type { BenchSwitch } from "./switch.ts";

export interface Lookups {
  readonly result: BenchResult;
  /** Lookups that the exact-match cache answered, and the megaflow cache. */
  readonly exact: number;
  readonly megaflow: number;
  /** Masks probed for each of the latter. */
  readonly probed: number;
}

/** Measures the frames laid out in a switch, after a pass that installs what they need. */
export function measureLookups(context: BenchContext, bench: BenchSwitch): Lookups {
  bench.pass();
  const hash = bench.hash();
  const { datapath } = bench.bridge;
  const [before, probes] = [datapath.cacheCounters(), datapath.probes()];
  const result = measureFrames(context, () => bench.batch(), hash);
  const after = datapath.cacheCounters();
  const megaflow = after.megaflow - before.megaflow;
  return {
    result,
    exact: after.exact - before.exact,
    megaflow,
    probed: (datapath.probes() - probes) / megaflow,
  };
}
