// The ct action (ovs-actions(7)): what is pending is committed, the exec actions fill in mark and label, and a table
// forks the frame. After it the frame counts as untracked here; only the fork knows what conntrack said.
import type { DatapathAction } from "../datapath/action.ts";
import type { Subfield } from "../flow/field.ts";
import { O_CT_LABEL, O_CT_MARK } from "../flow/layout.ts";
import { maskSubfield, readSubfield32 } from "../flow/subfield.ts";
import type { Action } from "./action.ts";
import type { Step } from "./compile.ts";
import type { Context } from "./context.ts";
import { forkAfterConntrack } from "./freeze.ts";
import { translateSteps } from "./translate.ts";

type CtAction = Extract<Action, { type: "ct" }>;

const LABEL_WORD = O_CT_LABEL >> 2;

export function translateConntrack(ctx: Context, step: Step, last: boolean): void {
  const action = step.action as CtAction;
  const { flow, wc } = ctx;
  let zone = step.arg;
  if (step.src !== null) {
    zone = readSubfield32(flow, step.src) & 0xffff;
    maskSubfield(wc, step.src); // metadata among the masks is cleared at the end
  }
  ctx.commit();

  // The masks of mark and label say, for the length of the exec actions, what these wrote.
  const oldMarkMask = wc.get32(O_CT_MARK);
  wc.set32(O_CT_MARK, 0);
  const w = wc.words;
  const l0 = w[LABEL_WORD]!;
  const l1 = w[LABEL_WORD + 1]!;
  const l2 = w[LABEL_WORD + 2]!;
  const l3 = w[LABEL_WORD + 3]!;
  w.fill(0, LABEL_WORD, LABEL_WORD + 4);
  ctx.nat = null;
  translateSteps(ctx, step.sub, last, false);
  const nat = ctx.nat;

  const markMask = wc.get32(O_CT_MARK);
  const labelSet = (w[LABEL_WORD]! | w[LABEL_WORD + 1]! | w[LABEL_WORD + 2]! | w[LABEL_WORD + 3]!) !== 0;
  const timeout = action.commit ? ctx.host.settings.ctTimeouts?.get(zone) : undefined;
  const made: DatapathAction = {
    type: "ct",
    commit: action.commit,
    force: action.commit && action.force,
    zone,
    mark: markMask === 0 ? null : { value: (flow.get32(O_CT_MARK) & markMask) >>> 0, mask: markMask },
    label: labelSet ? labelOf(ctx) : null,
    nat,
    alg: action.alg,
    ...(timeout === undefined ? {} : { timeout }),
  };
  ctx.actions.push(made);
  wc.set32(O_CT_MARK, oldMarkMask);
  w[LABEL_WORD] = l0;
  w[LABEL_WORD + 1] = l1;
  w[LABEL_WORD + 2] = l2;
  w[LABEL_WORD + 3] = l3;
  // OVS forgets that the actions looked at these.
  if (ctx.conntracked)
    for (const { src } of step.sub) if (src !== null && isCtValue(src)) maskSubfield(wc, src);

  if (action.table !== null) {
    ctx.conntracked = true;
    forkAfterConntrack(ctx, action.table, zone, nat);
  }
  ctx.nat = null;
  ctx.clearConntrack();
  ctx.report("detail", "Sets the packet to an untracked state, and clears all the conntrack fields.");
}

function isCtValue({ field }: Subfield): boolean {
  return field.offset === O_CT_MARK || (field.offset >= O_CT_LABEL && field.offset < O_CT_LABEL + 16);
}

function labelOf(ctx: Context): { value: Uint8Array; mask: Uint8Array } {
  const mask = ctx.wc.bytes.slice(O_CT_LABEL, O_CT_LABEL + 16);
  const value = ctx.flow.bytes.slice(O_CT_LABEL, O_CT_LABEL + 16);
  for (let i = 0; i < 16; i++) value[i]! &= mask[i]!;
  return { value, mask };
}
