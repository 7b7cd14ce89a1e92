// A router's work on sizes as the Internet has them: a tag off, addresses and a TTL written, checksums updated, each frame copied.
import { Prng } from "../src/lib/prng.ts";
import { formatIpv4 } from "../src/packet/address.ts";
import { tcpFrame } from "../src/packet/frame.ts";
import { type BenchContext, type BenchResult, measureFrames } from "./harness.ts";
import type { PeerCase } from "./peer/ovs-dpdk.ts";
import { BenchSwitch } from "./switch.ts";
import { LINK, shuffle } from "./traffic.ts";

export const name = "imix-vlan-rewrite";
export const question =
  "How fast are frames of 64, 570 and 1518 bytes (7 : 4 : 1) untagged, routed and rewritten, checksums included?";

const FLOWS = `
table=0,dl_vlan=10,tcp,nw_dst=10.1.0.0/16 actions=strip_vlan,mod_dl_src:02:00:00:00:00:0a,mod_dl_dst:02:00:00:00:00:0b,mod_nw_src:192.0.2.1,mod_tp_src:4000,dec_ttl,output:2
`;
/** Of Ethernet frames without FCS; the simple IMIX. */
const SIZES = [60, 60, 60, 60, 60, 60, 60, 566, 566, 566, 566, 1514];
const CONNECTIONS = 1_200;
const HEADERS = 14 + 4 + 20 + 20;

export function run(context: BenchContext): BenchResult {
  const { flows, traffic } = imixCase(context.seed);
  const bench = new BenchSwitch(flows, { seed: context.seed });
  bench.load(traffic.frames, traffic.port);
  bench.pass();
  const hash = bench.hash();
  const result = measureFrames(context, () => bench.batch(), hash);
  const bits = (8 * SIZES.reduce((a, b) => a + b)) / SIZES.length;
  const gbitPerS = result.nsPerUnit.map((ns) => bits / ns).sort((a, b) => a - b);
  return { ...result, note: `${gbitPerS[gbitPerS.length >> 1]!.toFixed(1)} Gbit/s` };
}

export function peer(seed: number): PeerCase {
  return imixCase(seed);
}

function imixCase(seed: number): PeerCase {
  const rng = new Prng(seed);
  const frames = Array.from({ length: CONNECTIONS }, (_, i) => {
    const size = SIZES[i % SIZES.length]!;
    return tcpFrame({
      ...LINK,
      vlans: [{ vid: 10 }],
      src: `172.16.${i >> 8}.${i & 255}`,
      dst: formatIpv4(Uint8Array.of(10, 1, rng.below(256), rng.below(256))),
      srcPort: 1024 + rng.below(60_000),
      dstPort: 443,
      payload: rng.bytes(Math.max(0, size - HEADERS)),
      minSize: 60,
    });
  });
  return { flows: FLOWS, ports: [1, 2], traffic: { port: 1, frames: shuffle(frames, rng) } };
}
