// Translation (OVS: xlate): a flow key becomes datapath actions and the mask of what was looked at. The walk through the
// tables: look up, do the actions' steps, resubmit. The other files of this folder do single actions.
//
// Everything reports to an optional trace; nothing is built when nobody traces.
import { ZEROS } from "../flow/flow.ts";
import {
  FRAG_ANY,
  O_ACTSET_OUTPUT,
  O_CT_NW_PROTO,
  O_DL_DST,
  O_DL_TYPE,
  O_IN_PORT,
  O_NW_FRAG,
  O_NW_PROTO,
  O_NW_TOS,
  O_NW_TTL,
  O_RECIRC_ID,
  O_SKB_PRIORITY,
  O_TP_SRC,
  O_TUN_TOS,
} from "../flow/layout.ts";
import { formatMatch } from "../flow/match-text.ts";
import { formatPort } from "../flow/port-text.ts";
import { copySubfield, maskSubfield } from "../flow/subfield.ts";
import { type Action, OFPP_IN_PORT, OFPP_UNSET } from "./action.ts";
import { orderActionSet } from "./action-set.ts";
import { formatActions } from "./action-text.ts";
import { storeBits } from "./bits.ts";
import * as S from "./compile.ts";
import { translateConntrack } from "./conntrack.ts";
import {
  ACTIONS_MAX,
  type Context,
  DEPTH_MAX,
  RESUBMITS_MAX,
  STACK_BYTES_MAX,
  X_CONGESTION,
  X_NO_RECIRCULATION_CONTEXT,
  X_OK,
  X_RECURSION_TOO_DEEP,
  X_STACK_TOO_DEEP,
  X_TOO_MANY_RESUBMITS,
} from "./context.ts";
import { translateDecap } from "./encap.ts";
import { finishFreezing, freezeSteps, thaw } from "./freeze.ts";
import { translateGroup } from "./group-translate.ts";
import { TABLE_INTERNAL } from "./internal-table.ts";
import { isLearned, translateLearn } from "./learn.ts";
import { mirrorIngress } from "./mirror.ts";
import { sendToController, translateOutput, translateOutputReg, translateOutputTrunc } from "./output.ts";
import { maskProtocol, prerequisiteMet } from "./prerequisite.ts";
import * as rare from "./rare-actions.ts";
import { swapConntrackTuple } from "./rare-actions.ts";
import { reportSubfield, reportUnmet } from "./report.ts";
import type { Rule } from "./rule.ts";
import { forwards, isBpdu, receives } from "./spanning-tree.ts";
import { addNode } from "./trace-node.ts";
import { decrementByte } from "./ttl.ts";
import { popTag, pushTag } from "./vlan.ts";
import { ETH_IP, finishWildcards, hasTunnel, initWildcards, isIpAny, isIpType } from "./wildcards.ts";

const NO_TUNNEL = ZEROS.subarray(rare.TUNNEL_START >> 2, rare.TUNNEL_END >> 2);

/** Translates what `ctx.reset` was given. The answer is in ctx.actions, ctx.wc, ctx.owner and ctx.error. */
export function translate(ctx: Context): void {
  walk(ctx);
  if (ctx.learned !== null) {
    for (const { mod, limit } of ctx.learned) ctx.host.learn(mod, limit, ctx.nowMs);
  }
}

