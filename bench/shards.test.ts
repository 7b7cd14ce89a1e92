// The bench of shards for a moment, so that it does not rot.
import assert from "node:assert/strict";
import { test } from "node:test";
import { measureShards } from "./shards.ts";

for (const [name, count] of [
  ["exact-1k", 2],
  ["antrea-est", 3],
] as const) {
  test(`${name} on ${count} shards`, async () => {
    const { mframesPerS, forwarded } = await measureShards(name, count, 20);
    assert.ok(mframesPerS > 0);
    assert.ok(forwarded > 60_000);
  });
}
