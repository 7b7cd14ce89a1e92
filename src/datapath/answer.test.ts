import assert from "node:assert/strict";
import { test } from "node:test";
import { Flow } from "../flow/flow.ts";
import { Answers } from "./answer.ts";
import type { MegaflowOwner, Translation } from "./upcall.ts";

/** An owner that is equal to those of its name; all have the same hash. */
const ownerOf = (name: string): MegaflowOwner & { name: string } => ({
  name,
  credit() {},
  asked: () => false,
  dependsOnRules: false,
  rewritten: null,
  equals: (other: MegaflowOwner & { name?: string }) => other.name === name,
  hash: () => 7,
});

const translationOf = (name: string): Translation => ({
  actions: [],
  wildcards: new Flow(),
  owner: ownerOf(name),
  dependencies: null,
  drop: null,
  cacheable: true,
});

test("equal answers are kept once, as long as they have users", () => {
  const answers = new Answers();
  const words = Uint32Array.of(1, 2, 3, 4);
  const names = ["a", "b", "c"];
  const taken = names.map((name) => answers.take(translationOf(name), words, 3));
  assert.equal(new Set(taken).size, 3);
  names.forEach((name, i) => {
    assert.equal(answers.take(translationOf(name), words, 3), taken[i]);
  });
  assert.notEqual(answers.take(translationOf("a"), words, 4), taken[0]);
  assert.notEqual(answers.take(translationOf("a"), Uint32Array.of(1, 2, 9), 3), taken[0]);

  // The one in the middle goes; the others of its hash are found as before.
  answers.release(taken[1]!);
  assert.equal(answers.take(translationOf("b"), words, 3), taken[1]);
  answers.release(taken[1]!);
  answers.release(taken[1]!);
  const again = answers.take(translationOf("b"), words, 3);
  assert.notEqual(again, taken[1]);
  assert.equal(answers.take(translationOf("a"), words, 3), taken[0]);
  assert.equal(answers.take(translationOf("c"), words, 3), taken[2]);
  for (const answer of [...taken.filter((_, i) => i !== 1), again])
    while (answer.users > 0) answers.release(answer);
  assert.notEqual(answers.take(translationOf("a"), words, 3), taken[0]);
});

test("a program is copied: the place that it was encoded in has others next", () => {
  const answers = new Answers();
  const words = Uint32Array.of(1, 2, 3);
  const answer = answers.take(translationOf("a"), words, 3);
  words[0] = 5;
  assert.deepEqual([...answer.program], [1, 2, 3]);
  assert.notEqual(answers.take(translationOf("a"), words, 3), answer);
});

test("owners that are equal to none are kept for each", () => {
  const answers = new Answers();
  const words = Uint32Array.of(1);
  const alone = (): Translation => ({
    ...translationOf("x"),
    owner: { ...ownerOf("x"), equals: () => false },
  });
  const taken = Array.from({ length: 50 }, () => answers.take(alone(), words, 1));
  assert.equal(new Set(taken).size, 50);
  for (const answer of taken) answers.release(answer);
});
