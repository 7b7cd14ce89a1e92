// Tunnel options (tun_metadata0 to 63) in actions: the text knows them by name and 124 bytes wide, and the bridge's map
// (flow/tlv-map.ts) gives each its size and its place in the flow key.
import type { Field, Subfield } from "../flow/field.ts";
import { fitOption, OPTION_SIZE_MAX, plainOption, type TlvMap } from "../flow/tlv-map.ts";
import { MegaflowError } from "../lib/errors.ts";
import type { Action, LearnSpec } from "./action.ts";
import { bigintBytes } from "./bits.ts";

/**
 * The actions with every tunnel option in its place. Throws ETEXT with OVS's name of the error: NXFMFC_INVALID_TLV_FIELD
 * for one that the map does not have, OFPBAC_BAD_SET_LEN for bits beyond its end.
 */
export function placeOptions(actions: readonly Action[], tlvMap: TlvMap): Action[] {
  return mapActions(actions, new Placer(tlvMap));
}

/** The actions as an OpenFlow client, which knows no map, sees them: `NXM_NX_TUN_METADATA0[0..31]` even where that is all. */
export function withoutPlaces(actions: readonly Action[]): readonly Action[] {
  return mapActions(actions, UNPLACER);
}

/** Whether an action reads or writes the field of `index`. */
export function usesOption(actions: readonly Action[], index: number): boolean {
  let found = false;
  mapActions(actions, {
    field: (field) => {
      found ||= field.option === index;
      return field;
    },
    set: (action) => {
      found ||=
        action.type === "set_field" ? action.field.option === index : action.dst.field.option === index;
      return action;
    },
  });
  return found;
}

type SetAction = Extract<Action, { type: "set_field" | "load" }>;

interface Mapper {
  /** For the field of a subfield of `end` bits counted from the field's lowest, or of delete_field. */
  field(field: Field, end: number): Field;
  set(action: SetAction): SetAction;
}

class Placer implements Mapper {
  readonly #tlvMap: TlvMap;

  constructor(tlvMap: TlvMap) {
    this.#tlvMap = tlvMap;
  }

  field(field: Field, end: number): Field {
    if (field.option < 0) return field;
    const placed = this.#tlvMap.field(field.option);
    if (placed === null) throw new MegaflowError("ETEXT", "NXFMFC_INVALID_TLV_FIELD");
    if (end > placed.bits) throw new MegaflowError("ETEXT", "OFPBAC_BAD_SET_LEN");
    return placed;
  }

  /** A load becomes a set_field: its bits may reach further than OpenFlow's load can say. */
  set(action: SetAction): SetAction {
    const given = action.type === "set_field" ? action.field : action.dst.field;
    if (given.option < 0 || given.size !== 0) return action;
    const field = this.field(given, 0);
    let { value, mask } = action as Extract<Action, { type: "set_field" }>;
    if (action.type === "load") {
      const { ofs, bits } = action.dst;
      value = bigintBytes(action.value << BigInt(ofs), OPTION_SIZE_MAX);
      mask = bigintBytes(((1n << BigInt(bits)) - 1n) << BigInt(ofs), OPTION_SIZE_MAX);
    }
    return { type: "set_field", field, ...fitOption(value, mask, field.size) };
  }
}

const UNPLACER: Mapper = {
  field: (field) => (field.option < 0 ? field : plainOption(field)),
  set: (action) => action,
};

function mapActions(actions: readonly Action[], map: Mapper): Action[] {
  return actions.map((action) => mapAction(action, map));
}

/** The same object when nothing changes. */
function mapAction(action: Action, map: Mapper): Action {
  switch (action.type) {
    case "set_field":
    case "load":
      return map.set(action);
    case "move": {
      const src = mapSubfield(action.src, map);
      const dst = mapSubfield(action.dst, map);
      return src === action.src && dst === action.dst ? action : { ...action, src, dst };
    }
    case "push":
    case "output_reg": {
      const src = mapSubfield(action.src, map);
      return src === action.src ? action : { ...action, src };
    }
    case "pop":
    case "multipath":
    case "check_pkt_larger": {
      const dst = mapSubfield(action.dst, map);
      return dst === action.dst ? action : { ...action, dst };
    }
    case "bundle": {
      const dst = action.dst === null ? null : mapSubfield(action.dst, map);
      return dst === action.dst ? action : { ...action, dst };
    }
    case "ct": {
      const zone = typeof action.zone === "number" ? action.zone : mapSubfield(action.zone, map);
      const exec = mapActions(action.exec, map);
      return zone === action.zone && isSame(exec, action.exec) ? action : { ...action, zone, exec };
    }
    case "learn": {
      const specs = action.specs.map((spec) => mapSpec(spec, map));
      const resultDst = action.resultDst === null ? null : mapSubfield(action.resultDst, map);
      return isSame(specs, action.specs) && resultDst === action.resultDst
        ? action
        : { ...action, specs, resultDst };
    }
    case "delete_field": {
      const field = map.field(action.field, 0);
      return field === action.field ? action : { ...action, field };
    }
    case "clone":
    case "write_actions": {
      const inner = mapActions(action.actions, map);
      return isSame(inner, action.actions) ? action : { ...action, actions: inner };
    }
    default:
      return action;
  }
}

function mapSpec(spec: LearnSpec, map: Mapper): LearnSpec {
  const src = spec.src instanceof Uint8Array ? spec.src : mapSubfield(spec.src, map);
  const dst = spec.dst === null ? null : mapSubfield(spec.dst, map);
  return src === spec.src && dst === spec.dst ? spec : { ...spec, src, dst };
}

function mapSubfield(sf: Subfield, map: Mapper): Subfield {
  const field = map.field(sf.field, sf.ofs + sf.bits);
  return field === sf.field ? sf : { ...sf, field };
}

function isSame<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.every((x, i) => x === b[i]);
}
