// Frames spread over shards: a window of frames is dealt out by steering (worker/steering.ts), every shard works on its share in its
// own thread, and what comes out is told in the order in which the frames came.
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
import { moveConnections } from "../datapath/conntrack-move.ts";
import { type CacheCounters, Datapath, type DatapathOptions, Verdict } from "../datapath/datapath.ts";
import type { KernelLoader, RemoteKernel } from "../datapath/kernel.ts";
import type { Translation, UpcallHandler } from "../datapath/upcall.ts";
import { Flow } from "../flow/flow.ts";
import { MegaflowError } from "../lib/errors.ts";
import { pairOfAddresses, Steering } from "../worker/steering.ts";
import type { FrameSink } from "./bridge.ts";
import type { SpreadPlan } from "./spread-plan.ts";

/** Frames of a shard's share of a window at most: many, because starting and stopping the shards takes some 20 us a window. */
export const SHARE_MAX = 8192;
/** Address pairs whose connections have been brought together; with more, those of all pairs are. */
const GATHERED_MAX = 4096;

/** What a shard has done. */
export interface ShardCounts {
  packets: number;
  /** On the wire. */
  bytes: number;
  cache: CacheCounters;
}

/** A shard's part of the frames at hand: the first of them that is its own, how many are, and what they have put out. */
interface Share {
  from: number;
  count: number;
  outputs: number;
  /** The next output to tell. */
  next: number;
}

export class Spread {
  readonly datapaths: readonly Datapath[];
  readonly batchMax: number;
  readonly #kernels: readonly RemoteKernel[];
  readonly #plan: SpreadPlan;
  readonly #steering = new Steering();
  /** Address pairs, by their hash, that are steered by it alone; null: all are. */
  #gathered: Set<number> | null;
  readonly #counts: { packets: number; bytes: number }[];
  readonly #early: readonly EarlyOutputs[];
  readonly #shares: readonly Share[];
  #staged = 0;
  /** Of each frame staged: its shard, its place among those of the shard, its length. */
  readonly #shard: Uint8Array;
  readonly #place: Uint16Array;
  readonly #wireLength: Uint32Array;
  /** By shard and place: the number of the frame. */
  readonly #numbers: readonly Uint32Array[];
  readonly #verdict = new Verdict();

  /** `plan` must be one that spreads. */
  constructor(
    pipeline: UpcallHandler,
    plan: SpreadPlan,
    loaders: readonly KernelLoader[],
    options: DatapathOptions,
  ) {
    this.#plan = plan;
    this.#gathered = plan.by === "tuple" ? new Set() : null;
    this.batchMax = loaders.length * SHARE_MAX;
    this.datapaths = loaders.map((load, i) => {
      const handler = i === 0 ? pipeline : new Forgetful(pipeline);
      return new Datapath(handler, { ...options, load, batchMax: SHARE_MAX });
    });
    // The loaders give nothing else.
    this.#kernels = this.datapaths.map((datapath) => datapath.kernel as RemoteKernel);
    this.#early = loaders.map(() => new EarlyOutputs());
    this.#shares = loaders.map(() => ({ from: 0, count: 0, outputs: 0, next: 0 }));
    this.#counts = loaders.map(() => ({ packets: 0, bytes: 0 }));
    this.#shard = new Uint8Array(this.batchMax);
    this.#place = new Uint16Array(this.batchMax);
    this.#wireLength = new Uint32Array(this.batchMax);
    this.#numbers = loaders.map(() => new Uint32Array(SHARE_MAX));
  }

  get staged(): number {
    return this.#staged;
  }

  /** By shard. */
  counts(): ShardCounts[] {
    return this.#counts.map((counts, i) => ({ ...counts, cache: this.datapaths[i]!.cacheCounters() }));
  }

