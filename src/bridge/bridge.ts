// A bridge: ports, a pipeline and a datapath together are a switch. It runs the datapath over staged frames, lets time
// pass between them, and keeps the installed megaflows true to the tables.
import { ConntrackControl, type ConntrackSettings, policyNumbers } from "../datapath/conntrack-settings.ts";
import { type CacheCounters, Datapath, type OutputSink, Verdict } from "../datapath/datapath.ts";
import { setMeter } from "../datapath/meters.ts";
import type { FlowMod, GroupMod, MeterMod } from "../pipeline/action.ts";
import { type FlowRemoval, flowRemoval, type RemovalReason } from "../pipeline/flow-removal.ts";
import { Pipeline, STALE_ALL } from "../pipeline/pipeline.ts";
import type { PortTable } from "../pipeline/port-table.ts";
import type { Rule } from "../pipeline/rule.ts";
import type { PipelineSettings } from "../pipeline/settings.ts";

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
}

/** Told what became of each frame, in the order the frames came; `frame` and `index` are places in what was staged. */
export interface FrameSink extends OutputSink {
  /** The verdict is valid during the call only. */
  verdict(index: number, verdict: Verdict): void;
}

/** A megaflow not used for so long goes (OVS: other_config:max-idle). */
export const MEGAFLOW_IDLE_MS = 10_000;
/** How often idle megaflows and ended connections are looked for (OVS's revalidators run as often). */
const SWEEP_INTERVAL_MS = 500;

export class Bridge {
  readonly pipeline: Pipeline;
  readonly datapath: Datapath;
  /** Limits, timeouts and flushing of connections. */
  readonly conntrack: ConntrackControl;
  /** The bridge's clock: the time of the last frame or timer, ms. */
  nowMs = 0;
  /** Told of each flow with send_flow_rem that is gone, when its last traffic has been counted. */
  onFlowRemoved: ((removal: FlowRemoval) => void) | null = null;
  #nextSweepMs = 0;
  #removed: { readonly rule: Rule; readonly reason: RemovalReason; readonly nowMs: number }[] = [];
  readonly #verdict = new Verdict();

  constructor(options: BridgeOptions) {
    const { ports, failMode, exactEntries, connectionsMax, arenaBytes, megaflowsMax, vlanLimit } = options;
    const seed = options.seed ?? 1;
    const { conntrack = {} } = options;
    const ctTimeouts = policyNumbers(conntrack);
    this.pipeline = new Pipeline({ ...options.settings, ports, failMode, seed, ctTimeouts });
    this.pipeline.onRemoved = (rule, reason, nowMs) => {
      if (rule.sendFlowRem && this.onFlowRemoved !== null) this.#removed.push({ rule, reason, nowMs });
    };
    this.datapath = new Datapath(this.pipeline, {
      cache: options.cache ?? true,
      fastParse: options.fastParse ?? true,
      seed: BigInt(seed),
      ...(exactEntries === undefined ? {} : { exactEntries }),
      ...(connectionsMax === undefined ? {} : { connectionsMax }),
      ...(arenaBytes === undefined ? {} : { arenaBytes }),
      ...(megaflowsMax === undefined ? {} : { megaflowsMax }),
      ...(vlanLimit === undefined ? {} : { vlanLimit }),
    });
    this.datapath.afterUpcall = () => this.#revalidateStale();
    this.conntrack = new ConntrackControl(this.datapath.kernel);
    this.conntrack.apply(conntrack);
  }

  /** Applies flow-mods as one bundle, all or nothing; throws MegaflowError, and nothing has changed then. */
  applyFlows(mods: readonly FlowMod[], nowMs: number): void {
    this.datapath.pushStats();
    this.pipeline.applyFlows(mods, nowMs);
    this.#revalidateStale();
  }

  /** Adds flows one after the other, as `ovs-ofctl add-flows` does: the order of a dump depends on it. Throws at the first refused. */
  addFlows(mods: readonly FlowMod[], nowMs: number): void {
    for (const mod of mods) this.applyFlows([mod], nowMs);
  }

  applyGroups(mods: readonly GroupMod[], nowMs: number): void {
    this.datapath.pushStats();
    this.pipeline.applyGroups(mods, nowMs);
    this.#revalidateStale();
  }

  applyMeters(mods: readonly MeterMod[], nowMs: number): void {
    this.datapath.pushStats();
    const { kernel } = this.datapath;
    const before = new Set(this.pipeline.meters.list);
    this.pipeline.applyMeters(mods, nowMs);
    const after = new Set(this.pipeline.meters.list);
    for (const meter of before) if (!after.has(meter)) setMeter(kernel, meter.datapathId, null);
    for (const meter of after) {
      const { unit, burst, bands } = meter.mod;
      // Without the burst flag a bucket holds a second's worth, as in OVS.
      const kernelBands = bands.map((b) => ({ rate: b.rate, burst: burst ? b.burstSize : b.rate }));
      if (!before.has(meter)) setMeter(kernel, meter.datapathId, { unit, bands: kernelBands });
    }
    this.#revalidateStale();
  }

  /** A port's link is up or down: what watch_port and bonds look at. Not while frames are being worked on. */
  setPortLive(no: number, live: boolean): void {
    const port = this.pipeline.ports.get(no);
    if (port === null || port.live === live) return;
    this.datapath.pushStats();
    this.pipeline.ports.add({ ...port, live });
    this.#revalidateStale();
  }

  /** Sends the staged frames through, with every timer that falls due between them, and forgets them. */
  run(sink: FrameSink): void {
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

  /** Lets time pass without frames, up to `nowMs`. */
  advance(nowMs: number): void {
    if (this.#nextTimerMs() <= nowMs) this.#runTimers(nowMs);
    this.nowMs = Math.max(this.nowMs, nowMs);
  }

  /** Brings the flows' counters up to date: before any dump. */
  pushStats(): void {
    this.datapath.pushStats();
  }

  cacheCounters(): CacheCounters {
    return this.datapath.cacheCounters();
  }

  #nextTimerMs(): number {
    return Math.min(this.#nextSweepMs, this.pipeline.nextTimerMs());
  }

  /** Does what has fallen due by `nowMs`. */
  #runTimers(nowMs: number): void {
    this.nowMs = Math.max(this.nowMs, nowMs);
    if (this.pipeline.nextTimerMs() <= nowMs) {
      // A flow seems idle only because its megaflows have not reported yet.
      this.datapath.pushStats();
      this.pipeline.runTimers(nowMs);
      this.#revalidateStale();
    }
    if (this.#nextSweepMs <= nowMs) {
      this.datapath.expire(nowMs, MEGAFLOW_IDLE_MS);
      this.datapath.expireConnections(nowMs);
      this.#nextSweepMs = nowMs + SWEEP_INTERVAL_MS;
    }
  }

  /** Translates again what a change may have made untrue, before the next frame can meet it. */
  #revalidateStale(): void {
    // Revalidation pushes statistics, which may refresh or learn flows and MACs in turn: until all is quiet.
    for (let stale = this.pipeline.takeStale(); stale !== null; stale = this.pipeline.takeStale()) {
      this.datapath.revalidate(stale === STALE_ALL ? null : stale, (key) =>
        this.pipeline.revalidate(key, this.nowMs),
      );
    }
    if (this.#removed.length > 0) this.#tellRemoved();
  }
  #tellRemoved(): void {
    const removed = this.#removed;
    this.#removed = [];
    for (const { rule, reason, nowMs } of removed) this.onFlowRemoved?.(flowRemoval(rule, reason, nowMs));
  }
}
