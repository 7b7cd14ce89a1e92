// No workload has lost half of the speed that bench/baseline.json knows of it (`npm run check` allows 15 %: with other work beside the
// tests that would be said for no reason); and who has is found out.
import assert from "node:assert/strict";
import { cpus } from "node:os";
import { test } from "node:test";
import { type Baseline, checkBaseline, readBaseline } from "./baseline.ts";
import type { Bench } from "./harness.ts";
import { loadBenches } from "./run.ts";

const HALF = 0.5;
const all = await loadBenches();
const [floor] = all as [Bench, ...Bench[]];

for (const name of ["forward", "exact-1k", "megaflow-1k", "antrea-est", "conntrack-1k"]) {
  test(`half of its speed at least: ${name}`, () => {
    const said: string[] = [];
    const bench = all.find((b) => b.name === name)!;
    const slow = checkBaseline([floor, bench], {
      seed: 1,
      tolerance: HALF,
      print: (line) => said.push(line),
    });
    assert.deepEqual(slow, [], said.join("\n"));
    assert.match(said.at(-1)!, new RegExp(`^${name} `));
  });
}

const timed = (name: string, ns: number): Bench => ({
  name,
  question: "?",
  run: () => ({ unit: "frame", nsPerUnit: [ns + 1, ns], count: 2, hash: "0" }),
});

function slowOf(benches: readonly Bench[], baseline: Baseline): [string[], string[]] {
  const said: string[] = [];
  const slow = checkBaseline(benches, { seed: 1, baseline, print: (line) => said.push(line) });
  return [slow, said];
}

test("what lost more than its tolerance is told, in terms of the floor", () => {
  const processor = cpus()[0]!.model;
  const baseline = {
    tolerance: 0.15,
    tolerances: { c: 0.4 },
    floors: { [processor]: { a: 10, b: 10, c: 10 } },
  };
  const benches = [timed("memory-floor", 2), timed("a", 23), timed("b", 24), timed("c", 30), timed("new", 1)];
  const [slow, said] = slowOf(benches, baseline);
  assert.deepEqual(slow, ["b"]);
  assert.equal(said.length, 3);
  assert.equal(
    said[1],
    "b                    12.0 floors, 0.83 times the baseline's speed (too slow: 0.85 is allowed)",
  );
});

test("a processor that the baseline does not know is held to half", () => {
  const baseline = { tolerance: 0.15, tolerances: {}, floors: { one: { a: 10 }, other: { a: 8 } } };
  const [slow, said] = slowOf([timed("memory-floor", 2), timed("a", 39)], baseline);
  assert.deepEqual(slow, []);
  assert.match(said[0]!, /^no baseline for .*: held to half of the slowest that is known$/);
  assert.deepEqual(slowOf([timed("memory-floor", 2), timed("a", 41)], baseline)[0], ["a"]);
});

test("the baseline names workloads that are there, more of them than the tests hold to it", () => {
  const { floors } = readBaseline();
  const names = Object.values(floors).flatMap((of) => Object.keys(of));
  assert.ok(names.length >= 10);
  for (const name of names)
    assert.ok(
      all.some((bench) => bench.name === name),
      name,
    );
});
