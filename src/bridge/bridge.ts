// A bridge: ports, a pipeline and a datapath together are a switch. It runs the datapath over staged frames, lets time
// pass between them, and keeps the installed megaflows true to the tables.
import { ConntrackControl, type ConntrackSettings, policyNumbers } from "../datapath/conntrack-settings.ts";
import { type CacheCounters, Datapath, type OutputSink, Verdict } from "../datapath/datapath.ts";
import type { Kernel } from "../datapath/kernel.ts";
import { setMeter } from "../datapath/meters.ts";
import { STALE_ALL, type Stale, StaleFilter } from "../datapath/stale.ts";
import { CONNECTIONS_MAX, MEGAFLOWS_MAX } from "../datapath/start-kernel.ts";
import { Twins } from "../datapath/twins.ts";
import type { Flow } from "../flow/flow.ts";
import type { FlowMod, GroupMod, MeterMod } from "../pipeline/action.ts";
import { type FlowRemoval, flowRemoval, type RemovalReason } from "../pipeline/flow-removal.ts";
import type { Meter } from "../pipeline/meter.ts";
import { Pipeline } from "../pipeline/pipeline.ts";
import type { PortTable } from "../pipeline/port-table.ts";
import type { Rule } from "../pipeline/rule.ts";
import type { PipelineSettings } from "../pipeline/settings.ts";
import type { ShardLoader } from "../worker/shard-pool.ts";
import { type Revival, Spread } from "./spread.ts";
import type { SpreadPlan } from "./spread-plan.ts";

export type FailMode = "secure" | "standalone";

export interface BridgeOptions {
  readonly ports: PortTable;
  readonly failMode: FailMode;
  /** Of the pipeline. */
  readonly settings?: PipelineSettings;
  /** False translates every frame. */
  readonly cache?: boolean;
  readonly seed?: number;
  readonly fastParse?: boolean;
  /** Of the exact-match cache: a power of two, 0 for none. */
  readonly exactEntries?: number;
  readonly connectionsMax?: number;
  /** As DatapathOptions has it. */
  readonly arenaBytes?: number;
  readonly megaflowsMax?: number;
  /** VLAN tags that are looked at. */
  readonly vlanLimit?: number;
  readonly conntrack?: ConntrackSettings;
  /** Kernels in other threads that share the work, by a plan that spreads it; left out: one in this thread. */
  readonly shards?: {
    readonly loaders: readonly ShardLoader[];
    readonly plan: SpreadPlan;
    /** How a shard that is lost is replaced; left out: losing one is an error. */
    readonly revival?: Revival;
  };
}

/** Told what became of each frame, in the order the frames came; `frame` and `index` are places in what was staged. */
export interface FrameSink extends OutputSink {
  /** The verdict is valid during the call only. */
  verdict(index: number, verdict: Verdict): void;
  /** Of one that wants nothing but counts: takes, where that is faster, the place of port(), userspace() and verdict() for these frames. */
  readonly tally?:
    | ((packets: number, bytes: number, forwarded: number, drops: readonly Verdict[]) => void)
    | undefined;
}

/** A megaflow not used for so long goes (OVS: other_config:max-idle). */
export const MEGAFLOW_IDLE_MS = 10_000;
/** How often idle megaflows and ended connections are looked for (OVS's revalidators run as often). */
const SWEEP_INTERVAL_MS = 500;
/** How soon again while more connections have ended than one look takes: no flood is faster than 512 a millisecond. */
const SWEEP_AGAIN_MS = 1;

/** Where frames wait for the next run(): the only datapath, or the window of several shards. */
type Intake = Pick<Datapath, "stage" | "stageFrom" | "staged" | "batchMax" | "stagedFrame">;

export class Bridge {
  readonly pipeline: Pipeline;
  /** One a shard. */
  readonly datapaths: readonly Datapath[];
  /** What spreads the frames over several shards; null with one. */
  readonly spread: Spread | null = null;
  /** The megaflows of several shards; null with one. */
  readonly twins: Twins | null = null;
  readonly #intake: Intake;
  /** Limits, timeouts and flushing of connections. */
  readonly conntrack: ConntrackControl;
  /** The bridge's clock: the time of the last frame or timer, ms. */
  nowMs = 0;
  /** Told of each flow with send_flow_rem that is gone, when its last traffic has been counted. */
  onFlowRemoved: ((removal: FlowRemoval) => void) | null = null;
  /** Megaflows that no change concerned may look at other bits than they would now. */
  #unsettled = false;
  #nextSweepMs = 0;
  #nextConnectionSweepMs = 0;
  #removed: { readonly rule: Rule; readonly reason: RemovalReason; readonly nowMs: number }[] = [];
  readonly #verdict = new Verdict();

