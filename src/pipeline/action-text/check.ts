// Whether actions fit the packets that a flow matches: prerequisites of the fields they read and write, VLAN tags they need,
// ports and tables they name (ovs-actions(7); ovs-fields(7), "Prerequisites").
//
// OVS has three grades. A hard error (returned here by its OpenFlow name) keeps ovs-ofctl from sending the flow. An action
// that merely cannot do anything, such as dec_ttl on packets that need not be IP, is let through by OpenFlow 1.0 and not by
// later versions. And a switch refuses some actions that ovs-ofctl sends, not always in every version. A flow is taken when
// one version takes it: OpenFlow 1.5, or 1.0, which ovs-ofctl uses by default.

import { DL_VLAN, type Field, type Subfield, VLAN_TCI, VLAN_VID } from "../../flow/field.ts";
import { Flow, type Match } from "../../flow/flow.ts";
import * as L from "../../flow/layout.ts";
import { writeSubfield } from "../../flow/subfield.ts";
import type { TlvMap } from "../../flow/tlv-map.ts";
import {
  type Action,
  isPlainOutput,
  type LearnSpec,
  type NatSpec,
  OFPP_IN_PORT,
  OFPP_LOCAL,
  OFPP_MAX,
} from "../action.ts";
import type { ActionContext } from "./context.ts";
import { valueOfRun } from "./field-value.ts";
import { numberOf } from "./number.ts";
import { isOutputPort } from "./output.ts";
import {
  isCtKnown,
  isIp,
  isPresent,
  isUncoveredUsed,
  setUncoveredType,
  startOf,
  typeOf,
  uncoveredType,
  uncoverType,
} from "./prerequisite.ts";
import { isValidValue } from "./set.ts";
import { hasShortHeader } from "./short-header.ts";

const ETH_IP = 0x0800;
const ETH_IPV6 = 0x86dd;
const CFI = 0x1000;
/** The packet type that each encap makes (namespace << 16 | EtherType). */
const ENCAP_TYPES = { ethernet: 0, nsh: 0x1894f, mpls: 0x18847, mpls_mc: 0x18848 } as const;

/** What is known of a packet at some action: a copy of the match that the actions change as they go. */
interface Known {
  readonly flow: Flow;
}

/** What is wrong with actions, as names of OpenFlow errors; null for nothing. */
export interface Verdict {
  /** What keeps ovs-ofctl from sending the flow. */
  readonly error: string | null;
  /** Whether the flow can be sent over OpenFlow 1.0 and over 1.5. */
  readonly inOld: boolean;
  readonly inNew: boolean;
  /** What a switch answers to it there. */
  readonly refusalOld: string | null;
  readonly refusalNew: string | null;
}

/** What only OpenFlow 1.0 takes has been seen, what 1.0 does not take, and what a switch refuses in each. */
let $needsOld = false;
let $needsNew = false;
let $tlvMap: TlvMap | null = null;
let $refusalOld: string | null = null;
let $refusalNew: string | null = null;
let $hasMetadata = false;
/** A bucket's actions have no match to fit. */
let $isBucket = false;
/** An action is among them that ovs-ofctl would drop without a word on the way to OpenFlow 1.0. */
let $isLostInOld = false;
/** Whether the flow's keys need more than OpenFlow 1.0. */
let $keysNeedNew = false;
/** What OpenFlow 1.5 says when all actions are read: it sets fields with set_field, which has prerequisites. */
let $inconsistentNew = false;
/** The same of OpenFlow 1.0 and the few actions that become loads there. */
let $inconsistentOld = false;

/** A switch refuses the flow in every version; the first reason counts. */
function refuse(name: string): void {
  refuseOld(name);
  refuseNew(name);
}

function refuseOld(name: string): void {
  $refusalOld ??= name;
}

function refuseNew(name: string): void {
  $refusalNew ??= name;
}

