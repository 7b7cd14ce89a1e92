// A pipeline of two tables that looks at layers 2 to 4, and connections spread over it, for the benches of the caches: their
// frames fall under four masks, a quarter of them each.
import { Prng } from "../src/lib/prng.ts";
import type { BenchContext, BenchResult } from "./harness.ts";
import { measureLookups } from "./lookups.ts";
import type { PeerCase } from "./peer/ovs-dpdk.ts";
import { BenchSwitch, type SwitchOptions } from "./switch.ts";
import { type Connection, established, LINK, Segments, shuffle } from "./traffic.ts";

const NETWORKS = 64;

/** Four kinds of rule, 64 networks each. */
export const ACL_FLOWS = [
  `table=0, priority=100, in_port=1, dl_dst=${LINK.ethDst}, ip actions=goto_table:1`,
  "table=0, priority=0 actions=drop",
  "table=1, priority=0 actions=drop",
  ...Array.from({ length: NETWORKS }, (_, n) => [
    `table=1, priority=400, tcp, nw_dst=10.1.${n}.0/24, tp_dst=80 actions=output:2`,
    `table=1, priority=300, tcp, nw_src=172.16.0.0/12, nw_dst=10.2.${n}.0/24 actions=output:3`,
    `table=1, priority=200, tcp, nw_dst=10.3.${n}.0/24, tp_src=1024/0xfc00 actions=output:4`,
    `table=1, priority=100, ip, nw_dst=10.${64 + n}.0.0/16 actions=output:5`,
  ]).flat(),
  "",
].join("\n");

/** Different connections, the four kinds in turn, then shuffled. */
export function aclConnections(count: number, rng: Prng): Connection[] {
  const kinds = [
    (n: number) => ({ dst: 0x0a010000 | ((n % NETWORKS) << 8), srcPort: 2048 + (n % 50_000), dstPort: 80 }),
    (n: number) => ({ dst: 0x0a020000 | ((n % NETWORKS) << 8), srcPort: 2048 + (n % 50_000), dstPort: 443 }),
    (n: number) => ({ dst: 0x0a030000 | ((n % NETWORKS) << 8), srcPort: 1024 + (n % 1024), dstPort: 443 }),
    (n: number) => ({ dst: 0x0a400000 | ((n % NETWORKS) << 16), srcPort: 2048 + (n % 50_000), dstPort: 443 }),
  ];
  const connections = Array.from({ length: count }, (_, i) => ({
    src: 0xac100000 + i,
    ...kinds[i & 3]!(rng.below(65536)),
  }));
  return shuffle(connections, rng);
}

/** A segment of each of `count` connections, which arrive on port 1. */
export function aclCase(seed: number, count: number): PeerCase {
  const segments = new Segments(LINK);
  const frames = aclConnections(count, new Prng(seed)).map((connection) => established(segments, connection));
  return { flows: ACL_FLOWS, ports: [1, 2, 3, 4, 5], traffic: { port: 1, frames } };
}

/** The bench of `count` connections through that pipeline. */
export function measureAcl(
  context: BenchContext,
  count: number,
  options: Omit<SwitchOptions, "seed">,
): BenchResult {
  const { flows, traffic } = aclCase(context.seed, count);
  const bench = new BenchSwitch(flows, { ...options, seed: context.seed });
  bench.load(traffic.frames, traffic.port);
  const { result, exact, megaflow, probed } = measureLookups(context, bench);
  const share = (n: number) => ((100 * n) / (exact + megaflow)).toFixed(1);
  const probes = megaflow === 0 ? "" : `, ${probed.toFixed(2)} masks probed each`;
  return {
    ...result,
    note: `${share(exact)} % exact-match hits, ${share(megaflow)} % megaflow hits${probes}`,
  };
}
