import assert from "node:assert/strict";
import test from "node:test";
import { Prng } from "./prng.ts";

test("equal seeds give equal sequences, other seeds others", () => {
  const take = (seed: number) =>
    Array.from(
      { length: 8 },
      (
        (random) => () =>
          random.u32()
      )(new Prng(seed)),
    );
  assert.deepEqual(take(7), take(7));
  assert.notDeepEqual(take(7), take(8));
  assert.notDeepEqual(take(1), take(1 + 2 ** 32));
});

test("below() covers its range evenly", () => {
  const random = new Prng(1);
  const counts = new Array<number>(10).fill(0);
  for (let i = 0; i < 100_000; i++) counts[random.below(10)]!++;
  for (const count of counts) assert.ok(Math.abs(count - 10_000) < 500, `${counts}`);
});
