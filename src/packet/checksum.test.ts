import assert from "node:assert/strict";
import test from "node:test";
import { hexToBytes } from "./bytes.ts";
import { crc32c, finishChecksum, internetChecksum, sumWords } from "./checksum.ts";

test("the example of RFC 1071, section 3", () => {
  assert.equal(sumWords(hexToBytes("0001 f203 f4f5 f6f7")), 0x2ddf0);
  assert.equal(internetChecksum(hexToBytes("0001 f203 f4f5 f6f7")), 0x220d);
});

test("an odd byte is a word's high byte", () => {
  assert.equal(internetChecksum(hexToBytes("0102 03")), 0xffff - 0x0402);
});

test("a header with its checksum sums to zero", () => {
  assert.equal(internetChecksum(hexToBytes("4500002c 00004000 40060000 0a000001 0a000002")), 0x26ca);
  assert.equal(internetChecksum(hexToBytes("4500002c 00004000 400626ca 0a000001 0a000002")), 0);
});

test("folding a long sum", () => {
  assert.equal(finishChecksum(0x1_0000_0001), 0xfffd);
});

test("CRC32c of the check string", () => {
  assert.equal(crc32c(new TextEncoder().encode("123456789")), 0xe3069283);
});