function walk(ctx: Context): void {
  const { flow } = ctx;
  initWildcards(ctx.wc, flow);
  ctx.base.clearWords(rare.TUNNEL_START >> 2, NO_TUNNEL); // the datapath forgets the tunnel it came from
  ctx.skbPriority = flow.get32(O_SKB_PRIORITY);
  if (ctx.trace !== null) ctx.trace = addNode(ctx.trace, "bridge", `bridge("${ctx.host.bridgeName}")`);

  let steps: readonly S.Step[] = S.NO_STEPS;
  const recircId = flow.get32(O_RECIRC_ID);
  if (recircId !== 0) {
    const resumed = resume(ctx, recircId);
    if (resumed === null) {
      fail(ctx);
      return;
    }
    steps = resumed;
  }
  if (steps.length === 0) {
    const rule = lookup(ctx, flow.get32(O_IN_PORT), ctx.tableId);
    ctx.rule = rule;
    if (ctx.trace !== null) ctx.trace = traceRule(ctx, ctx.tableId, rule);
    if (rule !== null) {
      ctx.owner.rules.push(rule);
      ctx.cookie = rule.cookie;
      steps = planOf(rule);
    } else {
      ctx.cookie = 0n;
    }
  }

  const port = ctx.host.ports.get(flow.get32(O_IN_PORT));
  if (reservedForMirror(ctx, flow.get32(O_IN_PORT))) {
    // The frame is dropped before its actions.
  } else if (congested(ctx)) {
    ctx.error = X_CONGESTION;
  } else if (recircId === 0 && ctx.host.ports.hasTree && port !== null && takenByTree(ctx)) {
    ctx.slow = "stp";
  } else if (port === null || (!port.noReceive && receives(port))) {
    mirrorIngress(ctx, flow.get32(O_IN_PORT));
    translateSteps(ctx, steps, true, false);
    if (ctx.error !== X_OK) {
      fail(ctx);
      return;
    }
    if (port !== null && !forwards(port)) {
      fail(ctx); // its addresses have been learned: that was all
    } else {
      if (!ctx.freezing) translateActionSet(ctx);
      if (ctx.freezing) finishFreezing(ctx);
    }
  }
  if (ctx.error !== X_OK) fail(ctx);
  finishWildcards(ctx.wc, flow, ctx.original);
  unwrapLastClone(ctx);
}

/** Whether the frame is for the spanning tree. */
function takenByTree(ctx: Context): boolean {
  ctx.wc.setExact(O_DL_DST, 6);
  return isBpdu(ctx.flow);
}

/** Whether the frame came in on a port that is there for mirrored frames alone; says so. */
function reservedForMirror(ctx: Context, inPort: number): boolean {
  const { mirrors, bundles } = ctx.host;
  if (mirrors.list.length === 0) return false;
  const bundle = bundles.ofPort(inPort);
  if (bundle === null || !mirrors.isOutput(bundle)) return false;
  ctx.report(
    "error",
    `dropping packet received on port ${bundle.name}, which is reserved exclusively for mirroring`,
  );
  return true;
}

/** A clone that nothing follows need not be one. */
function unwrapLastClone(ctx: Context): void {
  const { actions } = ctx;
  const last = actions[actions.length - 1];
  if (last?.type === "clone") actions.splice(-1, 1, ...last.actions);
}

/** The frame is dropped, whatever was done so far. */
function fail(ctx: Context): void {
  ctx.actions = [];
  ctx.slow = null;
  ctx.sent = false;
}

/** Takes up a frozen state; returns the steps it left, null when the state is gone. */
function resume(ctx: Context, recircId: number): readonly S.Step[] | null {
  const oldTrace = ctx.trace;
  const state = ctx.host.recirc.get(recircId);
  if (state === null) {
    ctx.report("error", `Recirculation context not found for ID ${recircId.toString(16)}`);
    ctx.error = X_NO_RECIRCULATION_CONTEXT;
    return null;
  }
  if (ctx.trace !== null) ctx.trace = addNode(ctx.trace, "thaw", "thaw");
  thaw(ctx, state);
  ctx.touched = true;
  if (state.actionSet.length > 0) {
    if (ctx.trace !== null) ctx.report("thaw", `Restoring action set: ${formatSteps(ctx, state.actionSet)}`);
    ctx.flow.set32(O_ACTSET_OUTPUT, OFPP_UNSET);
    writeActions(ctx, state.actionSet);
  }
  if (state.steps.length > 0 && ctx.trace !== null) {
    ctx.report("thaw", `Restoring actions: ${formatSteps(ctx, state.steps)}`);
  }
  ctx.trace = oldTrace;
  return state.steps;
}