/** What a switch answers to a bucket's actions over OpenFlow 1.5; null for nothing. */
export function refusalOfBucket(actions: readonly Action[], tlvMap: TlvMap | null): string | null {
  $isBucket = true;
  try {
    checkActions(actions, { match: EVERYTHING, tlvMap });
    return $refusalNew;
  } finally {
    $isBucket = false;
  }
}

const EVERYTHING: Match = { flow: new Flow(), mask: new Flow() };

/** Whether the actions fit the context's match. Settles the `fact` of mod actions. */
export function checkActions(
  actions: readonly Action[],
  context: ActionContext & { readonly match?: Match },
): Verdict {
  const match = context.match!;
  $needsOld = false;
  $needsNew = context.versions === "newer";
  $tlvMap = context.tlvMap ?? null;
  $refusalOld = context.refusalOld ?? null;
  $refusalNew = context.refusalNew ?? null;
  $keysNeedNew = $needsNew;
  $hasMetadata = false;
  $isLostInOld = false;
  $inconsistentNew = false;
  $inconsistentOld = false;
  let error = checkAll(actions, match, context.tableId ?? 255);
  if (context.versions === "none" || ($needsOld && ($needsNew || $isLostInOld)))
    error ??= "OFPBAC_MATCH_INCONSISTENT";
  if ($inconsistentOld) refuseOld("OFPBAC_MATCH_INCONSISTENT");
  if (($inconsistentNew || isUncoveredUsed()) && !$isBucket) refuseNew("OFPBAC_MATCH_INCONSISTENT");
  return {
    error,
    inOld: !$needsNew && !$isLostInOld,
    inNew: !$needsOld,
    refusalOld: $refusalOld,
    refusalNew: $refusalNew,
  };
}

function checkAll(actions: readonly Action[], match: Match, tableId: number): string | null {
  $depth = 0;
  startOf(match);
  const known = copyOf(match.flow);
  return checkList(actions, known, tableId);
}

/** How many VLAN tags a packet is known to have. */
function vlansOf(flow: Flow): number {
  if ((flow.get16(L.O_VLAN0_TCI) & CFI) === 0) return 0;
  return (flow.get16(L.O_VLAN1_TCI) & CFI) === 0 ? 1 : 2;
}

/** One per level of nesting: a copy for each flow of a big file would cost more than the checks. */
const $known: Known[] = [];
let $depth = 0;

function copyOf(flow: Flow): Known {
  const known = ($known[$depth] ??= { flow: new Flow() });
  known.flow.copyFrom(flow);
  return known;
}

/** Checks actions inside another action: what they change is not known outside. */
function checkNested(actions: readonly Action[], known: Known, tableId: number): string | null {
  // ovs-ofctl forgets what the actions before a nested list need.
  $needsNew = $keysNeedNew;
  $depth++;
  const uncovered = uncoveredType();
  const error = checkList(actions, copyOf(known.flow), tableId);
  setUncoveredType(uncovered);
  $depth--;
  return error;
}

function checkList(actions: readonly Action[], known: Known, tableId: number): string | null {
  for (const action of actions) {
    const error = checkAction(action, known, tableId);
    if (error !== null && !$isBucket) return error;
    if (error === "OFPBAC_BAD_OUT_PORT" || error === "OFPBAC_BAD_SET_ARGUMENT") refuse(error);
  }
  return null;
}

