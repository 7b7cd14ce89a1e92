import assert from "node:assert/strict";
import { test } from "node:test";
import { Trie } from "./trie.ts";

const SEED = Number(process.env.SEED ?? 3);

function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state;
  };
}

const bit = (n: number) => (n === 0 ? 0 : -1 << (32 - n));

test("lookups tell which prefixes cover a value, and the bits that show it suffice", () => {
  console.log(`seed ${SEED}`);
  const next = random(SEED);
  const trie = new Trie();
  const prefixes: { value: number; plen: number }[] = [];
  for (let round = 0; round < 400; round++) {
    if (prefixes.length > 0 && next() % 5 < 2) {
      const at = (next() >>> 8) % prefixes.length;
      const { value, plen } = prefixes.splice(at, 1)[0]!;
      trie.remove(value, plen);
    } else {
      const plen = 1 + ((next() >>> 8) % 32);
      // Few values, so that prefixes nest and branch.
      const value = ((next() & 0xc0100003) | ((next() >>> 9) & 0x300)) & bit(plen);
      prefixes.push({ value, plen });
      trie.insert(value, plen);
    }
    for (let i = 0; i < 10; i++) {
      const value = (next() & 0xc0100003) | ((next() >>> 9) & 0x300);
      const covering = (v: number) =>
        prefixes
          .filter((p) => ((v ^ p.value) & bit(p.plen)) === 0)
          .reduce((set, p) => set | (1 << (p.plen - 1)), 0);
      const bits = trie.lookup(value);
      assert.equal(trie.plens, covering(value));
      const other = value ^ (next() & ~bit(bits));
      // Whatever differs below the bits looked at: no prefix longer than they are covers either.
      assert.equal(covering(other), covering(value), `${bits} bits of ${value.toString(16)} are not enough`);
    }
  }
  for (const { value, plen } of prefixes) trie.remove(value, plen);
  assert.equal(trie.lookup(0x12345678), 0);
  assert.equal(trie.plens, 0);
});
