// The state of one translation. There is one Context per pipeline, made ready anew for every frame, so that a translation
// in the common path creates its answer and nothing else.
import type { DatapathAction } from "../datapath/action.ts";
import { Flow, KEY_WORDS } from "../flow/flow.ts";
import {
  O_ACTSET_OUTPUT,
  O_CT_IPV6_SRC,
  O_CT_LABEL,
  O_CT_MARK,
  O_CT_NW_SRC,
  O_CT_STATE,
  O_CT_TP_SRC,
  O_DL_TYPE,
} from "../flow/layout.ts";
import type { TlvMap } from "../flow/tlv-map.ts";
import type { Action, FlowMod, NatSpec } from "./action.ts";
import { OFPP_UNSET } from "./action.ts";
import type { Spelling } from "./action-text.ts";
import type { BundleTable } from "./bundle.ts";
import { commitActions } from "./commit.ts";
import type { Step } from "./compile.ts";
import type { PendingHeaders } from "./encap.ts";
import type { GroupTable } from "./group.ts";
import type { MacTable } from "./mac-table.ts";
import type { MeterTable } from "./meter.ts";
import type { MirrorTable } from "./mirror.ts";
import { Owner } from "./owner.ts";
import type { PortTable } from "./port-table.ts";
import type { RecircTable } from "./recirc.ts";
import type { Rule } from "./rule.ts";
import type { PipelineSettings } from "./settings.ts";
import type { SnoopingTable } from "./snooping.ts";
import type { Tables } from "./tables.ts";
import { addNode, type TraceKind, type TraceNode } from "./trace-node.ts";
import { ETH_IPV6 } from "./wildcards.ts";

/** Limits of one translation (DESIGN section 7). */
export const DEPTH_MAX = 64;
export const RESUBMITS_MAX = 4096;
/** 64 kB of datapath actions in OVS's encoding, where an output takes 8 bytes. */
export const ACTIONS_MAX = 8192;
export const STACK_BYTES_MAX = 65_536;

// Why a translation failed.
export const X_OK = 0;
export const X_RECURSION_TOO_DEEP = 1;
export const X_TOO_MANY_RESUBMITS = 2;
export const X_STACK_TOO_DEEP = 3;
export const X_NO_RECIRCULATION_CONTEXT = 4;
export const X_TOO_MANY_MPLS_LABELS = 5;
export const X_CONGESTION = 6;
export const X_UNSUPPORTED_PACKET_TYPE = 7;

/** Per X_*: OVS's name for the drop, and its words in a trace. */
export const FAILURES: readonly { readonly drop: string; readonly text: string }[] = [
  { drop: "drop_action_of_pipeline", text: "OK" },
  { drop: "drop_action_recursion_too_deep", text: "Recursion too deep" },
  { drop: "drop_action_too_many_resubmit", text: "Too many resubmits" },
  { drop: "drop_action_stack_too_deep", text: "Stack too deep" },
  { drop: "drop_action_no_recirculation_context", text: "No recirculation context" },
  { drop: "drop_action_too_many_mpls_labels", text: "Too many MPLS labels" },
  { drop: "drop_action_congestion", text: "Congestion Drop" },
  { drop: "drop_action_unsupported_packet_type", text: "Unsupported packet type" },
];

/** What a translation reads and changes outside itself. */
export interface Host {
  readonly tables: Tables;
  readonly groups: GroupTable;
  readonly meters: MeterTable;
  readonly macs: MacTable;
  /** Null when snooping is off. */
  readonly snooping: SnoopingTable | null;
  readonly ports: PortTable;
  readonly bundles: BundleTable;
  readonly mirrors: MirrorTable;
  readonly recirc: RecircTable;
  readonly tlvMap: TlvMap;
  readonly bridgeName: string;
  readonly settings: PipelineSettings;
  /** Whether a flow may be learned: false when a limit forbids it. */
  mayLearn(mod: FlowMod, limit: number): boolean;
  /** Adds a learned flow, or keeps the one that is there fresh, if it may. */
  learn(mod: FlowMod, limit: number, nowMs: number): void;
  /** Keeps a learned flow fresh. False when it is not there, or not as learned. */
  refreshLearned(mod: FlowMod, nowMs: number): boolean;
}

