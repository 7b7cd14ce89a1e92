// OpenFlow actions between text and the Action union, as ovs-actions(7) describes and OVS 3.1 behaves.
//
// Parsing has three steps, in OVS's order, so that its first complaint is ours: every action by its own parser (by family,
// in action-text/), then what an action list may hold (action-text/verify.ts), then, by those who know the flow's match,
// whether the actions fit the packets that match (action-text/check.ts).

import { parsePort } from "../flow/port-text.ts";
import { MegaflowError } from "../lib/errors.ts";
import type { Action } from "./action.ts";
import { placeOptions } from "./action-options.ts";
import { checkActions } from "./action-text/check.ts";
import type { ActionContext, ActionParser, OuterAction } from "./action-text/context.ts";
import * as control from "./action-text/control.ts";
import { parseCt, parseNat } from "./action-text/ct.ts";
import { parseDecap, parseEncap } from "./action-text/encap.ts";
import { formatActionList, type Spelling } from "./action-text/format.ts";
import * as hash from "./action-text/hash.ts";
import { parseLearn } from "./action-text/learn.ts";
import * as output from "./action-text/output.ts";
import { Scanner } from "./action-text/scan.ts";
import * as set from "./action-text/set.ts";
import { verifyActions } from "./action-text/verify.ts";

export type { ActionContext } from "./action-text/context.ts";
export type { Spelling } from "./action-text/format.ts";

/**
 * Parses what stands after `actions=`: actions and instructions separated by commas or blanks; "" and "drop" give none.
 * Throws MegaflowError ETEXT in OVS's words, with the column.
 */
export function parseActions(text: string, context: ActionContext = {}): Action[] {
  const base = (context.column ?? 1) - 1;
  const actions = parseList(text, base, null, context);
  if (context.match !== undefined) {
    const { error, inOld, inNew, refusalOld, refusalNew } = checkActions(actions, context);
    const isTaken = (inNew && refusalNew === null) || (inOld && refusalOld === null);
    const words = error === null ? (inNew ? refusalNew : refusalOld) : inconsistent(error);
    if (words !== null && (error !== null || !isTaken))
      throw new MegaflowError("ETEXT", words, { column: base + 1 });
  }
  const { tlvMap } = context;
  if (tlvMap === undefined || tlvMap === null) return actions;
  try {
    return placeOptions(actions, tlvMap);
  } catch (error) {
    throw error instanceof MegaflowError ? error.at({ column: base + 1 }) : error;
  }
}

/** The words for a hard error of actions that do not fit their match. */
export function inconsistent(error: string): string {
  return `actions are invalid with specified match (${error})`;
}

/** The actions in OVS's spelling, comma separated, `drop` when there are none; see action-text/format.ts for `spelling`. */
export function formatActions(actions: readonly Action[], spelling: Spelling = "OpenFlow15"): string {
  return formatActionList(actions, spelling);
}

function parseList(text: string, base: number, outer: OuterAction, context: ActionContext): Action[] {
  const actions: Action[] = [];
  const at = new Scanner(text, base);
  const nested = (inner: string, innerBase: number, innerOuter: OuterAction): Action[] =>
    parseList(inner, innerBase, innerOuter, context);
  let drop = false;
  while (at.next()) {
    const parser = PARSERS.get(at.key) ?? PARSERS.get(at.key.toLowerCase());
    if (parser !== undefined) {
      actions.push(parser(at, context, nested));
    } else if (at.key.toLowerCase() === "drop") {
      drop = true;
    } else {
      const port = parsePort(at.key, context.portByName);
      if (port === undefined) throw at.errorAtKey(`unknown action ${at.key}`);
      actions.push(output.outputTo(port));
    }
  }
  const column = base + 1;
  if (drop && actions.length > 0) {
    throw new MegaflowError("ETEXT", '"drop" must not be accompanied by any other action or instruction', {
      column,
    });
  }
  verifyActions(actions, outer, outer === null && context.instructions !== false, column);
  return actions;
}

/** An action that is its name alone; OVS ignores an argument. */
function plain(action: Action): ActionParser {
  return () => action;
}

function refuse(message: string): ActionParser {
  return (at) => {
    throw at.errorAtKey(message);
  };
}

/** Actions and instructions by name. */
const PARSERS: ReadonlyMap<string, ActionParser> = new Map<string, ActionParser>([
  ["output", output.parseOutput],
  ["group", output.parseGroup],
  ["controller", output.parseController],
  ["enqueue", output.parseEnqueue],
  ["resubmit", output.parseResubmit],
  ["set_field", set.parseSetField],
  ["load", set.parseLoad],
  ["move", set.parseMove],
  ["push", set.parsePush],
  ["pop", set.parsePop],
  ...Object.entries(set.MOD_PARSERS),
  ["strip_vlan", plain({ type: "strip_vlan", spelling: "strip_vlan" })],
  ["pop_vlan", plain({ type: "strip_vlan", spelling: "pop_vlan" })],
  ["push_vlan", set.parsePushVlan],
  ["push_mpls", set.parsePushMpls],
  ["pop_mpls", set.parsePopMpls],
  ["set_mpls_label", set.setMpls("label")],
  ["set_mpls_tc", set.setMpls("tc")],
  ["set_mpls_ttl", set.setMpls("ttl")],
  ["dec_mpls_ttl", plain({ type: "dec_mpls_ttl" })],
  ["dec_ttl", set.parseDecTtl],
  ["dec_nsh_ttl", plain({ type: "dec_nsh_ttl" })],
  ["set_tunnel", set.setTunnel(false)],
  ["set_tunnel64", set.setTunnel(true)],
  ["set_queue", control.parseSetQueue],
  ["pop_queue", plain({ type: "pop_queue" })],
  ["bundle", hash.parseBundle],
  ["bundle_load", hash.parseBundleLoad],
  ["multipath", hash.parseMultipath],
  ["learn", parseLearn],
  ["ct", parseCt],
  [
    "nat",
    // verifyActions has it inside ct alone.
    (at) => ({ type: "nat", nat: parseNat(at) }),
  ],
  ["ct_clear", plain({ type: "ct_clear" })],
  ["clone", (at, _, nested) => ({ type: "clone", actions: nested(at.value, at.valueAt, "clone") })],
  ["exit", plain({ type: "exit" })],
  ["conjunction", control.parseConjunction],
  ["note", control.parseNote],
  ["sample", control.parseSample],
  ["fin_timeout", control.parseFinTimeout],
  ["check_pkt_larger", control.parseCheckPktLarger],
  ["delete_field", control.parseDeleteField],
  ["encap", parseEncap],
  ["decap", parseDecap],
  ["debug_recirc", plain({ type: "debug_recirc" })],
  ["debug_slow", plain({ type: "debug_slow" })],
  ["unroll_xlate", refuse("UNROLL is an internal action that shouldn't be used via OpenFlow")],
  ["meter", control.parseMeter],
  ["clear_actions", plain({ type: "clear_actions" })],
  [
    "write_actions",
    (at, _, nested) => ({ type: "write_actions", actions: nested(at.value, at.valueAt, "write_actions") }),
  ],
  ["apply_actions", refuse("apply_actions is the default instruction")],
  ["write_metadata", control.parseWriteMetadata],
  ["goto_table", control.parseGotoTable],
]);
