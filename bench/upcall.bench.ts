// Upcalls: every frame needs a megaflow of its own, because the tables copy its addresses and port into registers. Once the
// megaflows are at their limit, the oldest make room, which is part of the measurement.
import { Prng } from "../src/lib/prng.ts";
import { TCP_ACK } from "../src/packet/tcp.ts";
import { type BenchContext, type BenchResult, measureFrames } from "./harness.ts";
import type { PeerCase } from "./peer/ovs-dpdk.ts";
import { BenchSwitch } from "./switch.ts";
import { LINK, Segments } from "./traffic.ts";

export const name = "upcall";
export const question = "How fast are frames when each needs an upcall and a new megaflow?";

const FRAMES = 256; // a batch
const PEER_FRAMES = 240_000;
const NW_SRC = 26;
const FLOWS = `
tcp actions=move:NXM_OF_TCP_SRC[]->NXM_NX_REG0[0..15],move:NXM_OF_IP_SRC[]->NXM_NX_REG1[],move:NXM_OF_IP_DST[]->NXM_NX_REG2[],output:2
`;

/** Every frame is an upcall. */
export const allocates = true;

export function run(context: BenchContext): BenchResult {
  const rng = new Prng(context.seed);
  const segments = new Segments(LINK);
  const frames = Array.from({ length: FRAMES }, (_, i) =>
    segments.segment(
      { src: i, dst: rng.u32(), srcPort: 1024 + rng.below(60_000), dstPort: 80 },
      TCP_ACK,
      rng.u32(),
      rng.u32(),
    ),
  );
  const bench = new BenchSwitch(FLOWS, { seed: context.seed });
  bench.load(frames, 1);
  const hash = bench.hash();
  const views = frames.map((_, i) => bench.frame(i));
  let next = FRAMES;
  const { datapath } = bench.bridge;
  const before = datapath.cacheCounters().upcall;
  const result = measureFrames(
    context,
    () => {
      // An address not seen before; nothing on the way looks at the checksum.
      for (const view of views) view.setUint32(NW_SRC, next++);
      return bench.batch();
    },
    hash,
    1,
  );
  const upcalls = datapath.cacheCounters().upcall - before;
  return { ...result, note: `${upcalls} upcalls, ${datapath.megaflows.size} megaflows at the end` };
}

/** As many frames as its driver holds: they must not come round again while it is measured. */
export function peer(seed: number): PeerCase {
  const rng = new Prng(seed);
  const segments = new Segments(LINK);
  const frames = Array.from({ length: PEER_FRAMES }, (_, i) =>
    segments.segment(
      { src: i, dst: rng.u32(), srcPort: 1024 + rng.below(60_000), dstPort: 80 },
      TCP_ACK,
      1,
      1,
    ),
  );
  return { flows: FLOWS, ports: [1, 2], traffic: { port: 1, frames }, upcalls: true };
}
