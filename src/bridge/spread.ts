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
// A shard whose thread ends is replaced where there is a Revival: what it counted still counts, its connections are lost, and so are those
// frames of the window that it had been given. Until its successor is there, its further frames are lost too.
//
// Fragments have no ports. Where connections are tracked and frames steered by their ports, the first fragment between two addresses
// brings all connections between the two into one shard, and from then on their frames are steered by the addresses alone.
import { DROP_NONE, DROP_SHARD_LOST, MAX_FRAME } from "../datapath/abi.ts";
import { moveConnections } from "../datapath/conntrack-move.ts";
import {
  type CacheCounters,
  Datapath,
  type DatapathOptions,
  type ReadFrames,
  Verdict,
} from "../datapath/datapath.ts";
import type { Translation, UpcallHandler } from "../datapath/upcall.ts";
import { MegaflowError } from "../lib/errors.ts";
import { DEVICE_FRAMES_MAX } from "../port/device.ts";
import type { ShardKernel } from "../worker/shard-kernel.ts";
import type { ShardLoader } from "../worker/shard-pool.ts";
import { pairOfAddresses } from "../worker/steering.ts";
import { BYTES_MAX, copyFrame, FRAMES_MAX, KIND_FRAGMENT, Window } from "../worker/window.ts";
import type { FrameSink } from "./bridge.ts";
import { EarlyOutputs } from "./early-outputs.ts";
import { narrower, type SpreadPlan } from "./spread-plan.ts";

/** Address pairs whose connections have been brought together; with more, those of all pairs are. */
const GATHERED_MAX = 4096;
/** A window smaller than this is steered by one shard: waking the others would take longer. */
const SLICE_MIN = 256;
/** Frames wait so long for a lost shard's successor. */
const SHORT_MS = 2000;

/** What a shard has done. */
export interface ShardCounts {
  packets: number;
  /** On the wire. */
  bytes: number;
  cache: CacheCounters;
  /** Those below only of shards that are replaced when they are lost. */
  connections: number;
  /** Frames that were lost with a thread. */
  lost: number;
  /** Threads that took the place of one that was lost. */
  restarts: number;
}

/** What was lost when a shard was replaced. */
export interface ShardLoss {
  readonly shard: number;
  readonly why: string;
  readonly frames: number;
  readonly connections: number;
}

/** How a shard that is lost is replaced. */
export interface Revival {
  /** Gives it another thread, for its loader to be used again; false when there is none yet. */
  replace(shard: number): boolean;
  told(loss: ShardLoss): void;
}

/** A shard's part of the frames at hand. */
interface Share {
  count: number;
  bytes: number;
  /** Its shard was lost with it. */
  isLost: boolean;
  /** What it has put out, and the next of it to tell. */
  outputs: number;
  next: number;
}

