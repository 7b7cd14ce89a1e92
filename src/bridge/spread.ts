// Frames spread over shards. The main thread lays a window of frames down (worker/window.ts); the shards say whose each is, every one of
// a slice; then every shard takes its own and works on them in its own thread; what comes out is told in the order in which frames came.
//
// Upcalls. A shard stops at one. When every shard has stopped, at an upcall or at the end of its share, the upcall of the frame that
// came first is answered, and its shard goes on until it stops again. So the pipeline, which is this thread's alone, is asked in the
// order in which frames came, as with one shard, and nothing is installed or removed in a shard that is at work.
//
// What is the same as with one shard: everything, for the pipelines that planSpread() lets spread (spread-plan.ts). Their upcalls
// change nothing that another shard's frames could see, so that it does not matter how far ahead of an upcall other shards have come.
//
// Fragments have no ports. Where connections are tracked and frames steered by their ports, the first fragment between two addresses
// brings all connections between the two into one shard, and from then on their frames are steered by the addresses alone.
import { DROP_NONE, MAX_FRAME } from "../datapath/abi.ts";
import { moveConnections } from "../datapath/conntrack-move.ts";
import { type CacheCounters, Datapath, type DatapathOptions, Verdict } from "../datapath/datapath.ts";
import type { Translation, UpcallHandler } from "../datapath/upcall.ts";
import { Flow } from "../flow/flow.ts";
import { MegaflowError } from "../lib/errors.ts";
import type { ShardKernel } from "../worker/shard-kernel.ts";
import type { ShardLoader } from "../worker/shard-pool.ts";
import { pairOfAddresses } from "../worker/steering.ts";
import { BYTES_MAX, copyFrame, FRAMES_MAX, KIND_FRAGMENT, Window } from "../worker/window.ts";
import type { FrameSink } from "./bridge.ts";
import type { SpreadPlan } from "./spread-plan.ts";

/** Address pairs whose connections have been brought together; with more, those of all pairs are. */
const GATHERED_MAX = 4096;
/** A window smaller than this is steered by one shard: waking the others would take longer. */
const SLICE_MIN = 256;

/** What a shard has done. */
export interface ShardCounts {
  packets: number;
  /** On the wire. */
  bytes: number;
  cache: CacheCounters;
}

/** A shard's part of the frames at hand. */
interface Share {
  count: number;
  bytes: number;
  /** What it has put out, and the next of it to tell. */
  outputs: number;
  next: number;
}

export class Spread {
  readonly datapaths: readonly Datapath[];
  readonly batchMax = FRAMES_MAX;
  readonly #kernels: readonly ShardKernel[];
  /** One is filled while the shards may still work on the other. */
  readonly #windows: readonly [Window, Window];
  #current: 0 | 1 = 0;
  /** Shards at work on what finish() ends. */
  #working: readonly number[] = [];
  /** Of the window that the shards work on. */
  #numbers: readonly Uint32Array[] = [];
  #pendingTally: NonNullable<FrameSink["tally"]> | null = null;
  readonly #plan: SpreadPlan;
  /** Address pairs, by their hash, that are steered by it alone; null: all are. */
  #gathered: Set<number> | null;
  readonly #counts: { packets: number; bytes: number }[];
  readonly #early: readonly EarlyOutputs[];
  readonly #shares: readonly Share[];
  #staged = 0;
  #stagedBytes = 0;
  #source: Uint8Array | null = null;
  #sourceView: DataView = new DataView(new ArrayBuffer(0));
  /** Frames of the window whose shard is known, and whether there is a fragment in it. */
  #steered = 0;
  #fragments = false;
  /** Frames before this one are in their right shards. */
  #routed = 0;
  readonly #verdict = new Verdict();

