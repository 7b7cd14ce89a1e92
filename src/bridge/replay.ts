// A replay: captured frames through a bridge, on the captures' clock, with changes on the way.
import type { OutputSink, Verdict } from "../datapath/datapath.ts";
import { formatFlowRemoval } from "../pipeline/flow-removal.ts";
import type { MergedBatch } from "../port/capture-merge.ts";
import type { Bridge, FrameSink } from "./bridge.ts";
import { type DropNote, dropNote, type ReplayOutput } from "./replay-output.ts";

/** Something that happens a time after the first frame, before the first frame at or after that time. */
export interface ReplayEvent {
  readonly afterNs: number;
  apply(nowMs: number): void;
}

/** Counts of a replay, the stuff of `summary.json`. */
export interface ReplayCounts {
  packets: number;
  /** Bytes on the wire. */
  bytes: number;
  forwarded: number;
  dropped: number;
  drops: Record<string, number>;
}

/** Told of each frame as it came in (bytes and verdict are valid during the call only), in order. */
export type Watch = (frame: Uint8Array, inPort: number, wireLength: number, verdict: Verdict) => void;

export class Replay implements FrameSink {
  readonly counts: ReplayCounts = { packets: 0, bytes: 0, forwarded: 0, dropped: 0, drops: {} };
  readonly #bridge: Bridge;
  readonly #output: ReplayOutput | null;
  readonly #events: ReplayEvent[];
  /** Called with a frame's number, bytes and fate, if anyone wants to know. */
  readonly #watch: Watch | null;
  #begun = false;
  #firstSec = 0;
  #firstNsec = 0;
  // Of the frames staged:
  readonly #sec: Float64Array;
  readonly #nsec: Uint32Array;
  readonly #inPort: Uint32Array;
  readonly #wireLength: Uint32Array;
  readonly #outputs: readonly number[][];

  /** Events are applied in time order; those of the same time in the order given. */
  constructor(
    bridge: Bridge,
    output: ReplayOutput | null,
    events: readonly ReplayEvent[] = [],
    watch: Watch | null = null,
  ) {
    this.#bridge = bridge;
    this.#output = output;
    this.#events = events.map((e) => e).sort((a, b) => a.afterNs - b.afterNs);
    this.#watch = watch;
    if (output === null && watch === null) this.tally = (...counted) => this.#count(...counted);
    const { batchMax } = bridge;
    this.#sec = new Float64Array(batchMax);
    this.#nsec = new Uint32Array(batchMax);
    this.#inPort = new Uint32Array(batchMax);
    this.#wireLength = new Uint32Array(batchMax);
    this.#outputs = Array.from({ length: batchMax }, () => []);
    if (output === null) return;
    bridge.onFlowRemoved = (removal) =>
      output.flowRemoved(formatFlowRemoval(removal, bridge.pipeline.tlvMap));
  }

  /** Takes the next frame, in time order. Frames are worked on in batches: see finish(). */
  frame(
    data: Uint8Array,
    offset: number,
    length: number,
    wireLength: number,
    sec: number,
    nsec: number,
    inPort: number,
  ): void {
    const bridge = this.#bridge;
    if (!this.#begun) {
      this.#begun = true;
      this.#firstSec = sec;
      this.#firstNsec = nsec;
    }
    const sinceNs = (sec - this.#firstSec) * 1e9 + (nsec - this.#firstNsec);
    while (this.#events.length > 0 && this.#events[0]!.afterNs <= sinceNs) this.#applyNext();
    const timeMs = sec * 1000 + Math.floor(nsec / 1e6);
    if (!bridge.stage(data, offset, length, wireLength, inPort, timeMs)) {
      this.flush();
      bridge.stage(data, offset, length, wireLength, inPort, timeMs);
    }
    const index = bridge.staged - 1;
    this.#sec[index] = sec;
    this.#nsec[index] = nsec;
    this.#inPort[index] = inPort;
    this.#wireLength[index] = wireLength;
  }

  /** Takes a batch of merged captures and works on it; `ports` are the captures' ports. */
  batch(
    { count, source, buffers, offset, length, wireLength, sec, nsec }: MergedBatch,
    ports: readonly number[],
  ): void {
    for (let i = 0; i < count; i++) {
      const from = source[i]!;
      this.frame(buffers[from]!, offset[i]!, length[i]!, wireLength[i]!, sec[i]!, nsec[i]!, ports[from]!);
    }
    this.flush();
  }

  /** Works on what is staged. */
  flush(): void {
    this.#bridge.run(this);
  }

  /** Works on what is staged, and applies the events that lie after the last frame. */
  finish(): void {
    this.flush();
    while (this.#events.length > 0) this.#applyNext();
    this.#bridge.finish();
  }

  /** As finish(), before the captures' end: what was to come later does not. */
  stop(): void {
    this.flush();
    this.#bridge.finish();
  }

  #applyNext(): void {
    this.flush();
    const event = this.#events.shift()!;
    const nowMs = this.#firstSec * 1000 + Math.floor((this.#firstNsec + event.afterNs) / 1e6);
    this.#bridge.advance(nowMs);
    event.apply(nowMs);
  }

  // --- FrameSink: the bridge tells ---

  port(
    port: number,
    memory: Uint8Array,
    offset: number,
    length: number,
    wireLength: number,
    frame: number,
  ): void {
    if (this.#output === null) return;
    this.#outputs[frame]!.push(port);
    this.#output.frame(port, this.#sec[frame]!, this.#nsec[frame]!, memory, offset, length, wireLength);
  }

  readonly userspace: OutputSink["userspace"] = () => {};

  /** Where neither files nor a watcher ask of each frame. */
  readonly tally: FrameSink["tally"] = undefined;

  #count(packets: number, bytes: number, forwarded: number, drops: readonly Verdict[]): void {
    const { counts } = this;
    counts.packets += packets;
    counts.bytes += bytes;
    counts.forwarded += forwarded;
    for (const verdict of drops) this.#countDrop(dropNote(verdict)!);
  }

  #countDrop({ reason }: DropNote): void {
    const { counts } = this;
    counts.dropped++;
    counts.drops[reason] = (counts.drops[reason] ?? 0) + 1;
  }

  verdict(index: number, verdict: Verdict): void {
    const { counts } = this;
    const drop = dropNote(verdict);
    counts.packets++;
    counts.bytes += this.#wireLength[index]!;
    if (drop === null) counts.forwarded++;
    else this.#countDrop(drop);
    if (this.#output !== null) {
      const outputs = this.#outputs[index]!;
      this.#output.verdict(
        counts.packets,
        this.#sec[index]!,
        this.#nsec[index]!,
        this.#inPort[index]!,
        outputs,
        verdict.userspace,
        drop,
      );
      outputs.length = 0;
    }
    if (this.#watch !== null) {
      const frame = this.#bridge.stagedFrame(index);
      this.#watch(frame, this.#inPort[index]!, this.#wireLength[index]!, verdict);
    }
  }
}