function checkAction(action: Action, known: Known, tableId: number): string | null {
  const flow = known.flow;
  switch (action.type) {
    case "output":
    case "output_trunc":
      return isOutputPort(action.port) ? null : "OFPBAC_BAD_OUT_PORT";
    case "enqueue": {
      const ok = action.port < OFPP_MAX || action.port === OFPP_IN_PORT || action.port === OFPP_LOCAL;
      return ok ? null : "OFPBAC_BAD_OUT_PORT";
    }
    case "output_reg":
      return checkSource(action.src, flow);
    case "bundle":
      if (!action.members.every((port) => isOutputPort(port) || port === 0xffff))
        return "OFPBAC_BAD_OUT_PORT";
      if (action.dst === null) return null;
      if (action.dst.bits < 16) refuse("OFPBAC_BAD_ARGUMENT");
      return checkDestination(action.dst, flow);
    case "check_pkt_larger":
      noteOption(action.dst.field);
      if (action.dst.field.codePoints.length === 0) refuse("OFPBMC_BAD_FIELD");
      if (!action.dst.field.writable) refuse("OFPBAC_BAD_SET_ARGUMENT");
      return null;
    case "multipath":
      return checkDestination(action.dst, flow);
    case "set_field":
      return checkSetField(action, known);
    case "load":
      return checkLoad(action, known);
    case "move":
      return checkSource(action.src, flow) ?? checkDestination(action.dst, flow);
    case "push":
      return checkSource(action.src, flow);
    case "pop":
      return checkDestination(action.dst, flow);
    case "mod":
      settleMod(action, known);
      return null;
    case "strip_vlan":
      if (vlansOf(known.flow) > 0) {
        flow.set32(L.O_VLAN0, flow.get32(L.O_VLAN1));
        flow.set32(L.O_VLAN1, 0);
      } else $needsOld = true;
      return null;
    case "push_vlan":
      $needsNew = true;
      $isLostInOld = true;
      if (vlansOf(flow) === 2) return "OFPBAC_BAD_TAG";
      flow.set32(L.O_VLAN1, flow.get32(L.O_VLAN0));
      flow.set32(L.O_VLAN0, ((action.ethertype << 16) | CFI) >>> 0);
      return null;
    case "push_mpls":
      // What the label hides cannot be known any more.
      if (action.ethertype !== 0x8847 && action.ethertype !== 0x8848) refuse("OFPBAC_BAD_ARGUMENT");
      needsOldUnless(isPresent("ethernet", flow));
      flow.set16(L.O_DL_TYPE, action.ethertype);
      flow.set8(L.O_NW_PROTO, 0);
      return null;
    case "encap":
      $needsNew = true;
      refuseOld("OFPBAC_BAD_VENDOR_TYPE");
      if (action.header === "ethernet") uncoverType(flow);
      flow.set32(L.O_PACKET_TYPE, ENCAP_TYPES[action.header]);
      if (action.header !== "ethernet") flow.set16(L.O_DL_TYPE, ENCAP_TYPES[action.header] & 0xffff);
      if (!isIp(flow)) flow.set8(L.O_NW_PROTO, 0);
      return null;
    case "decap":
      refuseOld("OFPBAC_BAD_VENDOR_TYPE");
      if (flow.get32(L.O_PACKET_TYPE) === 0) {
        flow.set32(L.O_PACKET_TYPE, 0x10000 | flow.get16(L.O_DL_TYPE));
      } else {
        // What comes to light is not known here, so nothing may depend on it.
        flow.set32(L.O_PACKET_TYPE, 0xffff);
        flow.set16(L.O_DL_TYPE, 0xffff);
      }
      return null;
    case "pop_mpls":
      needsOldUnless(isPresent("mpls", flow) && isPresent("ethernet", flow));
      flow.set16(L.O_DL_TYPE, action.ethertype);
      return null;
    case "set_mpls":
      if (action.part !== "ttl") setsInNew(isPresent("mpls", flow));
      needsOldUnless(isPresent("mpls", flow));
      return null;
    case "dec_mpls_ttl":
      needsOldUnless(isPresent("mpls", flow));
      return null;
    case "dec_ttl":
      needsOldUnless(isPresent("ip", flow));
      return null;
    case "debug_recirc":
    case "debug_slow":
      refuse("OFPBAC_BAD_VENDOR_TYPE");
      return null;
    case "dec_nsh_ttl":
      refuseOld("OFPBAC_BAD_VENDOR_TYPE");
      needsOldUnless(isPresent("nsh", flow));
      return null;
    case "fin_timeout":
      needsOldUnless(isPresent("ip", flow) && flow.get8(L.O_NW_PROTO) === 6);
      return null;
    case "resubmit":
      return !action.withCt || isCtKnown(flow) ? null : "OFPBAC_MATCH_INCONSISTENT";
    case "learn":
      if (action.resultDst !== null) noteOption(action.resultDst.field);
      return checkLearn(action.specs, flow);
    case "clone":
      return checkNested(action.actions, known, tableId);
    case "clear_actions":
      $isLostInOld = true;
      return null;
    case "write_metadata":
      $hasMetadata = true;
      return null;
    case "write_actions":
      $isLostInOld = true;
      return checkWriteActions(action.actions, known);
    case "ct":
      return checkCt(action, known);
    case "delete_field":
      if (!action.field.name.startsWith("tun_metadata")) return "OFPBAC_BAD_ARGUMENT";
      noteOption(action.field);
      return null;
    case "meter":
      $needsNew = true;
      // OpenFlow 1.0 would drop it without a word.
      $isLostInOld = true;
      return action.meterId === 0 || action.meterId > 0xffff0000 ? "OFPMMFC_INVALID_METER" : null;
    case "goto_table":
      if (tableId === 255 && action.table === 0) refuseNew("OFPBIC_BAD_TABLE_ID");
      // OpenFlow 1.0 has resubmit alone, which may not come after write_metadata.
      if ($hasMetadata) refuseOld("NXBRC_UNENCODABLE_ERROR");
      return tableId !== 255 && action.table <= tableId ? "OFPBIC_BAD_TABLE_ID" : null;
    default:
      return null;
  }
}

