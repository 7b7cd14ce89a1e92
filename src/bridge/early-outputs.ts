// Outputs that a shard had to have taken before its share of the frames was done: they wait until it is their frames' turn to be told.
import { Flow } from "../flow/flow.ts";
import type { FrameSink } from "./bridge.ts";

type Output = Parameters<FrameSink["port"]> | Parameters<FrameSink["userspace"]>;

/** What a shard put out before its share was done, because the memory for it was full: copies, in order. */
export class EarlyOutputs {
  readonly #all: Output[] = [];
  #next = 0;

  readonly port: FrameSink["port"] = (port, memory, offset, length, wireLength, frame, tunnel) => {
    const bytes = memory.slice(offset, offset + length);
    this.#all.push([port, bytes, 0, length, wireLength, frame, tunnel === null ? null : copyOf(tunnel)]);
  };

  readonly userspace: FrameSink["userspace"] = (to, memory, offset, length, wireLength, frame, key) => {
    const bytes = memory.slice(offset, offset + length);
    this.#all.push([to, bytes, 0, length, wireLength, frame, copyOf(key)]);
  };

  /** Hands on what the frame at `place` of the share has led to; it is the `n`-th of those staged. */
  tell(place: number, n: number, sink: FrameSink): void {
    for (; this.#next < this.#all.length && this.#all[this.#next]![5] === place; this.#next++) {
      const output = this.#all[this.#next]!;
      output[5] = n;
      if (isToPort(output)) sink.port(...output);
      else sink.userspace(...output);
    }
  }

  clear(): void {
    this.#all.length = 0;
    this.#next = 0;
  }
}

function isToPort(output: Output): output is Parameters<FrameSink["port"]> {
  return typeof output[0] === "number";
}

function copyOf(flow: Flow): Flow {
  const copy = new Flow();
  copy.bytes.set(flow.bytes);
  return copy;
}
