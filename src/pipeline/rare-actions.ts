// The actions that are off the common path: clones, the stack, MPLS, queues, mod_vlan_*, sampling, multipath and bundle.

import type { DatapathAction } from "../datapath/action.ts";
import type { Flow } from "../flow/flow.ts";
import {
  FRAG_LATER,
  KEY_SIZE,
  O_CT_IPV6_DST,
  O_CT_IPV6_SRC,
  O_CT_NW_DST,
  O_CT_NW_PROTO,
  O_CT_NW_SRC,
  O_CT_TP_SRC,
  O_DL_TYPE,
  O_IN_PORT,
  O_IPV6_DST,
  O_IPV6_SRC,
  O_MPLS_LSE0,
  O_NW_DST,
  O_NW_FRAG,
  O_NW_PROTO,
  O_NW_SRC,
  O_SKB_PRIORITY,
  O_TP_SRC,
  O_TUN_ID,
} from "../flow/layout.ts";
import { clearPresent } from "../flow/option-bits.ts";
import { maskSubfield, writeSubfield32 } from "../flow/subfield.ts";
import { type Action, OFPP_IN_PORT } from "./action.ts";
import { formatActions } from "./action-text.ts";
import { loadBits } from "./bits.ts";
import * as S from "./compile.ts";
import { type Context, X_TOO_MANY_MPLS_LABELS } from "./context.ts";
import { decrementNshTtl, translateEncap } from "./encap.ts";
import { finishFreezing } from "./freeze.ts";
import { chooseLink, chooseMember } from "./link-choice.ts";
import { countLabels, lse, MPLS_LABELS_MAX, popLabel, pushLabel, setLse } from "./mpls.ts";
import { composeOutput, translateOutput } from "./output.ts";
import { prerequisiteMet } from "./prerequisite.ts";
import { reportSubfield, reportUnmet } from "./report.ts";
import { translateActionSet, translateSteps } from "./translate.ts";
import { decrementByte } from "./ttl.ts";
import { fixTpid, setTci } from "./vlan.ts";
import { ETH_IP, isIpAny, isMplsType } from "./wildcards.ts";

/** Where tunnel fields stand in a key. */
export const TUNNEL_START = O_TUN_ID;
export const TUNNEL_END = KEY_SIZE;

/** Does one rare step. Returns true when the rest of the list is not to be done. */
export function translateRare(ctx: Context, step: S.Step, bucket: boolean): boolean {
  const { flow, wc } = ctx;
  switch (step.code) {
    case S.S_WRITE_VLAN:
      writeVlan(ctx, step);
      return false;
    case S.S_DELETE_FIELD:
      clearPresent(flow.bytes, step.arg);
      ctx.report("detail", `delete tun_metadata${step.arg}`);
      return false;
    case S.S_MOD_VLAN_VID:
      setTci(flow, wc, 0x0fff, step.arg, step.masks);
      ctx.dirty = true;
      return false;
    case S.S_MOD_VLAN_PCP:
      setTci(flow, wc, 0xe000, step.arg << 13, step.masks);
      ctx.dirty = true;
      return false;
    case S.S_MOD_TP:
      if (isIpAny(flow) && (flow.get8(O_NW_FRAG) & FRAG_LATER) === 0) {
        wc.set8(O_NW_PROTO, 0xff);
        applyWrites(ctx, step);
      } else {
        reportUnmet(ctx, step);
      }
      return false;
    case S.S_FIN_TIMEOUT: {
      const action = step.action as Extract<Action, { type: "fin_timeout" }>;
      wc.set8(O_NW_PROTO, 0xff);
      if (ctx.rule !== null) {
        (ctx.owner.finTimeouts ??= []).push({
          rule: ctx.rule,
          idle: action.idleTimeout,
          hard: action.hardTimeout,
        });
      }
      return false;
    }
    case S.S_SAMPLE: // no collector is ever configured, and then OVS does nothing either
      return false;
    case S.S_PUSH_MPLS:
      pushMpls(ctx, step.arg);
      return false;
    case S.S_POP_MPLS:
      popMpls(ctx, step.arg);
      return false;
    case S.S_SET_MPLS:
      setMpls(ctx, step);
      return false;
    case S.S_DEC_MPLS_TTL:
      return decrementMplsTtl(ctx);
    case S.S_ENCAP:
      translateEncap(ctx, step);
      return false;
    case S.S_DEC_NSH_TTL:
      return decrementNshTtl(ctx);
    case S.S_ENQUEUE:
      enqueue(ctx, step);
      return false;
    case S.S_SET_QUEUE:
      wc.setExact(O_SKB_PRIORITY, 4);
      setPriority(ctx, step.arg);
      return false;
    case S.S_POP_QUEUE:
      wc.setExact(O_SKB_PRIORITY, 4);
      if (flow.get32(O_SKB_PRIORITY) !== ctx.skbPriority) {
        setPriority(ctx, ctx.skbPriority);
        reportQueue(ctx, ctx.skbPriority);
      }
      return false;
    case S.S_MULTIPATH: {
      const action = step.action as Extract<Action, { type: "multipath" }>;
      const link = chooseLink(ctx, action);
      maskSubfield(wc, action.dst);
      writeSubfield32(flow, action.dst, link);
      if (S.isHeader(action.dst.field)) ctx.dirty = true;
      if (ctx.trace !== null) reportSubfield(ctx, action.dst);
      return false;
    }
    case S.S_BUNDLE: {
      const action = step.action as Extract<Action, { type: "bundle" }>;
      const port = chooseMember(ctx, action);
      if (action.dst === null) {
        translateOutput(ctx, port, 0, bucket);
      } else {
        maskSubfield(wc, action.dst);
        writeSubfield32(flow, action.dst, port);
        if (S.isHeader(action.dst.field)) ctx.dirty = true;
        if (ctx.trace !== null) reportSubfield(ctx, action.dst);
      }
      return false;
    }
    default:
      return false;
  }
}

