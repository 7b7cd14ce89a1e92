// The floor under every frames-per-second bench: reading the 64 bytes of every header once, and nothing else.
import { Prng } from "../src/lib/prng.ts";
import { type BenchContext, type BenchResult, hashOf, measureFrames } from "./harness.ts";

export const name = "memory-floor";
export const question = "What does it cost only to read each frame's first 64 bytes?";

/** As many frames as a bench's arena may hold, farther apart than a cache line. */
const FRAMES = 16384;
const STRIDE_WORDS = 32;
const HEADER_WORDS = 16;

export function run(context: BenchContext): BenchResult {
  const words = new Uint32Array(new Prng(context.seed).bytes(FRAMES * STRIDE_WORDS * 4).buffer);
  let sum = 0;
  const pass = () => {
    let x = 0;
    for (let at = 0; at < words.length; at += STRIDE_WORDS) {
      for (let i = 0; i < HEADER_WORDS; i++) x = (x + words[at + i]!) | 0;
    }
    sum = x;
    return FRAMES;
  };
  pass();
  const hash = hashOf(String(sum));
  return measureFrames(context, pass, hash);
}