  /** As Datapath.stage(); false when those staged have to be worked on first. */
  stage(
    data: Uint8Array,
    offset: number,
    length: number,
    wireLength: number,
    inPort: number,
    timeMs: number,
  ): boolean {
    const steering = this.#steering;
    steering.look(data, offset, length);
    if (steering.isFragment && this.#plan.tracks && !this.#isGathered(steering.pair)) {
      if (this.#staged > 0) return false;
      this.#gather(steering.pair, timeMs);
    }
    const shard = this.#shardOf(steering);
    const datapath = this.datapaths[shard]!;
    if (!datapath.stage(data, offset, length, wireLength, inPort, timeMs)) return false;
    const n = this.#staged++;
    const place = datapath.staged - 1;
    this.#shard[n] = shard;
    this.#place[n] = place;
    this.#numbers[shard]![place] = n;
    this.#wireLength[n] = wireLength;
    return true;
  }

  /** The shard of the connections between two addresses of 4 or 16 bytes, were they steered by these alone. */
  #shardOf({ isIp, pair, tuple }: Steering): number {
    if (!isIp && this.#plan.othersTogether) return 0;
    return (this.#isGathered(pair) ? pair : tuple) % this.datapaths.length;
  }

  #isGathered(pair: number): boolean {
    const gathered = this.#gathered;
    return gathered === null || (gathered.size > 0 && gathered.has(pair));
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

  stagedTimeMs(n: number): number {
    return this.datapaths[this.#shard[n]!]!.stagedTimeMs(this.#place[n]!);
  }

  /** The bytes of the n-th staged frame; valid until the next stage(). */
  stagedFrame(n: number): Uint8Array {
    return this.datapaths[this.#shard[n]!]!.stagedFrame(this.#place[n]!);
  }

  clear(): void {
    this.#staged = 0;
    for (const datapath of this.datapaths) datapath.clear();
  }

  /** Works on the staged frames from `from` on, until one's time has reached `deadlineMs`; returns where it stopped. */
  receive(from: number, deadlineMs: number, sink: FrameSink): number {
    for (const share of this.#shares) share.count = 0;
    let to = from;
    for (; to < this.#staged && this.stagedTimeMs(to) < deadlineMs; to++) {
      const share = this.#shares[this.#shard[to]!]!;
      if (share.count++ === 0) share.from = this.#place[to]!;
    }
    this.#work();
    this.#tell(from, to, sink);
    return to;
  }

  #work(): void {
    const kernels = this.#kernels;
    const working: number[] = [];
    try {
      this.#shares.forEach(({ from, count }, i) => {
        if (count === 0) return;
        this.datapaths[i]!.sink = this.#early[i]!;
        this.datapaths[i]!.beginReceive(kernels[i]!, from, count);
        working.push(i);
      });
    } catch (error) {
      this.#stop(working);
      throw error;
    }
    const asking = this.#stop(working);
    while (asking.size > 0) {
      const i = this.#first(asking);
      kernels[i]!.answer();
      kernels[i]!.proceed();
      if (!this.#stopped(i)) asking.delete(i);
    }
    for (const i of working) {
      this.#shares[i]!.outputs = this.datapaths[i]!.endReceive(kernels[i]!);
      this.#shares[i]!.next = 0;
      this.datapaths[i]!.sink = null;
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
      const number = this.#numbers[i]![this.#shares[i]!.from + this.datapaths[i]!.frameAtWork]!;
      if (number >= least) continue;
      least = number;
      first = i;
    }
    return first;
  }

  /** Tells what became of the frames `from` to `to`, in their order. */
  #tell(from: number, to: number, sink: FrameSink): void {
    for (let n = from; n < to; n++) {
      const shard = this.#shard[n]!;
      const datapath = this.datapaths[shard]!;
      const share = this.#shares[shard]!;
      const place = this.#place[n]! - share.from;
      this.#early[shard]!.tell(place, n, sink);
      for (; share.next < share.outputs && datapath.outputFrame(share.next) === place; share.next++) {
        datapath.giveOutput(share.next, n, sink);
      }
      sink.verdict(n, datapath.verdict(place, this.#verdict));
      const counts = this.#counts[shard]!;
      counts.packets++;
      counts.bytes += this.#wireLength[n]!;
    }
    for (const early of this.#early) early.clear();
    sink.taken?.();
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
