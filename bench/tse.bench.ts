// Tuple-space explosion (Csikor and others, 2019): whoever may send through an access list of three rules sends frames that differ
// from them first in one bit each of source, source port and destination port, so that every frame calls for another mask and the
// lookup of everybody's frames slows down. What does a well-behaved neighbour on the same port keep?
import { Prng } from "../src/lib/prng.ts";
import { TCP_ACK } from "../src/packet/tcp.ts";
import { type BenchContext, type BenchResult, median } from "./harness.ts";
import { measureLookups } from "./lookups.ts";
import { BenchSwitch } from "./switch.ts";
import { established, LINK, Segments } from "./traffic.ts";

export const name = "tse";
export const question =
  "How fast are a well-behaved neighbour's frames, no exact-match cache, under a tuple-space explosion attack?";

const FLOWS = `
priority=30,tcp,tp_dst=80 actions=output:2
priority=20,tcp,nw_src=10.0.0.1 actions=output:2
priority=10,tcp,tp_src=12345 actions=output:2
priority=0 actions=drop
`;
const CONNECTIONS = 1_000;
const ALLOWED = { src: 0x0a000001, srcPort: 12345, dstPort: 80 };

export function run(context: BenchContext): BenchResult {
  const rng = new Prng(context.seed);
  const segments = new Segments(LINK);
  const frames = Array.from({ length: CONNECTIONS }, () =>
    established(segments, {
      src: 0xac100000 | rng.below(1 << 20),
      dst: 0x0a090909,
      srcPort: 1024 + rng.below(60_000),
      dstPort: 80,
    }),
  );
  const calm = new BenchSwitch(FLOWS, { exactEntries: 0, seed: context.seed });
  calm.load(frames, 1);
  const { result: before } = measureLookups(context, calm);

  const bench = new BenchSwitch(FLOWS, { exactEntries: 0, seed: context.seed });
  for (const frame of attack(segments, rng)) bench.send(frame, 1);
  bench.load(frames, 1);
  const { result: after, probed } = measureLookups(context, bench);
  const kept = (100 * median(before.nsPerUnit)) / median(after.nsPerUnit);
  const { size } = bench.bridge.datapath.megaflows;
  const note = `keeps ${kept.toFixed(0)} % of its speed, ${size} megaflows, ${probed.toFixed(1)} masks probed each`;
  return { ...after, note };
}

/** A frame for each triple of first differing bits: 32 of the address, 16 of either port. */
function attack(segments: Segments, rng: Prng): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (let a = 0; a < 32; a++)
    for (let b = 0; b < 16; b++)
      for (let c = 0; c < 16; c++)
        frames.push(
          segments.segment(
            {
              src: differingAt(ALLOWED.src, a, 32, rng),
              dst: rng.u32(),
              srcPort: differingAt(ALLOWED.srcPort, b, 16, rng),
              dstPort: differingAt(ALLOWED.dstPort, c, 16, rng),
            },
            TCP_ACK,
            rng.u32(),
            rng.u32(),
          ),
        );
  return frames;
}

/** `value` of `width` bits, the bit `at` from the left flipped and what follows random. */
function differingAt(value: number, at: number, width: number, rng: Prng): number {
  const flipped = width - 1 - at;
  const below = 2 ** flipped;
  const kept = Math.floor(value / below) * below;
  const turned = Math.floor(value / below) % 2 === 0 ? kept + below : kept - below;
  return turned + rng.below(below);
}
