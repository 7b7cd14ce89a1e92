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

test("a bench that is not there is an error", async () => {
  const lines: string[] = [];
  assert.equal(await runBenches(["frob"], (line) => lines.push(line)), 2);
  assert.match(lines[0]!, /^no such bench: frob; there are /);
});

test("megaflow bench runs them, and says that it has no peer to measure", () => {
  const main = fileURLToPath(new URL("../src/cli/main.js", import.meta.url));
  const megaflow = (...args: string[]) =>
    spawnSync(process.execPath, [main, "bench", ...args], { encoding: "utf8" });
  const one = megaflow("forward", "--smoke", "--json");
  assert.equal(one.status, 0, one.stderr);
  assert.equal(JSON.parse(one.stdout).workload, "forward");
  assert.equal(megaflow("frob").status, 2);
  const peer = megaflow("--peer", "ovs-dpdk");
  assert.equal(peer.status, 2);
  assert.equal(peer.stderr, "megaflow: --peer ovs-dpdk is not available yet\n");
});
