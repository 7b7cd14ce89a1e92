import assert from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../lib/prng.ts";
import * as abi from "./abi.ts";
import { Answer } from "./answer.ts";
import { loadKernel } from "./kernel.ts";
import type { Megaflow } from "./megaflow.ts";
import { MegaflowTable } from "./megaflow-table.ts";

const SEED = Number(process.env.SEED ?? 1);
const nothing = {
  credit() {},
  asked: () => false,
  dependsOnRules: false,
  rewritten: null,
  equals: () => false,
  hash: () => 0,
};
const translation = { actions: [], owner: nothing, dependencies: null, drop: null, cacheable: true };
const answer = new Answer({ ...translation, wildcards: null! }, new Uint32Array(0), 0);
const RECORDS = 0x40000;
const RECORD_SIZE = 64;

function table(): MegaflowTable {
  const kernel = loadKernel(RECORDS + 1000 * RECORD_SIZE, { upcall: () => 0, flush() {} });
  return new MegaflowTable(kernel);
}

const record = (n: number): number => RECORDS + n * RECORD_SIZE;
const numbers = (megaflows: Iterable<Megaflow>): number[] =>
  [...megaflows].map(({ at }) => (at - RECORDS) / RECORD_SIZE);

test("megaflows are kept in the order in which they came, whatever slots are free", () => {
  const megaflows = table();
  for (let n = 0; n < 100; n++) megaflows.add(record(n), answer, n, n % 2 === 0);
  for (const megaflow of megaflows.values())
    if (megaflow.createdMs % 3 !== 0) megaflows.delete(megaflow.slot);
  assert.equal(megaflows.size, 34);
  for (let n = 100; n < 200; n++) megaflows.add(record(n), answer, n, false);
  const expected = Array.from({ length: 200 }, (_, n) => n).filter((n) => n >= 100 || n % 3 === 0);
  assert.deepEqual(numbers(megaflows.values()), expected);
  for (const megaflow of megaflows.values()) {
    assert.equal(megaflow.createdMs, (megaflow.at - RECORDS) / RECORD_SIZE);
    assert.equal(megaflow.narrowed, megaflow.createdMs < 100 && megaflow.createdMs % 2 === 0);
    assert.equal(megaflows.kernel.words[(megaflow.at + abi.MF_SLOT) >>> 2], megaflow.slot);
  }
});

test("who walks over megaflows meets those left, though others go on the way", () => {
  const megaflows = table();
  const slots = Array.from({ length: 10 }, (_, n) => megaflows.add(record(n), answer, 0, false));
  const met: number[] = [];
  for (const megaflow of megaflows.values()) {
    met.push(...numbers([megaflow]));
    if (megaflow.slot === slots[2]) for (const n of [1, 2, 3, 4, 8, 9]) megaflows.delete(slots[n]!);
  }
  assert.deepEqual(met, [0, 1, 2, 5, 6, 7]);
});

test(`the least used are those that sorting puts first (SEED=${SEED})`, () => {
  const rng = new Prng(SEED);
  for (let round = 0; round < 200; round++) {
    const megaflows = table();
    const usedMs: number[] = [];
    const inTime = rng.below(4) > 0;
    const span = 1 + rng.below(40);
    const idle = rng.below(3);
    const count = 1 + rng.below(150);
    for (let n = 0; n < count; n++) {
      const createdMs = inTime ? Math.floor((n * span) / 50) : rng.below(span);
      megaflows.add(record(n), answer, createdMs, false);
      usedMs.push(rng.below(4) < idle ? createdMs : createdMs + rng.below(20));
    }
    for (const { slot } of [...megaflows.values()])
      if (megaflows.size > 1 && rng.below(5) === 0) megaflows.delete(slot);
    const used = (slot: number): number => usedMs[numbers([megaflows.get(slot)])[0]!]!;
    const sorted = [...megaflows.values()].sort(
      (a, b) => used(a.slot) - used(b.slot) || a.createdMs - b.createdMs,
    );
    const wanted = 1 + rng.below(megaflows.size);
    const least = Array.from(megaflows.leastUsed(wanted, used), (slot) => megaflows.get(slot));
    const found = numbers(least).sort((a, b) => a - b);
    const expected = numbers(sorted.slice(0, wanted)).sort((a, b) => a - b);
    assert.deepEqual(found, expected, `round ${round}`);
  }
});
