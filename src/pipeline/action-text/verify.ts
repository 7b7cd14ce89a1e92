// What a list of actions may hold, whatever the match: the order of instructions, conjunction's company, what may stand
// inside ct, clone and write_actions (ovs-actions(7); OpenFlow 1.5.1 section 5.9).

import { CT_LABEL, CT_MARK, type Field } from "../../flow/field.ts";
import { MegaflowError } from "../../lib/errors.ts";
import { type Action, isPlainOutput } from "../action.ts";
import type { OuterAction } from "./context.ts";

/** Instructions in the order in which they run; everything else is part of apply_actions. */
const INSTRUCTIONS = [
  "meter",
  "apply_actions",
  "clear_actions",
  "write_actions",
  "write_metadata",
  "goto_table",
] as const;
const APPLY = 1;

/** Throws MegaflowError ETEXT, at `column`, for the first thing that may not be. */
export function verifyActions(
  actions: readonly Action[],
  outer: OuterAction,
  instructionsAllowed: boolean,
  column: number,
): void {
  const fail = (message: string): never => {
    throw new MegaflowError("ETEXT", message, { column });
  };
  let last = 0;
  for (const [i, action] of actions.entries()) {
    if (action.type === "conjunction") {
      for (const other of actions) {
        if (other.type === "conjunction" || other.type === "note") continue;
        fail(
          '"conjunction" actions may be used along with "note" but not any other kind of action ' +
            `(such as the "${actionName(other)}" action used here)`,
        );
      }
      return;
    }
    const error = nestedError(action, outer);
    if (error !== null) fail(error);
    const next = instructionRank(action);
    if (i > 0 && (last === APPLY ? next < last : next <= last)) {
      fail(
        next === last
          ? `duplicate ${INSTRUCTIONS[next]} instruction not allowed, for OpenFlow 1.1+ compatibility`
          : `invalid instruction ordering: ${INSTRUCTIONS[next]} must appear before ${INSTRUCTIONS[last]}, for OpenFlow 1.1+ compatibility`,
      );
    }
    // OpenFlow 1.5 has meter as an action besides.
    if (next !== APPLY && !instructionsAllowed && action.type !== "meter") {
      fail(`${INSTRUCTIONS[next]} instruction not allowed here`);
    }
    last = next;
  }
}

/** Place of an action's instruction in INSTRUCTIONS. */
function instructionRank(action: Action): number {
  const rank = (INSTRUCTIONS as readonly string[]).indexOf(action.type);
  return rank < 0 ? APPLY : rank;
}

function nestedError(action: Action, outer: OuterAction): string | null {
  if (action.type === "nat") {
    return outer === "ct" ? null : 'Cannot have NAT action outside of "ct" action';
  }
  const field = destination(action);
  const ofCt = field === CT_MARK || field === CT_LABEL;
  if (ofCt && outer !== "ct") return "cannot set CT fields outside of ct action";
  if (outer === "ct") {
    if (field === null) return `ct action doesn't support nested action ${actionName(action)}`;
    if (!ofCt) return `ct action doesn't support nested modification of ${field.name}`;
  }
  if (outer !== null && action.type === "meter") {
    return `${outer} action doesn't support nested action meter`;
  }
  return null;
}

/** The field that set_field, load or move changes; null for any other action. */
function destination(action: Action): Field | null {
  if (action.type === "set_field") return action.field;
  return action.type === "load" || action.type === "move" ? action.dst.field : null;
}

/** The name OVS has for the kind of action, whatever spelling it was given in. */
export function actionName(action: Action): string {
  switch (action.type) {
    case "load":
      return "set_field";
    case "output_reg":
      return "output_reg";
    case "mod":
      return (
        { mod_vlan_vid: "set_vlan_vid", mod_vlan_pcp: "set_vlan_pcp" }[action.name as string] ?? action.name
      );
    case "set_mpls":
      return `set_mpls_${action.part}`;
    case "controller":
      return isPlainOutput(action) ? "output" : "controller";
    default:
      return action.type;
  }
}
