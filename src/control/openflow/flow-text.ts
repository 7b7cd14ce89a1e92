// One flow-mod in text, as ovs-ofctl(8), "Flow Syntax", has it: `[COMMAND] KEY=VALUE,... actions=ACTION,...`.
//
// Which keys are known depends on the command, as in ovs-ofctl: delete has no actions, only add has importance, and so on;
// a key that the command does not know is tried as a match field and else refused.

import { Flow, type Match } from "../../flow/flow.ts";
import * as L from "../../flow/layout.ts";
import { formatMatch, MatchBuilder, normalizeMatch, unknownKey } from "../../flow/match.ts";
import { parsePort } from "../../flow/port-text.ts";
import { MegaflowError } from "../../lib/errors.ts";
import type { FlowMod, FlowModCommand } from "../../pipeline/action.ts";
import { OFPP_NONE } from "../../pipeline/action.ts";
import { boundedInteger, readSmallInteger, uint64 } from "../../pipeline/action-text/number.ts";
import { Scanner } from "../../pipeline/action-text/scan.ts";
import { tableFromText } from "../../pipeline/action-text/table-text.ts";
import { type ActionContext, parseActions } from "../../pipeline/action-text.ts";

/** Names that text may use instead of numbers. */
export type FlowTextNames = Pick<ActionContext, "portByName" | "tableByName" | "tlvMap">;

const ALL_ONES = 0xffff_ffff_ffff_ffffn;
const DEFAULT_PRIORITY = 32768;
const ALL_TABLES = 255;

const COMMANDS: readonly FlowModCommand[] = ["add", "delete", "delete_strict", "modify", "modify_strict"];

/**
 * Parses one line that holds a flow-mod; `command` applies when the line does not begin with one, and a command may be cut
 * short (`del`), as in ovs-ofctl. Throws MegaflowError ETEXT in OVS's words, with the column.
 */
export function parseFlowMod(
  line: string,
  names: FlowTextNames = {},
  command: FlowModCommand = "add",
): FlowMod {
  const word = /^[ \t\r\n]*([^, \t\r\n]*)/.exec(line)!;
  const spelled = COMMANDS.find((name) => name.startsWith(word[1]!));
  if (spelled === undefined) return parseRest(line, 0, command, names);
  return parseRest(line, word[0].length, word[1] === "" ? command : spelled, names);
}

