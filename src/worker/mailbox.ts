// The mailbox between the main thread and one shard's thread: a call goes one way, its answer the other, and whose turn it is says
// who may write. One message at a time is enough, because whoever has sent one waits: the main thread works batch by batch (every
// shard has its batch by then), a shard waits for its upcall. Frames, outputs and counters do not go through here: they lie in the
// window (window.ts) and in the kernel's memory, which both threads see.
//
// A SharedArrayBuffer, words of 32 bits:
//
//    0 TURN     MAIN or SHARD: who reads the message and may write the next
//    1 KIND     of the message (below)
//    2 NUMBER   CALL: which export, by its place in WebAssembly.Module.exports; STEER, TAKE: which window
//    3 COUNT    values; FAILED: bytes of the text at 32
//    4 WIDE     bit n: value n is a 64-bit integer, else a number
//    8 values, 64 bits each: a float64 or an int64, eight of them (no export takes more)
//   32 the text of a FAILED, TEXT_MAX bytes of UTF-8
//
// Why the order is kept: all of a message, and all that the sender has written into the kernel's memory before, is written by plain
// stores before TURN, and read by plain loads after TURN. Atomics.store of TURN and the Atomics.load that sees it are sequentially
// consistent, so that what stands before the one happened before what stands after the other. No other word needs to be atomic:
// between two changes of TURN only one thread touches them.

/** Whose turn it is. */
const MAIN = 0;
const SHARD = 1;

/** To the shard: call an export. */
export const CALL = 1;
/** To the shard: what it asked for is done; NUMBER is the answer. */
export const ANSWER = 2;
/** To the shard: load the kernel that a message on the port describes. */
export const LOAD = 3;
/** To the shard: the end. */
export const STOP = 4;
/** To the shard: take part in the work on the window that a message on the port describes. */
export const JOIN = 9;
/** To the shard: say of the window's frames from the first value to the second whose they are. RETURNED: 1 when one is a fragment. */
export const STEER = 10;
/** To the shard: work on those of the same range that are its own. RETURNED: waiting outputs, frames, bytes on the wire, connections. */
export const TAKE = 11;
/** To the main thread: the thread is there (its number to Node, and to the system), the kernel is loaded, or the export has returned. */
export const RETURNED = 5;
/** To the main thread: an export asks for an upcall, or for its output to be taken. */
export const UPCALL = 6;
export const FLUSH = 7;
/** To the main thread: the shard has come to its end by an error. */
export const FAILED = 8;

const TURN = 0;
const KIND = 1;
const NUMBER = 2;
const COUNT = 3;
const WIDE = 4;
const VALUES_AT = 8;
const TEXT_AT = 32;
const TEXT_MAX = 1024;
const SIZE = TEXT_AT * 4 + TEXT_MAX;

/** Looks at TURN before the thread sleeps: an answer that takes a few microseconds is there sooner than sleeping and waking takes. */
const SPINS = 400;

export type Value = number | bigint;

/** One thread's end. */
export class Mailbox {
  readonly buffer: SharedArrayBuffer;
  readonly #mine: number;
  readonly #other: number;
  readonly #words: Int32Array;
  readonly #floats: Float64Array;
  readonly #integers: BigInt64Array;
  readonly #text: Uint8Array;

  /** The main thread's end makes the buffer; the shard's end is given it. It is the shard's turn first: to say that it is there. */
  constructor(end: "main" | "shard", buffer: SharedArrayBuffer = new SharedArrayBuffer(SIZE)) {
    this.buffer = buffer;
    this.#mine = end === "main" ? MAIN : SHARD;
    this.#other = end === "main" ? SHARD : MAIN;
    this.#words = new Int32Array(buffer);
    this.#floats = new Float64Array(buffer);
    this.#integers = new BigInt64Array(buffer);
    this.#text = new Uint8Array(buffer, TEXT_AT * 4, TEXT_MAX);
    if (end === "main") this.#words[TURN] = SHARD;
  }

  /** Sends a message, when it is this end's turn. */
  send(kind: number, number: number, values: readonly Value[]): void {
    const words = this.#words;
    words[KIND] = kind;
    words[NUMBER] = number;
    words[COUNT] = values.length;
    words[WIDE] = 0;
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      if (typeof value === "bigint") {
        words[WIDE]! |= 1 << i;
        this.#integers[(VALUES_AT >> 1) + i] = value;
      } else {
        this.#floats[(VALUES_AT >> 1) + i] = value;
      }
    }
    this.#pass();
  }

  /** Sends a FAILED with its words. */
  fail(text: string): void {
    const { written } = new TextEncoder().encodeInto(text, this.#text);
    this.#words[KIND] = FAILED;
    this.#words[COUNT] = written;
    this.#pass();
  }

  /** Whether there is a message for this end. */
  get hasMessage(): boolean {
    return Atomics.load(this.#words, TURN) === this.#mine;
  }

  /** Sleeps until there is a message; false when there is none after `timeoutMs`. */
  wait(timeoutMs: number = Number.POSITIVE_INFINITY): boolean {
    for (let i = 0; i < SPINS; i++) if (this.hasMessage) return true;
    // Sleeps only while TURN is still the other's: a message that came in between is not slept through.
    while (!this.hasMessage) {
      if (Atomics.wait(this.#words, TURN, this.#other, timeoutMs) === "timed-out") return this.hasMessage;
    }
    return true;
  }

  // Of the message at hand:

  get kind(): number {
    return this.#words[KIND]!;
  }

  get number(): number {
    return this.#words[NUMBER]!;
  }

  get values(): Value[] {
    const values: Value[] = [];
    for (let i = 0; i < this.#words[COUNT]!; i++) values.push(this.#value(i));
    return values;
  }

  get text(): string {
    // A decoder takes no shared memory.
    return new TextDecoder().decode(this.#text.slice(0, this.#words[COUNT]!));
  }

  #value(i: number): Value {
    const wide = (this.#words[WIDE]! & (1 << i)) !== 0;
    return wide ? this.#integers[(VALUES_AT >> 1) + i]! : this.#floats[(VALUES_AT >> 1) + i]!;
  }

  /** Hands the turn over: all that was written before is seen by whoever sees this (above). */
  #pass(): void {
    Atomics.store(this.#words, TURN, this.#other);
    Atomics.notify(this.#words, TURN, 1);
  }
}
