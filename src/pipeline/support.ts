// What flows and groups may ask for: what names a tunnel option without a place, a group or a meter that does not exist is
// refused when it is loaded, never silently ignored.
import type { Field } from "../flow/field.ts";
import { MegaflowError } from "../lib/errors.ts";
import type { Action } from "./action.ts";
import type { GroupTable } from "./group.ts";
import type { MeterTable } from "./meter.ts";

/** Throws ETEXT with OVS's error name. Null for groups or meters: these are not looked at, as in the buckets of a group. */
export function checkSupported(
  actions: readonly Action[],
  groups: GroupTable | null,
  meters: MeterTable | null,
): void {
  for (const action of actions) checkOne(action, groups, meters);
}

function checkOne(action: Action, groups: GroupTable | null, meters: MeterTable | null): void {
  switch (action.type) {
    case "set_field":
      checkField(action.field);
      return;
    case "load":
    case "pop":
    case "check_pkt_larger":
    case "multipath":
      checkField(action.dst.field);
      return;
    case "move":
      checkField(action.src.field);
      checkField(action.dst.field);
      return;
    case "push":
    case "output_reg":
      checkField(action.src.field);
      return;
    case "group":
      if (groups !== null && groups.get(action.groupId) === null) refuse("OFPBAC_BAD_OUT_GROUP");
      return;
    case "meter":
      if (meters !== null && meters.get(action.meterId) === null) refuse("OFPMMFC_INVALID_METER");
      return;
    case "ct":
      if (typeof action.zone !== "number") checkField(action.zone.field);
      checkSupported(action.exec, groups, meters);
      return;
    case "clone":
    case "write_actions":
      checkSupported(action.actions, groups, meters);
      return;
    case "learn":
      for (const spec of action.specs) {
        if (spec.dst !== null) checkField(spec.dst.field);
        if (!(spec.src instanceof Uint8Array)) checkField(spec.src.field);
      }
      return;
    case "delete_field":
      checkField(action.field);
      return;
    default:
  }
}

function checkField(field: Field): void {
  if (field.size === 0) refuse("NXFMFC_INVALID_TLV_FIELD");
}

function refuse(name: string): never {
  throw new MegaflowError("ETEXT", name);
}
