// Broken frames through the parser: no trap, and no result that depends on what lies after the frame (DESIGN D9) or on
// the frame parsed before. MEGAFLOW_FUZZ_FRAMES and MEGAFLOW_SEED set how many and which.
import assert from "node:assert/strict";
import test from "node:test";
import { Extractor } from "../../src/datapath/extract.ts";
import { Flow } from "../../src/flow/flow.ts";
import { Prng } from "../../src/lib/prng.ts";
import { hexDump } from "../../src/packet/bytes.ts";
import { FRAMES, mutatedFrame } from "../support/frames.ts";

const COUNT = Number(process.env.MEGAFLOW_FUZZ_FRAMES ?? 1_000_000);
const SEED = Number(process.env.MEGAFLOW_SEED ?? 1);
const GARBAGE_SIZE = 256;

test(`${COUNT} mutated frames parse the same whatever lies around them (seed ${SEED})`, () => {
  const random = new Prng(SEED);
  const seeds = [...FRAMES.values()];
  const one = new Extractor();
  const two = new Extractor();
  const first = new Flow();
  const second = new Flow();
  const zeros = new Uint8Array(GARBAGE_SIZE);
  const pool = random.bytes(65536 + GARBAGE_SIZE);
  for (let i = 0; i < COUNT; i++) {
    const frame = mutatedFrame(random);
    // One in four is a frame of which a capture kept only the beginning.
    const wireLen = frame.length + (random.below(4) === 0 ? random.below(100) : 0);
    one.soil(frame.length, zeros);
    one.extract(frame, wireLen, 1, first);
    // The other parser has just seen another frame, and has another one's bytes after this one.
    const before = seeds[i % seeds.length]!;
    two.extract(before, before.length, 1, second);
    const at = random.below(65536);
    two.soil(frame.length, pool.subarray(at, at + GARBAGE_SIZE));
    two.extract(frame, wireLen, 1, second);
    if (!first.equals(second)) {
      const differ = [...first.bytes.keys()].filter((k) => first.bytes[k] !== second.bytes[k]);
      assert.fail(`frame ${i} of seed ${SEED}: key bytes ${differ} differ\n${hexDump(frame)}`);
    }
  }
});

test("a frame cut anywhere parses as its first bytes do, and never throws", () => {
  const whole = new Extractor();
  const flow = new Flow();
  const again = new Flow();
  const other = new Extractor();
  for (const [name, frame] of FRAMES) {
    for (let size = 0; size <= frame.length; size++) {
      // The rest of the frame itself is the most treacherous garbage: it would parse well.
      whole.soil(0, frame);
      whole.extract(frame.subarray(0, size), frame.length, 1, flow);
      other.soil(size, new Uint8Array(GARBAGE_SIZE).fill(0xff));
      other.extract(frame.subarray(0, size), frame.length, 1, again);
      assert.ok(flow.equals(again), `${name} cut to ${size} bytes`);
    }
  }
});
