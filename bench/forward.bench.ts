// The cheapest thing a switch does: every frame from port 1 to port 2.
import { Prng } from "../src/lib/prng.ts";
import { type BenchContext, type BenchResult, measureFrames } from "./harness.ts";
import type { PeerCase } from "./peer/ovs-dpdk.ts";
import { BenchSwitch } from "./switch.ts";
import { LINK, Segments } from "./traffic.ts";

export const name = "forward";
export const question =
  "How fast are 60-byte TCP frames of 1,000 connections sent from port to port by one flow?";

const CONNECTIONS = 1000;

export function run(context: BenchContext): BenchResult {
  const { flows, traffic } = peer(context.seed);
  const bench = new BenchSwitch(flows, { seed: context.seed });
  bench.load(traffic.frames, traffic.port);
  bench.pass();
  return measureFrames(context, () => bench.batch(), bench.hash());
}

export function peer(seed: number): PeerCase {
  const rng = new Prng(seed);
  const segments = new Segments(LINK);
  const frames = Array.from({ length: CONNECTIONS }, () =>
    segments.segment(
      { src: rng.u32(), dst: rng.u32(), srcPort: 1024 + rng.below(60000), dstPort: 80 },
      0x10,
      rng.u32(),
      rng.u32(),
    ),
  );
  return { flows: "in_port=1 actions=output:2\n", ports: [1, 2], traffic: { port: 1, frames } };
}
