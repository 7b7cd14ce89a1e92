import assert from "node:assert/strict";
import { test } from "node:test";
import { parseIp } from "./address.ts";
import { concatBytes, get16, hexToBytes, put16 } from "./bytes.ts";
import { finishChecksum, pseudoHeaderSum } from "./checksum.ts";
import { buildIpv4 } from "./ipv4.ts";
import { completeChecksum } from "./partial-checksum.ts";
import { buildTcp } from "./tcp.ts";

const SRC = "10.0.0.1";
const DST = "10.0.0.2";
const ETHERNET = hexToBytes("0200000000010200000000020800");

function tcpFrame(): Uint8Array {
  const tcp = buildTcp({ srcPort: 5, dstPort: 80, seq: 7 }, hexToBytes("0102030405"), SRC, DST);
  return concatBytes(ETHERNET, buildIpv4({ src: SRC, dst: DST, proto: 6 }, tcp));
}

test("a partial checksum becomes the whole one, a whole one stays", () => {
  const whole = tcpFrame();
  assert.equal(completeChecksum(whole.slice()), false);
  const frame = whole.slice();
  const at = 14 + 20 + 16;
  put16(
    frame,
    at,
    ~finishChecksum(pseudoHeaderSum(parseIp(SRC), parseIp(DST), 6, whole.length - 34)) & 0xffff,
  );
  assert.notEqual(get16(frame, at), get16(whole, at));
  assert.equal(completeChecksum(frame), true);
  assert.deepEqual(frame, whole);
});

test("frames cut anywhere are left alone", () => {
  const whole = tcpFrame();
  for (let size = 0; size < whole.length; size++) {
    const frame = whole.slice(0, size);
    assert.equal(completeChecksum(frame), false);
    assert.deepEqual(frame, whole.slice(0, size));
  }
});