export interface FrameSource {
  readonly frame: Uint8Array;
}

/** A recirculation that a trace has still to follow. */
export interface PendingRecirc {
  readonly flow: Flow;
  readonly id: number;
  /** Of a ct action, which the trace simulates; null otherwise. */
  readonly nat: NatSpec | null;
}

/** An action that OVS's datapath has not, or a frame of the spanning tree's. */
export type SlowPath = "action" | "stp";

export class Context implements PendingHeaders {
  readonly host: Host;
  /** The flow as the actions leave it. */
  readonly flow = new Flow();
  /** The flow as the frame stands after the datapath actions so far. */
  readonly base = new Flow();
  /** The flow as the datapath gave it. */
  original: Flow = this.base;
  readonly wc = new Flow();
  actions: DatapathAction[] = [];
  owner!: Owner;

  /** Where to find the frame; null when there is none. */
  source: FrameSource | null = null;
  wireLen = 0;
  nowMs = 0;
  sideEffects = false;
  /** Where to report; null when nobody traces. */
  trace: TraceNode[] | null = null;
  pending: PendingRecirc[] | null = null;
  /** How a trace spells actions. */
  spelling: Spelling = "given";

  tableId = 0;
  rule: Rule | null = null;
  cookie = NO_COOKIE;
  /** The last table looked up, and what it found: who decided when the frame goes nowhere. */
  lastTable = 0;
  lastCookie: bigint | null = null;

  depth = 0;
  resubmits = 0;
  exit = false;
  error = X_OK;
  /** Why OVS would handle the frame in its slow path; null when it would not. */
  slow: SlowPath | null = null;
  cacheable = true;
  thawed = false;
  /** A header was written since the last commit. */
  dirty = false;
  /** Some of the key may have been written since a table was last asked. */
  touched = false;
  pendingEncap = false;
  pendingDecap = false;
  encapData: Uint8Array = NO_DATA;
  poppedTag = false;
  /** Some action sends the frame somewhere. */
  sent = false;

  freezing = false;
  /** A controller(pause), for whose answer the rest waits. */
  pause: Extract<Action, { type: "controller" }> | null = null;
  hashFirst: { readonly algorithm: "l4" | "sym_l4"; readonly basis: number } | null = null;
  frozenSteps: Step[] = [];
  unroll: Step | null = null;

  /** Bits of the mirrors (mirror.ts) that the frame need not go to any more. */
  mirrored = 0;
  /** The next outputs are copies, cut to so many bytes; 0 for whole. */
  mirrorSnaplen = 0;

  conntracked = false;
  wasMpls = false;
  nat: NatSpec | null = null;
  skbPriority = 0;

  /** Flows learned on the way: like all changes they hold from the next frame on. */
  learned: { readonly mod: FlowMod; readonly limit: number }[] | null = null;

  stack: Uint8Array[] = [];
  stackBytes = 0;
  actionSet: Step[] = [];
  actionSetHasGroup = false;
  inActionSet = false;

  constructor(host: Host) {
    this.host = host;
  }

