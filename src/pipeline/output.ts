// Output of every kind: to a port, to all, to a controller.

import type { Subfield } from "../flow/field.ts";
import { O_IN_PORT, O_PACKET_TYPE } from "../flow/layout.ts";
import { maskSubfield, readSubfield32 } from "../flow/subfield.ts";
import {
  OFPP_ALL,
  OFPP_CONTROLLER,
  OFPP_FLOOD,
  OFPP_IN_PORT,
  OFPP_NONE,
  OFPP_NORMAL,
  OFPP_TABLE,
} from "./action.ts";
import type { Context } from "./context.ts";
import { METER_CONTROLLER } from "./meter.ts";
import { mirrorEgress } from "./mirror.ts";
import { translateNormal } from "./normal.ts";
import { whyNotSent } from "./spanning-tree.ts";
import { lookupAndTranslate } from "./translate.ts";
import { commitTunnel } from "./tunnel-output.ts";

/** Sends the frame as it stands to a port that must exist. */
export function composeOutput(ctx: Context, portNo: number): void {
  const port = ctx.host.ports.get(portNo);
  if (port === null) {
    ctx.report("warn", "Nonexistent output port");
    return;
  }
  if (port.noForward) {
    ctx.report("detail", "OFPPC_NO_FWD set, skipping output");
    return;
  }
  if (port.protected && ctx.host.ports.get(ctx.flow.get32(O_IN_PORT))?.protected) {
    ctx.report("warn", "Flow is between protected ports, skipping output.");
    return;
  }
  const blocked = whyNotSent(port);
  if (blocked !== null) {
    ctx.report("warn", blocked);
    return;
  }
  if (ctx.flow.get32(O_PACKET_TYPE) !== 0) {
    ctx.report("warn", "Trying to send non-Ethernet packet through legacy L2 port. Dropping packet.");
    return;
  }
  if (port.tunnel !== null && !commitTunnel(ctx, port.tunnel)) return;
  ctx.commit();
  if (ctx.mirrorSnaplen !== 0) ctx.actions.push({ type: "trunc", maxLen: ctx.mirrorSnaplen });
  ctx.actions.push({ type: "output", port: portNo });
  ctx.sent = true;
  mirrorEgress(ctx, portNo);
}

/** The output action. `mayPacketIn` and `bucket` choose what OVS would tell a controller. */
export function translateOutput(ctx: Context, portNo: number, maxLen: number, bucket: boolean): void {
  switch (portNo) {
    case OFPP_IN_PORT:
      composeOutput(ctx, ctx.flow.get32(O_IN_PORT));
      return;
    case OFPP_TABLE:
      lookupAndTranslate(ctx, ctx.flow.get32(O_IN_PORT), 0, false, false);
      return;
    case OFPP_NORMAL:
      translateNormal(ctx);
      return;
    case OFPP_FLOOD:
      flood(ctx, false);
      return;
    case OFPP_ALL:
      flood(ctx, true);
      return;
    case OFPP_CONTROLLER:
      sendToController(ctx, {
        reason: bucket ? "group" : ctx.inActionSet ? "action_set" : "action",
        controllerId: 0,
        maxLen,
        userdata: NO_BYTES,
        meterId: null,
      });
      return;
    case OFPP_NONE:
      return;
    default:
      if (portNo === ctx.flow.get32(O_IN_PORT)) ctx.report("warn", "skipping output to input port");
      else composeOutput(ctx, portNo);
  }
}

export function translateOutputReg(ctx: Context, src: Subfield, maxLen: number, bucket: boolean): void {
  const port = src.bits <= 32 ? readSubfield32(ctx.flow, src) : 0x10000;
  if (port > 0xffff) {
    ctx.report("warn", `output port ${port} is out of range`);
    return;
  }
  if (ctx.trace !== null) ctx.report("detail", `output port is ${port}`);
  maskSubfield(ctx.wc, src);
  translateOutput(ctx, port, maxLen, bucket);
}

/** output(port=..,max_len=..): the frame is cut for this output alone. */
export function translateOutputTrunc(ctx: Context, portNo: number, maxLen: number, bucket: boolean): void {
  switch (portNo) {
    case OFPP_TABLE:
    case OFPP_NORMAL:
    case OFPP_FLOOD:
    case OFPP_ALL:
    case OFPP_CONTROLLER:
    case OFPP_NONE:
      ctx.report("warn", `output_trunc does not support port: ${PORT_NAMES[portNo]}`);
      return;
    default:
  }
  if (portNo === ctx.flow.get32(O_IN_PORT)) {
    ctx.report("warn", "skipping output to input port");
  } else if (portNo === OFPP_IN_PORT || ctx.host.ports.get(portNo) === null) {
    ctx.report("error", `output_trunc does not support patch port ${PORT_NAMES[portNo] ?? portNo}`);
  } else {
    ctx.actions.push({ type: "trunc", maxLen });
    translateOutput(ctx, portNo, 0, bucket);
  }
}

const PORT_NAMES: Readonly<Record<number, string>> = {
  [OFPP_TABLE]: "TABLE",
  [OFPP_NORMAL]: "NORMAL",
  [OFPP_FLOOD]: "FLOOD",
  [OFPP_ALL]: "ALL",
  [OFPP_CONTROLLER]: "CONTROLLER",
  [OFPP_NONE]: "NONE",
  [OFPP_IN_PORT]: "IN_PORT",
};

function flood(ctx: Context, all: boolean): void {
  const inPort = ctx.flow.get32(O_IN_PORT);
  for (const port of ctx.host.ports.list) {
    if (port.no !== inPort && (all || !port.noFlood)) composeOutput(ctx, port.no);
  }
}

export const NO_BYTES = new Uint8Array(0);

export interface ToController {
  readonly reason: string;
  readonly controllerId: number;
  readonly maxLen: number;
  readonly userdata: Uint8Array;
  readonly meterId: number | null;
}

/** A packet-in. Its state is frozen, as a controller may look at it. */
export function sendToController(ctx: Context, to: ToController): void {
  ctx.commit();
  const { rule } = ctx;
  const tableMiss = rule !== null && rule.priority === 0 && rule.match.mask.words.every((w) => w === 0);
  const state = ctx.host.recirc.allocate(
    ctx.flow,
    {
      tableId: ctx.tableId,
      conntracked: ctx.conntracked,
      wasMpls: ctx.wasMpls,
      stack: ctx.stack,
      actionSet: [],
      steps: [],
      userdata: to.userdata,
      mirrored: ctx.mirrored,
    },
    ctx.nowMs,
  );
  (ctx.owner.recircs ??= []).push(state);
  const userspace = {
    type: "userspace" as const,
    userspace: {
      kind: "controller" as const,
      reason: to.reason === "action" && tableMiss ? "explicit_miss" : to.reason,
      controllerId: to.controllerId,
      maxLen: to.maxLen,
      userdata: to.userdata,
      tableId: ctx.tableId,
      cookie: ctx.cookie,
      recircId: state.id,
    },
  };
  const meter = ctx.host.meters.get(to.meterId ?? METER_CONTROLLER);
  if (meter === null) ctx.actions.push(userspace);
  else ctx.actions.push({ type: "clone", actions: [{ type: "meter", id: meter.datapathId }, userspace] });
  ctx.sent = true;
}
