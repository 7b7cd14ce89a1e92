// One frame's flow key for the host, outside the way of a frame: `megaflow parse`, a trace's frame, tests.
// A kernel used for this is used for nothing else: the frame lies at HEAP, where other kernels have their caches.
import { B_META, O_IN_PORT } from "../flow/layout.ts";
import { HEAP, KEY, PKT, PKT_KEY_MAP, PKT_LEN, PKT_PTR, PKT_WIRE_LEN } from "./memory.ts";
import { parse } from "./parse.ts";

/** Where the host puts the frame. */
export function extractFrame(): usize {
  return HEAP;
}

/**
 * Parses the `len` bytes at extractFrame(); returns the address of the key. `inPort` is host order; a `wireLen` below `len`
 * counts as `len`.
 */
export function extractKey(len: u32, inPort: u32, wireLen: u32): usize {
  store<u32>(PKT, <u32>HEAP, PKT_PTR);
  store<u32>(PKT, len, PKT_LEN);
  store<u32>(PKT, wireLen, PKT_WIRE_LEN);
  store<u32>(KEY, bswap<u32>(inPort), O_IN_PORT);
  store<u64>(PKT, load<u64>(PKT, PKT_KEY_MAP) | (1 << B_META), PKT_KEY_MAP);
  parse();
  return KEY;
}