function isInASet(action: Action): boolean {
  if (action.type === "controller") return isPlainOutput(action);
  return !NOT_IN_A_SET.has(action.type);
}

/** Actions that have no place in an action set's order. */
const NOT_IN_A_SET: ReadonlySet<Action["type"]> = new Set<Action["type"]>([
  "bundle",
  "check_pkt_larger",
  "clone",
  "conjunction",
  "enqueue",
  "exit",
  "fin_timeout",
  "learn",
  "multipath",
  "note",
  "output_reg",
  "output_trunc",
  "pop",
  "pop_queue",
  "push",
  "sample",
]);

/** What an action set's actions do to the versions does not count, but 1.5 has to set fields with set_field. */
function checkWriteActions(actions: readonly Action[], known: Known): string | null {
  const needsOld = $needsOld;
  const error = checkNested(actions, known, 255);
  $needsOld = needsOld;
  for (const inner of actions) if (!isInASet(inner)) refuse("OFPBAC_BAD_TYPE");
  return error;
}

/** A field to read: its prerequisites must hold. */
function checkSource(sf: Subfield, flow: Flow): string | null {
  noteOption(sf.field);
  if (sf.field.codePoints.length === 0) refuse("OFPBMC_BAD_FIELD");
  return isPresent(sf.field.prereq, flow) ? null : "OFPBAC_MATCH_INCONSISTENT";
}

/** A switch knows a tunnel option by a map (`ovs-ofctl add-tlv-map`) alone. */
function noteOption(field: Field): void {
  if (field.option >= 0 && ($tlvMap === null || $tlvMap.field(field.option) === null)) {
    refuse("NXFMFC_INVALID_TLV_FIELD");
  }
}

/** An action that could do nothing on the packets that match is let through by OpenFlow 1.0 alone. */
function needsOldUnless(fits: boolean): void {
  if (!fits) $needsOld = true;
}

function setsInNew(isThere: boolean): void {
  if (!isThere) $inconsistentNew = true;
}

/** A field to write: its prerequisites must hold and it must not be read-only. */
function checkDestination(sf: Subfield, flow: Flow): string | null {
  const error = checkSource(sf, flow);
  if (error !== null && !$isBucket) return error;
  return sf.field.writable ? null : "OFPBAC_BAD_SET_ARGUMENT";
}

