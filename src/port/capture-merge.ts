// Several captures as one stream in time order, as a switch with several ports saw them; frames of the same instant come in the
// order of the captures. Within a capture the file's order is kept even where its time stamps go back, as mergecap does.
//
// Nothing is copied: a merged batch is a list of frames, each in its own capture's buffer. It ends where any capture needs the
// next read, since that read overwrites the buffer.
import { MegaflowError } from "../lib/errors.ts";
import { CaptureReader } from "./capture-reader.ts";
import { BATCH_FRAMES_MAX, createFrameBatch, type FrameBatch } from "./frame-batch.ts";

/** Frames of several captures. Everything in it is valid only until the next batch is asked for. */
export interface MergedBatch extends Omit<FrameBatch, "data"> {
  /** The bytes of each capture, by its place in the list. */
  readonly buffers: Uint8Array[];
  /** Which capture each frame is of: its bytes begin at `buffers[source[i]][offset[i]]`. */
  readonly source: Uint16Array;
}

/** More captures than this cannot be merged: `source` is 16 bits wide. */
const CAPTURES_MAX = 65_536;

export class CaptureMerge {
  readonly #readers: readonly CaptureReader[];
  /** Each capture's current batch; null before the first read and after the end. */
  readonly #heads: (FrameBatch | null)[];
  readonly #ended: boolean[];
  /** The next frame of each head. */
  readonly #next: number[];
  readonly #batch: MergedBatch;

  private constructor(readers: readonly CaptureReader[]) {
    this.#readers = readers;
    this.#heads = readers.map(() => null);
    this.#ended = readers.map(() => false);
    this.#next = readers.map(() => 0);
    const { count, offset, length, wireLength, sec, nsec } = createFrameBatch(new Uint8Array(0));
    const buffers = readers.map(() => new Uint8Array(0));
    const source = new Uint16Array(BATCH_FRAMES_MAX);
    this.#batch = { count, offset, length, wireLength, sec, nsec, buffers, source };
  }

  /** Opens all captures; when one cannot be opened, none stays open. Errors as CaptureReader.open(), and ELIMIT. */
  static async open(paths: readonly string[]): Promise<CaptureMerge> {
    if (paths.length > CAPTURES_MAX) {
      throw new MegaflowError(
        "ELIMIT",
        `at most ${CAPTURES_MAX} captures can be merged, not ${paths.length}`,
      );
    }
    const readers: CaptureReader[] = [];
    try {
      for (const path of paths) readers.push(await CaptureReader.open(path));
    } catch (error) {
      for (const reader of readers) reader.close();
      throw error;
    }
    return new CaptureMerge(readers);
  }

  /**
   * The next frames, at least one, or null when all captures have ended. Throws what CaptureReader.next() throws, when the frame that
   * would have come next is one that cannot be read.
   */
  async next(): Promise<MergedBatch | null> {
    for (let i = 0; i < this.#readers.length; i++) {
      const head = this.#heads[i];
      if (this.#ended[i] || (head !== null && this.#next[i] < head.count)) continue;
      const read = await this.#readers[i].next();
      this.#heads[i] = read;
      this.#next[i] = 0;
      if (read === null) this.#ended[i] = true;
      else this.#batch.buffers[i] = read.data;
    }
    return this.#merge();
  }

  close(): void {
    for (const reader of this.#readers) reader.close();
  }

  #merge(): MergedBatch | null {
    const batch = this.#batch;
    let count = 0;
    while (count < BATCH_FRAMES_MAX) {
      const from = this.#earliest();
      if (from < 0) break;
      const head = this.#heads[from]!;
      const until = this.#runEnd(from, head, BATCH_FRAMES_MAX - count);
      for (let i = this.#next[from]; i < until; i++) {
        batch.source[count] = from;
        batch.offset[count] = head.offset[i];
        batch.length[count] = head.length[i];
        batch.wireLength[count] = head.wireLength[i];
        batch.sec[count] = head.sec[i];
        batch.nsec[count] = head.nsec[i];
        count++;
      }
      this.#next[from] = until;
      if (until === head.count) break;
    }
    batch.count = count;
    return count > 0 ? batch : null;
  }

  /** The capture whose next frame comes first, -1 when all have ended. */
  #earliest(): number {
    let first = -1;
    for (let i = 0; i < this.#heads.length; i++) {
      const head = this.#heads[i];
      if (head === null) continue;
      if (first < 0 || this.#isBefore(i, this.#next[i], first, this.#next[first])) first = i;
    }
    return first;
  }

  /** After the last frame of capture `from` that comes before every other capture's next one; at least one frame, at most `room`. */
  #runEnd(from: number, head: FrameBatch, room: number): number {
    const begin = this.#next[from];
    let end = Math.min(head.count, begin + room);
    for (let other = 0; other < this.#heads.length; other++) {
      if (other === from || this.#heads[other] === null) continue;
      let i = begin + 1;
      while (i < end && !this.#goesFirst(other, from, i)) i++;
      end = Math.min(i, end);
    }
    return end;
  }

  /** Whether capture `other`'s next frame goes before frame `i` of capture `from`. */
  #goesFirst(other: number, from: number, i: number): boolean {
    const next = this.#next[other];
    return this.#isBefore(other, next, from, i) || (other < from && !this.#isBefore(from, i, other, next));
  }

  /** Whether frame `i` of capture `a` is earlier than frame `j` of capture `b`. */
  #isBefore(a: number, i: number, b: number, j: number): boolean {
    const x = this.#heads[a]!;
    const y = this.#heads[b]!;
    return x.sec[i] < y.sec[j] || (x.sec[i] === y.sec[j] && x.nsec[i] < y.nsec[j]);
  }
}