  constructor(options: BridgeOptions) {
    const { ports, failMode, exactEntries, arenaBytes, vlanLimit } = options;
    const seed = options.seed ?? 1;
    const { conntrack = {} } = options;
    const connectionsMax = options.connectionsMax ?? conntrack.max ?? CONNECTIONS_MAX;
    const megaflowsMax = options.megaflowsMax ?? MEGAFLOWS_MAX;
    const ctTimeouts = policyNumbers(conntrack);
    this.pipeline = new Pipeline({ ...options.settings, ports, failMode, seed, ctTimeouts });
    this.pipeline.onRemoved = (rule, reason, nowMs) => {
      if (rule.sendFlowRem && this.onFlowRemoved !== null) this.#removed.push({ rule, reason, nowMs });
    };
    const common = {
      cache: options.cache ?? true,
      fastParse: options.fastParse ?? true,
      seed: BigInt(seed),
      ...(exactEntries === undefined ? {} : { exactEntries }),
      ...(arenaBytes === undefined ? {} : { arenaBytes }),
      ...(vlanLimit === undefined ? {} : { vlanLimit }),
    };
    const { shards } = options;
    if (shards === undefined) {
      this.datapaths = [new Datapath(this.pipeline, { ...common, connectionsMax, megaflowsMax })];
    } else {
      const { loaders, plan } = shards;
      const share = (max: number) => Math.ceil(max / loaders.length);
      this.twins = new Twins();
      this.spread = new Spread(
        this.pipeline,
        plan,
        loaders,
        {
          ...common,
          connectionsMax: share(connectionsMax),
          megaflowsMax: share(megaflowsMax),
          twins: this.twins,
        },
        shards.revival,
      );
      this.spread.onReplaced = (datapath) => {
        this.#setUp(datapath, conntrack);
        for (const meter of this.pipeline.meters.list) setKernelMeter(datapath.kernel, meter);
      };
      this.datapaths = this.spread.datapaths;
    }
    this.#intake = this.spread ?? this.datapath;
    for (const datapath of this.datapaths) this.#setUp(datapath, conntrack);
    this.conntrack = new ConntrackControl(this.datapath.kernel);
  }

