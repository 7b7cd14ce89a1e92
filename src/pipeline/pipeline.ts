// The slow path's outside: tables, groups, meters, MAC learning and the translator over them, as the datapath (upcalls)
// and the bridge (changes, time, revalidation, traces) use it.
import { STALE_ALL, type Stale } from "../datapath/stale.ts";
import type { DropInfo, Miss, Translation, UpcallHandler } from "../datapath/upcall.ts";
import type { Flow } from "../flow/flow.ts";
import { O_NW_PROTO, O_RECIRC_ID, O_TCP_FLAGS } from "../flow/layout.ts";
import { isPresent } from "../flow/option-bits.ts";
import { TlvMap, type TlvMapping } from "../flow/tlv-map.ts";
import { MegaflowError } from "../lib/errors.ts";
import { type FlowMod, type GroupMod, type MeterMod, OFPP_NORMAL } from "./action.ts";
import { usesOption } from "./action-options.ts";
import { BundleTable } from "./bundle.ts";
import { Context, FAILURES, type Host, X_OK } from "./context.ts";
import { BLANK_FLOW_MOD } from "./flow-mod.ts";
import type { RemovalReason } from "./flow-removal.ts";
import { GROUP_ALL, GroupTable } from "./group.ts";
import { MacTable } from "./mac-table.ts";
import { METER_ALL, MeterTable } from "./meter.ts";
import { MirrorTable } from "./mirror.ts";
import { TCP_FIN_RST } from "./owner.ts";
import type { PortTable } from "./port-table.ts";
import { RecircTable } from "./recirc.ts";
import type { Rule } from "./rule.ts";
import type { PipelineSettings } from "./settings.ts";
import { SnoopingTable } from "./snooping.ts";
import { checkSupported } from "./support.ts";
import { Tables } from "./tables.ts";
import { type TraceRequest, traceFlow } from "./trace.ts";
import { translate } from "./translate.ts";
import { finishWildcards, installableWildcards, isIpAny, PROTO_ICMPV6, PROTO_TCP } from "./wildcards.ts";

export type FailMode = "secure" | "standalone";

export interface PipelineOptions extends PipelineSettings {
  readonly ports: PortTable;
  readonly failMode: FailMode;
  /** Of hashes that may differ from run to run. */
  readonly seed: number;
  /** Named in traces. */
  readonly bridgeName?: string;
}

export class Pipeline implements UpcallHandler, Host {
  readonly ports: PortTable;
  readonly bundles: BundleTable;
  readonly mirrors: MirrorTable;
  readonly tables: Tables;
  readonly groups = new GroupTable();
  readonly meters = new MeterTable();
  readonly macs: MacTable;
  /** Null when snooping is off. */
  readonly snooping: SnoopingTable | null;
  readonly recirc = new RecircTable();
  readonly tlvMap: TlvMap;
  readonly settings: PipelineSettings;
  readonly bridgeName: string;
  readonly seed: number;
  readonly #ctx: Context;
  #staleVersion = 0;
  /** Told of each flow that is gone, before its last traffic is counted. */
  onRemoved: ((rule: Rule, reason: RemovalReason, nowMs: number) => void) | null = null;

  constructor(options: PipelineOptions) {
    this.ports = options.ports;
    this.bundles = new BundleTable(options.ports, options.bonds);
    this.snooping = options.snooping === undefined ? null : new SnoopingTable(options.snooping, this.bundles);
    this.mirrors = new MirrorTable(options.mirrors);
    this.bridgeName = options.bridgeName ?? "br0";
    this.tlvMap = options.tlvMap ?? new TlvMap();
    this.seed = options.seed;
    this.settings = options;
    this.macs = new MacTable(options.macAgingMs, options.macTableSize);
    this.tables = new Tables({
      checkActions: (mod) => checkSupported(mod.actions, this.groups, this.meters),
      onRemoved: (rule, reason, nowMs) => this.onRemoved?.(rule, reason, nowMs),
      ...(options.flowTables === undefined ? {} : { flowTables: options.flowTables }),
    });
    this.#ctx = new Context(this);
    if (options.failMode === "standalone") this.tables.apply([normalFlow()], 0);
    this.takeStale();
  }

