import assert from "node:assert/strict";
import { test } from "node:test";
import { nearestWord } from "./nearest.ts";

const WORDS = ["no", "name", "tag", "trunks", "vlan_mode", "priority_tags"];

test("a misspelt word finds the one that was meant", () => {
  assert.equal(nearestWord("vlanmode", WORDS), "vlan_mode");
  assert.equal(nearestWord("vlan-mode", WORDS), "vlan_mode");
  assert.equal(nearestWord("Trunk", WORDS), "trunks");
  assert.equal(nearestWord("priorty_tags", WORDS), "priority_tags");
});

test("a word of its own finds none", () => {
  assert.equal(nearestWord("colour", WORDS), null);
  assert.equal(nearestWord("", WORDS), null);
  assert.equal(nearestWord("x".repeat(100_000), WORDS), null);
});
