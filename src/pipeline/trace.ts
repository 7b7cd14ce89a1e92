// The text of `ofproto/trace` (ovs-vswitchd(8)): the way of a flow through the tables, the mask and datapath actions that
// come of it, and the same for each recirculation that follows a ct action, with the ct_state that the caller names.
import { formatDatapathActions } from "../datapath/action-text.ts";
import { CT_STATE_NAMES, formatFlags } from "../flow/flags-text.ts";
import { FLOW_WORDS, Flow } from "../flow/flow.ts";
import { formatFlow } from "../flow/flow-text.ts";
import {
  CS_NEW,
  CS_TRACKED,
  O_ACTSET_OUTPUT,
  O_CT_STATE,
  O_IPV6_DST,
  O_IPV6_SRC,
  O_NW_DST,
  O_NW_SRC,
  O_TP_DST,
  O_TP_SRC,
} from "../flow/layout.ts";
import { formatMatch } from "../flow/match.ts";
import { formatPort } from "../flow/port-text.ts";
import { formatIpv4, formatIpv6 } from "../packet/address.ts";
import { type NatSpec, OFPP_UNSET } from "./action.ts";
import type { Spelling } from "./action-text.ts";
import { type Context, FAILURES, type PendingRecirc, X_CONGESTION, X_OK } from "./context.ts";
import { formatNodes, type TraceNode } from "./trace-node.ts";
import { translate } from "./translate.ts";

export interface TraceRequest {
  readonly flow: Flow;
  /** The frame itself, when there is one: then MACs and flows are learned from it. */
  readonly frame: Uint8Array | null;
  readonly nowMs: number;
  /** ct_state bits after each ct action in turn; when they run out, trk|new. */
  readonly ctNext: readonly number[];
  /** How actions are spelled: as given (OVS with OpenFlow 1.3 flows), or as OVS does after OpenFlow 1.5. */
  readonly spelling?: Spelling;
}

const RECIRCULATIONS_MAX = 4096;
const RULER = "=".repeat(79);

/** Traces with a context made ready anew. Recirculation ids made on the way are forgotten at the end. */
export function traceFlow(ctx: Context, request: TraceRequest): string {
  const { recirc } = ctx.host;
  const mark = recirc.beginTrace();
  const pending: PendingRecirc[] = [];
  const ctNext = [...request.ctNext];
  // As in OVS, only the recirculations still to be followed keep their ids after each part.
  const tidy = (): void => recirc.forgetFrom(mark, new Set(pending.map((p) => p.id)));
  let text = traceOne(ctx, request.flow, request, pending);
  tidy();
  for (let count = 0; pending.length > 0; count++) {
    if (count > RECIRCULATIONS_MAX) {
      text += `\n\n${RULER}\nTrace reached the recirculation limit.  Sopping the trace here.`;
      text += `\nQueued but not processed: ${pending.length} recirculations.`;
      pending.length = 0;
      tidy();
      break;
    }
    const next = pending.shift()!;
    text += resumeText(next, ctNext);
    text += traceOne(ctx, next.flow, request, pending);
    tidy();
  }
  recirc.endTrace();
  return text;
}

