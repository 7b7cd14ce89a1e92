// A bridge at work on several shards: what one does, threads that are ended under load, flows that go while frames come.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Bridge } from "../src/bridge/bridge.ts";
import { flowLines } from "../src/bridge/dump.ts";
import { LiveBridge } from "../src/bridge/live-bridge.ts";
import type { ShardLoss } from "../src/bridge/spread.ts";
import { parseFlowFile } from "../src/control/openflow/flow-file.ts";
import { Prng } from "../src/lib/prng.ts";
import { tcpFrame } from "../src/packet/frame.ts";
import { QueueDevice } from "../src/port/queue-device.ts";
import { ShardPool } from "../src/worker/shard-pool.ts";
import { EMPTY_CASE } from "./oracle/judge/case.ts";
import { ourPorts } from "./oracle/judge/ours.ts";
import { planOf } from "./support/shard-case.ts";

const SHARDS = 4;
const SEED = Number(process.env.MEGAFLOW_SEED ?? 1);
const ROUNDS = Number(process.env.ROUNDS ?? 5);
const CHURN_MS = Number(process.env.CHURN_MS ?? 2000);

class Rig {
  readonly losses: ShardLoss[] = [];
  readonly sent: Uint8Array[] = [];
  received = 0;
  forwarded = 0;
  readonly bridge: Bridge;
  readonly live: LiveBridge;
  readonly device: QueueDevice;
  readonly pool: ShardPool;

  static async start(flows: string, onSent: (frame: Uint8Array) => void = () => {}): Promise<Rig> {
    return new Rig(await ShardPool.start(SHARDS, { replaces: true }), flows, onSent);
  }

  private constructor(pool: ShardPool, flows: string, onSent: (frame: Uint8Array) => void) {
    this.pool = pool;
    this.bridge = new Bridge({
      ports: ourPorts(),
      failMode: "secure",
      connectionsMax: 65_536,
      megaflowsMax: 8192,
      shards: {
        loaders: pool.loaders,
        plan: planOf({ ...EMPTY_CASE, flows: flows.split("\n") }),
        revival: { replace: (n) => pool.replace(n), told: (loss) => this.losses.push(loss) },
      },
    });
    this.bridge.begin(Date.now());
    this.bridge.applyFlows(parseFlowFile(flows), Date.now());
    this.live = new LiveBridge(this.bridge, (port, error) => assert.fail(`${port.name}: ${error}`));
    this.device = new QueueDevice("in", () => {});
    const out = new QueueDevice("out", (frame) => {
      this.forwarded++;
      onSent(frame);
    });
    this.live.attach({ no: 1, name: "in", open: () => this.device });
    this.live.attach({ no: 2, name: "out", open: () => out });
    this.live.start();
  }

  put(frame: Uint8Array): void {
    this.received++;
    this.device.put(frame);
  }

  /** Until all that was put has been through. */
  async settle(): Promise<void> {
    while (this.device.waiting > 0) await sleep(0);
    await sleep(0);
  }

  get dropped(): number {
    return Object.values(this.live.drops).reduce((a, b) => a + b, 0);
  }

  async stop(): Promise<void> {
    this.live.stop();
    await this.pool.close();
  }
}

const frameOf = (connection: number, rest = 0) =>
  tcpFrame({
    src: "10.0.0.1",
    dst: "10.0.0.2",
    srcPort: 1024 + connection,
    dstPort: 80,
    flags: 2,
    payload: new Uint8Array([rest >>> 24, rest >>> 16, rest >>> 8, rest]),
  });

test("a bridge at work spreads frames, keeps each flow's order and takes other flows", async () => {
  const last = new Map<number, number>();
  const rig = await Rig.start("tcp,actions=output:2", (frame) => {
    const view = new DataView(frame.buffer, frame.byteOffset);
    const [port, number] = [view.getUint16(34), view.getUint32(frame.length - 4)];
    assert.ok(number > (last.get(port) ?? 0), `frame ${number} of ${port} after ${last.get(port)}`);
    last.set(port, number);
  });
  try {
    for (let i = 1; i <= 3000; i++) rig.put(frameOf(i % 50, i));
    await rig.settle();
    assert.equal(rig.forwarded, 3000);
    const rows = rig.bridge.spread!.counts();
    assert.ok(rows.every(({ packets }) => packets > 200));
    assert.equal(
      rows.reduce((sum, { packets }) => sum + packets, 0),
      3000,
    );
    assert.equal(rig.bridge.megaflowCount, 1);
    rig.bridge.pushStats();
    assert.match([...flowLines(rig.bridge)].join("\n"), /n_packets=3000,/);
    // Tracked from now on, and then by flows that must be in one shard: connections go with their frames.
    const tracked = "tcp,actions=ct(commit,table=1)\ntable=1,ct_state=+trk,actions=output:2";
    const learning = `${tracked}\ntable=5,actions=learn(table=6,NXM_OF_ETH_SRC[])`;
    for (const flows of [tracked, learning]) {
      rig.bridge.spread!.replan(planOf({ ...EMPTY_CASE, flows: flows.split("\n") }), Date.now());
      rig.bridge.applyFlows(parseFlowFile(`delete\n${flows}`), Date.now());
      for (let i = 1; i <= 500; i++)
        rig.put(frameOf(i % 50, 10_000 + last.size + i + (flows === learning ? 1000 : 0)));
      await rig.settle();
      assert.equal(rig.bridge.connectionCount(), 50);
    }
    assert.equal(rig.forwarded, 4000);
    assert.equal(rig.bridge.datapath.connectionCount(), 50);
    assert.deepEqual(rig.live.drops, {});
  } finally {
    await rig.stop();
  }
});

