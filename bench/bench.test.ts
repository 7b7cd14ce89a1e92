// Every bench for a moment, so that none rots; equal seeds give equal output.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { loadBenches, runBenches } from "./run.ts";

const benches = await loadBenches();

for (const bench of benches) {
  test(`${bench.name}: ${bench.question}`, () => {
    const context = { seed: 1, smoke: true };
    const first = bench.run(context);
    assert.ok(first.count > 0);
    assert.ok(first.nsPerUnit.length > 0);
    for (const ns of first.nsPerUnit) assert.ok(ns > 0 && Number.isFinite(ns), `${ns} ns`);
    assert.match(first.hash, /^[0-9a-f]{16}$/);
    assert.equal(bench.run(context).hash, first.hash);
  });
}

test("one JSON line for each bench asked for, in the form of the bench command", async () => {
  const lines: string[] = [];
  assert.equal(await runBenches(["memory-floor", "--smoke", "--json"], (line) => lines.push(line)), 0);
  assert.equal(lines.length, 1);
  const line = JSON.parse(lines[0]!);
  assert.deepEqual(Object.keys(line), [
    "workload",
    "mframes_per_s",
    "ns_per_frame",
    "frames",
    "runs",
    "hash",
    "peer",
  ]);
  assert.equal(line.workload, "memory-floor");
  assert.equal(line.peer, null);
});

test("a bench without a peer has none, whatever is asked for", async () => {
  const lines: string[] = [];
  const args = ["memory-floor", "--smoke", "--json", "--peer", "ovs-dpdk"];
  assert.equal(
    await runBenches(
      args,
      (line) => lines.push(line),
      () => {},
    ),
    0,
  );
  assert.equal(JSON.parse(lines[0]!).peer, null);
});

test("every frame of a peer's case is there for one port of its switch", () => {
  const cases = benches.flatMap((bench) => (bench.peer === undefined ? [] : [bench.peer(1)]));
  assert.ok(cases.length >= 8);
  for (const { ports, traffic, replies, flows } of cases) {
    assert.ok(ports.includes(traffic.port) && traffic.frames.length > 0 && flows.endsWith("\n"));
    if (replies !== undefined) assert.ok(ports.includes(replies.port) && replies.port !== traffic.port);
  }
});

test("a bench that is not there is an error", async () => {
  const lines: string[] = [];
  assert.equal(await runBenches(["frob"], (line) => lines.push(line)), 2);
  assert.match(lines[0]!, /^no such bench: frob; there are /);
});

test("megaflow bench runs them, and knows its peers", () => {
  const main = fileURLToPath(new URL("../src/cli/main.js", import.meta.url));
  const megaflow = (...args: string[]) =>
    spawnSync(process.execPath, [main, "bench", ...args], { encoding: "utf8" });
  const one = megaflow("forward", "--smoke", "--json");
  assert.equal(one.status, 0, one.stderr);
  assert.equal(JSON.parse(one.stdout).workload, "forward");
  assert.equal(megaflow("frob").status, 2);
  const peer = megaflow("--peer", "frob");
  assert.equal(peer.status, 2);
  assert.equal(peer.stderr, "megaflow: --peer: no such peer: frob; there is ovs-dpdk\n");
});
