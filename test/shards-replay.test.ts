// `megaflow replay --shards N` writes what one shard writes: every recorded capture, the Antrea story, and mutated frames.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Bridge } from "../src/bridge/bridge.ts";
import { Replay } from "../src/bridge/replay.ts";
import { parseFlowFile } from "../src/control/openflow/flow-file.ts";
import { MegaflowError } from "../src/lib/errors.ts";
import { Prng } from "../src/lib/prng.ts";
import { tcpFrame } from "../src/packet/frame.ts";
import { CaptureWriter } from "../src/port/capture-writer.ts";
import { ShardPool } from "../src/worker/shard-pool.ts";
import {
  ANTREA_BEFORE_POLICY_FLOWS,
  ANTREA_POLICY_FLOWS,
  ANTREA_RECORDED,
  FIXTURES,
  policyAt,
  sentCapture,
} from "./antrea-story.ts";
import { megaflow } from "./megaflow.ts";
import { EMPTY_CASE } from "./oracle/judge/case.ts";
import { ourPorts } from "./oracle/judge/ours.ts";
import { FRAMES, mutatedFrame } from "./support/frames.ts";
import { planOf } from "./support/shard-case.ts";

const SEED = Number(process.env.MEGAFLOW_SEED ?? 1);
const RANDOM_FRAMES = 20_000;
const fixture = (name: string) => fileURLToPath(new URL(`../../test/fixtures/${name}`, import.meta.url));

const dir = mkdtempSync(join(tmpdir(), "megaflow-shards-"));
after(() => rmSync(dir, { recursive: true }));

function replay(name: string, shards: number, args: readonly string[]): string {
  const out = join(dir, `${name}-${shards}`);
  const { status, stderr } = megaflow("replay", ...args, "--shards", String(shards), "--out-dir", out);
  assert.equal(stderr, "");
  assert.equal(status, 0);
  return out;
}

/** Of conntrack's dumps the lines: each shard lists its own connections. */
const linesOf = (text: string) =>
  text
    .split("\n")
    .map((line) => line.replace(/,$/, ""))
    .sort();

/** The counts of a summary, without what caches and clocks say. */
function countsOf(out: string): Record<string, unknown> {
  const { cache, seconds, mpps, shards, ...rest } = JSON.parse(
    readFileSync(join(out, "summary.json"), "utf8"),
  );
  return rest;
}

function compare(name: string, counts: readonly number[], args: readonly string[]): void {
  const one = replay(name, 1, args);
  for (const count of counts) {
    const out = replay(name, count, args);
    assert.deepEqual(readdirSync(out), readdirSync(one));
    for (const file of readdirSync(one)) {
      const [expected, actual] = [one, out].map((folder) => readFileSync(join(folder, file)));
      if (file === "summary.json") assert.deepEqual(countsOf(out), countsOf(one));
      else if (file.startsWith("conntrack"))
        assert.deepEqual(linesOf(actual!.toString()), linesOf(expected!.toString()));
      else assert.ok(actual!.equals(expected!), `${name}, ${count} shards: ${file} differs`);
    }
    const { shards, packets } = JSON.parse(readFileSync(join(out, "summary.json"), "utf8"));
    assert.equal(shards.length, count);
    assert.equal(
      shards.reduce((sum: number, row: { packets: number }) => sum + row.packets, 0),
      packets,
    );
  }
}

const ports = Array.from({ length: 12 }, (_, i) => ["--port", `${i + 1}=p${i + 1}`]).flat();
const pipeline = [
  "--flows",
  fixture("spread.flows"),
  "--groups",
  fixture("spread.groups"),
  "--fail-mode",
  "secure",
];
const captures = readdirSync(FIXTURES)
  .filter((name) => /\.pcap(ng)?(\.gz)?$/.test(name))
  .sort();

for (const name of captures) {
  test(`${name}: the same on 3 shards as on one`, () => {
    compare(name, [3], [...pipeline, ...ports, "--in", `1=${join(FIXTURES, name)}`]);
  });
}

test("the Antrea story is the same on 2, 4 and 7 shards as on one", () => {
  compare(
    "story",
    [2, 4, 7],
    [
      "--flows",
      ANTREA_BEFORE_POLICY_FLOWS,
      ...ANTREA_RECORDED.flatMap((port) => ["--in", `${port}=${sentCapture("policy", port)}`]),
      "--at",
      `+${policyAt()}=${ANTREA_POLICY_FLOWS}`,
    ],
  );
});