/** One translation. */
function traceOne(ctx: Context, given: Flow, request: TraceRequest, pending: PendingRecirc[]): string {
  const nodes: TraceNode[] = [];
  ctx.reset(given, request.nowMs, nodes);
  ctx.pending = pending;
  ctx.spelling = request.spelling ?? "given";
  const { frame } = request;
  ctx.source = frame === null ? null : { frame };
  ctx.wireLen = request.frame?.length ?? 0;
  ctx.sideEffects = request.frame !== null;
  const initial = given.clone();
  initial.set32(O_ACTSET_OUTPUT, OFPP_UNSET);
  translate(ctx);

  const { tlvMap } = ctx.host;
  const flowText = (flow: Flow): string => formatFlow(flow, formatPort, tlvMap);
  let text = `Flow: ${flowText(given)}\n${formatNodes(nodes)}`;
  text += `\nFinal flow: ${initial.equals(ctx.flow) ? "unchanged" : flowText(withoutActset(ctx.flow))}\n`;
  text += `Megaflow: ${formatMatch({ flow: masked(given, ctx.wc), mask: ctx.wc }, null, formatPort, { tlvMap })}\n`;
  text += `Datapath actions: ${formatDatapathActions(ctx.actions, String, { trace: request.frame === null, tlvMap })}`;
  // OVS says nothing of a congestion drop.
  if (ctx.error !== X_OK && ctx.error !== X_CONGESTION) {
    text += `\nTranslation failed (${FAILURES[ctx.error]!.text}), packet is dropped.\n`;
  } else if (ctx.slow !== null) {
    text += "\nThis flow is handled by the userspace slow path because it:";
    text += `\n  - ${SLOW_PATHS[ctx.slow]}`;
  }
  return text;
}

const SLOW_PATHS = {
  action: "Uses action(s) not supported by datapath.",
  stp: "Consists of STP packets.",
};

/** actset_output is printed when it names a port. */
function withoutActset(flow: Flow): Flow {
  if (flow.get32(O_ACTSET_OUTPUT) !== OFPP_UNSET) return flow;
  const copy = flow.clone();
  copy.set32(O_ACTSET_OUTPUT, 0);
  return copy;
}

function masked(flow: Flow, mask: Flow): Flow {
  const out = new Flow();
  for (let i = 0; i < FLOW_WORDS; i++) out.words[i] = flow.words[i]! & mask.words[i]!;
  return out;
}

/** The heading of a recirculation; puts the conntrack verdict, and the NAT it stands for, into its flow. */
function resumeText(next: PendingRecirc, ctNext: number[]): string {
  let text = `\n\n${RULER}\nrecirc(0x${next.id.toString(16)})`;
  const state = ctNext.shift();
  if (state === undefined) {
    text += " - resume conntrack with default ct_state=trk|new (use --ct-next to customize)";
  } else {
    text += ` - resume conntrack with ct_state=${formatFlags(CT_STATE_NAMES, state)}`;
  }
  next.flow.set8(O_CT_STATE, state ?? CS_TRACKED | CS_NEW);
  text += "\n";
  if (next.nat !== null) {
    const size = next.nat.minAddr?.length ?? 0;
    text += `Replacing src/dst IP/ports to simulate NAT:\n Initial flow: ${addressText(next.flow, size)}\n`;
    applyNat(next.flow, next.nat);
    text += ` Modified flow: ${addressText(next.flow, size)}\n`;
  }
  return `${text}${RULER}\n\n`;
}

function addressText(flow: Flow, size: number): string {
  const src = flow.get16(O_TP_SRC);
  const dst = flow.get16(O_TP_DST);
  if (size === 4) {
    return `nw_src=${formatIpv4(flow.bytes, O_NW_SRC)},tp_src=${src},nw_dst=${formatIpv4(flow.bytes, O_NW_DST)},tp_dst=${dst}`;
  }
  if (size === 16) {
    return `ipv6_src=[${formatIpv6(flow.bytes, O_IPV6_SRC)}],tp_src=${src},ipv6_dst=[${formatIpv6(flow.bytes, O_IPV6_DST)}],tp_dst=${dst}`;
  }
  return "";
}

/** A trace assumes the first address and port of the range. */
function applyNat(flow: Flow, nat: NatSpec): void {
  if (nat.minAddr === null || nat.kind === "undo") return;
  const v4 = nat.minAddr.length === 4;
  const source = nat.kind === "src";
  const offset = v4 ? (source ? O_NW_SRC : O_NW_DST) : source ? O_IPV6_SRC : O_IPV6_DST;
  flow.bytes.set(nat.minAddr, offset);
  if (nat.minPort !== 0) flow.set16(source ? O_TP_SRC : O_TP_DST, nat.minPort);
}