  /** The clock's first reading: the flow that a standalone bridge is made with is as old as that. */
  begin(nowMs: number): void {
    for (const rule of this.tables.rules()) {
      rule.createdMs = nowMs;
      rule.modifiedMs = nowMs;
      rule.usedMs = nowMs;
    }
  }

  /** Applies flow-mods, all or none. Throws MegaflowError: OVS's error name, or EUNSUPPORTED. */
  applyFlows(mods: readonly FlowMod[], nowMs: number): void {
    this.tables.apply(mods, nowMs);
  }

  /** Applies group-mods in order; those before a bad one stay. Flows that use a deleted group go with it. */
  applyGroups(mods: readonly GroupMod[], nowMs: number): void {
    for (const mod of mods) {
      for (const bucket of mod.buckets) checkSupported(bucket.actions, null, null);
      const all = mod.groupId === GROUP_ALL;
      const gone = all ? this.groups.list.map((group) => group.mod.groupId) : [mod.groupId];
      this.groups.apply([mod], nowMs);
      if (mod.command !== "delete") continue;
      for (const id of gone) this.tables.removeGroup(id, nowMs);
    }
  }

  /** Adds tunnel options to the map (`ovs-ofctl add-tlv-map`), all or none. Throws ETEXT: NXTTMFC_*. */
  addTlvMappings(mappings: readonly TlvMapping[]): void {
    this.tlvMap.add(mappings);
  }

  /** Takes tunnel options out of the map (`ovs-ofctl del-tlv-map`), all or none; all there are for null. Throws ETEXT when a flow or group needs one. */
  deleteTlvMappings(mappings: readonly TlvMapping[] | null): void {
    this.tlvMap.delete(mappings ?? this.tlvMap.list, (field) => this.#isOptionInUse(field.option));
  }

  #isOptionInUse(index: number): boolean {
    for (const rule of this.tables.rules()) {
      if (isPresent(rule.match.mask.bytes, index) || usesOption(rule.actions, index)) return true;
    }
    return this.groups.list.some(({ mod }) => mod.buckets.some(({ actions }) => usesOption(actions, index)));
  }

  /** Applies meter-mods in order; those before a bad one stay. Flows that use a deleted meter go with it. */
  applyMeters(mods: readonly MeterMod[], nowMs: number): void {
    for (const mod of mods) {
      const all = mod.meterId === METER_ALL;
      const gone = all ? this.meters.list.map((meter) => meter.mod.meterId) : [mod.meterId];
      this.meters.apply([mod], nowMs);
      if (mod.command !== "delete") continue;
      for (const id of gone) this.tables.removeMeter(id, nowMs);
    }
  }

  /** Translates a frame that missed, with side effects: it learns MACs and flows. Traffic is counted by the owner. */
  upcall(miss: Miss): Translation {
    const ctx = this.#ctx;
    ctx.reset(miss.flow, miss.nowMs, null);
    ctx.source = miss;
    ctx.wireLen = miss.wireLen;
    ctx.sideEffects = true;
    translate(ctx);
    return this.#answer(ctx);
  }

  /** The translation that a key would get now, without side effects; null when its recirculation is forgotten. */
  revalidate(key: Flow, nowMs: number): Translation | null {
    const recircId = key.get32(O_RECIRC_ID);
    if (recircId !== 0 && this.recirc.get(recircId) === null) return null;
    const ctx = this.#ctx;
    ctx.reset(key, nowMs, null);
    translate(ctx);
    return this.#answer(ctx);
  }