export class Spread {
  readonly datapaths: Datapath[] = [];
  /** Called with a datapath that has taken the place of another. */
  onReplaced: ((datapath: Datapath) => void) | null = null;
  readonly batchMax = FRAMES_MAX;
  readonly #kernels: ShardKernel[] = [];
  readonly #make: (shard: number) => void;
  readonly #revival: Revival | null;
  /** One is filled while the shards may still work on the other. */
  readonly #windows: readonly [Window, Window];
  #current: 0 | 1 = 0;
  /** Shards at work on what finish() ends. */
  #working: readonly number[] = [];
  /** Of the window that the shards work on. */
  #numbers: readonly Uint32Array[] = [];
  #pendingTally: NonNullable<FrameSink["tally"]> | null = null;
  #plan: SpreadPlan;
  /** Address pairs, by their hash, that are steered by it alone; null: all are. */
  #gathered: Set<number> | null;
  readonly #counts: Omit<ShardCounts, "cache">[];
  /** Of each shard the frames lost that have not been told of. */
  readonly #untold: number[];
  #shortSinceMs: number | null = null;
  /** Frames of a device before they are in the window. */
  #slots: Uint8Array = new Uint8Array(0);
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
    revival: Revival | null = null,
  ) {
    this.#plan = plan;
    this.#revival = revival;
    this.#gathered = plan.by === "tuple" ? new Set() : null;
    const shards = loaders.length;
    this.#windows = [new Window(shards), new Window(shards)];
    this.#make = (i) => {
      let kernel: ShardKernel | null = null;
      const load: ShardLoader = (byteLength, imports) => (kernel = loaders[i]!(byteLength, imports));
      const handler = i === 0 ? pipeline : new Forgetful(pipeline);
      this.datapaths[i] = new Datapath(handler, { ...options, load, batchMax: FRAMES_MAX });
      this.#kernels[i] = kernel!;
      this.#join(i);
    };
    for (let i = 0; i < shards; i++) this.#make(i);
    this.#early = loaders.map(() => new EarlyOutputs());
    this.#shares = loaders.map(() => ({ count: 0, bytes: 0, outputs: 0, next: 0, isLost: false }));
    this.#counts = loaders.map(() => ({ packets: 0, bytes: 0, connections: 0, lost: 0, restarts: 0 }));
    this.#untold = loaders.map(() => 0);
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

  /** As Datapath.stageFrom(). */
  stageFrom(
    read: ReadFrames,
    slotSize: number,
    lengths: Uint32Array,
    inPort: number,
    timeMs: number,
  ): number {
    const stride = (slotSize + 3) & ~3;
    if (this.#slots.length < stride * DEVICE_FRAMES_MAX)
      this.#slots = new Uint8Array(stride * DEVICE_FRAMES_MAX);
    const room = Math.min(
      FRAMES_MAX - this.#staged,
      Math.floor((BYTES_MAX - this.#stagedBytes) / stride),
      lengths.length,
      DEVICE_FRAMES_MAX,
    );
    const count = read(this.#slots, 0, stride, lengths.subarray(0, room));
    for (let i = 0; i < count; i++)
      this.stage(this.#slots, i * stride, lengths[i]!, lengths[i]!, inPort, timeMs);
    return count;
  }

  /**
   * The flows are going to be others. Frames are spread as both plans allow: further than before never, even if these flows would. Where
   * that is another way, connections go to the shards that their frames will go to.
   */
  replan(wanted: SpreadPlan, nowMs: number): void {
    this.finish();
    this.mend();
    const before = this.#plan;
    const plan = narrower(before, wanted);
    this.#plan = plan;
    if (plan.by === "pair" && before.by === "tuple") this.#gather(null, nowMs);
    if (plan.by === null && before.by !== null) this.#move(0, () => true, nowMs);
    for (const [i, kernel] of this.#kernels.entries()) {
      if (kernel.isLost) continue; // its successor will be told
      this.#survives(i, () => {
        this.#join(i);
        return true;
      });
    }
  }

  /** A shard is lost and there is no thread yet to take its place: frames had better wait. Not for ever: after a while they are lost. */
  isShort(nowMs: number): boolean {
    this.mend();
    if (!this.#kernels.some((kernel) => kernel.isLost)) {
      this.#shortSinceMs = null;
      return false;
    }
    this.#shortSinceMs ??= nowMs;
    return nowMs - this.#shortSinceMs < SHORT_MS;
  }

  /** Puts others in the place of shards that are lost, as far as there are threads. */
  mend(): void {
    if (this.#revival === null) return;
    this.#kernels.forEach((kernel, i) => {
      if (kernel.isLost) this.#replace(i, this.#revival!);
    });
  }

  #replace(i: number, revival: Revival): void {
    const why = this.#kernels[i]!.failure!.message;
    const old = this.datapaths[i]!;
    try {
      if (!revival.replace(i)) return;
      // Its megaflows' memory is there still.
      old.abandon();
      this.#make(i);
      this.onReplaced?.(this.datapaths[i]!);
    } catch (error) {
      if (!(error instanceof MegaflowError && error.code === "ESHARD")) throw error;
      return; // that thread has ended too
    }
    const counts = this.#counts[i]!;
    counts.restarts++;
    revival.told({ shard: i, why, frames: this.#untold[i]!, connections: counts.connections });
    counts.connections = 0;
    this.#untold[i] = 0;
  }

  /** Tells a shard of the windows, and how their frames are steered. */
  #join(shard: number): void {
    const windows = this.#windows.map(({ buffer }) => buffer);
    const { by, othersTogether } = this.#plan;
    const shards = this.#windows[0].numbers.length;
    this.#kernels[shard]!.join({ windows, shard, shards, byPair: by === "pair", othersTogether });
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
    this.mend();
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
    if (this.#plan.by === null) {
      this.#window.shard.fill(0, 0, this.#staged);
      return;
    }
    while (this.#steered !== this.#staged) this.#trySteer();
  }

  #trySteer(): void {
    const all = this.#kernels.map((_, i) => i).filter((i) => !this.#kernels[i]!.isLost);
    const those = this.#staged < SLICE_MIN ? all.slice(0, 1) : all;
    if (those.length === 0) {
      // Whose they are does not matter: all are lost.
      this.#window.shard.fill(0, 0, this.#staged);
      this.#window.kind.fill(0, 0, this.#staged);
      this.#fragments = false;
      this.#steered = this.#staged;
      return;
    }
    const kernels = those.map((i) => this.#kernels[i]!);
    const slice = Math.ceil(this.#staged / kernels.length);
    const working: number[] = [];
    this.#begin(those, working, (kernel, i) => {
      const n = those.indexOf(i);
      kernel.beginSteer(
        this.#current,
        Math.min(n * slice, this.#staged),
        Math.min((n + 1) * slice, this.#staged),
      );
    });
    this.#stop(working);
    if (kernels.some((kernel) => kernel.isLost)) return;
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
    if (!this.#plan.tracks || this.#plan.by !== "tuple") return end;
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

  /** Brings the connections between two addresses, or (null) any, into the shard that the addresses alone lead to. No shard may be at work. */
  #gather(pair: number | null, nowMs: number): void {
    const all = pair === null || this.#gathered!.size === GATHERED_MAX;
    if (all) this.#gathered = null;
    else this.#gathered!.add(pair);
    const count = this.datapaths.length;
    if (!all) this.#move(pair % count, (its) => its === pair, nowMs);
    else for (let j = 0; j < count; j++) this.#move(j, (its) => its % count === j, nowMs);
  }

  /** Brings connections into one shard: those whose addresses, as a pair, are wanted. */
  #move(shard: number, isWanted: (pair: number) => boolean, nowMs: number): void {
    const to = this.#kernels[shard]!;
    this.#kernels.forEach((from, i) => {
      if (i === shard || from.isLost || to.isLost) return;
      moveConnections(from, to, (src, dst) => isWanted(pairOfAddresses(src, dst)), nowMs);
    });
  }

  /** Starts the shards on the frames `from` to `to`. */
  #start(from: number, to: number): void {
    const { shard } = this.#window;
    // A shard without a frame among them is left alone.
    const wanted = new Set<number>();
    for (let n = from; n < to && wanted.size < this.#kernels.length; n++) wanted.add(shard[n]!);
    const working: number[] = [];
    for (const share of this.#shares) {
      share.count = 0;
      share.outputs = 0;
      share.isLost = false;
    }
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
      if (!this.#survives(i, () => this.#goesOn(i))) asking.delete(i);
    }
    for (const i of working) {
      const kernel = kernels[i]!;
      const share = this.#shares[i]!;
      this.datapaths[i]!.sink = null;
      if (share.isLost) continue;
      this.datapaths[i]!.throwFailure();
      share.outputs = kernel.result(0);
      share.count = kernel.result(1);
      share.bytes = kernel.result(2);
      share.next = 0;
      this.#counts[i]!.connections = kernel.result(3);
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
        const begun = this.#survives(i, () => {
          start(this.#kernels[i]!, i);
          return true;
        });
        if (begun) working.push(i);
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
        if (this.#survives(i, () => this.#stopped(i))) asking.add(i);
      } catch (error) {
        failure ??= error;
      }
    }
    if (failure !== null) throw failure;
    return asking;
  }

  /** What `work` with a shard gives; false when that is lost meanwhile and may be: its frames are lost then. */
  #survives(i: number, work: () => boolean): boolean {
    try {
      return work();
    } catch (error) {
      const kernel = this.#kernels[i]!;
      if (this.#revival === null || !kernel.isLost || error !== kernel.failure) throw error;
      this.#shares[i]!.isLost = true;
      return false;
    }
  }

  #goesOn(i: number): boolean {
    this.#kernels[i]!.proceed();
    return this.#stopped(i);
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
    const { shard } = this.#window;
    if (this.#revival === null) {
      for (let n = from; n < to; n++) this.#tellFrame(n, shard[n]!, sink);
    } else {
      // Shard by shard: the frames of a flow are in order, and a device gets many at once out of one memory.
      this.#shares.forEach(({ count, isLost }, i) => {
        for (let place = 0; !isLost && place < count; place++)
          this.#tellFrame(this.#numbers[i]![place]!, i, sink);
      });
      for (let n = from; n < to; n++) if (this.#shares[shard[n]!]!.isLost) this.#tellLost(n, shard[n]!, sink);
    }
    this.#forget(sink);
  }

  #tellFrame(n: number, shard: number, sink: FrameSink): void {
    const datapath = this.datapaths[shard]!;
    const share = this.#shares[shard]!;
    const place = this.#window.place[n]!;
    this.#early[shard]!.tell(place, n, sink);
    for (; share.next < share.outputs && datapath.outputFrame(share.next) === place; share.next++) {
      datapath.giveOutput(share.next, n, sink);
    }
    sink.verdict(n, datapath.verdict(place, this.#verdict));
  }

  #tellLost(n: number, shard: number, sink: FrameSink): void {
    this.#counts[shard]!.lost++;
    this.#untold[shard]!++;
    const verdict = this.#verdict;
    verdict.outputs = 0;
    verdict.userspace = 0;
    verdict.drop = DROP_SHARD_LOST;
    verdict.info = null;
    sink.verdict(n, verdict);
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