/** RFC 6040: a frame that was marked on its way through a tunnel, but whose inner header does not do ECN, is dropped. */
function congested(ctx: Context): boolean {
  const { flow } = ctx;
  if ((flow.get8(O_TUN_TOS) & 3) !== 3 || !hasTunnel(flow) || !isIpAny(flow)) return false;
  if ((flow.get8(O_NW_TOS) & 3) === 0) return true;
  flow.bytes[O_NW_TOS]! |= 3;
  ctx.dirty = true;
  ctx.touched = true;
  return false;
}

/** The compiled actions of a rule. */
export function planOf(rule: Rule): readonly S.Step[] {
  const plan = rule.plan as readonly S.Step[] | null;
  return plan ?? ((rule.plan = S.compileActions(rule.actions)) as readonly S.Step[]);
}

/** Looks up table `tableId` as if the frame had come in on `inPort`. Notes who decided. */
function lookup(ctx: Context, inPort: number, tableId: number): Rule | null {
  const { flow } = ctx;
  const oldPort = flow.get32(O_IN_PORT);
  if (inPort !== oldPort) {
    flow.set32(O_IN_PORT, inPort);
    ctx.touched = true;
  }
  const ports = flow.words[O_TP_SRC >> 2]!;
  if ((flow.get8(O_NW_FRAG) & FRAG_ANY) !== 0) {
    // Fragments are matched as if they had no ports, the first one too.
    flow.words[O_TP_SRC >> 2] = 0;
    ctx.touched = true;
  }
  ctx.noteRewritten();
  const rule = ctx.host.tables.lookup(tableId, flow, ctx.wc);
  flow.words[O_TP_SRC >> 2] = ports;
  if (rule === null) {
    ctx.owner.missed ??= [];
    ctx.owner.missed.push(tableId);
  }
  if (inPort !== oldPort) flow.set32(O_IN_PORT, oldPort);
  ctx.lastTable = tableId;
  ctx.lastCookie = rule === null ? null : rule.cookie;
  return rule;
}

/** Looks up a table and does the actions found, as resubmit and goto_table do. */
export function lookupAndTranslate(
  ctx: Context,
  inPort: number,
  tableId: number,
  withCt: boolean,
  last: boolean,
): void {
  if (ctx.wasMpls) {
    ctx.triggerFreeze();
    return;
  }
  if (!roomToResubmit(ctx)) return;
  const oldTable = ctx.tableId;
  ctx.tableId = tableId;
  if (withCt) {
    if (ctx.flow.get8(O_CT_NW_PROTO) === 0 || !isIpAny(ctx.flow)) {
      ctx.report("error", "resubmit(ct) with non-tracked or non-IP packet!");
      ctx.tableId = oldTable;
      return;
    }
    swapConntrackTuple(ctx.flow, ctx.wc);
    ctx.touched = true;
  }
  const rule = tableId >= TABLE_INTERNAL ? null : lookup(ctx, inPort, tableId);
  if (withCt) swapConntrackTuple(ctx.flow, ctx.wc);

  const oldTrace = ctx.trace;
  if (ctx.trace !== null) ctx.trace = traceRule(ctx, tableId, rule);
  const oldRule = ctx.rule;
  const oldCookie = ctx.cookie;
  const deepens = tableId <= oldTable ? 1 : 0;
  ctx.resubmits++;
  ctx.depth += deepens;
  ctx.rule = rule;
  if (rule === null) {
    ctx.cookie = 0n;
    translateSteps(ctx, S.NO_STEPS, last, false);
  } else {
    ctx.owner.rules.push(rule);
    ctx.cookie = rule.cookie;
    translateSteps(ctx, planOf(rule), last, false);
  }
  ctx.cookie = oldCookie;
  ctx.rule = oldRule;
  ctx.depth -= deepens;
  ctx.trace = oldTrace;
  ctx.tableId = oldTable;
}

