// The kernel's frame parser alone, with one call from JavaScript for each frame (of which the call is a part of the cost).
import { loadKernel } from "../src/datapath/kernel.ts";
import { KEY_SIZE } from "../src/flow/layout.ts";
import { Prng } from "../src/lib/prng.ts";
import { formatIpv4 } from "../src/packet/address.ts";
import { tcpFrame } from "../src/packet/frame.ts";
import { type BenchContext, type BenchResult, hashOf, measureFrames } from "./harness.ts";

export const name = "parse";
export const question = "How fast are 60-byte TCP frames of 1,000 flows parsed?";

const FLOWS = 1000;
// Addresses of src/kernel/memory.ts.
const PKT_WORD = 0x10000 / 4;
const KEY = 0x10100;
const FRAMES = 0x20000;
const STRIDE = 128;

export function run(context: BenchContext): BenchResult {
  const never = (): never => {
    throw new Error("parsing calls nothing");
  };
  const kernel = loadKernel(FRAMES + (FLOWS + 1) * STRIDE, { upcall: never, flush: never });
  const rng = new Prng(context.seed);
  for (let i = 0; i < FLOWS; i++) {
    const [src, dst] = [formatIpv4(rng.bytes(4)), formatIpv4(rng.bytes(4))];
    const frame = tcpFrame({ src, dst, srcPort: rng.below(65536), dstPort: rng.below(65536), minSize: 60 });
    kernel.bytes.set(frame, FRAMES + i * STRIDE);
  }
  const { words } = kernel;
  const parse: () => void = kernel.exports.parse;
  const parseAt = (i: number) => {
    words[PKT_WORD] = FRAMES + i * STRIDE;
    words[PKT_WORD + 1] = 60;
    words[PKT_WORD + 2] = 60;
    parse();
  };
  const keys: Uint8Array[] = [];
  for (let i = 0; i < FLOWS; i++) {
    parseAt(i);
    keys.push(kernel.bytes.slice(KEY, KEY + KEY_SIZE));
  }
  const pass = () => {
    for (let i = 0; i < FLOWS; i++) parseAt(i);
    return FLOWS;
  };
  return measureFrames(context, pass, hashOf(...keys));
}