  #setUp(datapath: Datapath, conntrack: ConntrackSettings): void {
    datapath.afterUpcall = () => this.#revalidateStale();
    new ConntrackControl(datapath.kernel).apply(conntrack);
  }

  /** The only one, or the first shard's. */
  get datapath(): Datapath {
    return this.datapaths[0]!;
  }

  /** What all shards have: a megaflow of several is one. */
  get megaflowCount(): number {
    return this.twins?.size ?? this.datapath.megaflows.size;
  }

  /** Of all shards, with those that have ended since they were last swept out. */
  connectionCount(): number {
    return this.datapaths.reduce((sum, datapath) => sum + datapath.connectionCount(), 0);
  }

  /** Applies flow-mods as one bundle, all or nothing; throws MegaflowError, and nothing has changed then. */
  applyFlows(mods: readonly FlowMod[], nowMs: number): void {
    this.pushStats();
    this.pipeline.applyFlows(mods, nowMs);
    this.#revalidateStale();
  }

  /** Adds flows one after the other, as `ovs-ofctl add-flows` does: the order of a dump depends on it. Throws at the first refused. */
  addFlows(mods: readonly FlowMod[], nowMs: number): void {
    for (const mod of mods) this.applyFlows([mod], nowMs);
  }

  applyGroups(mods: readonly GroupMod[], nowMs: number): void {
    this.pushStats();
    this.pipeline.applyGroups(mods, nowMs);
    this.#revalidateStale();
  }

  applyMeters(mods: readonly MeterMod[], nowMs: number): void {
    this.pushStats();
    const kernels = this.datapaths.map((datapath) => datapath.kernel);
    const before = new Set(this.pipeline.meters.list);
    this.pipeline.applyMeters(mods, nowMs);
    const after = new Set(this.pipeline.meters.list);
    for (const meter of before) {
      if (!after.has(meter)) for (const kernel of kernels) setMeter(kernel, meter.datapathId, null);
    }
    for (const meter of after) {
      if (!before.has(meter)) for (const kernel of kernels) setKernelMeter(kernel, meter);
    }
    this.#revalidateStale();
  }

  /** A port's link is up or down: what watch_port and bonds look at. Not while frames are being worked on. */
  setPortLive(no: number, live: boolean): void {
    const port = this.pipeline.ports.get(no);
    if (port === null || port.live === live) return;
    this.pushStats();
    this.pipeline.ports.add({ ...port, live });
    this.#revalidateStale();
  }

  /** Stages a frame for the next run(), as Datapath.stage(); false when those staged have to be run first. */
  stage(
    data: Uint8Array,
    offset: number,
    length: number,
    wireLength: number,
    inPort: number,
    timeMs: number,
  ): boolean {
    return this.#intake.stage(data, offset, length, wireLength, inPort, timeMs);
  }

  /** As Datapath.stageFrom(). */
  stageFrom(...args: Parameters<Datapath["stageFrom"]>): number {
    return this.#intake.stageFrom(...args);
  }

  /** Frames staged. */
  get staged(): number {
    return this.#intake.staged;
  }

  /** Frames of a batch at most. */
  get batchMax(): number {
    return this.#intake.batchMax;
  }

  /** The bytes of the n-th staged frame, as it came in; valid until the next stage(). */
  stagedFrame(n: number): Uint8Array {
    return this.#intake.stagedFrame(n);
  }

  /** Sends the staged frames through, with every timer that falls due between them, and forgets them. */
  run(sink: FrameSink): void {
    if (this.spread === null) this.#runAlone(sink);
    else this.#runSpread(this.spread, sink);
  }

  /**
   * With several shards and a sink that only counts, run() returns while they still work on the last frames: this waits for them. What
   * is asked of the bridge itself waits; before its datapaths are asked, call it.
   */
  finish(): void {
    this.spread?.finish();
  }

  /** In the same steps of time as one shard: a timer runs before the first frame that has reached it, whichever shard has the frame. */
  #runSpread(spread: Spread, sink: FrameSink): void {
    spread.finish();
    const total = spread.staged;
    for (let from = 0; from < total; ) {
      const frameMs = spread.stagedTimeMs(from);
      if (this.#nextTimerMs() <= frameMs) this.#runTimers(frameMs);
      from = spread.receive(from, Math.max(this.#nextTimerMs(), frameMs + 1), sink);
    }
    if (total > 0) this.nowMs = Math.max(this.nowMs, spread.stagedTimeMs(total - 1));
    spread.clear();
  }

  #runAlone(sink: FrameSink): void {
    const { datapath } = this;
    const total = datapath.staged;
    let from = 0;
    datapath.sink = {
      port: (port, memory, offset, length, wireLength, frame, tunnel) =>
        sink.port(port, memory, offset, length, wireLength, from + frame, tunnel),
      userspace: (userspace, memory, offset, length, wireLength, frame, key) =>
        sink.userspace(userspace, memory, offset, length, wireLength, from + frame, key),
      taken: () => sink.taken?.(),
    };
    while (from < total) {
      const frameMs = datapath.stagedTimeMs(from);
      if (this.#nextTimerMs() <= frameMs) this.#runTimers(frameMs);
      // Timers that were due have run; the next stops the kernel, but never before this frame.
      const done = datapath.receive(from, Math.max(this.#nextTimerMs(), frameMs + 1));
      datapath.takeOutputs();
      for (let i = 0; i < done; i++) sink.verdict(from + i, datapath.verdict(i, this.#verdict));
      from += done;
    }
    if (total > 0) this.nowMs = Math.max(this.nowMs, datapath.stagedTimeMs(total - 1));
    datapath.sink = null;
    datapath.clear();
  }

  /** The clock's first reading, before flows are added. */
  begin(nowMs: number): void {
    this.pipeline.begin(nowMs);
    this.advance(nowMs);
  }

  /** Lets time pass without frames, up to `nowMs`. */
  advance(nowMs: number): void {
    this.finish();
    this.spread?.mend();
    if (this.#nextTimerMs() <= nowMs) this.#runTimers(nowMs);
    this.nowMs = Math.max(this.nowMs, nowMs);
  }

  /** Brings the flows' counters up to date: before any dump. */
  pushStats(): void {
    this.finish();
    for (const datapath of this.datapaths) datapath.pushStats();
  }

  /**
   * Takes out megaflows that would look at other bits since rules came or went that did not concern them. They do what they would do
   * now; but only when they are gone do no two megaflows overlap. Twice a second, and before megaflows are dumped.
   */
  settle(): void {
    if (!this.#unsettled) return;
    this.finish();
    this.#unsettled = false;
    this.#revalidate(STALE_ALL);
    this.#revalidateStale();
  }

  /** Of all shards together. */
  cacheCounters(): CacheCounters {
    this.finish();
    const sum = { exact: 0, megaflow: 0, upcall: 0 };
    for (const datapath of this.datapaths) {
      const { exact, megaflow, upcall } = datapath.cacheCounters();
      sum.exact += exact;
      sum.megaflow += megaflow;
      sum.upcall += upcall;
    }
    return sum;
  }

  #nextTimerMs(): number {
    return Math.min(this.#nextSweepMs, this.#nextConnectionSweepMs, this.pipeline.nextTimerMs());
  }

  /** Does what has fallen due by `nowMs`. */
  #runTimers(nowMs: number): void {
    this.nowMs = Math.max(this.nowMs, nowMs);
    if (this.pipeline.nextTimerMs() <= nowMs) {
      // A flow seems idle only because its megaflows have not reported yet.
      this.pushStats();
      this.pipeline.runTimers(nowMs);
      this.#revalidateStale();
    }
    if (this.#nextSweepMs <= nowMs) {
      for (const datapath of this.datapaths) datapath.expire(nowMs, MEGAFLOW_IDLE_MS);
      this.settle();
      this.#nextSweepMs = nowMs + SWEEP_INTERVAL_MS;
    }
    if (this.#nextConnectionSweepMs <= nowMs) {
      let more = false;
      for (const datapath of this.datapaths) more = datapath.expireConnections(nowMs) || more;
      this.#nextConnectionSweepMs = nowMs + (more ? SWEEP_AGAIN_MS : SWEEP_INTERVAL_MS);
    }
  }

  /** Translates again what a change may have made untrue, before the next frame can meet it. */
  #revalidateStale(): void {
    // Revalidation pushes statistics, which may refresh or learn flows and MACs in turn: until all is quiet.
    for (let stale = this.pipeline.takeStale(); stale !== null; stale = this.pipeline.takeStale()) {
      this.#unsettled = !stale.all && (this.#unsettled || stale.rules.length > 0);
      this.#revalidate(stale);
    }
    if (this.#removed.length > 0) this.#tellRemoved();
  }

  /** Of several shards the megaflows are taken in the order that one shard would have them in: new recirculation ids count by it. */
  #revalidate(stale: Stale): void {
    const translate = (key: Flow) => this.pipeline.revalidate(key, this.nowMs);
    if (this.twins === null) {
      this.datapath.revalidate(stale, translate);
      return;
    }
    const filter = new StaleFilter(stale);
    for (const { members } of [...this.twins.all]) {
      for (const { megaflow, datapath } of [...members])
        if (filter.concerns(megaflow, datapath.kernel)) datapath.revalidateOne(megaflow, translate);
    }
  }

  #tellRemoved(): void {
    const removed = this.#removed;
    this.#removed = [];
    for (const { rule, reason, nowMs } of removed) this.onFlowRemoved?.(flowRemoval(rule, reason, nowMs));
  }
}

function setKernelMeter(kernel: Kernel, { datapathId, mod: { unit, burst, bands } }: Meter): void {
  // Without the burst flag a bucket holds a second's worth, as in OVS.
  const kernelBands = bands.map((b) => ({ rate: b.rate, burst: burst ? b.burstSize : b.rate }));
  setMeter(kernel, datapathId, { unit, bands: kernelBands });
}
