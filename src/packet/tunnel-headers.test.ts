import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesToHex, hexToBytes } from "./bytes.ts";
import { buildGeneve, readGeneve } from "./geneve.ts";
import { buildGre, readGre } from "./gre.ts";
import { buildVxlan, readVxlan } from "./vxlan.ts";

const EMPTY = new Uint8Array(0);

test("VXLAN headers are taken apart and put together", () => {
  const plain = hexToBytes("08000000 00123400");
  assert.deepEqual(readVxlan(plain), { vni: 0x1234, policy: null, size: 8 });
  assert.deepEqual(buildVxlan({ vni: 0x1234 }), plain);
  const policy = hexToBytes("88480003 ffffff00");
  assert.deepEqual(readVxlan(policy), { vni: 0xffffff, policy: { id: 3, flags: 0x48 }, size: 8 });
  assert.deepEqual(buildVxlan({ vni: 0xffffff, policy: { id: 3, flags: 0x48 } }), policy);
  assert.equal(readVxlan(plain.subarray(0, 7)), null);
  assert.equal(readVxlan(hexToBytes("00000000 00123400")), null, "no VNI");
  assert.equal(readVxlan(hexToBytes("0f111111 00123499"))?.vni, 0x1234, "reserved bits are ignored");
});

test("Geneve headers are taken apart and put together", () => {
  const plain = hexToBytes("00006558 00000500");
  assert.deepEqual(readGeneve(plain), {
    ...{ vni: 5, oam: false, critical: false, protocol: 0x6558, options: [], size: 8 },
  });
  assert.deepEqual(buildGeneve({ vni: 5 }), plain);
  const full = hexToBytes("04c06558 00000500 ffff0001 00001234 01048001 aabbccdd");
  const options = [
    { optionClass: 0xffff, type: 0, value: hexToBytes("00001234") },
    { optionClass: 0x104, type: 0x80, value: hexToBytes("aabbccdd") },
  ];
  assert.deepEqual(readGeneve(full), {
    ...{ vni: 5, oam: true, critical: true, protocol: 0x6558, options, size: 24 },
  });
  assert.deepEqual(buildGeneve({ vni: 5, oam: true, options }), full);
  assert.equal(readGeneve(hexToBytes("01006558 00000500 00010100"))?.options[0]?.value.length, 0);
});

test("malformed Geneve headers are refused", () => {
  for (const [hex, why] of [
    ["00006558 000005", "cut in the header"],
    ["40006558 00000500", "version 1"],
    ["02006558 00000500 ffff0001", "cut in an option"],
    ["01006558 00000500 ffff0001", "an option longer than the options"],
    ["02006558 00000500 ffff001f 00000000", "an option much longer"],
  ] as const) {
    assert.equal(readGeneve(hexToBytes(hex)), null, why);
  }
  assert.throws(
    () => buildGeneve({ vni: 1, options: [{ optionClass: 1, type: 1, value: new Uint8Array(3) }] }),
    RangeError,
  );
  const long = { optionClass: 1, type: 1, value: new Uint8Array(124) };
  assert.throws(() => buildGeneve({ vni: 1, options: [long, long] }), RangeError);
});

test("GRE headers are taken apart and put together", () => {
  const plain = hexToBytes("00006558");
  assert.deepEqual(readGre(plain), { protocol: 0x6558, key: null, sequence: null, checksum: false, size: 4 });
  assert.deepEqual(buildGre({ protocol: 0x6558 }, EMPTY), plain);
  const payload = Uint8Array.of(1, 2, 3);
  const full = buildGre({ protocol: 0x6558, key: 0x99, sequence: 7, checksum: true }, payload);
  assert.equal(bytesToHex(full.subarray(0, 4)), "b0006558");
  assert.equal(bytesToHex(full.subarray(8)), "0000009900000007010203");
  assert.deepEqual(readGre(full), { protocol: 0x6558, key: 0x99, sequence: 7, checksum: true, size: 16 });
  full[18]! ^= 1;
  assert.equal(readGre(full), null, "a wrong checksum");
  for (const hex of [
    "000065",
    "20006558 000000",
    "40006558 00000000",
    "00016558",
    "08006558",
    "80006558 0000",
  ]) {
    assert.equal(readGre(hexToBytes(hex)), null, hex);
  }
});
