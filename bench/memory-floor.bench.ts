// The floor under every frames-per-second bench: reading the 64 bytes of every header once, and nothing else. It is done
// in WebAssembly, as the kernel's work is; JavaScript's own loop takes several times as long.
import { Prng } from "../src/lib/prng.ts";
import { type BenchContext, type BenchResult, hashOf, measureFrames } from "./harness.ts";

export const name = "memory-floor";
export const question = "What does it cost only to read each frame's first 64 bytes?";

/** As many frames as a bench's arena may hold, farther apart than a cache line. */
const FRAMES = 16384;
const STRIDE = 128;
const PAGE = 65536;

export function run(context: BenchContext): BenchResult {
  const pages = (FRAMES * STRIDE) / PAGE;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  new Uint8Array(memory.buffer).set(new Prng(context.seed).bytes(FRAMES * STRIDE));
  const instance = new WebAssembly.Instance(new WebAssembly.Module(scanner()), { env: { memory } });
  const scan = instance.exports.scan as (at: number, frames: number) => bigint;
  let sum = scan(0, FRAMES);
  const hash = hashOf(String(sum));
  const pass = () => {
    sum ^= scan(0, FRAMES);
    return FRAMES;
  };
  return measureFrames(context, pass, hash);
}

/** A module with one function, scan(at, frames): the XOR of the first eight 64-bit words of every STRIDE bytes. */
function scanner(): Uint8Array<ArrayBuffer> {
  const I32 = 0x7f;
  const I64 = 0x7e;
  const text = (s: string) => [s.length, ...Buffer.from(s)];
  const section = (id: number, ...body: number[]) => [id, body.length, ...body];
  const AT = [0x20, 0]; //     local.get
  const FRAMES_LEFT = [0x20, 1];
  const SUM = [0x20, 2];
  const loads = Array.from({ length: 8 }, (_, i) => [...AT, 0x29, 3, i * 8, 0x85]).flat(); // i64.load, i64.xor
  const code = [
    ...[1, 1, I64], //          one local, the sum
    ...[0x03, 0x40], //         loop
    ...[...SUM, ...loads, 0x21, 2],
    ...[...AT, 0x41, 0x80, 0x01, 0x6a, 0x21, 0], // at += STRIDE
    ...[...FRAMES_LEFT, 0x41, 1, 0x6b, 0x22, 1], // frames -= 1
    ...[0x0d, 0, 0x0b], //      again while frames are left
    ...[...SUM, 0x0b],
  ];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, 1, 0x60, 2, I32, I32, 1, I64),
    ...section(
      2,
      1,
      ...text("env"),
      ...text("memory"),
      2,
      1,
      ...[(FRAMES * STRIDE) / PAGE, (FRAMES * STRIDE) / PAGE],
    ),
    ...section(3, 1, 0),
    ...section(7, 1, ...text("scan"), 0, 0),
    ...section(10, 1, code.length, ...code),
  ]);
}