/** Checks the limits of one translation. */
export function roomToResubmit(ctx: Context): boolean {
  if (ctx.depth >= DEPTH_MAX) {
    ctx.report("error", `over max translation depth ${DEPTH_MAX}`);
    ctx.error = X_RECURSION_TOO_DEEP;
  } else if (ctx.resubmits >= RESUBMITS_MAX) {
    ctx.report("error", `over ${RESUBMITS_MAX} resubmit actions`);
    ctx.error = X_TOO_MANY_RESUBMITS;
  } else if (ctx.actions.length >= ACTIONS_MAX) {
    ctx.report("error", "resubmits yielded over 64 kB of actions");
    ctx.exit = true;
  } else if (ctx.stackBytes >= STACK_BYTES_MAX) {
    ctx.report("error", "resubmits yielded over 64 kB of stack");
    ctx.error = X_STACK_TOO_DEEP;
  } else {
    return true;
  }
  return false;
}

function traceRule(ctx: Context, tableId: number, rule: Rule | null) {
  let text = `${String(tableId).padStart(2)}. `;
  if (rule === null) {
    text += "No match.";
  } else {
    const match = formatMatch(rule.match, null, formatPort, ctx.host);
    if (match !== "") text += `${match}, `;
    text += `priority ${rule.priority}`;
    if (rule.cookie !== 0n) text += `, cookie 0x${rule.cookie.toString(16)}`;
  }
  return addNode(ctx.trace!, "table", text);
}

function formatSteps(ctx: Context, steps: readonly S.Step[]): string {
  return steps
    .map((s) =>
      s.code === S.S_UNROLL
        ? `unroll_xlate(table=${s.arg}, cookie=${s.cookie})`
        : s.code === S.S_NAT
          ? rare.formatNat(s.action)
          : formatActions([s.action], isLearned(s.action) ? "given" : ctx.spelling),
    )
    .join(",");
}

