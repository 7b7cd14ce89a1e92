// A switch whose frames hit its caches makes no JavaScript objects; one that does is found out.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Bench, measureFrames } from "./harness.ts";
import { checkHeap } from "./heap-check.ts";
import { loadBenches } from "./run.ts";

const FRAMES = 2_000_000;

for (const bench of await loadBenches()) {
  if (bench.peer === undefined || bench.allocates === true) continue;
  test(`the heap stays flat: ${bench.name}`, async () => {
    const said: string[] = [];
    assert.ok(await checkHeap([bench], FRAMES, 1, (line) => said.push(line)), said.join("\n"));
    assert.equal(said.length, 1);
  });
}

test("an object a frame is too much", async () => {
  const kept: object[] = [];
  const batch = () => {
    for (let i = 0; i < 256; i++) kept[(kept.length + 1) & 0xffff] = { i };
    return 256;
  };
  const bench: Bench = { name: "leaky", question: "?", run: (c) => measureFrames(c, batch, "0") };
  const said: string[] = [];
  assert.equal(await checkHeap([bench], FRAMES, 1, (line) => said.push(line)), false);
  assert.match(said[0]!, /^leaky .*\(too much\)$/);
});
