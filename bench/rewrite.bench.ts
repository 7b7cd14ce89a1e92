// The kernel's header rewriting alone, with three calls from JavaScript for each frame (their cost included): what a
// routed and translated frame goes through.
import type { DatapathAction } from "../src/datapath/action.ts";
import { loadKernel } from "../src/datapath/kernel.ts";
import { encodeProgram } from "../src/datapath/program.ts";
import * as L from "../src/flow/layout.ts";
import { Prng } from "../src/lib/prng.ts";
import { tcpFrame } from "../src/packet/frame.ts";
import { type BenchContext, type BenchResult, hashOf, measureFrames } from "./harness.ts";

export const name = "rewrite";
export const question = "How fast are addresses, TTL and a port of a TCP frame set, checksums updated?";

// Addresses of src/kernel/memory.ts, and places in the heap.
const PKT_WORD = 0x10000 / 4;
const PROGRAM = 0x20000;
const SET_BYTES = 0x100;
const FRAME = 0x30000;
const BATCH = 1024;

export function run(context: BenchContext): BenchResult {
  const never = (): never => {
    throw new Error("rewriting calls nothing");
  };
  const kernel = loadKernel(0x40000, { upcall: never, flush: never });
  const { bytes, words, exports } = kernel;
  const frame = tcpFrame({ srcPort: 40000, dstPort: 80, minSize: 60 });
  bytes.set(frame, FRAME);
  words[PKT_WORD] = FRAME;
  words[PKT_WORD + 1] = frame.length;
  words[PKT_WORD + 2] = frame.length;
  exports.parse();

  // Two sets of each kind, in turn, so that every one changes the frame.
  const rng = new Prng(context.seed);
  const sets = [0, 1].flatMap(() => [
    setOf(rng, "eth", [L.O_DL_DST, 12]),
    setOf(rng, "ipv4", [L.O_NW_SRC, 8], [L.O_NW_TTL, 1]),
    setOf(rng, "tcp", [L.O_TP_SRC, 4]),
  ]);
  const at = sets.map((set, i) => {
    encodeProgram(
      [set],
      words.subarray((PROGRAM + i * SET_BYTES) / 4, (PROGRAM + (i + 1) * SET_BYTES) / 4),
      never,
    );
    return PROGRAM + i * SET_BYTES;
  });
  const setHeader: (action: number) => void = exports.setHeader;
  const pass = () => {
    for (let i = 0; i < BATCH; i += 2) for (let j = 0; j < 6; j++) setHeader(at[j]!);
    return BATCH;
  };
  pass();
  return measureFrames(context, pass, hashOf(bytes.slice(FRAME, FRAME + frame.length)));
}

function setOf(
  rng: Prng,
  header: "eth" | "ipv4" | "tcp",
  ...fields: [offset: number, size: number][]
): DatapathAction {
  const value = rng.bytes(L.KEY_SIZE);
  const mask = new Uint8Array(L.KEY_SIZE);
  for (const [offset, size] of fields) mask.fill(0xff, offset, offset + size);
  return { type: "set", header, value, mask };
}
