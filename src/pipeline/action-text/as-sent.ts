// What is left of actions on their way to a switch: OpenFlow 1.0 has no set_field, so ovs-ofctl sends older actions or loads
// in its place, and some of what they cannot carry is lost (the mask of an address). OVS then does, and prints, what arrived.

import {
  DL_VLAN,
  ETH_DST,
  ETH_SRC,
  type Field,
  IN_PORT,
  IP_DSCP,
  IP_DST,
  IP_SRC,
  NW_ECN,
  NW_TOS,
  NW_TTL,
  type Subfield,
  TCP_DST,
  TCP_SRC,
  UDP_DST,
  UDP_SRC,
  VLAN_PCP,
  VLAN_TCI,
  VLAN_VID,
} from "../../flow/field.ts";
import type { Action, ModName, NatSpec } from "../action.ts";
import { isWholeRun, runOfMask, runOfValue, valueOfRun } from "./field-value.ts";
import { bytesOf, numberOf } from "./number.ts";
import { hasShortHeader } from "./short-header.ts";

/** Most bits of one load. */
const LOAD_BITS = 64;

/** The actions as a switch gets them over OpenFlow 1.5 or, with `old`, over 1.0. */
export function asSent(actions: readonly Action[], old: boolean): readonly Action[] {
  // Nearly all actions arrive as they were written.
  if (!actions.some((action) => changes(action, old))) return actions;
  return actions.flatMap((action) => (changes(action, old) ? sent(action, old) : [action]));
}

function changes(action: Action, old: boolean): boolean {
  switch (action.type) {
    case "set_field":
      return old || action.field === DL_VLAN;
    case "mod":
    case "goto_table":
      return old;
    case "load":
      return action.dst.field === DL_VLAN || (old && action.dst.bits > LOAD_BITS);
    case "output_reg":
      return action.src.bits > LOAD_BITS;
    case "multipath":
      return action.dst.bits > LOAD_BITS;
    case "bundle":
      return action.dst !== null && action.dst.bits > LOAD_BITS;
    case "clone":
    case "write_actions":
    case "ct":
    case "nat":
      return true;
    default:
      return false;
  }
}

function sent(action: Action, old: boolean): readonly Action[] {
  switch (action.type) {
    case "set_field":
      return old ? sentSetField(action) : [setField(IN_PORT, valueOfRun(DL_VLAN, action.value))];
    case "mod":
      return [sentMod(action)];
    case "load": {
      const { field, ofs, bits } = action.dst;
      if (field === DL_VLAN) return [{ ...action, dst: { field: IN_PORT, ofs, bits } }];
      if (!hasShortHeader(field) || field.option >= 0) return [action];
      return loads(field, action.value << BigInt(ofs), ((1n << BigInt(bits)) - 1n) << BigInt(ofs));
    }
    case "goto_table":
      return [{ type: "resubmit", inPort: null, table: action.table, withCt: false }];
    case "output_reg":
      return [{ ...action, src: narrowed(action.src) }];
    case "multipath":
      return [{ ...action, dst: narrowed(action.dst) }];
    case "bundle":
      return [{ ...action, dst: action.dst === null ? null : narrowed(action.dst) }];
    case "clone":
    case "write_actions":
      return [{ ...action, actions: asSent(action.actions, old) }];
    case "ct":
      return [
        { ...action, zone: sentZone(action.zone), nat: sentNat(action.nat), exec: asSent(action.exec, old) },
      ];
    case "nat":
      return [{ ...action, nat: sentNat(action.nat) }];
    default:
      return [action];
  }
}

/** An address of zeros is none, and without one there is nothing for the flags to choose from. */
function sentNat<T extends NatSpec | null>(nat: T): T {
  if (nat === null || nat.minAddr === null || nat.minAddr.some((byte) => byte !== 0)) return nat;
  return { ...nat, minAddr: null, persistent: false, hash: false, random: false };
}