/** Does a list of steps. `last`: nothing follows the list. `bucket`: it is a group bucket's. */
export function translateSteps(ctx: Context, steps: readonly S.Step[], last: boolean, bucket: boolean): void {
  const count = steps.length;
  if (count === 0) {
    ctx.report("action", "drop");
    return;
  }
  const { flow, wc } = ctx;
  for (let i = 0; i < count; i++) {
    if (ctx.error !== X_OK) return;
    const step = steps[i]!;
    if (step.touches) ctx.touched = true;
    if (ctx.wasMpls) rare.recircForMpls(ctx, step);
    if (ctx.exit) {
      if (ctx.freezing) freezeSteps(ctx, steps, i);
      return;
    }
    if (ctx.trace !== null && step.code !== S.S_ENQUEUE) ctx.report("action", formatSteps(ctx, [step]));
    const isLast = last && i === count - 1 && ctx.actionSet.length === 0;

    switch (step.code) {
      case S.S_WRITE:
        write(ctx, step);
        break;
      case S.S_RESUBMIT: {
        const action = step.action as Extract<Action, { type: "resubmit" }>;
        const inPort = step.arg === OFPP_IN_PORT ? flow.get32(O_IN_PORT) : step.arg;
        lookupAndTranslate(ctx, inPort, action.table ?? ctx.tableId, action.withCt, isLast);
        continue; // what it froze must not be done again after thawing
      }
      case S.S_GOTO:
        lookupAndTranslate(ctx, flow.get32(O_IN_PORT), step.arg, false, isLast);
        continue;
      case S.S_OUTPUT:
        translateOutput(ctx, step.arg, (step.action as Extract<Action, { type: "output" }>).maxLen, bucket);
        break;
      case S.S_OUTPUT_REG:
        translateOutputReg(
          ctx,
          step.src!,
          (step.action as Extract<Action, { type: "output_reg" }>).maxLen,
          bucket,
        );
        break;
      case S.S_MOVE:
        move(ctx, step);
        break;
      case S.S_DEC_TTL:
        if (decrementTtl(ctx, step)) return;
        break;
      case S.S_CT:
        translateConntrack(ctx, step, isLast);
        break;
      case S.S_NOP:
        if (step.action.type === "conjunction") ctx.report("error", "executing no-op conjunction action");
        break;
      case S.S_GROUP:
        if (translateGroup(ctx, step.arg, isLast)) return;
        break;
      case S.S_METER: {
        const meter = ctx.host.meters.get(step.arg);
        if (meter !== null) ctx.actions.push({ type: "meter", id: meter.datapathId });
        break;
      }
      case S.S_LEARN:
        translateLearn(ctx, step);
        break;
      case S.S_CONTROLLER:
        if ((step.action as Extract<Action, { type: "controller" }>).pause) {
          ctx.pause = step.action as Extract<Action, { type: "controller" }>;
          ctx.triggerFreeze();
          continue; // what follows waits for the controller
        }
        sendToController(ctx, step.action as Extract<Action, { type: "controller" }>);
        break;
      case S.S_CLONE:
        rare.translateClone(ctx, step, isLast);
        break;
      case S.S_PUSH_VLAN:
        pushTag(flow, wc, step.arg);
        ctx.dirty = true;
        break;
      case S.S_STRIP_VLAN:
        if (popTag(flow, wc) === 1) ctx.poppedTag = true;
        ctx.dirty = true;
        break;
      case S.S_PUSH:
        rare.push(ctx, step);
        break;
      case S.S_POP:
        pop(ctx, step);
        break;
      case S.S_EXIT:
        ctx.exit = true;
        break;
      case S.S_DECAP:
        translateDecap(ctx, step);
        continue; // what it froze goes on after it
      case S.S_CT_CLEAR:
        if (ctx.conntracked) {
          ctx.clearConntrack();
          ctx.actions.push({ type: "ct_clear" });
        }
        break;
      case S.S_WRITE_ACTIONS:
        writeActions(ctx, step.sub);
        reportActionSet(ctx, "is");
        break;
      case S.S_CLEAR_ACTIONS:
        reportActionSet(ctx, "was");
        ctx.actionSet = [];
        flow.set32(O_ACTSET_OUTPUT, OFPP_UNSET);
        ctx.actionSetHasGroup = false;
        break;
      case S.S_CHECK_PKT_LARGER:
        rare.checkPacketLarger(ctx, step, steps.slice(i + 1));
        return;
      case S.S_OUTPUT_TRUNC:
        translateOutputTrunc(
          ctx,
          step.arg,
          (step.action as Extract<Action, { type: "output_trunc" }>).maxLen,
          bucket,
        );
        break;
      case S.S_NAT:
        ctx.nat = (step.action as Extract<Action, { type: "ct" | "nat" }>).nat;
        break;
      case S.S_UNROLL:
        ctx.tableId = step.arg;
        ctx.cookie = step.cookie;
        if (ctx.trace !== null) {
          ctx.report("thaw", `restored state: table=${step.arg}, cookie=${hexCookie(step.cookie)}`);
        }
        break;
      default:
        if (rare.translateRare(ctx, step, bucket)) return;
    }
    if (ctx.error === X_OK && ctx.exit && ctx.frozenSteps.length === 0) {
      freezeSteps(ctx, steps, i);
      return;
    }
  }
}

function hexCookie(cookie: bigint): string {
  return cookie === 0n ? "0" : `0x${cookie.toString(16)}`;
}

