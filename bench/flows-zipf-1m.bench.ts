// A million connections as a backbone has them: the n-th most talkative sends 1/n as much as the first (Zipf's law, exponent 1.0).
import { Prng } from "../src/lib/prng.ts";
import { ACL_FLOWS, aclConnections } from "./acl.ts";
import type { BenchContext, BenchResult } from "./harness.ts";
import { measureLookups } from "./lookups.ts";
import { BenchSwitch } from "./switch.ts";
import { established, LINK, Segments } from "./traffic.ts";

export const name = "flows-zipf-1m";
export const question =
  "How fast are frames of 1,000,000 connections, few of them talkative, the caches as configured by default?";

const CONNECTIONS = 1_000_000;
const SMOKE_CONNECTIONS = 10_000;

export function run(context: BenchContext): BenchResult {
  const count = context.smoke ? SMOKE_CONNECTIONS : CONNECTIONS;
  const rng = new Prng(context.seed);
  const segments = new Segments(LINK);
  const bench = new BenchSwitch(ACL_FLOWS, { framesMax: 2 * count, seed: context.seed });
  bench.load(
    aclConnections(count, rng).map((connection) => established(segments, connection)),
    1,
    zipf(count, rng),
  );
  const { result, exact, megaflow } = measureLookups(context, bench);
  const share = (100 * exact) / (exact + megaflow);
  const { size } = bench.bridge.datapath.megaflows;
  return { ...result, note: `${share.toFixed(1)} % exact-match hits, ${size} megaflows` };
}

/** As many draws from 0 to `count` - 1, n with a probability in proportion to 1 / (n + 1). */
function zipf(count: number, rng: Prng): Uint32Array {
  const upTo = new Float64Array(count);
  let sum = 0;
  for (let n = 0; n < count; n++) upTo[n] = sum += 1 / (n + 1);
  return Uint32Array.from({ length: count }, () => {
    const drawn = (rng.u32() / 0x1_0000_0000) * sum;
    let low = 0;
    let high = count - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (upTo[middle]! > drawn) high = middle;
      else low = middle + 1;
    }
    return low;
  });
}
