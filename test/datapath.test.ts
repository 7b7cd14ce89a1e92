import assert from "node:assert/strict";
import { test } from "node:test";
import type { DatapathAction } from "../src/datapath/action.ts";
import { Datapath, type DatapathOptions, type OutputSink } from "../src/datapath/datapath.ts";
import { STALE_ALL } from "../src/datapath/stale.ts";
import type { FlowStats, MegaflowOwner, Miss, Translation, UpcallHandler } from "../src/datapath/upcall.ts";
import { Flow } from "../src/flow/flow.ts";
import * as L from "../src/flow/layout.ts";
import { Prng } from "../src/lib/prng.ts";
import { tcpFrame } from "../src/packet/frame.ts";
import { FRAMES, mutatedFrame } from "./support/frames.ts";

const SEED = 20_201;

/**
 * A pipeline in miniature: looks at some bits, which bits depending on those seen before, notes each in the mask, and
 * derives actions from what it saw. Such masks never overlap wrongly, and a cache that mixes them up shows at once.
 */
class TreePipeline implements UpcallHandler {
  upcalls = 0;
  readonly credited = new Map<string, FlowStats>();

  upcall(miss: Miss): Translation {
    this.upcalls++;
    return this.translate(miss.flow);
  }

  translate(flow: Flow): Translation {
    const wildcards = new Flow();
    wildcards.setExact(L.O_IN_PORT, 8);
    const look = (offset: number, mask: number): number => {
      wildcards.bytes[offset]! |= mask;
      return flow.bytes[offset]! & mask;
    };
    const recircId = flow.get32(L.O_RECIRC_ID);
    let state = look(L.O_DL_TYPE, 0xff) * 31 + look(L.O_DL_TYPE + 1, 0xff) + recircId * 7;
    if (state % 3 === 0) state = state * 31 + look(L.O_DL_DST + 5, 0x0f);
    if (look(L.O_NW_PROTO, 0xff) === 6)
      state = state * 31 + look(L.O_TP_SRC + 1, state % 2 === 0 ? 0x07 : 0x30);
    else state = state * 31 + look(L.O_NW_SRC + 3, 0x03);
    if (state % 5 === 1) state = state * 31 + look(L.O_VLAN0_TCI + 1, 0xff) + look(L.O_IPV6_SRC + 15, 0x0f);
    const actions: DatapathAction[] = [];
    const kind = state % 7;
    if (kind !== 0) actions.push({ type: "output", port: 1 + (state % 11) });
    if (kind === 2) actions.push({ type: "push_vlan", tpid: 0x8100, tci: 0x1000 | (state % 4000) });
    if (kind === 3)
      actions.push({ type: "clone", actions: [{ type: "pop_vlan" }, { type: "output", port: 20 }] });
    if (kind >= 2) actions.push({ type: "output", port: 12 + (state % 3) });
    if (kind >= 5 && recircId < 3) actions.push({ type: "recirc", id: recircId + 1 });
    if (kind === 6) actions.push({ type: "output", port: 30 });
    const name = `${recircId}/${state}`;
    const credited = this.credited;
    const owner: MegaflowOwner & { name: string } = {
      name,
      equals: (other: MegaflowOwner & { name?: string }) => other.name === name,
      hash: () => state,
      asked: () => true,
      dependsOnRules: false,
      rewritten: null,
      credit(stats) {
        const sum = credited.get(name) ?? { packets: 0, bytes: 0, usedMs: 0, tcpFlags: 0 };
        credited.set(name, {
          packets: sum.packets + stats.packets,
          bytes: sum.bytes + stats.bytes,
          usedMs: Math.max(sum.usedMs, stats.usedMs),
          tcpFlags: sum.tcpFlags | stats.tcpFlags,
        });
      },
    };
    return {
      actions,
      wildcards,
      owner,
      dependencies: null,
      drop: actions.length > 0 ? null : { reason: "drop_action_of_pipeline", table: kind, cookie: null },
      cacheable: state % 13 !== 0,
    };
  }
}

