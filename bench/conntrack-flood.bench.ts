// A SYN flood: 10 million spoofed SYNs at a million a second through a table of a million, while 1,000 real connections open, talk
// and close (flood.ts).
import { flood } from "./flood.ts";
import { type BenchContext, type BenchResult, hashOf } from "./harness.ts";

export const name = "conntrack-flood";
export const question = "How fast is a spoofed SYN, and what becomes of real connections meanwhile?";

const LARGE = { syns: 10_000_000, connectionsMax: 1_000_000, real: 1000 };
const SMALL = { syns: 200_000, connectionsMax: 20_000, real: 100 };

export function run(context: BenchContext): BenchResult {
  const size = context.smoke ? SMALL : LARGE;
  const f = flood({ ...size, seed: context.seed });
  const note =
    `${f.succeeded} of ${size.real} real connections whole; ${f.connectionsMost} connections at most, ${f.earlyDrops} dropped early; ` +
    `frames alone: p99.9 ${f.p999Us.toFixed(1)} us, worst ${f.worstUs.toFixed(0)} us of ${f.timed}; ` +
    `process ${(f.growth / 2 ** 20).toFixed(0)} MiB larger at the end than when the table was full`;
  const hash = hashOf(`${f.succeeded} ${f.connectionsMost} ${f.earlyDrops}`);
  return { unit: "frame", nsPerUnit: [f.nsPerSyn], count: size.syns, hash, note };
}
