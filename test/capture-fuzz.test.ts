// Captures in pieces and damaged captures: how the bytes come must not matter, and no bytes at all may do worse than an error that
// names their place.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { MegaflowError } from "../src/lib/errors.ts";
import { Prng } from "../src/lib/prng.ts";
import type { ByteSource } from "../src/port/byte-source.ts";
import { CaptureReader } from "../src/port/capture-reader.ts";
import { FIXTURES } from "./antrea-story.ts";

const SEED = Number(process.env.SEED ?? 20_260_101);

/** Gives the bytes in pieces of at most `pieceSize()`. */
function pieces(bytes: Uint8Array, pieceSize: () => number): ByteSource {
  let at = 0;
  return {
    read(into, offset, length) {
      const size = Math.min(length, pieceSize(), bytes.length - at);
      into.set(bytes.subarray(at, at + size), offset);
      at += size;
      return size;
    },
    close() {},
  };
}

/** Every frame as one line, and the error. */
async function readAll(
  bytes: Uint8Array,
  pieceSize: () => number,
): Promise<{ frames: string[]; error: string | null }> {
  const frames: string[] = [];
  try {
    const reader = await CaptureReader.over(pieces(bytes, pieceSize), "bytes");
    for (let batch = await reader.next(); batch !== null; batch = await reader.next()) {
      assert.ok(batch.count > 0);
      for (let i = 0; i < batch.count; i++) {
        const length = batch.length[i];
        const nsec = batch.nsec[i];
        assert.ok(batch.offset[i] + length <= batch.data.length);
        assert.ok(batch.wireLength[i] >= length);
        assert.ok(nsec < 1e9);
        const frame = Buffer.from(batch.data.buffer, batch.offset[i], length).toString("hex");
        frames.push(`${batch.sec[i]} ${nsec} ${batch.wireLength[i]} ${frame}`);
      }
    }
    reader.close();
  } catch (error) {
    assert.ok(error instanceof MegaflowError && error.code === "ECAPTURE", String(error));
    const offset = Number(/^byte (\d+): /.exec(error.message)?.[1] ?? "NaN");
    assert.ok(offset >= 0 && offset <= bytes.length, error.message);
    return { frames, error: error.message };
  }
  return { frames, error: null };
}

const captures = ["fragments.pcap", "http.pcapng", "vlan.pcap"].map((name) =>
  readFileSync(join(FIXTURES, name)),
);
const whole = () => Number.MAX_SAFE_INTEGER;

test("a capture reads the same in any pieces", async () => {
  const prng = new Prng(SEED);
  for (const bytes of captures) {
    const expected = await readAll(bytes, whole);
    assert.equal(expected.error, null);
    assert.ok(expected.frames.length >= 16);
    assert.deepEqual(await readAll(bytes, () => 1), expected);
    assert.deepEqual(await readAll(bytes, () => 1 + prng.below(100)), expected);
    const packed = gzipSync(bytes);
    assert.deepEqual(await readAll(packed, () => 1 + prng.below(100)), expected);
    assert.deepEqual(gunzipSync(packed), bytes);
  }
});

test(`a damaged capture gives what lies before the damage, then goes on or says where (seed ${SEED})`, async () => {
  const prng = new Prng(SEED);
  let errors = 0;
  for (let n = 0; n < 600; n++) {
    const original = prng.pick(captures);
    const bytes = new Uint8Array(original);
    const places: number[] = [];
    for (let changes = 1 + prng.below(3); changes > 0; changes--) {
      // Lengths and types matter most, and they stand in words.
      const at = prng.below(bytes.length);
      places.push(at);
      bytes[at] = prng.pick([0, 1, 0x7f, 0xff, prng.below(256)]);
    }
    const size = prng.below(4) === 0 ? prng.below(bytes.length) : bytes.length;
    const damaged = bytes.subarray(0, size);
    const seen = await readAll(damaged, whole);
    if (seen.error !== null) errors++;
    assert.deepEqual(await readAll(damaged, () => 1 + prng.below(2000)), seen, `case ${n}`);
    // Frames that end before the first changed byte are those of the original, up to the cut.
    const untouched = await readAll(original.subarray(0, Math.min(size, ...places)), whole);
    assert.deepEqual(seen.frames.slice(0, untouched.frames.length), untouched.frames, `case ${n}`);
  }
  assert.ok(errors > 100, `${errors} of the damaged captures are errors`);
});
