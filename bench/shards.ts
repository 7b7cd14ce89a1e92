// How far do shards carry? `npm run bench:shards -- [WORKLOAD...] [--max N] [--ms N]` prints a table of 1 to N shards (the number of
// processors when not given): frames per second from memory through a whole replay, steering, staging, counting verdicts and all,
// how many times one shard's that is, and the processor time of a frame in the main thread and in the busiest of the shards.
// On a machine that does other things too, the processor times are what to look at: on enough idle cores the longest of them is the
// time of a frame.
import { readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { Bridge } from "../src/bridge/bridge.ts";
import { Replay } from "../src/bridge/replay.ts";
import { planSpread, type SpreadPlan } from "../src/bridge/spread-plan.ts";
import { parseFlowFile } from "../src/control/openflow/flow-file.ts";
import { assert } from "../src/lib/assert.ts";
import { Prng } from "../src/lib/prng.ts";
import { PortTable } from "../src/pipeline/port-table.ts";
import { ShardPool } from "../src/worker/shard-pool.ts";
import { aclCase } from "./acl.ts";
import { antreaPods } from "./antrea.ts";
import { oneZone } from "./one-zone.ts";
import type { TrackedTraffic } from "./tracked.ts";
import { established, opening, Segments } from "./traffic.ts";

interface Frame {
  readonly bytes: Uint8Array;
  readonly port: number;
}

interface Workload {
  readonly flows: string;
  /** Sent once, to open connections. */
  readonly first: readonly Frame[];
  /** Sent over and over. */
  readonly frames: readonly Frame[];
}

const SEED = 1;
const NOW_SEC = 1_587_638_000;
/** Frames between two looks at the clock. */
const BETWEEN = 65_536;
/** Of Linux: what /proc counts processor time in. */
const TICK_MS = 10;

function tracked({ flows, link, clientPort, serverPort, connections }: TrackedTraffic): Workload {
  const there = new Segments(link);
  const back = new Segments({ ethSrc: link.ethDst, ethDst: link.ethSrc });
  const first = connections.flatMap((connection) =>
    opening(there, back, connection).map((bytes, i) => ({ bytes, port: i === 1 ? serverPort : clientPort })),
  );
  const frames = connections.map((c) => ({ bytes: established(there, c), port: clientPort }));
  return { flows, first, frames };
}

const WORKLOADS: Readonly<Record<string, () => Workload>> = {
  "exact-1k": () => {
    const { flows, traffic } = aclCase(SEED, 1_000);
    return { flows, first: [], frames: traffic.frames.map((bytes) => ({ bytes, port: traffic.port })) };
  },
  "antrea-est": () => tracked(antreaPods(1_000, new Prng(SEED))),
  "conntrack-100k": () => tracked(oneZone(100_000, new Prng(SEED))),
};

export interface ShardsResult {
  readonly shards: number;
  readonly mframesPerS: number;
  /** Processor time of a frame, ns. */
  readonly mainNs: number;
  readonly shardNs: number;
  readonly forwarded: number;
}

/** A workload on a number of shards for some time; one shard is one thread with everything in it. */
export async function measureShards(name: string, count: number, runMs: number): Promise<ShardsResult> {
  const workload = WORKLOADS[name]!();
  const mods = parseFlowFile(workload.flows);
  const ports = new PortTable(
    [1, 2, 3, 4, 5, 6].map((no) => ({ no, name: `p${no}` })),
    { anyNumber: true },
  );
  const plan: SpreadPlan = planSpread({
    failMode: "secure",
    flows: mods,
    later: [],
    groups: [],
    ports,
    settings: {},
    conntrack: {},
    hasConnections: false,
  });
  assert(plan.by !== null, `${name} can be spread: ${plan.reason}`);
  const pool = count === 1 ? null : await ShardPool.start(count);
  try {
    const bridge = new Bridge({
      ports,
      failMode: "secure",
      seed: SEED,
      ...(pool === null ? {} : { shards: { loaders: pool.loaders, plan } }),
    });
    bridge.advance(NOW_SEC * 1000);
    bridge.addFlows(mods, NOW_SEC * 1000);
    const replay = new Replay(bridge, null);
    for (const { bytes, port } of [...workload.first, ...workload.frames]) {
      replay.frame(bytes, 0, bytes.length, bytes.length, NOW_SEC, 0, port);
    }
    replay.finish();
    const captured = lie(workload.frames);

    const from = replay.counts.packets;
    const before = threadTimes();
    const beginMs = performance.now();
    let next = 0;
    while (performance.now() < beginMs + runMs) {
      for (let i = 0; i < BETWEEN; i++) {
        const length = captured.length[next]!;
        replay.frame(captured.data, captured.offset[next]!, length, length, NOW_SEC, 0, captured.port[next]!);
        next = next + 1 === workload.frames.length ? 0 : next + 1;
      }
    }
    replay.finish();
    const seconds = (performance.now() - beginMs) / 1000;
    const frames = replay.counts.packets - from;
    const after = threadTimes();
    const nsOf = (thread: number) =>
      (((after.get(thread) ?? 0) - (before.get(thread) ?? 0)) * TICK_MS * 1e6) / frames;
    const others = [...after.keys()].filter((thread) => thread !== process.pid).map(nsOf);
    return {
      shards: count,
      mframesPerS: frames / seconds / 1e6,
      mainNs: nsOf(process.pid),
      shardNs: pool === null ? 0 : Math.max(...others),
      forwarded: replay.counts.forwarded,
    };
  } finally {
    await pool?.close();
  }
}

/** The frames one after the other in one piece of memory, as a capture that was read has them. */
function lie(frames: readonly Frame[]): {
  readonly data: Uint8Array;
  readonly offset: Uint32Array;
  readonly length: Uint32Array;
  readonly port: Uint32Array;
} {
  const offset = new Uint32Array(frames.length);
  let size = 0;
  frames.forEach(({ bytes }, i) => {
    offset[i] = size;
    size += bytes.length;
  });
  const data = new Uint8Array(size);
  frames.forEach(({ bytes }, i) => {
    data.set(bytes, offset[i]!);
  });
  const length = Uint32Array.from(frames, ({ bytes }) => bytes.length);
  return { data, offset, length, port: Uint32Array.from(frames, ({ port }) => port) };
}

/** Processor time of each thread of this process, ticks; empty where there is no /proc. */
function threadTimes(): Map<number, number> {
  const times = new Map<number, number>();
  let threads: string[] = [];
  try {
    threads = readdirSync("/proc/self/task");
  } catch {
    return times;
  }
  for (const thread of threads) {
    const fields = readFileSync(`/proc/self/task/${thread}/stat`, "utf8").split(") ")[1]!.split(" ");
    times.set(Number(thread), Number(fields[11]) + Number(fields[12]));
  }
  return times;
}

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      max: { type: "string", default: String(cpus().length) },
      ms: { type: "string", default: "3000" },
    },
  });
  const names = positionals.length === 0 ? Object.keys(WORKLOADS) : positionals;
  const unknown = names.filter((name) => WORKLOADS[name] === undefined);
  if (unknown.length > 0) {
    console.error(`no such workload: ${unknown.join(", ")}; there are ${Object.keys(WORKLOADS).join(", ")}`);
    return 2;
  }
  console.log(
    `${cpus()[0]?.model ?? "unknown processor"}, ${cpus().length} processors, Node ${process.version}`,
  );
  console.log("workload        shards  M frames/s  times  ns in the main thread  ns in the busiest shard");
  for (const name of names) {
    let one = 0;
    for (let count = 1; count <= Number(values.max); count++) {
      const { mframesPerS, mainNs, shardNs } = await measureShards(name, count, Number(values.ms));
      if (count === 1) one = mframesPerS;
      const shard = count === 1 ? "-" : shardNs.toFixed(0);
      console.log(
        `${name.padEnd(14)}  ${String(count).padStart(6)}  ${mframesPerS.toFixed(2).padStart(10)}  ` +
          `${(mframesPerS / one).toFixed(2).padStart(5)}  ${mainNs.toFixed(0).padStart(21)}  ${shard.padStart(23)}`,
      );
    }
  }
  return 0;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = await main(process.argv.slice(2));
}