/** The width has six bits on the wire, and what overflows runs into the offset. */
function narrowed({ field, ofs, bits }: Subfield): Subfield {
  return { field, ofs: ofs | ((bits - 1) >> 6), bits: ((bits - 1) & 63) + 1 };
}

/** A zone in a field without a short number arrives as a number: the offset and the width. */
function sentZone(zone: number | Subfield): number | Subfield {
  if (typeof zone === "number" || hasShortHeader(zone.field)) return zone;
  return (zone.ofs << 6) | (zone.bits - 1);
}

function setField(field: Field, value: bigint): Action {
  return { type: "set_field", field, value: runOfValue(field, value), mask: runOfMask(field, -1n) };
}

/** set_field before OpenFlow 1.2: an action of 1.0 where there is one, which has no mask, else loads. */
function sentSetField(action: Action & { type: "set_field" }): readonly Action[] {
  const { field } = action;
  const value = action.unmasked ?? valueOfRun(field, action.value);
  switch (field) {
    case VLAN_TCI:
      if ((value & 0x1000n) === 0n) return [{ type: "strip_vlan", spelling: "strip_vlan" }];
      return [mod("mod_vlan_vid", value & 0xfffn, 2), mod("mod_vlan_pcp", value >> 13n, 1)];
    case VLAN_VID:
      return [mod("mod_vlan_vid", value & 0xfffn, 2)];
    case VLAN_PCP:
      return [mod("mod_vlan_pcp", value, 1)];
    case ETH_SRC:
      return [mod("mod_dl_src", value, 6)];
    case ETH_DST:
      return [mod("mod_dl_dst", value, 6)];
    case IP_SRC:
      return [mod("mod_nw_src", value, 4)];
    case IP_DST:
      return [mod("mod_nw_dst", value, 4)];
    case NW_TOS:
      return [mod("mod_nw_tos", value, 1)];
    case IP_DSCP:
      return [mod("mod_nw_tos", value << 2n, 1)];
    case TCP_SRC:
    case UDP_SRC:
      return [mod("mod_tp_src", value, 2)];
    case TCP_DST:
    case UDP_DST:
      return [mod("mod_tp_dst", value, 2)];
    case DL_VLAN:
      return [load(IN_PORT, 0, IN_PORT.bits, value)];
    default:
      // Loads cannot name it.
      if (!hasShortHeader(field) || field.option >= 0) return [action];
      return loads(field, value, isWholeRun(field, action.mask) ? -1n : valueOfRun(field, action.mask));
  }
}

/** A load for each run of ones in a mask, from the low end. */
function loads(field: Field, value: bigint, mask: bigint): Action[] {
  const found: Action[] = [];
  const isSet = (bit: number): boolean => bit < field.bits && ((mask >> BigInt(bit)) & 1n) === 1n;
  for (let ofs = 0; ofs < field.bits; ofs++) {
    if (!isSet(ofs)) continue;
    let bits = 1;
    while (bits < LOAD_BITS && isSet(ofs + bits)) bits++;
    found.push(load(field, ofs, bits, value >> BigInt(ofs)));
    ofs += bits - 1;
  }
  return found;
}

function load(field: Field, ofs: number, bits: number, value: bigint): Action {
  return { type: "load", dst: { field, ofs, bits }, value: BigInt.asUintN(bits, value) };
}

function mod(name: ModName, value: bigint, size: number): Action {
  return { type: "mod", name, value: bytesOf(value, size), fact: 0 };
}

/** OpenFlow 1.0 has one way to set a tag, and loads where it has no action at all. */
function sentMod(action: Action & { type: "mod" }): Action {
  switch (action.name) {
    case "set_vlan_vid":
      return { ...action, name: "mod_vlan_vid" };
    case "set_vlan_pcp":
      return { ...action, name: "mod_vlan_pcp" };
    case "mod_nw_ecn":
      return load(NW_ECN, 0, NW_ECN.bits, numberOf(action.value));
    case "mod_nw_ttl":
      return load(NW_TTL, 0, NW_TTL.bits, numberOf(action.value));
    default:
      return action;
  }
}
