// What action text needs to know besides itself: the names of ports and tables, and the match of its flow.

import type { Match } from "../../flow/flow.ts";
import type { TlvMap } from "../../flow/tlv-map.ts";
import { MegaflowError } from "../../lib/errors.ts";
import type { Action } from "../action.ts";
import type { Scanner } from "./scan.ts";

/** Names and surroundings for parseActions. Everything may be left out. */
export interface ActionContext {
  /** The number of a port by its name; undefined when there is none. */
  readonly portByName?: (name: string) => number | undefined;
  /** The number of a table by its name; undefined when there is none. */
  readonly tableByName?: (name: string) => number | undefined;
  /** The bridge's tunnel options; without it there are none. */
  readonly tlvMap?: TlvMap | null;
  /** The flow's match: with it, prerequisites are checked as ovs-ofctl checks them. */
  readonly match?: Match;
  /** The flow's table, for the direction of goto_table; 255 or absent when not known. */
  readonly tableId?: number;
  /**
   * What the flow's keys leave of OpenFlow's versions: "newer" when 1.0 does not have one of them, "none" when no version
   * can carry the match.
   */
  readonly versions?: "any" | "newer" | "none";
  /** What a switch answers to the match over OpenFlow 1.0 and over 1.5, whatever the actions are. */
  readonly refusalOld?: string | null;
  readonly refusalNew?: string | null;
  /** False in group buckets and other places that take actions but no instructions. Default true. */
  readonly instructions?: boolean;
  /** Column of the text's first character in its line, for errors; default 1. */
  readonly column?: number;
}

/** How a nested list of actions is parsed; given to the parsers of clone, ct and write_actions. */
export type ParseNested = (text: string, base: number, outer: OuterAction) => Action[];

/** The action around a nested list. */
export type OuterAction = "ct" | "clone" | "write_actions" | null;

/** The parser of one action: reads the scanner's current pair. Some texts stand for several actions, or for none. */
export type ActionParser = (at: Scanner, context: ActionContext, nested: ParseNested) => Action;

/** Runs `parse`, giving an error it throws the column of the scanner's value. */
export function atValue<T>(at: Scanner, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof MegaflowError) throw error.at({ column: at.valueAt + 1 });
    throw error;
  }
}
