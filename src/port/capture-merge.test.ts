import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { CaptureMerge } from "./capture-merge.ts";
import { CaptureWriter } from "./capture-writer.ts";

const dir = mkdtempSync(join(tmpdir(), "megaflow-merge-"));
after(() => rmSync(dir, { recursive: true }));
let files = 0;

/** A capture whose frames come at these nanoseconds; each frame's one byte is its number. */
function capture(times: readonly number[]): string {
  const path = join(dir, `${files++}.pcap`);
  const writer = CaptureWriter.open(path);
  const data = new Uint8Array(1);
  times.forEach((time, n) => {
    data[0] = n;
    writer.write(Math.floor(time / 1e9), time % 1e9, data, 0, 1, 1);
  });
  writer.close();
  return path;
}

/** `source:number` of every frame in the merged order. */
async function merged(paths: readonly string[], seen: string[] = []): Promise<string[]> {
  const merge = await CaptureMerge.open(paths);
  try {
    for (let batch = await merge.next(); batch !== null; batch = await merge.next()) {
      assert.ok(batch.count > 0);
      for (let i = 0; i < batch.count; i++) {
        const source = batch.source[i];
        seen.push(`${source}:${batch.buffers[source][batch.offset[i]]}`);
      }
    }
  } finally {
    merge.close();
  }
  return seen;
}

test("captures merge in time order, ties in the order given", async () => {
  const a = capture([1, 5, 5, 9]);
  const b = capture([0, 5, 6]);
  const c = capture([]);
  const d = capture([5, 2e9]);
  assert.deepEqual(await merged([a, b, c, d]), [
    "1:0",
    "0:0",
    "0:1",
    "0:2",
    "1:1",
    "3:0",
    "1:2",
    "0:3",
    "3:1",
  ]);
  assert.deepEqual(await merged([b, a]), ["0:0", "1:0", "0:1", "1:1", "1:2", "0:2", "1:3"]);
  assert.deepEqual(await merged([a]), ["0:0", "0:1", "0:2", "0:3"]);
  assert.deepEqual(await merged([c]), []);
});

test("a capture keeps its own order where its time goes back", async () => {
  assert.deepEqual(await merged([capture([5, 1, 7]), capture([4, 6])]), ["1:0", "0:0", "0:1", "1:1", "0:2"]);
});

test("many frames merge as a stable sort would", async () => {
  let x = 7;
  const random = (below: number) => (x = (x * 48271) % 2147483647) % below;
  const lists = [20_000, 100, 9_000].map((count) => {
    const times = Array.from({ length: count }, () => random(50_000));
    return times.sort((p, q) => p - q);
  });
  const expected = lists
    .flatMap((times, source) => times.map((time, n) => ({ time, source, n })))
    .sort((p, q) => p.time - q.time)
    .map(({ source, n }) => `${source}:${n & 255}`);
  assert.deepEqual(await merged(lists.map(capture)), expected);
});

test("frames before a broken record come first, those of other captures too", async () => {
  const whole = capture([1, 3, 8]);
  const cut = capture([2, 4, 6]);
  writeFileSync(cut, readFileSync(cut).subarray(0, -1));
  const seen: string[] = [];
  await assert.rejects(merged([whole, cut], seen), /byte 58: a record of 17 bytes begins here/);
  assert.deepEqual(seen, ["0:0", "1:0", "0:1", "1:1"]);
});