class Recorder implements OutputSink {
  readonly lines: string[] = [];
  base = 0;
  port(
    port: number,
    memory: Uint8Array,
    offset: number,
    length: number,
    wireLength: number,
    frame: number,
  ): void {
    const hex = Buffer.from(memory.buffer, offset, length).toString("hex");
    this.lines.push(`${this.base + frame} ${port} ${wireLength} ${hex}`);
  }
  userspace(): void {
    assert.fail("no userspace action here");
  }
}

/** Sends `count` frames through; returns everything observable but the cache counters. */
function run(options: DatapathOptions, count: number, disturb = false) {
  const prng = new Prng(SEED);
  const whole = [...FRAMES.values()];
  const pipeline = new TreePipeline();
  const datapath = new Datapath(pipeline, { connectionsMax: 64, megaflowsMax: 5_000, ...options });
  const sink = new Recorder();
  datapath.sink = sink;
  const verdicts: string[] = [];
  const go = () => {
    const done = datapath.receive(0, Number.POSITIVE_INFINITY);
    datapath.takeOutputs();
    for (let i = 0; i < done; i++) verdicts.push(JSON.stringify(datapath.verdict(i), (_, v) => v));
    sink.base += done;
    datapath.clear();
  };
  const disturber = new Prng(SEED + 1);
  for (let n = 0; n < count; n++) {
    const frame = prng.below(2) === 0 ? prng.pick(whole) : mutatedFrame(prng);
    const inPort = 1 + prng.below(4);
    const wireLength = frame.length + (prng.below(8) === 0 ? prng.below(100) : 0);
    if (!datapath.stage(frame, 0, frame.length, wireLength, inPort, 1_000_000 + n)) {
      go();
      datapath.stage(frame, 0, frame.length, wireLength, inPort, 1_000_000 + n);
      if (disturb) {
        const all = [...datapath.megaflows.values()];
        for (const megaflow of all) if (disturber.below(4) === 0) datapath.remove(megaflow);
        if (disturber.below(3) === 0) datapath.revalidate(STALE_ALL, (key) => pipeline.translate(key));
        if (disturber.below(3) === 0) datapath.expire(1_000_000 + n, 300);
      }
    }
  }
  go();
  datapath.pushStats();
  const credits = [...pipeline.credited].map(([name, s]) => `${name} ${JSON.stringify(s)}`).sort();
  return { lines: sink.lines, verdicts, credits, upcalls: pipeline.upcalls, datapath };
}

test(`caches change nothing but the number of upcalls (seed ${SEED})`, () => {
  const count = 20_000;
  const plain = run({ cache: false, fastParse: false }, count);
  const cached = run({}, count);
  assert.deepEqual(cached.lines, plain.lines);
  assert.deepEqual(cached.verdicts, plain.verdicts);
  assert.deepEqual(cached.credits, plain.credits);
  assert.ok(cached.upcalls < plain.upcalls / 3, `${cached.upcalls} of ${plain.upcalls} lookups were upcalls`);
  assert.ok(plain.lines.length > count / 2, "frames go somewhere");
  for (const options of [{ exactEntries: 0 }, { exactEntries: 16, exactInverse: 1 }, { fastParse: false }]) {
    const other = run(options, count);
    assert.deepEqual(other.lines, plain.lines);
    assert.deepEqual(other.credits, plain.credits);
  }
});

test(`removing, expiring and revalidating megaflows changes no frame and loses no count (seed ${SEED})`, () => {
  const count = 20_000;
  const plain = run({ cache: false }, count);
  const disturbed = run({ exactInverse: 1, exactEntries: 64 }, count, true);
  assert.deepEqual(disturbed.lines, plain.lines);
  assert.deepEqual(disturbed.verdicts, plain.verdicts);
  assert.deepEqual(disturbed.credits, plain.credits);
});

test("when the megaflow limit is reached the least used go, and no frame is refused", () => {
  const plain = run({ cache: false }, 5_000);
  const few = run({ megaflowsMax: 20 }, 5_000);
  assert.deepEqual(few.lines, plain.lines);
  assert.deepEqual(few.credits, plain.credits);
  assert.ok(few.datapath.megaflows.size <= 20);
});

