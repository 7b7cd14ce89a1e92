// One flow-mod in text, as ovs-ofctl(8), "Flow Syntax", has it: `[COMMAND] KEY=VALUE,... actions=ACTION,...`.
//
// Which keys are known depends on the command, as in ovs-ofctl: delete has no actions, only add has importance, and so on;
// a key that the command does not know is tried as a match field and else refused.

import { Flow, type Match } from "../../flow/flow.ts";
import * as L from "../../flow/layout.ts";
import { formatMatch, MatchBuilder, normalizeMatch, unknownKey } from "../../flow/match.ts";
import { parsePort } from "../../flow/port-text.ts";
import type { TlvMap } from "../../flow/tlv-map.ts";
import { completeTag, refusalOfTag } from "../../flow/vlan-match.ts";
import { MegaflowError } from "../../lib/errors.ts";
import { type Action, type FlowMod, type FlowModCommand, OFPP_NONE } from "../../pipeline/action.ts";
import { placeOptions } from "../../pipeline/action-options.ts";
import { asSent } from "../../pipeline/action-text/as-sent.ts";
import { checkActions } from "../../pipeline/action-text/check.ts";
import { boundedInteger, uint64 } from "../../pipeline/action-text/number.ts";
import { Scanner } from "../../pipeline/action-text/scan.ts";
import { tableFromText } from "../../pipeline/action-text/table-text.ts";
import { type ActionContext, inconsistent, parseActions } from "../../pipeline/action-text.ts";

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
  let hasOutGroup = false;
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
      hasOutGroup = true;
    } else if (!IGNORED.has(key)) {
      throw unknownKey(key, value).at({ column: at.keyAt + 1 });
    }
  }

  const match: Match = { flow: builder.flow, mask: builder.mask };
  const uncarriable =
    builder.uncarriable || match.mask.get16(L.O_TUN_TOS) !== 0 || match.mask.get32(L.O_SKB_PRIORITY) !== 0;
  const isNewer = hasOutGroup || flags.resetCounts || flags.noPacketCounts || flags.noByteCounts;
  const context: ActionContext = {
    ...names,
    tableId,
    column: actionsAt + 1,
    versions: uncarriable ? "none" : isNewer ? "newer" : "any",
  };
  let actions: readonly Action[] = isDelete
    ? []
    : parseActions(line.slice(actionsAt), { ...context, tlvMap: null });
  $before.flow.copyFrom(match.flow);
  $before.mask.copyFrom(match.mask);
  let changed = false;
  let refusal: string | null = null;
  try {
    changed = normalizeMatch(match, builder.refusal);
  } catch (error) {
    if (!(error instanceof MegaflowError)) throw error;
    refusal = error.message;
  }
  const asWritten: Match = $before;
  const verdict = checkActions(actions, {
    ...context,
    match: asWritten,
    refusalOld: refusal,
    refusalNew: refusalOfTag(match) ?? refusal,
  });
  if (verdict.error !== null) {
    const message =
      isDelete && uncarriable
        ? "none of the usable flow formats (none) is among the allowed flow formats (OpenFlow10,NXM)"
        : inconsistent(verdict.error);
    throw new MegaflowError("ETEXT", message, { column: actionsAt + 1 });
  }
  // What has been recirculated or hashed is the switch's own.
  const isInternal = match.flow.get32(L.O_RECIRC_ID) !== 0 || match.mask.get32(L.O_DP_HASH) !== 0;
  const last = !isDelete && isInternal ? "OFPBRC_EPERM" : null;
  const refusalNew = verdict.refusalNew ?? last;
  const refusalOld = verdict.refusalOld ?? last;
  const isNew = verdict.inNew && refusalNew === null;
  if (!isNew && !(verdict.inOld && refusalOld === null)) {
    throw new MegaflowError("ETEXT", (verdict.inNew ? refusalNew : refusalOld)!, { column: 1 });
  }
  // All ones leave a flow's cookie as it is.
  if (newCookie === ALL_ONES && !isAdd) newCookie = null;
  if (isNew) completeTag(match);
  actions = asSent(actions, !isNew);
  if (!isNew) {
    // Settles what the new spelling of the actions depends on.
    checkActions(actions, { ...context, match: asWritten });
    newCookie ??= 0n;
    importance = 0;
    if (isAdd) flags.resetCounts = true;
  }
  if (names.tlvMap) actions = placed(actions, names.tlvMap, actionsAt + 1);
  const mod: FlowMod = {
    command,
    // From OpenFlow 1.3 on only a deletion reaches all tables.
    tableId: tableId === ALL_TABLES && (isAdd || (!isDelete && isNew)) ? 0 : tableId,
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
    ...(isNew ? null : AS_OPENFLOW10),
  };
  if (changed) normalized.set(mod, { flow: $before.flow.clone(), mask: $before.mask.clone() });
  return mod;
}

function placed(actions: readonly Action[], tlvMap: TlvMap, column: number): readonly Action[] {
  try {
    return placeOptions(actions, tlvMap);
  } catch (error) {
    throw error instanceof MegaflowError ? error.at({ column }) : error;
  }
}

const AS_OPENFLOW10 = { asOpenFlow10: true } as const;

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

/** A group number, in decimal alone; ANY is null. */
function parseOutGroup(at: Scanner): number | null {
  const upper = at.value.toUpperCase();
  if (upper === "ANY") return null;
  if (upper === "ALL") return 0xfffffffc;
  const id = /^[+-]?\d+$/.test(at.value) ? Number(at.value) : -1;
  if (id < 0 || id > 0xffffffff) {
    throw at.errorAtValue(`${at.value} is not a valid OpenFlow group`);
  }
  return id === 0xffffffff ? null : id;
}