/** A queue's number is its priority, as in OVS's userspace datapath. */
function setPriority(ctx: Context, priority: number): void {
  ctx.flow.set32(O_SKB_PRIORITY, priority);
  ctx.dirty = true;
}

/** To OpenFlow 1.5 it is three actions, and is traced so. */
function enqueue(ctx: Context, step: S.Step): void {
  const { flow, wc } = ctx;
  const { port, queue } = step.action as Extract<Action, { type: "enqueue" }>;
  const modern = ctx.spelling === "OpenFlow15";
  ctx.report("action", modern ? `set_queue:${queue}` : formatActions([step.action], "given"));
  wc.setExact(O_SKB_PRIORITY, 4);
  const inPort = flow.get32(O_IN_PORT);
  if (modern) ctx.report("action", formatActions([{ type: "output", port, maxLen: 0 }], ctx.spelling));
  const old = flow.get32(O_SKB_PRIORITY);
  if (port !== inPort) {
    setPriority(ctx, queue);
    composeOutput(ctx, port === OFPP_IN_PORT ? inPort : port);
    setPriority(ctx, old);
  } else if (modern) {
    ctx.report("warn", "skipping output to input port");
  }
  if (!modern) return;
  ctx.report("action", "pop_queue");
  if (old !== queue) reportQueue(ctx, old);
}

function reportQueue(ctx: Context, queue: number): void {
  ctx.report("detail", `queue = ${queue === 0 ? "0" : `0x${queue.toString(16)}`}`);
}

function applyWrites(ctx: Context, step: S.Step): void {
  const { writes } = step;
  const f = ctx.flow.words;
  const w = ctx.wc.words;
  for (let k = 0; k < writes.length; k += 3) {
    const at = writes[k]!;
    const mask = writes[k + 1]!;
    w[at]! |= mask;
    f[at] = (f[at]! & ~mask) | writes[k + 2]!;
  }
  ctx.dirty = true;
}

/** A write to the VLAN fields makes a tag where there was none. */
function writeVlan(ctx: Context, step: S.Step): void {
  if (step.prereq !== 0 && !prerequisiteMet(step.prereq, ctx.flow, ctx.wc)) {
    reportUnmet(ctx, step);
    return;
  }
  applyWrites(ctx, step);
  if (step.fieldName !== "vlan_tci") setTci(ctx.flow, ctx.wc, 0, 0, true);
  fixTpid(ctx.flow);
}

// --- clone, check_pkt_larger -------------------------------------------------------------------------------------

const IRREVERSIBLE: ReadonlySet<number> = new Set([
  S.S_CT,
  S.S_METER,
  S.S_OUTPUT_TRUNC,
  S.S_ENCAP,
  S.S_DECAP,
  S.S_DEC_NSH_TTL,
]);

/** Actions that a later commit can undo need no clone in the datapath. */
function reversible(steps: readonly S.Step[]): boolean {
  return !steps.some((s) => IRREVERSIBLE.has(s.code));
}

