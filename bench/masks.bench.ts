// What each mask of the megaflow cache costs: frames found there under 1 to 255 masks, no exact-match cache before it.
import { Prng } from "../src/lib/prng.ts";
import type { Bench, BenchContext } from "./harness.ts";
import { measureLookups } from "./lookups.ts";
import type { PeerCase } from "./peer/ovs-dpdk.ts";
import { BenchSwitch } from "./switch.ts";
import { established, LINK, Segments } from "./traffic.ts";

const MASKS = [1, 4, 16, 64, 255];
const CONNECTIONS = 1_000;

export const benches: readonly Bench[] = MASKS.map((masks) => ({
  name: `masks-${masks}`,
  question: `How fast are frames of 1,000 connections found in the megaflow cache under ${masks} masks?`,
  run: (context: BenchContext) => {
    const { flows, traffic } = masksCase(context.seed, masks);
    const bench = new BenchSwitch(flows, { exactEntries: 0, seed: context.seed });
    bench.load(traffic.frames, traffic.port);
    const { result, probed } = measureLookups(context, bench);
    const { size } = bench.bridge.datapath.megaflows;
    return { ...result, note: `${size} megaflows, ${probed.toFixed(1)} masks probed each` };
  },
  peer: (seed: number) => ({ ...masksCase(seed, masks), exactMatch: false }),
}));

/** Each network's rule copies other bits of the source address, so that each needs a mask of its own. */
function masksCase(seed: number, masks: number): PeerCase {
  const flows = subfields(masks).map(
    ([from, to], n) =>
      `tcp,nw_dst=10.0.${n}.0/24 actions=move:NXM_OF_IP_SRC[${from}..${to}]->NXM_NX_REG0[0..${to - from}],output:2`,
  );
  const rng = new Prng(seed);
  const segments = new Segments(LINK);
  const frames = Array.from({ length: CONNECTIONS }, () =>
    established(segments, {
      src: rng.u32(),
      dst: 0x0a000000 | (rng.below(masks) << 8) | rng.below(256),
      srcPort: 1024 + rng.below(60_000),
      dstPort: 80,
    }),
  );
  return { flows: `${flows.join("\n")}\n`, ports: [1, 2], traffic: { port: 1, frames } };
}

/** As many different ranges of a few bits. */
function subfields(count: number): [from: number, to: number][] {
  const out: [number, number][] = [];
  for (let width = 1; out.length < count; width++)
    for (let from = 0; from + width <= 32 && out.length < count; from++) out.push([from, from + width - 1]);
  return out;
}
