// learn (ovs-actions(7)): a flow made from the frame at hand.
import { Flow } from "../flow/flow.ts";
import { O_PACKET_TYPE } from "../flow/layout.ts";
import { formatMatch } from "../flow/match-text.ts";
import { formatPort } from "../flow/port-text.ts";
import { maskSubfield, readSubfield, writeSubfield } from "../flow/subfield.ts";
import type { TlvMap } from "../flow/tlv-map.ts";
import {
  type Action,
  type FlowMod,
  type LearnSpec,
  OFPP_ALL,
  OFPP_FLOOD,
  OFPP_IN_PORT,
  OFPP_LOCAL,
  OFPP_MAX,
} from "./action.ts";
import { formatActions } from "./action-text.ts";
import { isHeader, type Step } from "./compile.ts";
import type { Context } from "./context.ts";
import { BLANK_FLOW_MOD } from "./flow-mod.ts";
import { reportSubfield } from "./report.ts";

/** Loads that were learned: they never were on the wire, so a trace spells them as loads whatever the flows' version. */
const learnedLoads = new WeakSet<Action>();

export const isLearned = (action: Action): boolean => learnedLoads.has(action);

type LearnAction = Extract<Action, { type: "learn" }>;

export function translateLearn(ctx: Context, step: Step): void {
  const action = step.action as LearnAction;
  const { flow, wc } = ctx;
  for (const spec of action.specs) if (!(spec.src instanceof Uint8Array)) maskSubfield(wc, spec.src);
  if (ctx.trace !== null && !ctx.sideEffects) {
    ctx.report("warn", "suppressing side effects, so learn action ignored");
    return;
  }
  const mod = learnedFlow(action, flow);
  if (ctx.trace !== null) ctx.report("detail", describe(mod, ctx.host.tlvMap));
  const { host } = ctx;
  ctx.owner.dependsOnRules = true;
  let success = true;
  if (ctx.sideEffects) {
    success = host.mayLearn(mod, action.limit);
    if (success) (ctx.learned ??= []).push({ mod, limit: action.limit });
  } else if (!host.refreshLearned(mod, Number.NEGATIVE_INFINITY)) {
    // A cached frame would not learn it again, so none may be cached.
    ctx.cacheable = false;
  }
  if (action.resultDst !== null) {
    maskSubfield(wc, action.resultDst);
    writeSubfield(flow, action.resultDst, success ? 1n : 0n);
    if (isHeader(action.resultDst.field)) ctx.dirty = true;
    if (ctx.trace !== null) reportSubfield(ctx, action.resultDst);
  }
  if (success) (ctx.owner.learns ??= []).push((nowMs) => host.refreshLearned(mod, nowMs));
  else if (ctx.trace !== null) ctx.report("detail", "Limit exceeded, learn failed");
}

/** The flow-mod that the action makes of a frame. */
export function learnedFlow(action: LearnAction, flow: Flow): FlowMod {
  const match = { flow: new Flow(), mask: new Flow() };
  const actions: Action[] = [];
  if (action.finIdleTimeout !== 0 || action.finHardTimeout !== 0) {
    actions.push({
      type: "fin_timeout",
      idleTimeout: action.finIdleTimeout,
      hardTimeout: action.finHardTimeout,
    });
  }
  for (const spec of action.specs) {
    const value = specValue(spec, flow);
    if (spec.kind === "match") {
      writeSubfield(match.flow, spec.dst!, value);
      maskSubfield(match.mask, spec.dst!);
      // As in a match that is written down.
      if (spec.dst!.field.prereq !== "none") match.mask.setExact(O_PACKET_TYPE, 4);
    } else if (spec.kind === "load") {
      const load: Action = { type: "load", dst: spec.dst!, value };
      learnedLoads.add(load);
      actions.push(load);
    } else {
      const port = Number(value & 0xffffn);
      const sendable =
        port < OFPP_MAX ||
        port === OFPP_IN_PORT ||
        port === OFPP_FLOOD ||
        port === OFPP_LOCAL ||
        port === OFPP_ALL;
      if (value <= 0xffffn && sendable) actions.push({ type: "output", port, maxLen: 0 });
    }
  }
  return {
    ...BLANK_FLOW_MOD,
    command: "modify_strict",
    tableId: action.table,
    priority: action.priority,
    match,
    actions,
    newCookie: action.cookie,
    idleTimeout: action.idleTimeout,
    hardTimeout: action.hardTimeout,
    sendFlowRem: action.sendFlowRem,
  };
}

function specValue(spec: LearnSpec, flow: Flow): bigint {
  if (!(spec.src instanceof Uint8Array)) return readSubfield(flow, spec.src);
  let value = 0n;
  for (const b of spec.src) value = (value << 8n) | BigInt(b);
  return BigInt.asUintN(spec.bits, value);
}

/** As a trace tells it. */
function describe(mod: FlowMod, tlvMap: TlvMap): string {
  let text = `table=${mod.tableId} ${formatMatch(mod.match, null, formatPort, { tlvMap })}`.trimEnd();
  text += ` priority=${mod.priority}`;
  if (mod.newCookie !== null && mod.newCookie !== 0n) text += ` cookie=0x${mod.newCookie.toString(16)}`;
  if (mod.idleTimeout !== 0) text += ` idle=${mod.idleTimeout}`;
  if (mod.hardTimeout !== 0) text += ` hard=${mod.hardTimeout}`;
  if (mod.sendFlowRem) text += " send_flow_rem";
  return `${text} actions=${formatActions(mod.actions, "given")}`;
}
