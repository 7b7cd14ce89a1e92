import assert from "node:assert/strict";
import { test } from "node:test";
import { formatTcpFlagLetters } from "./flags-text.ts";

test("TCP flags in statistics, as Open vSwitch 3.1 printed them", () => {
  assert.equal(formatTcpFlagLetters(0x002), "S");
  assert.equal(formatTcpFlagLetters(0x01a), "SP.");
  assert.equal(formatTcpFlagLetters(0x019), "FP.");
  assert.equal(formatTcpFlagLetters(0xfff), "SFPRU.ECN[200][400][800]");
});
