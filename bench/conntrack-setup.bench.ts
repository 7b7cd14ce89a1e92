// Connections that open and close: 16,000 tuples, eight frames each (SYN, SYN-ACK, ACK, data both ways, FIN both ways, ACK), 64
// connections interleaved, over and over, so that each tuple is opened anew after it was closed. All frames come in at one
// port; the link address says whose they are.
import { CTC_CREATED } from "../src/datapath/abi.ts";
import { Prng } from "../src/lib/prng.ts";
import { type BenchContext, type BenchResult, measureFrames } from "./harness.ts";
import { oneZone } from "./one-zone.ts";
import type { PeerCase } from "./peer/ovs-dpdk.ts";
import { BenchSwitch } from "./switch.ts";
import { LINK, Segments, wholeLife } from "./traffic.ts";

export const name = "conntrack-setup";
export const question = "How fast are the frames of connections that open, say a word each way and close?";

const TUPLES = 16_000;
const INTERLEAVED = 64;
const PORT = 1;
const FLOWS = `
table=0, priority=10, ip actions=ct(table=1,zone=65520)
table=1, ct_state=+trk+new, ip actions=ct(commit,zone=65520),output:2
table=1, ct_state=+trk+est, ip, dl_dst=${LINK.ethDst} actions=output:2
table=1, ct_state=+trk+est, ip, dl_dst=${LINK.ethSrc} actions=output:3
`;

function traffic(seed: number): Uint8Array[] {
  const there = new Segments(LINK);
  const back = new Segments({ ethSrc: LINK.ethDst, ethDst: LINK.ethSrc });
  const lives = oneZone(TUPLES, new Prng(seed)).connections.map((c) => wholeLife(there, back, c));
  const frames: Uint8Array[] = [];
  for (let first = 0; first < TUPLES; first += INTERLEAVED) {
    const group = lives.slice(first, first + INTERLEAVED);
    for (let i = 0; i < group[0]!.length; i++) for (const life of group) frames.push(life[i]!);
  }
  return frames;
}

export function run(context: BenchContext): BenchResult {
  const frames = traffic(context.seed);
  const bench = new BenchSwitch(FLOWS, { seed: context.seed, framesMax: frames.length });
  bench.load(frames, PORT);
  bench.pass();
  const created = () => Number(bench.bridge.datapath.kernel.exports.conntrackCounter(CTC_CREATED));
  const before = created();
  const hash = bench.hash();
  const share = (created() - before) / TUPLES;
  const result = measureFrames(context, () => bench.batch(), hash);
  return { ...result, note: `${share} connections made a tuple and round` };
}

export function peer(seed: number): PeerCase {
  return { flows: FLOWS, ports: [1, 2, 3], traffic: { port: PORT, frames: traffic(seed) } };
}
