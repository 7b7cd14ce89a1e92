// Actions that steer the pipeline or leave a mark (ovs-actions(7)): conjunction, note, sample, queues, timeouts,
// check_pkt_larger, delete_field; and the instructions that hold a number. Text in.

import { fieldByName } from "../../flow/field.ts";
import { parsePort } from "../../flow/port-text.ts";
import { parseSubfield } from "../../flow/subfield.ts";
import type { Action } from "../action.ts";
import { type ActionContext, atValue } from "./context.ts";
import { boundedInteger, boundedIntegerOf, hexBytes, readInteger, uint32, uint64 } from "./number.ts";
import { Scanner } from "./scan.ts";
import { splitArrow } from "./set.ts";
import { tableFromText } from "./table-text.ts";

/** `conjunction(ID,K/N)` */
export function parseConjunction(at: Scanner): Action {
  const m = /^\s*([^,\s]+)\s*,\s*([+-]?\d+)\s*\/\s*([+-]?\d+)\s*$/.exec(at.value);
  const id = m === null ? null : readInteger(m[1]!);
  if (m === null || id === null) {
    throw at.errorAtValue('"conjunction" syntax is "conjunction(id,i/n)"');
  }
  const clause = Number(BigInt.asUintN(8, BigInt(m[2]!)));
  const nClauses = Number(BigInt.asUintN(8, BigInt(m[3]!)));
  if (nClauses < 2) throw at.errorAtValue("conjunction must have at least 2 clauses");
  if (nClauses > 64) throw at.errorAtValue("conjunction must have at most 64 clauses");
  if (clause < 1) throw at.errorAtValue("clause index must be positive");
  if (clause > nClauses) {
    throw at.errorAtValue("clause index must be less than or equal to number of clauses");
  }
  return { type: "conjunction", id: Number(BigInt.asUintN(32, id)), clause, nClauses };
}

/** `note:01.02.03`: on the wire it fills whole units of 8 bytes after 10 of header, so 6, 14, 22... bytes. */
export function parseNote(at: Scanner): Action {
  const given = hexBytes(at, at.value, "bad hex digit in `note' argument");
  const data = new Uint8Array(6 + Math.ceil(Math.max(given.length - 6, 0) / 8) * 8);
  data.set(given);
  return { type: "note", data };
}

/** `sample(probability=...,collector_set_id=...,obs_domain_id=...,obs_point_id=...,sampling_port=...,ingress|egress)` */
export function parseSample(at: Scanner, context: ActionContext): Action {
  let probability = 0;
  let collectorSetId = 0;
  let obsDomainId = 0;
  let obsPointId = 0;
  let samplingPort: number | null = null;
  let direction: "" | "ingress" | "egress" = "";
  const pairs = new Scanner(at.value, at.valueAt);
  while (pairs.next()) {
    switch (pairs.key) {
      case "probability":
        probability = boundedInteger(pairs, "probability", 0xffff);
        if (probability === 0) {
          throw pairs.errorAtValue(`invalid probability value "${pairs.value}"`);
        }
        break;
      case "collector_set_id":
        collectorSetId = uint32(pairs);
        break;
      case "obs_domain_id":
        obsDomainId = uint32(pairs);
        break;
      case "obs_point_id":
        obsPointId = uint32(pairs);
        break;
      case "sampling_port":
        samplingPort = parsePort(pairs.value, context.portByName) ?? null;
        if (samplingPort === null) throw pairs.errorAtValue(`${pairs.value}: unknown port`);
        break;
      case "ingress":
      case "egress":
        direction = pairs.key;
        break;
      default:
        throw pairs.errorAtKey(`invalid key "${pairs.key}" in "sample" argument`);
    }
  }
  if (probability === 0) throw at.errorAtValue('non-zero "probability" must be specified on sample');
  return { type: "sample", probability, collectorSetId, obsDomainId, obsPointId, samplingPort, direction };
}

/** `fin_timeout(idle_timeout=N,hard_timeout=N)` */
export function parseFinTimeout(at: Scanner): Action {
  let idleTimeout = 0;
  let hardTimeout = 0;
  const pairs = new Scanner(at.value, at.valueAt);
  while (pairs.next()) {
    if (pairs.key === "idle_timeout") idleTimeout = boundedInteger(pairs, pairs.key, 0xffff);
    else if (pairs.key === "hard_timeout") hardTimeout = boundedInteger(pairs, pairs.key, 0xffff);
    else throw pairs.errorAtKey(`invalid key '${pairs.key}' in 'fin_timeout' argument`);
  }
  return { type: "fin_timeout", idleTimeout, hardTimeout };
}

/** `check_pkt_larger(LENGTH)->SUBFIELD` */
export function parseCheckPktLarger(at: Scanner): Action {
  const [before, name] = splitArrow(at);
  const dst = atValue(at, () => parseSubfield(name));
  if (dst.bits !== 1) throw at.errorAtValue("Only 1-bit destination field is allowed");
  const lengthText = before.replace(/\)$/, "");
  // "(null)" is what ovs-ofctl prints here.
  return { type: "check_pkt_larger", length: boundedIntegerOf(at, lengthText, "(null)", 0xffff), dst };
}

/** `delete_field:FIELD` */
export function parseDeleteField(at: Scanner): Action {
  const field = fieldByName(at.value);
  if (field === undefined) throw at.errorAtValue(`unknown field \`${at.value}'`);
  return { type: "delete_field", field };
}

/** `set_queue:N` */
export function parseSetQueue(at: Scanner): Action {
  return { type: "set_queue", queue: uint32(at) };
}

/** `meter:N` */
export function parseMeter(at: Scanner): Action {
  return { type: "meter", meterId: uint32(at) };
}

/** `goto_table:N` */
export function parseGotoTable(at: Scanner, context: ActionContext): Action {
  const table = tableFromText(at.value, context);
  if (table === null) throw at.errorAtValue(`unknown table "${at.value}"`);
  return { type: "goto_table", table };
}

/** `write_metadata:VALUE[/MASK]` */
export function parseWriteMetadata(at: Scanner): Action {
  const slash = at.value.indexOf("/");
  if (slash < 0) return { type: "write_metadata", value: uint64(at), mask: 0xffff_ffff_ffff_ffffn };
  // The mask is read first, and so complained of.
  const mask = uint64(at, at.value.slice(slash + 1));
  return { type: "write_metadata", value: uint64(at, at.value.slice(0, slash)), mask };
}