/** Frames as others stand in the tests, and mutations of them, with pauses in which megaflows, flows and connections age. */
function randomCapture(): string {
  const random = new Prng(SEED);
  const path = join(dir, "random.pcap");
  const writer = CaptureWriter.open(path);
  const plain = [...FRAMES.values()];
  let ms = 0;
  for (let i = 0; i < RANDOM_FRAMES; i++) {
    const frame = random.below(3) === 0 ? random.pick(plain) : mutatedFrame(random);
    ms += random.below(random.below(300) === 0 ? 6000 : 4);
    writer.write(
      1_600_000_000 + Math.floor(ms / 1000),
      (ms % 1000) * 1e6,
      frame,
      0,
      frame.length,
      frame.length,
    );
  }
  writer.close();
  return path;
}

test(`mutated frames are the same on 2 and 5 shards as on one (seed ${SEED})`, () => {
  compare("random", [2, 5], [...pipeline, ...ports, "--in", `1=${randomCapture()}`]);
});

test("without files the counts are the same, changes on the way too", () => {
  const later = join(dir, "later.flows");
  writeFileSync(later, "delete table=3,ip\nadd table=1,priority=99,tcp,actions=drop\n");
  const args = [...pipeline, ...ports, "--in", `1=${randomCapture()}`];
  for (const at of ["40", "1000"]) args.push("--at", `+${at}=${later}`);
  const [one, four] = ["1", "4"].map((shards) => {
    const { status, stdout } = megaflow("replay", ...args, "--shards", shards, "--json");
    assert.equal(status, 0);
    const { cache, seconds, mpps, shards: rows, ...counts } = JSON.parse(stdout);
    return counts;
  });
  assert.deepEqual(four, one);
  assert.ok(one.dropped > RANDOM_FRAMES / 10);
});

test("what may not be spread stays in one shard, and the summary says why", () => {
  const capture = join(FIXTURES, "vlan.pcap");
  const { stdout, status } = megaflow(
    "replay",
    "--flows",
    fixture("everything.flows"),
    "--in",
    `1=${capture}`,
    "--shards",
    "3",
    "--json",
  );
  assert.equal(status, 0);
  const { shards, unspread, packets } = JSON.parse(stdout);
  assert.match(unspread, /NORMAL learns MAC addresses/);
  assert.deepEqual(
    shards.map((row: { packets: number }) => row.packets),
    [packets, 0, 0],
  );
});

for (const [what, message] of [
  ["throws", /shard 1 has failed: memory access out of bounds/],
  ["is terminated", /shard 1 (has ended: |does not answer)/],
] as const) {
  test(`when a shard ${what} the run ends, and knows what was processed`, async () => {
    const pool = await ShardPool.start(2, { silenceMs: 500 });
    try {
      const flows = "tcp,actions=output:2";
      const plan = planOf({ ...EMPTY_CASE, flows: [flows] });
      const bridge = new Bridge({
        ports: ourPorts(),
        failMode: "secure",
        connectionsMax: 64,
        shards: { loaders: pool.loaders, plan },
      });
      bridge.applyFlows(parseFlowFile(flows), 0);
      const run = new Replay(bridge, null);
      const send = (count: number, port: number) => {
        for (let i = 0; i < count; i++) {
          const frame = tcpFrame({ srcPort: port + i, dstPort: 80 });
          run.frame(frame, 0, frame.length, frame.length, 1, 0, 1);
        }
      };
      send(100, 1000);
      run.finish();
      const rows = bridge.spread!.counts();
      assert.ok(rows.every(({ packets }) => packets > 20));
      send(100, 2000);
      // Subtables that lie beyond the memory (kernel.ts: their order comes first), or no thread.
      const { kernel } = bridge.datapaths[1]!;
      if (what === "throws") kernel.words.fill(0xffff_fff0, (0x20000 + 256) >>> 2, (0x20000 + 512) >>> 2);
      else await pool.terminate(1);
      assert.throws(
        () => run.finish(),
        (error) => error instanceof MegaflowError && error.code === "ESHARD" && message.test(error.message),
      );
      assert.equal(run.counts.packets, 100);
      assert.equal(run.counts.forwarded, 100);
      bridge.pushStats();
      // Those of the shard that is left.
      const { exact, megaflow: found, upcall } = bridge.cacheCounters();
      assert.ok(exact + found + upcall >= rows[0]!.packets);
    } finally {
      await pool.close();
    }
  });
}