  /** Makes ready for another frame. */
  reset(original: Flow, nowMs: number, trace: TraceNode[] | null): void {
    this.original = original;
    this.flow.copyFrom(original);
    this.flow.set32(O_ACTSET_OUTPUT, OFPP_UNSET);
    this.base.copyFrom(this.flow);
    this.wc.clear();
    this.actions = [];
    this.owner = new Owner(this.host.tables);
    this.source = null;
    this.wireLen = 0;
    this.nowMs = nowMs;
    this.sideEffects = false;
    this.trace = trace;
    this.pending = null;
    this.tableId = 0;
    this.rule = null;
    this.cookie = NO_COOKIE;
    this.lastTable = 0;
    this.lastCookie = null;
    this.depth = 0;
    this.resubmits = 0;
    this.exit = false;
    this.error = X_OK;
    this.slow = null;
    this.cacheable = true;
    this.thawed = false;
    this.dirty = false;
    this.touched = false;
    this.forgetPendingHeaders();
    this.poppedTag = false;
    this.sent = false;
    this.freezing = false;
    this.pause = null;
    this.hashFirst = null;
    if (this.frozenSteps.length > 0) this.frozenSteps = [];
    this.unroll = null;
    this.mirrored = 0;
    this.mirrorSnaplen = 0;
    this.conntracked = false;
    this.wasMpls = false;
    this.nat = null;
    this.learned = null;
    this.stack = [];
    this.stackBytes = 0;
    if (this.actionSet.length > 0) this.actionSet = [];
    this.actionSetHasGroup = false;
    this.inActionSet = false;
  }

  /** The frame's bytes; a view that is made only when asked for. */
  get frame(): Uint8Array | null {
    return this.source === null ? null : this.source.frame;
  }

  /** Reports to the trace. Callers that have to build a text look at `trace` first. */
  report(kind: TraceKind, text: string): void {
    if (this.trace !== null) addNode(this.trace, kind, text);
  }

  /** The translation holds as long as this fact does: takeStale names it when it changes. */
  dependOn(fact: string): void {
    this.owner.facts ??= [];
    this.owner.facts.push(fact);
  }

  /** A table is about to be asked: notes which of the key's words it will see other than the frame has them. */
  noteRewritten(): void {
    if (!this.touched) return;
    this.touched = false;
    const { flow, original, owner } = this;
    for (let i = 0; i < KEY_WORDS; i++) {
      if (flow.words[i] === original.words[i] || owner.rewritten?.includes(i)) continue;
      owner.rewritten ??= [];
      owner.rewritten.push(i);
    }
  }

  /** Brings the frame in line with the flow. */
  commit(): void {
    if (!this.dirty) return;
    this.dirty = false;
    if (commitActions(this.flow, this.base, this.wc, this, this.actions)) this.slow = "action";
    this.forgetPendingHeaders();
    this.poppedTag = false;
  }

  /** The flow is as it was before its outermost header changed, or that is committed. */
  forgetPendingHeaders(): void {
    this.pendingEncap = false;
    this.pendingDecap = false;
    this.encapData = NO_DATA;
  }

  /** The translation ends here and goes on after a recirculation. */
  triggerFreeze(): void {
    this.exit = true;
    this.freezing = true;
  }

  cancelFreeze(): void {
    this.freezing = false;
    this.pause = null;
    this.hashFirst = null;
    this.frozenSteps = [];
    this.unroll = null;
  }

  /** Makes the frame untracked. */
  clearConntrack(): void {
    this.conntracked = false;
    clearConntrackFields(this.flow);
  }
}

const NO_DATA = new Uint8Array(0);

/** OVS's cookie for "no rule yet". */
export const NO_COOKIE = 0xffffffffffffffffn;

export function clearConntrackFields(flow: Flow): void {
  const w = flow.words;
  w[O_CT_STATE >> 2] = 0;
  w[O_CT_MARK >> 2] = 0;
  w[O_CT_NW_SRC >> 2] = 0;
  w[(O_CT_NW_SRC >> 2) + 1] = 0;
  w[O_CT_TP_SRC >> 2] = 0;
  w.fill(0, O_CT_LABEL >> 2, (O_CT_LABEL >> 2) + 4);
  if (flow.get16(O_DL_TYPE) === ETH_IPV6) w.fill(0, O_CT_IPV6_SRC >> 2, (O_CT_IPV6_SRC >> 2) + 8);
}