function checkSetField(action: Action & { type: "set_field" }, known: Known): string | null {
  const { field } = action;
  const value = valueOfRun(field, action.value);
  noteOption(field);
  if (action.unmasked !== undefined) {
    refuseNew("OFPBMC_BAD_WILDCARDS");
    if (!hasShortHeader(field) || field.option >= 0) refuseOld("OFPBMC_BAD_WILDCARDS");
  } else if (!isValid(field, value)) refuseNew("OFPBAC_BAD_SET_ARGUMENT");
  if (field.codePoints.length === 0 && field !== DL_VLAN) refuse("OFPBAC_BAD_SET_LEN");
  return checkSet(field, known, value);
}

function checkLoad(action: Action & { type: "load" }, known: Known): string | null {
  const { field, ofs } = action.dst;
  const value = action.value << BigInt(ofs);
  noteOption(field);
  if (field.codePoints.length === 0 && field !== DL_VLAN) refuse("OFPBAC_BAD_SET_LEN");
  else if (!field.writable) refuse("OFPBAC_BAD_SET_ARGUMENT");
  else if (!isValid(field, value)) refuseNew("OFPBAC_BAD_SET_ARGUMENT");
  return checkSet(field, known, value);
}

/** Whether OpenFlow 1.5's set_field, which has all bits in their places, may have a value. */
function isValid(field: Field, value: bigint): boolean {
  if (field === VLAN_VID) return (value & 0x1000n) !== 0n;
  if (field.form === "of_port_oxm") return false;
  return isValidValue(field, value);
}

function checkSet(field: Field, known: Known, value: bigint): string | null {
  const { flow } = known;
  if (!isPresent(field.prereq, flow)) return "OFPBAC_MATCH_INCONSISTENT";
  if (field === VLAN_VID && (flow.get16(L.O_VLAN0_TCI) & CFI) === 0) return "OFPBAC_MATCH_INCONSISTENT";
  // Whether there is a tag is known from here on.
  if (field === VLAN_TCI) flow.set16(L.O_VLAN0_TCI, Number(value));
  return null;
}

/** Records what the spelling of a mod action at OpenFlow 1.5 depends on, and what the packet has after it. */
function settleMod(action: Action & { type: "mod" }, known: Known): void {
  const settled = action as { fact: number };
  if (action.name.startsWith("mod_dl_")) {
    setsInNew(isPresent("ethernet", known.flow));
  } else if (action.name.endsWith("vlan_vid") || action.name.endsWith("vlan_pcp")) {
    setsInNew(
      isPresent("ethernet", known.flow) && (vlansOf(known.flow) > 0 || action.name.startsWith("mod_")),
    );
    // Of what a bucket gets nothing is known, not even what the bucket itself has pushed.
    settled.fact = vlansOf(known.flow) > 0 && !$isBucket ? 1 : 0;
    if (vlansOf(known.flow) === 0 && action.name.startsWith("set_")) $needsOld = true;
    known.flow.set16(L.O_VLAN0_TCI, known.flow.get16(L.O_VLAN0_TCI) | CFI);
  } else if (action.name.startsWith("mod_tp_")) {
    const proto = known.flow.get8(L.O_NW_PROTO);
    settled.fact = isPresent("ip", known.flow) ? proto : 0;
    const notLater = (known.flow.get8(L.O_NW_FRAG) & L.FRAG_LATER) === 0;
    needsOldUnless(isPresent("ip", known.flow) && notLater && (proto === 6 || proto === 17 || proto === 132));
  } else if (action.name === "mod_nw_ecn" || action.name === "mod_nw_ttl") {
    needsOldUnless(isPresent("ip", known.flow));
    if (action.name === "mod_nw_ecn") setsInNew(isPresent("ip", known.flow));
    // OpenFlow 1.0 has to load them.
    if (!isPresent("ip", known.flow)) $inconsistentOld = true;
  } else if (action.name === "mod_nw_src" || action.name === "mod_nw_dst") {
    needsOldUnless(isPresent("ipv4", known.flow));
    setsInNew(isPresent("ipv4", known.flow));
  } else if (action.name.startsWith("mod_nw_")) {
    needsOldUnless(isPresent("ip", known.flow));
    setsInNew(isPresent("ip", known.flow));
  }
}

