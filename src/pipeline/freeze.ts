// Freezing: leaving the pipeline for the datapath to come back with a recirculation id, and what is kept meanwhile.

import { O_CT_ZONE, O_RECIRC_ID } from "../flow/layout.ts";
import type { Action, NatSpec } from "./action.ts";
import * as S from "./compile.ts";
import { type Context, NO_COOKIE, type PendingRecirc } from "./context.ts";
import type { FrozenState } from "./recirc.ts";

const UNROLL: Action = { type: "note", data: new Uint8Array(0) };

/** Keeps the steps from `first` on, to be done after thawing. */
export function freezeSteps(ctx: Context, steps: readonly S.Step[], first: number): void {
  for (let i = first; i < steps.length; i++) {
    const step = steps[i]!;
    switch (step.code) {
      case S.S_OUTPUT:
      case S.S_OUTPUT_REG:
      case S.S_OUTPUT_TRUNC:
      case S.S_GROUP:
      case S.S_CONTROLLER:
      case S.S_DEC_TTL:
      case S.S_DEC_MPLS_TTL:
      case S.S_DEC_NSH_TTL:
        putUnroll(ctx); // a packet-in would tell table and cookie
        break;
      case S.S_RESUBMIT:
        if (step.action.type === "resubmit" && step.action.table === null) putUnroll(ctx);
        break;
      case S.S_NOP:
        continue;
      case S.S_GOTO:
        ctx.frozenSteps.push(step.sub[0]!);
        continue;
      default:
    }
    ctx.frozenSteps.push(step);
  }
}

/** Remembers the table and cookie in force, unless they already are remembered. */
function putUnroll(ctx: Context): void {
  const last = ctx.unroll;
  if (last !== null && last.arg === ctx.tableId && last.cookie === ctx.cookie) return;
  ctx.unroll = new S.Step(S.S_UNROLL, UNROLL, { arg: ctx.tableId, cookie: ctx.cookie });
  ctx.frozenSteps.push(ctx.unroll);
}

/** Ends a frozen translation: commits, and recirculates. */
export function finishFreezing(ctx: Context): void {
  ctx.commit();
  recirculate(ctx, 0);
}

/** Recirculates the frame as it stands to `table`. */
function recirculate(ctx: Context, table: number): FrozenState {
  const state = ctx.host.recirc.allocate(
    ctx.flow,
    {
      tableId: table,
      conntracked: ctx.conntracked,
      wasMpls: ctx.wasMpls,
      stack: ctx.stack,
      actionSet: ctx.actionSet,
      steps: ctx.frozenSteps,
      userdata: ctx.pause === null ? null : ctx.pause.userdata,
      mirrored: ctx.mirrored,
    },
    ctx.nowMs,
    // With nothing new but a hash, the frame would meet the megaflow that hashes it again, and again, as it may in OVS.
    ctx.hashFirst !== null ? ctx.flow.get32(O_RECIRC_ID) : 0,
  );
  (ctx.owner.recircs ??= []).push(state);
  if (ctx.pause !== null) {
    askController(ctx, ctx.pause, state.id);
    ctx.cancelFreeze();
    return state;
  }
  if (ctx.hashFirst !== null) {
    ctx.actions.push({ type: "hash", algorithm: ctx.hashFirst.algorithm, basis: ctx.hashFirst.basis });
  }
  ctx.actions.push({ type: "recirc", id: state.id });
  ctx.sent = true;
  ctx.cancelFreeze();
  return state;
}

/** Hands the frame to a controller that is to resume it. As in OVS a trace without a frame shows nothing of it. */
function askController(ctx: Context, pause: NonNullable<Context["pause"]>, recircId: number): void {
  if (ctx.trace !== null && !ctx.sideEffects) return;
  ctx.actions.push({
    type: "userspace",
    userspace: {
      kind: "controller",
      reason: pause.reason,
      controllerId: pause.controllerId,
      maxLen: pause.maxLen,
      userdata: pause.userdata,
      tableId: ctx.tableId,
      cookie: ctx.cookie,
      recircId,
      continuation: true,
    },
  });
  ctx.sent = true;
}

/** After a ct action with a table: a clone of the frame goes on there, the frame itself with its actions here. */
export function forkAfterConntrack(ctx: Context, table: number, zone: number, nat: NatSpec | null): void {
  ctx.freezing = true;
  const state = recirculate(ctx, table);
  if (ctx.trace === null) return;
  const flow = ctx.flow.clone();
  flow.set32(O_RECIRC_ID, state.id);
  flow.set16(O_CT_ZONE, zone);
  const pending: PendingRecirc = { flow, id: state.id, nat };
  ctx.pending?.push(pending);
  ctx.report(
    "detail",
    `A clone of the packet is forked to recirculate. The forked pipeline will be resumed at table ${table}.`,
  );
}

/** Takes up a frozen state. */
export function thaw(ctx: Context, state: FrozenState): void {
  ctx.thawed = true;
  state.usedMs = ctx.nowMs;
  ctx.tableId = state.tableId;
  ctx.report("thaw", `Resuming from table ${state.tableId}`);
  ctx.mirrored = state.mirrored;
  ctx.conntracked = state.conntracked;
  if (!state.conntracked) ctx.clearConntrack();
  state.restore(ctx.flow);
  ctx.stack = state.stack.slice();
  for (const value of ctx.stack) ctx.stackBytes += value.length;
  ctx.cookie = NO_COOKIE;
}
