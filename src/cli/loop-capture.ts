// Captures held in memory, to be played again and again.
import type { Replay } from "../bridge/replay.ts";
import type { MergedBatch } from "../port/capture-merge.ts";

export class LoopCapture {
  readonly #batches: {
    readonly count: number;
    readonly data: Uint8Array;
    readonly offset: Uint32Array;
    readonly length: Uint32Array;
    readonly wireLength: Uint32Array;
    readonly sec: Float64Array;
    readonly nsec: Uint32Array;
    readonly port: Uint32Array;
  }[] = [];
  /** The first frame's time, ms. */
  firstMs = 0;
  /** Whole seconds by which each pass is later than the one before. */
  #lengthSec = 1;

  /** Reads all that `next` gives; `ports` are the captures' ports. */
  static async read(next: () => Promise<MergedBatch | null>, ports: readonly number[]): Promise<LoopCapture> {
    const capture = new LoopCapture();
    for (let batch = await next(); batch !== null; batch = await next()) capture.#add(batch, ports);
    const first = capture.#batches[0];
    const last = capture.#batches.at(-1);
    if (first !== undefined && last !== undefined) {
      capture.firstMs = first.sec[0]! * 1000 + Math.floor(first.nsec[0]! / 1e6);
      capture.#lengthSec = Math.max(1, last.sec[last.count - 1]! - first.sec[0]! + 1);
    }
    return capture;
  }

  /** Sends every frame through; `pass` counts from 0. */
  play(replay: Replay, pass: number): void {
    const later = pass * this.#lengthSec;
    for (const { count, data, offset, length, wireLength, sec, nsec, port } of this.#batches) {
      for (let i = 0; i < count; i++) {
        replay.frame(data, offset[i]!, length[i]!, wireLength[i]!, sec[i]! + later, nsec[i]!, port[i]!);
      }
    }
  }

  #add(batch: MergedBatch, ports: readonly number[]): void {
    const { count } = batch;
    let bytes = 0;
    for (let i = 0; i < count; i++) bytes += batch.length[i]!;
    const data = new Uint8Array(bytes);
    const offset = new Uint32Array(count);
    const port = new Uint32Array(count);
    let at = 0;
    for (let i = 0; i < count; i++) {
      const from = batch.offset[i]!;
      const length = batch.length[i]!;
      data.set(batch.buffers[batch.source[i]!]!.subarray(from, from + length), at);
      offset[i] = at;
      port[i] = ports[batch.source[i]!]!;
      at += length;
    }
    this.#batches.push({
      count,
      data,
      offset,
      length: batch.length.slice(0, count),
      wireLength: batch.wireLength.slice(0, count),
      sec: batch.sec.slice(0, count),
      nsec: batch.nsec.slice(0, count),
      port,
    });
  }
}
