// Flows that are gone, as a switch tells its controllers of those with send_flow_rem: in the words in which
// `ovs-ofctl -O OpenFlow15 monitor` prints an OFPT_FLOW_REMOVED.
import type { Match } from "../flow/flow.ts";
import { formatMatch } from "../flow/match-text.ts";
import { formatPort } from "../flow/port-text.ts";
import type { TlvMap } from "../flow/tlv-map.ts";
import { DEFAULT_PRIORITY, formatDuration } from "./flow-dump.ts";
import type { Rule } from "./rule.ts";

/** Why a flow went, in OVS's words. */
export type RemovalReason = "idle" | "hard" | "delete" | "group_delete" | "meter_delete" | "eviction";

/** Timeouts are seconds, 0 for none. */
export interface FlowRemoval {
  readonly reason: RemovalReason;
  readonly tableId: number;
  readonly priority: number;
  readonly match: Match;
  readonly cookie: bigint;
  readonly durationMs: number;
  readonly idleTimeout: number;
  readonly hardTimeout: number;
  readonly nPackets: number;
  readonly nBytes: number;
}

export function flowRemoval(rule: Rule, reason: RemovalReason, nowMs: number): FlowRemoval {
  const { tableId, priority, match, cookie, idleTimeout, hardTimeout, nPackets, nBytes } = rule;
  const durationMs = nowMs - rule.createdMs;
  return {
    reason,
    tableId,
    priority,
    match,
    cookie,
    durationMs,
    idleTimeout,
    hardTimeout,
    nPackets,
    nBytes,
  };
}

/** With a map, tunnel options are printed with their lengths (formatMatch). */
export function formatFlowRemoval(removal: FlowRemoval, tlvMap: TlvMap | null = null): string {
  const { reason, tableId, priority, match, cookie, idleTimeout, hardTimeout } = removal;
  const shown = priority === DEFAULT_PRIORITY ? null : priority;
  const matchText = formatMatch(match, shown, formatPort, { tlvMap, overWire: true });
  const cookieText = cookie === 0n ? "" : ` cookie:0x${cookie.toString(16)}`;
  const hard = hardTimeout === 0 ? "" : ` hard${hardTimeout}`;
  return (
    `OFPT_FLOW_REMOVED (OF1.5) (xid=0x0): ${matchText} reason=${reason} table_id=${tableId}${cookieText} ` +
    `duration${formatDuration(removal.durationMs)} idle${idleTimeout}${hard} ` +
    `pkts${removal.nPackets} bytes${removal.nBytes}`
  );
}