  #answer(ctx: Context): Translation {
    if (ctx.error !== X_OK) finishWildcards(ctx.wc, ctx.flow, ctx.original);
    installableWildcards(ctx.wc, ctx.original);
    if (ctx.owner.finTimeouts !== null) tellFins(ctx);
    const reason = ctx.sent ? null : FAILURES[ctx.error]!.drop;
    const drop: DropInfo = { reason, table: ctx.lastTable, cookie: ctx.lastCookie };
    const { actions, wc, owner, cacheable } = ctx;
    return { actions, wildcards: wc, owner, dependencies: owner.facts, drop, cacheable };
  }

  /** What has changed since the last call; null for nothing. */
  takeStale(): Stale | null {
    const version = this.groups.version + this.meters.version + this.ports.version;
    const facts = union(this.macs.takeChanged(), this.snooping?.takeChanged() ?? null);
    const rules = this.tables.takeChanged();
    if (version !== this.#staleVersion || rules === null) {
      this.#staleVersion = version;
      return STALE_ALL;
    }
    if (facts === null && rules.length === 0) return null;
    return { all: false, facts, rules };
  }

  /** When runTimers has something to do; Infinity when never. */
  nextTimerMs(): number {
    const learned = Math.min(this.macs.nextExpiryMs(), this.snooping?.nextExpiryMs() ?? Infinity);
    return Math.min(this.tables.nextExpiryMs(), learned);
  }

  /** Expires flows, learned MACs and multicast groups. */
  runTimers(nowMs: number): void {
    this.tables.expire(nowMs);
    this.macs.expire(nowMs);
    this.snooping?.expire(nowMs);
  }

  /** The text of `ofproto/trace` for a flow. */
  trace(request: TraceRequest): string {
    return traceFlow(this.#ctx, request);
  }

  mayLearn(mod: FlowMod, limit: number): boolean {
    if (limit === 0) return true;
    // A flow that would only be changed counts too, were it only that a FIN has shortened its timeouts.
    const old = this.#learned(mod);
    const same = old !== null && old.idleTimeout === mod.idleTimeout && old.hardTimeout === mod.hardTimeout;
    return same || this.#learnedCount(mod) < limit;
  }

  learn(mod: FlowMod, limit: number, nowMs: number): void {
    if (!this.mayLearn(mod, limit) || this.refreshLearned(mod, nowMs)) return;
    try {
      this.tables.learn(mod, nowMs);
    } catch (error) {
      if (!(error instanceof MegaflowError)) throw error; // the flow does not fit: OVS logs it and goes on
    }
  }

  refreshLearned(mod: FlowMod, nowMs: number): boolean {
    const old = this.#learned(mod);
    if (old === null) return false;
    if (nowMs > old.modifiedMs) old.modifiedMs = nowMs;
    return true;
  }

  /** The flow as it would be learned, null when there is none or another. */
  #learned(mod: FlowMod): Rule | null {
    const old = this.tables.find(mod.tableId, mod.match, mod.priority);
    const same =
      old !== null && old.cookie === (mod.newCookie ?? 0n) && sameActions(old.actions, mod.actions);
    return same ? old : null;
  }

  /** How many flows of the table have the learned flow's cookie. */
  #learnedCount(mod: FlowMod): number {
    let count = 0;
    for (const rule of this.tables.rulesOfCookie(mod.newCookie ?? 0n))
      if (rule.tableId === mod.tableId) count++;
    return count;
  }
}

/**
 * A FIN or RST shortens timeouts at once, not when its megaflow's counters are next looked at: each is an upcall. A neighbour
 * message's option type stands in the same place, and does the same, as in OVS.
 */
function tellFins(ctx: Context): void {
  const { original, wc } = ctx;
  const proto = isIpAny(original) ? original.get8(O_NW_PROTO) : 0;
  if (proto !== PROTO_TCP && proto !== PROTO_ICMPV6) return;
  wc.set16(O_TCP_FLAGS, wc.get16(O_TCP_FLAGS) | TCP_FIN_RST);
  if ((original.get16(O_TCP_FLAGS) & TCP_FIN_RST) !== 0) ctx.cacheable = false;
}

function union(a: ReadonlySet<string> | null, b: ReadonlySet<string> | null): ReadonlySet<string> | null {
  return a === null || b === null ? (a ?? b) : new Set([...a, ...b]);
}

function sameActions(a: FlowMod["actions"], b: FlowMod["actions"]): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  return a.every((x, i) => {
    const y = b[i]!;
    if (x.type === "load" && y.type === "load") {
      return (
        x.value === y.value &&
        x.dst.field === y.dst.field &&
        x.dst.ofs === y.dst.ofs &&
        x.dst.bits === y.dst.bits
      );
    }
    if (x.type === "output" && y.type === "output") return x.port === y.port;
    if (x.type === "fin_timeout" && y.type === "fin_timeout") {
      return x.idleTimeout === y.idleTimeout && x.hardTimeout === y.hardTimeout;
    }
    return false;
  });
}

/** The flow that a bridge without a controller begins with. */
function normalFlow(): FlowMod {
  return { ...BLANK_FLOW_MOD, actions: [{ type: "output", port: OFPP_NORMAL, maxLen: 0 }] };
}
