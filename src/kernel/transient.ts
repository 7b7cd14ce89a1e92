// Megaflows for one frame only: what the host answers to an upcall when nothing may be cached (`--no-cache`, or a
// translation with an effect per frame). They have a record like any other, but no key and no place in a subtable, and
// live until the frame is done.
import { MF_KEY, MF_TAG } from "../datapath/abi.ts";
import { setProgram } from "./megaflow.ts";

let base: usize = 0;
let end: usize = 0;
let next: usize = 0;

export function transientInit(at: usize, limit: usize): void {
  base = at;
  end = limit;
  next = at;
}

/** A record with `words` words of program from `program`; 0 when one frame made too many of them. */
export function transientMegaflow(program: usize, words: u32, tag: u32): usize {
  const size = (<usize>MF_KEY + <usize>words * 4 + 63) & ~63;
  if (size > end - next) return 0;
  const record = next;
  next += size;
  memory.fill(record, 0, MF_KEY);
  store<u32>(record, tag, MF_TAG);
  setProgram(record, record + MF_KEY, program, words);
  return record;
}

/** Between frames. */
export function transientReset(): void {
  next = base;
}