/** The line from `start` on. */
function parseRest(line: string, start: number, command: FlowModCommand, names: FlowTextNames): FlowMod {
  const isAdd = command === "add";
  const isDelete = command === "delete" || command === "delete_strict";
  let end = line.length;
  let actionsAt = -1;
  if (!isDelete) {
    end = line.indexOf("action", start);
    actionsAt = end < 0 ? -1 : line.indexOf("=", end);
    if (actionsAt < 0) throw new MegaflowError("ETEXT", "must specify an action", { column: 1 });
    actionsAt++;
  }

  const builder = new MatchBuilder(names.portByName, names.tlvMap ?? null);
  const flags = {
    sendFlowRem: false,
    checkOverlap: false,
    resetCounts: false,
    noPacketCounts: false,
    noByteCounts: false,
  };
  let tableId = ALL_TABLES;
  let priority = DEFAULT_PRIORITY;
  let idleTimeout = 0;
  let hardTimeout = 0;
  let importance = 0;
  let outPort = OFPP_NONE;
  let outGroup: number | null = null;
  let cookie = 0n;
  let cookieMask = 0n;
  // A modify without a cookie leaves the flow's own alone.
  let newCookie: bigint | null = command === "add" ? 0n : null;

  const at = new Scanner(line.slice(start, end), start);
  while (at.next()) {
    const { key, value } = at;
    try {
      if (!isDelete) {
        const flag = FLAGS[key];
        if (flag !== undefined) {
          flags[flag] = true;
          continue;
        }
      }
      if (key === "no_readonly_table" || key === "allow_hidden_fields") continue;
      if (builder.add(key, value)) continue;
    } catch (error) {
      throw error instanceof MegaflowError ? error.at({ column: at.valueAt + 1 }) : error;
    }
    if (value === "") throw unknownKey(key, value).at({ column: at.keyAt + 1 });
    if (key === "table") {
      const table = tableFromText(value, names);
      if (table === null) throw at.errorAtValue(`unknown table "${value}"`);
      tableId = table;
    } else if (key === "priority" && command !== "delete") {
      priority = boundedInteger(at, key, 0xffff);
    } else if (key === "cookie") {
      const slash = value.indexOf("/");
      if (slash >= 0) {
        if (isAdd) throw at.errorAtValue("flow additions cannot use a cookie mask");
        cookie = uint64(at, value.slice(0, slash));
        cookieMask = uint64(at, value.slice(slash + 1));
      } else {
        if (isDelete) {
          throw at.errorAtValue(
            `cannot set cookie (to match on a cookie, specify a mask, e.g. cookie=${value}/-1)`,
          );
        }
        newCookie = uint64(at);
      }
    } else if (key === "idle_timeout" && !isDelete) {
      idleTimeout = boundedInteger(at, key, 0xffff);
    } else if (key === "hard_timeout" && !isDelete) {
      hardTimeout = boundedInteger(at, key, 0xffff);
    } else if (key === "importance" && isAdd) {
      importance = boundedInteger(at, key, 0xffff);
    } else if (key === "out_port" && isDelete) {
      const port = parsePort(value, names.portByName);
      if (port === undefined) throw at.errorAtValue(`${value} is not a valid OpenFlow port`);
      outPort = port;
    } else if (key === "out_group" && isDelete) {
      outGroup = parseOutGroup(at);
    } else if (!IGNORED.has(key)) {
      throw unknownKey(key, value).at({ column: at.keyAt + 1 });
    }
  }

  const match: Match = { flow: builder.flow, mask: builder.mask };
  const uncarriable =
    builder.uncarriable || match.mask.get16(L.O_TUN_TOS) !== 0 || match.mask.get32(L.O_SKB_PRIORITY) !== 0;
  const isNewer = flags.resetCounts || flags.noPacketCounts || flags.noByteCounts;
  const context: ActionContext = {
    ...names,
    match,
    tableId,
    column: actionsAt + 1,
    refusal: builder.refusal,
    versions: uncarriable ? "none" : isNewer ? "newer" : "any",
  };
  const actions = isDelete ? [] : parseActions(line.slice(actionsAt), context);
  $before.flow.copyFrom(match.flow);
  $before.mask.copyFrom(match.mask);
  const changed = normalizeMatch(match);
  // What has been recirculated or hashed is the switch's own.
  if (isAdd && (match.flow.get32(L.O_RECIRC_ID) !== 0 || match.mask.get32(L.O_DP_HASH) !== 0))
    builder.refusal ??= "OFPBRC_EPERM";
  if (builder.refusal !== null) throw new MegaflowError("ETEXT", builder.refusal, { column: 1 });
  if (newCookie === ALL_ONES) newCookie = isAdd ? 0n : null;
  const mod: FlowMod = {
    command,
    // From OpenFlow 1.3 on only a deletion reaches all tables.
    tableId: !isDelete && tableId === ALL_TABLES ? 0 : tableId,
    priority,
    match,
    actions,
    newCookie,
    cookie: cookie & cookieMask,
    cookieMask,
    idleTimeout,
    hardTimeout,
    importance,
    ...flags,
    outPort,
    outGroup,
  };
  if (changed) normalized.set(mod, { flow: $before.flow.clone(), mask: $before.mask.clone() });
  return mod;
}

/** A line's match before it was normalized. */
const $before = { flow: new Flow(), mask: new Flow() };

/** The matches of flow-mods as they were written, where a field was dropped for want of its prerequisites. */
const normalized = new WeakMap<FlowMod, Match>();

/** What ovs-ofctl logs when a match loses fields, in a line: `tp_dst=80` alone matches everything. Null when it lost none. */
export function normalizationOf(mod: FlowMod): string | null {
  const before = normalized.get(mod);
  if (before === undefined) return null;
  const [pre, post] = [formatMatch(before, null), formatMatch(mod.match, null)];
  return `normalization changed ofp_match, details: pre: ${pre} post: ${post === "" ? "(matches everything)" : post}`;
}

type FlagName = "sendFlowRem" | "checkOverlap" | "resetCounts" | "noPacketCounts" | "noByteCounts";

const FLAGS: Readonly<Record<string, FlagName | undefined>> = {
  __proto__: null as never,
  send_flow_rem: "sendFlowRem",
  check_overlap: "checkOverlap",
  reset_counts: "resetCounts",
  no_packet_counts: "noPacketCounts",
  no_byte_counts: "noByteCounts",
};

/** What dump-flows prints and nothing reads back, so that a dump can be loaded. */
const IGNORED: ReadonlySet<string> = new Set(["duration", "n_packets", "n_bytes", "idle_age", "hard_age"]);

/** A group number; ANY is null. */
function parseOutGroup(at: Scanner): number | null {
  const upper = at.value.toUpperCase();
  if (upper === "ANY") return null;
  if (upper === "ALL") return 0xfffffffc;
  const id = readSmallInteger(at.value);
  if (id === null || id < 0 || id > 0xffffffff) {
    throw at.errorAtValue(`${at.value} is not a valid OpenFlow group`);
  }
  return id;
}