test(`threads are ended under load: the bridge goes on, and no frame is unaccounted for (seed ${SEED}, ROUNDS=${ROUNDS})`, async () => {
  const flows = "tcp,actions=ct(commit,table=1)\ntable=1,ct_state=+trk,actions=output:2";
  const rig = await Rig.start(flows);
  const prng = new Prng(SEED);
  const frames = Array.from({ length: 512 }, (_, i) => frameOf(i));
  try {
    let number = 0;
    const send = async (count: number) => {
      for (let i = 0; i < count; i++) rig.put(frames[number++ % frames.length]!);
      await rig.settle();
    };
    await send(1000);
    for (let round = 0; round < ROUNDS; round++) {
      const before = rig.dropped;
      const shard = prng.below(SHARDS);
      const load = send(1000);
      // In the midst of it.
      if (prng.below(2) === 0) await new Promise(setImmediate);
      const ended = rig.pool.terminate(shard);
      await Promise.all([load, ended]);
      // What it had been given: at most what one turn of the port reads.
      assert.ok(rig.dropped - before <= 256, `${rig.dropped - before} frames lost in round ${round}`);
      assert.equal(rig.received, rig.forwarded + rig.dropped, `round ${round}`);
      for (let waited = 0; rig.losses.length <= round; waited++) {
        assert.ok(waited < 5000, `round ${round}: shard ${shard} is not replaced`);
        await send(64);
        await sleep(1);
      }
    }
    await send(1000);
    assert.equal(rig.received, rig.forwarded + rig.dropped);
    assert.deepEqual(
      Object.keys(rig.live.drops).filter((reason) => reason !== "shard_lost"),
      [],
    );
    const rows = rig.bridge.spread!.counts();
    const sum = (of: (row: (typeof rows)[number]) => number) => rows.reduce((all, row) => all + of(row), 0);
    assert.equal(
      sum(({ lost }) => lost),
      rig.dropped,
    );
    assert.equal(
      sum(({ restarts }) => restarts),
      ROUNDS,
    );
    assert.equal(rig.losses.length, ROUNDS);
    assert.equal(
      sum(({ packets, lost }) => packets + lost),
      rig.received,
    );
    assert.equal(
      rig.losses.reduce((all, { frames }) => all + frames, 0),
      rig.dropped,
    );
  } finally {
    await rig.stop();
  }
});

test("a shard that throws is replaced, and its frames are counted", async () => {
  const rig = await Rig.start("tcp,actions=output:2");
  try {
    for (let i = 0; i < 500; i++) rig.put(frameOf(i));
    await rig.settle();
    // Subtables that lie beyond the memory (kernel.ts: their order comes first).
    rig.bridge.datapaths[1]!.kernel.words.fill(0xffff_fff0, (0x20000 + 256) >>> 2, (0x20000 + 512) >>> 2);
    for (let i = 500; i < 1500; i++) rig.put(frameOf(i));
    await rig.settle();
    await sleep(200);
    for (let i = 0; i < 500; i++) rig.put(frameOf(i));
    await rig.settle();
    assert.equal(rig.losses.length, 1);
    assert.match(rig.losses[0]!.why, /shard 1 has failed: memory access out of bounds/);
    assert.equal(rig.received, 2000);
    assert.equal(rig.received, rig.forwarded + rig.dropped);
    assert.ok(rig.dropped > 0 && rig.dropped <= 256);
  } finally {
    await rig.stop();
  }
});

test("no frame goes by a flow that was deleted before it, however fast flows change", async () => {
  // Each connection has a flow or none; a frame carries the generation in which it was put, and may only go out if it had one then.
  const connections = 64;
  const has = new Array<boolean>(connections).fill(true);
  let wrong = 0;
  const rig = await Rig.start("priority=1,tcp,actions=drop", (frame) => {
    const port = new DataView(frame.buffer, frame.byteOffset).getUint16(34) - 1024;
    if (!has[port]) wrong++;
  });
  const flow = (n: number) => `priority=5,tcp,tp_src=${1024 + n}`;
  const prng = new Prng(SEED);
  const frames = Array.from({ length: connections }, (_, i) => frameOf(i));
  try {
    rig.bridge.applyFlows(
      parseFlowFile(frames.map((_, i) => `add ${flow(i)},actions=output:2`).join("\n")),
      Date.now(),
    );
    let mods = 0;
    const start = performance.now();
    while (performance.now() - start < CHURN_MS) {
      // Frames wait in the port while flows change: what counts is when the bridge has them.
      for (let i = 0; i < 256; i++) rig.put(frames[prng.below(connections)]!);
      // 10,000 a second, if this thread comes to it.
      const due = Math.floor((performance.now() - start) * 10);
      for (; mods < due; mods++) {
        const n = prng.below(connections);
        const line = has[n] ? `delete_strict ${flow(n)}` : `add ${flow(n)},actions=output:2`;
        rig.bridge.applyFlows(parseFlowFile(line), Date.now());
        has[n] = !has[n];
      }
      await new Promise(setImmediate);
    }
    await rig.settle();
    const seconds = (performance.now() - start) / 1000;
    assert.equal(wrong, 0);
    assert.equal(rig.received, rig.forwarded + rig.dropped + rig.device.lost);
    assert.ok(rig.forwarded > 0 && rig.dropped > 0);
    console.log(`${Math.round(mods / seconds)} flow-mods/s, ${Math.round(rig.received / seconds)} frames/s`);
  } finally {
    await rig.stop();
  }
});