  /** `plan` must be one that spreads. */
  constructor(
    pipeline: UpcallHandler,
    plan: SpreadPlan,
    loaders: readonly ShardLoader[],
    options: DatapathOptions,
  ) {
    this.#plan = plan;
    this.#gathered = plan.by === "tuple" ? new Set() : null;
    const shards = loaders.length;
    this.#windows = [new Window(shards), new Window(shards)];
    const kernels: ShardKernel[] = [];
    this.datapaths = loaders.map((loader, i) => {
      const load: ShardLoader = (byteLength, imports) => {
        kernels[i] = loader(byteLength, imports);
        return kernels[i];
      };
      const handler = i === 0 ? pipeline : new Forgetful(pipeline);
      return new Datapath(handler, { ...options, load, batchMax: FRAMES_MAX });
    });
    this.#kernels = kernels;
    const byPair = plan.by === "pair";
    const { othersTogether } = plan;
    kernels.forEach((kernel, shard) => {
      const windows = this.#windows.map(({ buffer }) => buffer);
      kernel.join({ windows, shard, shards, byPair, othersTogether });
    });
    this.#early = loaders.map(() => new EarlyOutputs());
    this.#shares = loaders.map(() => ({ count: 0, bytes: 0, outputs: 0, next: 0 }));
    this.#counts = loaders.map(() => ({ packets: 0, bytes: 0 }));
  }