function checkCt(action: Action & { type: "ct" }, known: Known): string | null {
  const flow = known.flow;
  const dlType = typeOf(flow);
  const proto = flow.get8(L.O_NW_PROTO);
  const inconsistent = "OFPBAC_MATCH_INCONSISTENT";
  if (!$isBucket) {
    if (!isPresent("ip", flow)) return inconsistent;
    if (action.alg === "ftp" && proto !== 6) return inconsistent;
    if (action.alg === "tftp" && proto !== 17) return inconsistent;
  }
  if (typeof action.zone !== "number") {
    noteOption(action.zone.field);
    if (!$isBucket && !isPresent(action.zone.field.prereq, flow)) return inconsistent;
    if (action.zone.bits !== 16) refuse("OFPBAC_BAD_SET_LEN");
  }
  const nats: NatSpec[] = action.nat === null ? [] : [action.nat];
  for (const inner of action.exec) if (inner.type === "nat") nats.push(inner.nat);
  // A zone that is read from a field is the last that OVS looks at: nothing inside is inconsistent any more.
  const isInsideChecked = typeof action.zone === "number";
  for (const { minAddr } of isInsideChecked && !$isBucket ? nats : []) {
    if (minAddr !== null && dlType !== (minAddr.length === 4 ? ETH_IP : ETH_IPV6)) return inconsistent;
  }
  // What is invalid is no connection.
  if (action.commit && (flow.get8(L.O_CT_STATE) & L.CS_INVALID) !== 0) return inconsistent;
  const changes =
    action.exec.some((inner) => inner.type !== "nat") || nats.some((nat) => nat.kind !== "undo");
  if (!action.commit && changes) {
    if (isInsideChecked && !$isBucket) return "OFPBAC_BAD_ARGUMENT";
    refuse("OFPBAC_BAD_ARGUMENT");
  }
  // A range from port 0 does not survive the way to the switch.
  if (nats.some((nat) => nat.minPort === 0 && nat.maxPort !== 0)) refuse("OFPBAC_BAD_ARGUMENT");
  // Nor does an address of zeros, whatever comes with it.
  if (nats.some((nat) => isZero(nat.minAddr) && (nat.maxAddr !== null || nat.minPort !== 0))) {
    refuse("OFPBAC_BAD_ARGUMENT");
  }
  const error = action.exec.length === 0 ? null : checkNested(action.exec, known, 255);
  return isInsideChecked ? error : null;
}

function isZero(address: Uint8Array | null): boolean {
  return address?.every((byte) => byte === 0) ?? false;
}

/** The learned flow's own match grows spec by spec, and its fields' prerequisites are looked for there. */
function checkLearn(specs: readonly LearnSpec[], flow: Flow): string | null {
  const learned = new Flow();
  let error: string | null = null;
  for (const { kind, src, dst } of specs) {
    if (!(src instanceof Uint8Array)) {
      if (!hasShortHeader(src.field)) refuse("OFPBAC_BAD_SET_TYPE");
      error ??= checkSource(src, flow);
    }
    if (dst === null) continue;
    if (!hasShortHeader(dst.field)) refuse("OFPBAC_BAD_SET_TYPE");
    error ??= kind === "match" ? checkSource(dst, learned) : checkDestination(dst, learned);
    if (kind === "match" && src instanceof Uint8Array && dst.field.size > 0) {
      writeSubfield(learned, dst, numberOf(src));
    }
  }
  return error;
}