export function translateClone(ctx: Context, step: S.Step, last: boolean): void {
  const oldStack = ctx.stack;
  const oldStackBytes = ctx.stackBytes;
  const oldSet = ctx.actionSet;
  const oldFlow = ctx.flow.clone();
  ctx.stack = oldStack.slice();
  ctx.actionSet = oldSet.slice();
  if (reversible(step.sub) || last) {
    runToEnd(ctx, step.sub, last);
  } else {
    ctx.commit();
    const oldBase = ctx.base.clone();
    const oldWasMpls = ctx.wasMpls;
    const oldConntracked = ctx.conntracked;
    const inner = nested(ctx, () => runToEnd(ctx, step.sub, true));
    if (inner.length > 0) ctx.actions.push({ type: "clone", actions: inner });
    ctx.conntracked = oldConntracked;
    ctx.wasMpls = oldWasMpls;
    ctx.base.copyFrom(oldBase);
  }
  ctx.actionSet = oldSet;
  ctx.stack = oldStack;
  ctx.stackBytes = oldStackBytes;
  ctx.flow.copyFrom(oldFlow);
  ctx.forgetPendingHeaders();
  ctx.dirty = true;
}

/** A list of steps, then the action set, then what is frozen. */
function runToEnd(ctx: Context, steps: readonly S.Step[], last: boolean): void {
  translateSteps(ctx, steps, last, false);
  if (!ctx.freezing) translateActionSet(ctx);
  if (ctx.freezing) finishFreezing(ctx);
}

/** Collects the datapath actions of `run` apart. */
function nested(ctx: Context, run: () => void): DatapathAction[] {
  const outer = ctx.actions;
  const inner: DatapathAction[] = [];
  ctx.actions = inner;
  run();
  ctx.actions = outer;
  return inner;
}

/** check_pkt_larger: the rest of the list is translated twice, once for each answer. */
export function checkPacketLarger(ctx: Context, step: S.Step, rest: readonly S.Step[]): void {
  const oldStack = ctx.stack;
  const oldStackBytes = ctx.stackBytes;
  const oldSet = ctx.actionSet;
  ctx.stack = oldStack.slice();
  ctx.actionSet = oldSet.slice();
  const oldFlow = ctx.flow.clone();
  ctx.commit();
  const oldBase = ctx.base.clone();
  const oldWasMpls = ctx.wasMpls;
  const oldConntracked = ctx.conntracked;
  const restore = (): void => {
    ctx.base.copyFrom(oldBase);
    ctx.flow.copyFrom(oldFlow);
    ctx.wasMpls = oldWasMpls;
    ctx.conntracked = oldConntracked;
    ctx.forgetPendingHeaders();
    ctx.dirty = true;
  };

  writeSubfield32(ctx.flow, step.dst!, 1);
  const greater = nested(ctx, () => runToEnd(ctx, rest, true));
  restore();
  const oldExit = ctx.exit;
  ctx.exit = false;
  writeSubfield32(ctx.flow, step.dst!, 0);
  const lessEqual = nested(ctx, () => runToEnd(ctx, rest, true));
  ctx.actions.push({ type: "check_pkt_len", length: step.arg, greater, lessEqual });
  ctx.actionSet = oldSet;
  ctx.stack = oldStack;
  ctx.stackBytes = oldStackBytes;
  restore();
  ctx.exit = oldExit;
}

// --- the stack -----------------------------------------------------------------------------------------------------

export function push(ctx: Context, step: S.Step): void {
  maskSubfield(ctx.wc, step.src!);
  const value = loadBits(ctx.flow.bytes, step.src!);
  ctx.stack.push(value);
  ctx.stackBytes += value.length;
}

// --- MPLS ----------------------------------------------------------------------------------------------------------

function pushMpls(ctx: Context, ethertype: number): void {
  const { flow, wc } = ctx;
  const count = countLabels(flow, wc);
  if (count === 0) {
    ctx.commit();
  } else if (count >= MPLS_LABELS_MAX) {
    if (ctx.frame !== null) {
      ctx.report(
        "error",
        "dropping packet on which an MPLS push action can't be performed as it would have more MPLS LSEs than the 3 supported.",
      );
    }
    ctx.error = X_TOO_MANY_MPLS_LABELS;
    return;
  }
  pushLabel(flow, count, ethertype, wc, false);
  ctx.dirty = true;
}