/** set_field, load, and most of mod_*. */
function write(ctx: Context, step: S.Step): void {
  const { flow, wc } = ctx;
  if (step.prereq !== 0 && !prerequisiteMet(step.prereq, flow, wc)) {
    reportUnmet(ctx, step);
    return;
  }
  const { writes } = step;
  const f = flow.words;
  if (step.masks) {
    const w = wc.words;
    for (let k = 0; k < writes.length; k += 3) {
      const at = writes[k]!;
      const mask = writes[k + 1]!;
      w[at]! |= mask;
      f[at] = (f[at]! & ~mask) | writes[k + 2]!;
    }
  } else {
    for (let k = 0; k < writes.length; k += 3) {
      const at = writes[k]!;
      f[at] = (f[at]! & ~writes[k + 1]!) | writes[k + 2]!;
    }
  }
  if (step.protocol !== 0) maskProtocol(step.protocol, flow, wc);
  if (step.header) ctx.dirty = true;
}

function move(ctx: Context, step: S.Step): void {
  const { flow, wc } = ctx;
  const src = step.src!;
  const dst = step.dst!;
  if (prerequisiteMet(step.dstPrereq, flow, wc) && prerequisiteMet(step.prereq, flow, wc)) {
    if (step.bytes !== null) {
      S.moveBytes(step.bytes, flow, wc);
    } else {
      maskSubfield(wc, dst);
      maskSubfield(wc, src);
      copySubfield(flow, src, flow, dst);
    }
    if (step.header) ctx.dirty = true;
  }
  if (ctx.trace !== null) reportSubfield(ctx, dst);
}

function pop(ctx: Context, step: S.Step): void {
  const value = ctx.stack.pop();
  if (value === undefined) {
    ctx.report("error", "stack underflow");
    return;
  }
  ctx.stackBytes -= value.length;
  const dst = step.dst!;
  maskSubfield(ctx.wc, dst);
  storeBits(ctx.flow.bytes, dst, value);
  if (step.protocol !== 0) maskProtocol(step.protocol, ctx.flow, ctx.wc);
  if (step.header) ctx.dirty = true;
  if (ctx.trace !== null) reportSubfield(ctx, dst);
}

/** Returns true when the TTL expired: the rest of the list is not done. */
function decrementTtl(ctx: Context, step: S.Step): boolean {
  const { flow, wc } = ctx;
  const type = flow.get16(O_DL_TYPE);
  wc.set8(O_NW_TTL, 0xff);
  if (!isIpType(type)) return false;
  wc.set8(O_NW_PROTO, 0xff);
  const ids = (step.action as Extract<Action, { type: "dec_ttl" }>).ids ?? [0];
  return decrementByte(ctx, O_NW_TTL, ids, `IPv${type === ETH_IP ? 4 : 6} decrement TTL exception`);
}

/** Adds to the action set, and keeps actset_output. */
export function writeActions(ctx: Context, steps: readonly S.Step[]): void {
  if (!ctx.actionSetHasGroup) {
    for (const step of steps) {
      if (step.code === S.S_OUTPUT) {
        ctx.flow.set32(O_ACTSET_OUTPUT, step.arg);
      } else if (step.code === S.S_GROUP) {
        ctx.flow.set32(O_ACTSET_OUTPUT, OFPP_UNSET);
        ctx.actionSetHasGroup = true;
        break;
      }
    }
  }
  ctx.actionSet.push(...steps);
}

function reportActionSet(ctx: Context, verb: string): void {
  if (ctx.trace === null) return;
  const list = orderActionSet(ctx.actionSet);
  ctx.report(
    "detail",
    list.length === 0 ? `action set ${verb} empty` : `action set ${verb}: ${formatSteps(ctx, list)}`,
  );
}

/** Executes the action set, at the end of the pipeline. */
export function translateActionSet(ctx: Context): void {
  if (ctx.actionSet.length === 0) return;
  const list = orderActionSet(ctx.actionSet);
  ctx.actionSet = [];
  if (list.length === 0) return;
  ctx.inActionSet = true;
  const oldTrace = ctx.trace;
  if (ctx.trace !== null) ctx.trace = addNode(ctx.trace, "table", "--. Executing action set:");
  translateSteps(ctx, list, true, false);
  ctx.trace = oldTrace;
  ctx.inActionSet = false;
}
