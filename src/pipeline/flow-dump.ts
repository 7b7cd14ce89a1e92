// Rules in the words of `ovs-ofctl -O OpenFlow15 dump-flows BRIDGE --no-names`.

import type { Match } from "../flow/flow.ts";
import { O_VLAN0_TCI } from "../flow/layout.ts";
import { formatMatch } from "../flow/match-text.ts";
import { formatPort } from "../flow/port-text.ts";
import type { TlvMap } from "../flow/tlv-map.ts";
import { completeTag } from "../flow/vlan-match.ts";
import { withoutPlaces } from "./action-options.ts";
import { formatActions } from "./action-text.ts";
import type { Rule } from "./rule.ts";

/** What a line needs of a rule. */
export type DumpedRule = Pick<
  Rule,
  | "tableId"
  | "priority"
  | "match"
  | "actions"
  | "cookie"
  | "idleTimeout"
  | "hardTimeout"
  | "importance"
  | "sendFlowRem"
  | "checkOverlap"
  | "resetCounts"
  | "noPacketCounts"
  | "noByteCounts"
  | "nPackets"
  | "nBytes"
  | "createdMs"
  | "usedMs"
>;

export const DEFAULT_PRIORITY = 32768;

/** The first line of a dump. */
export const FLOW_DUMP_HEADER = "OFPST_FLOW reply (OF1.5) (xid=0x2):";

/** Seconds with three digits after the point, or none when they are whole: `1.570s`, `2s`. */
export function formatDuration(ms: number): string {
  const whole = Math.max(0, Math.floor(ms));
  const fraction = whole % 1000;
  const seconds = Math.floor(whole / 1000);
  return fraction === 0 ? `${seconds}s` : `${seconds}.${String(fraction).padStart(3, "0")}s`;
}

/** One line, with the blank it begins with and without its line end. Ages count up to `nowMs`; `tlvMap` names tunnel options. */
export function formatRule(rule: DumpedRule, nowMs: number, tlvMap: TlvMap | null = null): string {
  const idleSeconds = Math.floor(Math.max(0, nowMs - rule.usedMs) / 1000);
  const statistics =
    ` cookie=0x${rule.cookie.toString(16)}, duration=${formatDuration(nowMs - rule.createdMs)},` +
    ` table=${rule.tableId}, n_packets=${rule.nPackets}, n_bytes=${rule.nBytes}, `;
  return `${statistics}${timeouts(rule)}${flags(rule)}${importance(rule)}idle_age=${idleSeconds}, ${matchAndActions(rule, tlvMap)}`;
}

/** The line that --no-stats prints: what was configured, nothing that was counted. */
export function formatRuleWithoutStatistics(rule: DumpedRule, tlvMap: TlvMap | null = null): string {
  const cookie = rule.cookie === 0n ? "" : `cookie=0x${rule.cookie.toString(16)}, `;
  const table = rule.tableId === 0 ? "" : `table=${rule.tableId}, `;
  return ` ${cookie}${table}${timeouts(rule)}${flags(rule)}${importance(rule)}${matchAndActions(rule, tlvMap)}`;
}

function timeouts(rule: DumpedRule): string {
  const idle = rule.idleTimeout === 0 ? "" : `idle_timeout=${rule.idleTimeout}, `;
  return rule.hardTimeout === 0 ? idle : `${idle}hard_timeout=${rule.hardTimeout}, `;
}

function flags(rule: DumpedRule): string {
  let text = "";
  if (rule.sendFlowRem) text += "send_flow_rem ";
  if (rule.checkOverlap) text += "check_overlap ";
  if (rule.resetCounts) text += "reset_counts ";
  if (rule.noPacketCounts) text += "no_packet_counts ";
  if (rule.noByteCounts) text += "no_byte_counts ";
  return text;
}

function importance(rule: DumpedRule): string {
  return rule.importance === 0 ? "" : `importance=${rule.importance}, `;
}

/** What only OpenFlow 1.0 can match of a VLAN tag does not come out whole. */
function asOpenFlow15(match: Match): Match {
  const mask = match.mask.get16(O_VLAN0_TCI);
  const isTagged = (match.flow.get16(O_VLAN0_TCI) & 0x1000) !== 0;
  if ((mask & 0xe000) === 0 || ((mask & 0xf000) === 0xf000 && isTagged)) return match;
  const copy = { flow: match.flow.clone(), mask: match.mask.clone() };
  completeTag(copy);
  return copy;
}

function matchAndActions(rule: DumpedRule, tlvMap: TlvMap | null): string {
  const priority = rule.priority === DEFAULT_PRIORITY ? null : rule.priority;
  const match = formatMatch(asOpenFlow15(rule.match), priority, formatPort, { tlvMap, overWire: true });
  return `${match}${match === "" ? "" : " "}actions=${formatActions(withoutPlaces(rule.actions))}`;
}