function popMpls(ctx: Context, ethertype: number): void {
  const { flow, wc } = ctx;
  const count = countLabels(flow, wc);
  if (popLabel(flow, count, ethertype, wc)) {
    if (!isMplsType(ethertype)) ctx.wasMpls = true;
    ctx.dirty = true;
  } else if (count >= MPLS_LABELS_MAX) {
    if (ctx.frame !== null) {
      ctx.report(
        "error",
        "dropping packet on which an MPLS pop action can't be performed as it has more MPLS LSEs than the 3 supported.",
      );
    }
    ctx.error = X_TOO_MANY_MPLS_LABELS;
    ctx.actions = [];
  }
}

const MPLS_PARTS = { label: [0xfffff000, 12], tc: [0x00000e00, 9], ttl: [0x000000ff, 0] } as const;

function setMpls(ctx: Context, step: S.Step): void {
  const { flow, wc } = ctx;
  if (!isMplsType(flow.get16(O_DL_TYPE))) return;
  const [mask, shift] = MPLS_PARTS[(step.action as Extract<Action, { type: "set_mpls" }>).part];
  wc.set32(O_MPLS_LSE0, (wc.get32(O_MPLS_LSE0) | mask) >>> 0);
  setLse(flow, 0, ((lse(flow, 0) & ~mask) | (step.arg << shift)) >>> 0);
  ctx.dirty = true;
}

function decrementMplsTtl(ctx: Context): boolean {
  const words = "MPLS decrement TTL exception";
  if (isMplsType(ctx.flow.get16(O_DL_TYPE))) return decrementByte(ctx, O_MPLS_LSE0 + 3, [0], words);
  ctx.report("warn", words);
  return true;
}

/** After the last label is popped the inner headers are unknown until the frame has been parsed again. */
export function recircForMpls(ctx: Context, step: S.Step): void {
  if (ctx.exit) return;
  switch (step.code) {
    case S.S_OUTPUT:
    case S.S_OUTPUT_TRUNC:
    case S.S_ENQUEUE:
    case S.S_OUTPUT_REG:
    case S.S_MOD_VLAN_VID:
    case S.S_MOD_VLAN_PCP:
    case S.S_SET_QUEUE:
    case S.S_GROUP:
      return;
    case S.S_WRITE:
    case S.S_WRITE_VLAN:
      if (!writesLayer3(step)) return;
      break;
    default:
  }
  ctx.triggerFreeze();
}

/** Whether a write touches layer 3 or above; write_metadata, an instruction, counts too. */
function writesLayer3(step: S.Step): boolean {
  if (step.action.type === "write_metadata") return true;
  for (let k = 0; k < step.writes.length; k += 3) {
    const at = step.writes[k]! * 4;
    if ((at >= O_NW_SRC && at < O_NW_SRC + 16) || (at >= O_IPV6_SRC && at < O_CT_IPV6_SRC)) return true;
  }
  return false;
}

// --- resubmit(,,ct) ------------------------------------------------------------------------------------------------

/** Swaps the headers' addresses, ports and protocol with those of the connection's original direction. */
export function swapConntrackTuple(flow: Flow, wc: Flow): void {
  const ipv4 = flow.get16(O_DL_TYPE) === ETH_IP;
  for (const key of [flow, wc]) {
    swap(key, O_NW_PROTO, O_CT_NW_PROTO, 1);
    if (ipv4) {
      swap(key, O_NW_SRC, O_CT_NW_SRC, 4);
      swap(key, O_NW_DST, O_CT_NW_DST, 4);
    } else {
      swap(key, O_IPV6_SRC, O_CT_IPV6_SRC, 16);
      swap(key, O_IPV6_DST, O_CT_IPV6_DST, 16);
    }
    swap(key, O_TP_SRC, O_CT_TP_SRC, 4);
  }
}

function swap(key: Flow, a: number, b: number, length: number): void {
  const { bytes } = key;
  for (let i = 0; i < length; i++) {
    const x = bytes[a + i]!;
    bytes[a + i] = bytes[b + i]!;
    bytes[b + i] = x;
  }
}

/** The `nat(...)` of a ct action by itself. */
export function formatNat(action: Action): string {
  const { nat } = action as Extract<Action, { type: "ct" }>;
  const alone = formatActions([
    { type: "ct", commit: false, force: false, zone: 0, table: null, alg: null, nat, exec: [] },
  ]);
  return alone.slice("ct(".length, -1);
}
