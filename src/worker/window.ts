// The window: the frames that all shards work on next, in memory that all threads see. The main thread lays frames down one after the
// other; then every shard says of a slice of them whose they are (steering.ts); then every shard takes its own.
//
// One SharedArrayBuffer; FRAMES_MAX entries of each list, in the order in which frames came:
//
//    timeMs f64 | offset u32 | length u32 | wireLength u32 | inPort u32     by the main thread: where the bytes are, and what came with them
//    pair u32 | shard u8 | kind u8 (KIND_*)                                 by the shard that has the frame in its slice
//    place u32                                                              by the shard that takes it: its number among those taken
//    by shard: numbers u32                                                  the other way round: of each taken frame its number here
//    bytes, BYTES_MAX; a frame begins at a whole word
//
// None of it is atomic. Who may write changes hands by the mailboxes alone: what stands here before a message is sent is seen by whoever has
// received it (mailbox.ts), and at no time does one thread write what another reads.

/** Frames of a window: many, because starting and stopping the shards takes some 20 us twice a window. */
export const FRAMES_MAX = 16_384;
/** Bytes of a window: with some more for each frame they fit into any shard's arena (datapath/start-kernel.ts), should all be one shard's. */
export const BYTES_MAX = 15 << 20;

export const KIND_IP = 1;
export const KIND_FRAGMENT = 2;

/** Frames up to this length are copied word by word. */
export const SHORT_FRAME = 80;

export class Window {
  readonly buffer: SharedArrayBuffer;
  readonly timeMs: Float64Array;
  readonly offset: Uint32Array;
  readonly length: Uint32Array;
  readonly wireLength: Uint32Array;
  readonly inPort: Uint32Array;
  readonly pair: Uint32Array;
  readonly place: Uint32Array;
  readonly shard: Uint8Array;
  readonly kind: Uint8Array;
  readonly numbers: readonly Uint32Array[];
  readonly bytes: Uint8Array;
  /** The bytes again. */
  readonly words: Uint32Array;

  /** Of so many shards; the main thread makes the buffer, the shards are given it. */
  constructor(shards: number, buffer?: SharedArrayBuffer) {
    const size = FRAMES_MAX * (8 + 4 * 6 + 2 + 4 * shards) + BYTES_MAX;
    this.buffer = buffer ?? new SharedArrayBuffer(size);
    let at = 0;
    const take = (bytes: number) => {
      at += bytes;
      return at - bytes;
    };
    const words = () => new Uint32Array(this.buffer, take(FRAMES_MAX * 4), FRAMES_MAX);
    this.timeMs = new Float64Array(this.buffer, take(FRAMES_MAX * 8), FRAMES_MAX);
    this.offset = words();
    this.length = words();
    this.wireLength = words();
    this.inPort = words();
    this.pair = words();
    this.place = words();
    this.numbers = Array.from({ length: shards }, words);
    this.shard = new Uint8Array(this.buffer, take(FRAMES_MAX), FRAMES_MAX);
    this.kind = new Uint8Array(this.buffer, take(FRAMES_MAX), FRAMES_MAX);
    at = take(BYTES_MAX);
    this.bytes = new Uint8Array(this.buffer, at, BYTES_MAX);
    this.words = new Uint32Array(this.buffer, at, BYTES_MAX / 4);
  }
}

/** Copies bytes to word `at` of `to`; a few words faster than set() begins. `source` is a view of `data`. */
export function copyFrame(
  data: Uint8Array,
  source: DataView,
  from: number,
  length: number,
  to: Pick<Window, "bytes" | "words">,
  at: number,
): void {
  if (length > SHORT_FRAME) {
    to.bytes.set(data.subarray(from, from + length), at * 4);
    return;
  }
  const whole = length >>> 2;
  for (let i = 0; i < whole; i++) to.words[at + i] = source.getUint32(from + i * 4, true);
  for (let i = whole * 4; i < length; i++) to.bytes[at * 4 + i] = data[from + i]!;
}
