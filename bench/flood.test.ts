// What hostile traffic does to connection tracking, in small: `npm run bench -- conntrack-flood conntrack-collide` in large.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../src/lib/prng.ts";
import { collide } from "./collision.ts";
import { flood } from "./flood.ts";

test("real connections live through a SYN flood, in memory that does not grow", () => {
  const connectionsMax = 20_000;
  const f = flood({ seed: 1, syns: 200_000, connectionsMax, real: 100 });
  assert.ok(f.succeeded >= 99, `${f.succeeded} of 100 real connections were whole`);
  assert.equal(f.connectionsMost, connectionsMax);
  assert.ok(f.earlyDrops > 150_000, `${f.earlyDrops} dropped early`);
  assert.ok(f.growth < 32 << 20, `${f.growth} bytes more`);
});

test("tuples made to collide under seed 0 are as fast as others under another seed", () => {
  const { random, crafted, known } = collide(12345, 2000, new Prng(1), 40);
  const said = `random ${random} ns, crafted ${crafted} ns, with the secret known ${known} ns`;
  assert.ok(crafted < 1.5 * random, said);
  assert.ok(known > 3 * random, said);
});