test("an exact-match cache that answers too little rests, and is tried again", () => {
  const entries = 64;
  const datapath = new Datapath(new TreePipeline(), { connectionsMax: 64, exactEntries: entries });
  const exactHits = (flows: number, frames: number): number => {
    const before = datapath.cacheCounters().exact;
    for (let n = 0; n < frames; n++) {
      const frame = tcpFrame({ src: "10.0.0.1", dst: "10.0.0.2", srcPort: 1000 + (n % flows), dstPort: 80 });
      datapath.stage(frame, 0, frame.length, frame.length, 1, 1000);
      if (datapath.staged < 16 && n + 1 < frames) continue;
      datapath.receive(0, Number.POSITIVE_INFINITY);
      datapath.takeOutputs();
      datapath.clear();
    }
    return datapath.cacheCounters().exact - before;
  };
  const few = exactHits(8, entries * 4);
  assert.ok(few > entries * 3, `${few} hits of few flows`);
  exactHits(1000, entries * 8);
  assert.equal(exactHits(1000, entries * 16), 0);
  exactHits(8, entries * 60);
  const again = exactHits(8, entries * 4);
  assert.ok(again > entries * 3, `${again} hits of few flows after a rest`);
});

test("a megaflow reads back as it was installed", () => {
  const pipeline = new TreePipeline();
  const datapath = new Datapath(pipeline, { connectionsMax: 64 });
  const frame = tcpFrame({ src: "10.0.0.1", dst: "10.0.0.2", srcPort: 1000, dstPort: 80 });
  datapath.stage(frame, 0, frame.length, frame.length, 3, 5_000);
  datapath.receive(0, Number.POSITIVE_INFINITY);
  const megaflow = [...datapath.megaflows.values()][0]!;
  const key = new Flow();
  const mask = new Flow();
  megaflow.read(datapath.kernel, key, mask);
  const again = pipeline.translate(key);
  assert.ok(mask.equals(again.wildcards));
  assert.equal(key.get32(L.O_IN_PORT), 3);
  // The first frame's own bits stand beside the masked ones.
  const first = new Flow();
  megaflow.readFirst(datapath.kernel, first, mask);
  assert.ok(mask.equals(again.wildcards));
  assert.equal(first.get16(L.O_TP_SRC), 1000);
  for (let i = 0; i < L.KEY_SIZE; i++) assert.equal(first.bytes[i]! & mask.bytes[i]!, key.bytes[i]!);
  // The frame that missed is counted by its upcall, not by the megaflow.
  assert.equal(megaflow.stats(datapath.kernel).packets, 0);
  datapath.clear();
  datapath.stage(frame, 0, frame.length, frame.length, 3, 6_000);
  datapath.receive(0, Number.POSITIVE_INFINITY);
  assert.equal(megaflow.stats(datapath.kernel).packets, 1);
  assert.equal(megaflow.stats(datapath.kernel).usedMs, 6_000);
});

test("frames too short or too long are dropped with a reason of their own", () => {
  const datapath = new Datapath(new TreePipeline(), { connectionsMax: 64 });
  datapath.stage(new Uint8Array(13), 0, 13, 13, 1, 0);
  datapath.stage(new Uint8Array(70_000), 0, 70_000, 70_000, 1, 0);
  assert.equal(datapath.receive(0, Number.POSITIVE_INFINITY), 2);
  assert.equal(datapath.verdict(0).drop, 2);
  assert.equal(datapath.verdict(1).drop, 3);
});

test("the kernel stops at a deadline and goes on after it", () => {
  const datapath = new Datapath(new TreePipeline(), { connectionsMax: 64 });
  const frame = tcpFrame({ src: "10.0.0.1", dst: "10.0.0.2", srcPort: 1000, dstPort: 80 });
  for (let i = 0; i < 10; i++) datapath.stage(frame, 0, frame.length, frame.length, 1, 1000 + i);
  assert.equal(datapath.receive(0, 1004), 4);
  assert.equal(datapath.receive(4, 1004), 0);
  assert.equal(datapath.receive(4, Number.POSITIVE_INFINITY), 6);
});
