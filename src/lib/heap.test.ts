import assert from "node:assert/strict";
import { test } from "node:test";
import { Heap, type HeapEntry } from "./heap.ts";
import { Prng } from "./prng.ts";

interface Entry extends HeapEntry {
  rank: number;
}

const entry = (rank: number): Entry => ({ rank, heapIndex: -1 });

test("entries come out by rank, whatever was added, moved or taken out between", () => {
  const seed = Number(process.env.SEED ?? 5);
  console.log(`seed ${seed}`);
  const random = new Prng(seed);
  const heap = new Heap<Entry>((a, b) => a.rank < b.rank);
  const inside: Entry[] = [];
  for (let step = 0; step < 3000; step++) {
    const what = random.below(6);
    if (what < 3) {
      const added = entry(random.below(50));
      heap.add(added);
      inside.push(added);
    } else if (inside.length > 0) {
      const at = random.below(inside.length);
      const some = inside[at]!;
      if (what === 3) {
        some.rank = random.below(50);
        heap.moved(some);
      } else if (what === 4) {
        heap.remove(some);
        inside.splice(at, 1);
        assert.equal(some.heapIndex, -1);
      } else {
        for (const one of inside) one.rank = random.below(50);
        heap.rebuild();
      }
    }
    assert.equal(heap.size, inside.length);
    assert.equal(heap.first?.rank, inside.length === 0 ? undefined : Math.min(...inside.map((e) => e.rank)));
  }
});