  get #window(): Window {
    return this.#windows[this.#current];
  }

  get staged(): number {
    return this.#staged;
  }

  /** By shard. */
  counts(): ShardCounts[] {
    return this.#counts.map((counts, i) => ({ ...counts, cache: this.datapaths[i]!.cacheCounters() }));
  }

  /** As Datapath.stage(). */
  stage(
    data: Uint8Array,
    offset: number,
    length: number,
    wireLength: number,
    inPort: number,
    timeMs: number,
  ): boolean {
    const n = this.#staged;
    const at = this.#stagedBytes;
    // A frame too long for the switch is dropped by its length; its bytes are not needed.
    const kept = Math.min(length, MAX_FRAME);
    if (n === FRAMES_MAX || at + kept > BYTES_MAX) return false;
    const w = this.#window;
    if (data !== this.#source) {
      this.#source = data;
      this.#sourceView = new DataView(data.buffer, data.byteOffset, data.byteLength);
    }
    copyFrame(data, this.#sourceView, offset, kept, w, at >>> 2);
    w.offset[n] = at;
    w.length[n] = kept;
    w.wireLength[n] = wireLength;
    w.inPort[n] = inPort;
    w.timeMs[n] = timeMs;
    this.#staged = n + 1;
    this.#stagedBytes = (at + kept + 3) & ~3;
    return true;
  }

  stagedTimeMs(n: number): number {
    return this.#window.timeMs[n]!;
  }

  /** The bytes of the n-th staged frame; valid until the next stage(). */
  stagedFrame(n: number): Uint8Array {
    const at = this.#window.offset[n]!;
    return this.#window.bytes.subarray(at, at + this.#window.length[n]!);
  }

  /** Begins an empty window; the other is the shards', until finish(). */
  clear(): void {
    this.#current = this.#current === 0 ? 1 : 0;
    this.#staged = 0;
    this.#stagedBytes = 0;
    this.#steered = 0;
    this.#routed = 0;
  }

  /** Works on the staged frames from `from` on, until one's time has reached `deadlineMs`; returns where it stopped. */
  receive(from: number, deadlineMs: number, sink: FrameSink): number {
    this.#steer();
    const end = this.#route(from);
    const { timeMs } = this.#window;
    let to = from;
    while (to < end && timeMs[to]! < deadlineMs) to++;
    this.#start(from, to);
    if (sink.tally === undefined) {
      this.#end();
      this.#tell(from, to, sink);
    } else {
      this.#pendingTally = sink.tally.bind(sink);
      // The last of the window: others may be staged meanwhile, for who only counts needs nothing of the window.
      if (to < this.#staged) this.finish();
    }
    return to;
  }

  /** Waits for what the shards may still work on, and has it counted. Before anything is asked of them, or done to them. */
  finish(): void {
    const tally = this.#pendingTally;
    if (tally === null) return;
    this.#pendingTally = null;
    this.#end();
    this.#tally(tally);
  }

  /** Has the shards say whose the staged frames are. */
  #steer(): void {
    if (this.#steered === this.#staged) return;
    const kernels = this.#staged < SLICE_MIN ? this.#kernels.slice(0, 1) : this.#kernels;
    const slice = Math.ceil(this.#staged / kernels.length);
    const working: number[] = [];
    this.#begin(
      kernels.map((_, i) => i),
      working,
      (kernel, i) => {
        kernel.beginSteer(
          this.#current,
          Math.min(i * slice, this.#staged),
          Math.min((i + 1) * slice, this.#staged),
        );
      },
    );
    this.#stop(working);
    this.#fragments = kernels.some((kernel) => kernel.result(0) !== 0);
    this.#steered = this.#staged;
    this.#routed = 0;
  }

  /**
   * Puts right the shards of the frames from `from` on where fragments matter, as far as that can be done; returns how far: a
   * fragment between two addresses of which there was none yet waits until all before it are done.
   */
  #route(from: number): number {
    const end = this.#staged;
    if (!this.#fragments && this.#gathered?.size === 0) return end;
    if (!this.#plan.tracks || this.#plan.by === "pair") return end;
    const { pair, kind, shard, timeMs } = this.#window;
    const count = this.datapaths.length;
    for (let n = Math.max(from, this.#routed); n < end; n++) {
      if ((kind[n]! & KIND_FRAGMENT) !== 0 && !this.#isGathered(pair[n]!)) {
        if (n > from) return n;
        this.#gather(pair[n]!, timeMs[n]!);
      }
      if (this.#isGathered(pair[n]!) && !(this.#plan.othersTogether && kind[n] === 0)) {
        shard[n] = pair[n]! % count;
      }
      this.#routed = n + 1;
    }
    return end;
  }

  #isGathered(pair: number): boolean {
    return this.#gathered === null || this.#gathered.has(pair);
  }

  /** Brings the connections between two addresses into the shard that the addresses alone lead to. No shard may be at work. */
  #gather(pair: number, nowMs: number): void {
    const gathered = this.#gathered!;
    const all = gathered.size === GATHERED_MAX;
    if (all) this.#gathered = null;
    else gathered.add(pair);
    const count = this.datapaths.length;
    this.#kernels.forEach((from, i) => {
      this.#kernels.forEach((to, j) => {
        if (i === j || (!all && pair % count !== j)) return;
        const isWanted = (src: Uint8Array, dst: Uint8Array) => {
          const its = pairOfAddresses(src, dst);
          return all ? its % count === j : its === pair;
        };
        moveConnections(from, to, isWanted, nowMs);
      });
    });
  }

  /** Starts the shards on the frames `from` to `to`. */
  #start(from: number, to: number): void {
    const { shard } = this.#window;
    // A shard without a frame among them is left alone.
    const wanted = new Set<number>();
    for (let n = from; n < to && wanted.size < this.#kernels.length; n++) wanted.add(shard[n]!);
    const working: number[] = [];
    for (const share of this.#shares) share.count = 0;
    this.#begin([...wanted], working, (kernel, i) => {
      this.datapaths[i]!.sink = this.#early[i]!;
      kernel.beginTake(this.#current, from, to);
    });
    this.#working = working;
    this.#numbers = this.#window.numbers;
  }

  /** Answers their upcalls until they have done. */
  #end(): void {
    const kernels = this.#kernels;
    const working = this.#working;
    this.#working = [];
    const asking = this.#stop(working);
    while (asking.size > 0) {
      const i = this.#first(asking);
      kernels[i]!.answer();
      kernels[i]!.proceed();
      if (!this.#stopped(i)) asking.delete(i);
    }
    for (const i of working) {
      const kernel = kernels[i]!;
      const share = this.#shares[i]!;
      this.datapaths[i]!.sink = null;
      this.datapaths[i]!.throwFailure();
      share.outputs = kernel.result(0);
      share.count = kernel.result(1);
      share.bytes = kernel.result(2);
      share.next = 0;
      this.#counts[i]!.packets += share.count;
      this.#counts[i]!.bytes += share.bytes;
    }
  }

  /** Starts something in the shards that are wanted, and notes in `working` which have; when one cannot, the others are stopped. */
  #begin(
    wanted: readonly number[],
    working: number[],
    start: (kernel: ShardKernel, i: number) => void,
  ): void {
    try {
      for (const i of wanted) {
        start(this.#kernels[i]!, i);
        working.push(i);
      }
    } catch (error) {
      this.#stop(working);
      throw error;
    }
  }

  /** Waits until all have stopped, and gives those that did at an upcall. Throws what one has failed of, when the others have stopped. */
  #stop(working: readonly number[]): Set<number> {
    const asking = new Set<number>();
    let failure: unknown = null;
    for (const i of working) {
      try {
        if (this.#stopped(i)) asking.add(i);
      } catch (error) {
        failure ??= error;
      }
    }
    if (failure !== null) throw failure;
    return asking;
  }

  /** Waits until a shard has stopped: true at an upcall, false at the end of its share. */
  #stopped(i: number): boolean {
    const kernel = this.#kernels[i]!;
    for (;;) {
      const what = kernel.pause();
      if (what !== "full") return what === "asks";
      // Its output has to be taken, which concerns nobody else.
      kernel.answer();
      kernel.proceed();
    }
  }

  /** Of the shards that wait at an upcall the one whose frame came first. */
  #first(asking: ReadonlySet<number>): number {
    let first = -1;
    let least = Number.POSITIVE_INFINITY;
    for (const i of asking) {
      const number = this.#numbers[i]![this.datapaths[i]!.frameAtWork]!;
      if (number >= least) continue;
      least = number;
      first = i;
    }
    return first;
  }

  /** Tells what became of the frames `from` to `to`, in their order. */
  #tell(from: number, to: number, sink: FrameSink): void {
    const w = this.#window;
    for (let n = from; n < to; n++) {
      const shard = w.shard[n]!;
      const datapath = this.datapaths[shard]!;
      const share = this.#shares[shard]!;
      const place = w.place[n]!;
      this.#early[shard]!.tell(place, n, sink);
      for (; share.next < share.outputs && datapath.outputFrame(share.next) === place; share.next++) {
        datapath.giveOutput(share.next, n, sink);
      }
      sink.verdict(n, datapath.verdict(place, this.#verdict));
    }
    this.#forget(sink);
  }

  /** The same to one who only counts. */
  #tally(tally: NonNullable<FrameSink["tally"]>): void {
    this.#shares.forEach(({ count, bytes }, i) => {
      if (count === 0) return;
      const drops: Verdict[] = [];
      const datapath = this.datapaths[i]!;
      for (let place = 0; place < count; place++) {
        if (datapath.dropOf(place) !== DROP_NONE) drops.push(datapath.verdict(place));
      }
      tally(count, bytes, count - drops.length, drops);
    });
    this.#forget(null);
  }

  #forget(sink: FrameSink | null): void {
    for (const early of this.#early) early.clear();
    sink?.taken?.();
  }
}

/** The pipeline as the shards ask it that must not meet what it has learned: planSpread() keeps such frames away, and this makes sure. */
class Forgetful implements UpcallHandler {
  readonly #pipeline: UpcallHandler;

  constructor(pipeline: UpcallHandler) {
    this.#pipeline = pipeline;
  }

  upcall(miss: Parameters<UpcallHandler["upcall"]>[0]): Translation {
    const translation = this.#pipeline.upcall(miss);
    if (translation.dependencies === null) return translation;
    throw new MegaflowError(
      "EUNSUPPORTED",
      "--shards: a frame has come to NORMAL by a way that the flows do not show (output to a register): use --shards 1",
    );
  }
}

type Output = Parameters<FrameSink["port"]> | Parameters<FrameSink["userspace"]>;

/** What a shard put out before its share was done, because the memory for it was full: copies, in order. */
class EarlyOutputs {
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
