// A batch of frames read from a capture: one block of bytes and, frame by frame, where each lies and when it came.
//
//   data    |..hdr.|frame 0......|.hdr.|frame 1...|.hdr.|frame 2........|
//                  ^offset[0]          ^offset[1]       ^offset[2]
//                  |--length[0]-|
//
// Nothing is copied out of the read buffer and nothing is allocated per frame; the reader fills the same batch again and again.

/** Frames of one read. Everything in it is valid only until the reader is asked for the next batch. */
export interface FrameBatch {
  /** How many frames there are; entries of the arrays from here on are old. */
  count: number;
  /** The bytes the offsets point into. */
  data: Uint8Array;
  /** Where each frame begins in `data`. */
  readonly offset: Uint32Array;
  /** Bytes that the capture holds of each frame. */
  readonly length: Uint32Array;
  /** Bytes that each frame had on the wire: never less than `length`, more when the capture's snaplen cut the frame. */
  readonly wireLength: Uint32Array;
  /** Whole seconds since the epoch. */
  readonly sec: Float64Array;
  /** Nanoseconds within the second, 0 to 999,999,999. */
  readonly nsec: Uint32Array;
}

/** Frames a batch holds at most: a 1 MiB read of the shortest usual frames (60 bytes, 76 with their header) is 13,800. */
export const BATCH_FRAMES_MAX = 8192;

/** An empty batch over `data`. */
export function createFrameBatch(data: Uint8Array, capacity: number = BATCH_FRAMES_MAX): FrameBatch {
  return {
    count: 0,
    data,
    offset: new Uint32Array(capacity),
    length: new Uint32Array(capacity),
    wireLength: new Uint32Array(capacity),
    sec: new Float64Array(capacity),
    nsec: new Uint32Array(capacity),
  };
}
