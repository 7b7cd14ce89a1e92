// The learn action (ovs-actions(7), "The learn action"): text in.

import type { Field, Subfield } from "../../flow/field.ts";
import { parseField } from "../../flow/field-text.ts";
import { parseSubfield, parseSubfieldPrefix, wholeField } from "../../flow/subfield.ts";
import { MegaflowError } from "../../lib/errors.ts";
import type { Action, LearnSpec } from "../action.ts";
import { type ActionContext, atValue } from "./context.ts";
import { atoi, bytesOf, readInteger, strtoull } from "./number.ts";
import { Scanner } from "./scan.ts";
import { fieldByPlainName, leadingInteger, leadingText, parseMovePair } from "./set.ts";
import { refuseExperimenter } from "./short-header.ts";
import { tableFromText } from "./table-text.ts";

const DEFAULT_PRIORITY = 32768;

/** `learn(table=...,idle_timeout=...,...,SPEC,...)` */
export function parseLearn(at: Scanner, context: ActionContext): Action {
  let idleTimeout = 0;
  let hardTimeout = 0;
  let priority = DEFAULT_PRIORITY;
  let cookie = 0n;
  let table = 1;
  let finIdleTimeout = 0;
  let finHardTimeout = 0;
  let sendFlowRem = false;
  let deleteLearned = false;
  let limit = 0;
  let resultDst: Subfield | null = null;
  const specs: LearnSpec[] = [];
  const pairs = new Scanner(at.value, at.valueAt);
  while (pairs.next()) {
    const text = pairs.value;
    switch (pairs.key) {
      case "table": {
        const number = tableFromText(text, context);
        if (number === null) throw pairs.errorAtValue(`unknown table "${text}"`);
        if (number === 255) {
          throw pairs.errorAtValue(`${at.value}: table id 255 not valid for \`learn' action`);
        }
        table = number;
        break;
      }
      case "priority":
        priority = atoi(text) & 0xffff;
        break;
      case "idle_timeout":
        idleTimeout = atoi(text) & 0xffff;
        break;
      case "hard_timeout":
        hardTimeout = atoi(text) & 0xffff;
        break;
      case "fin_idle_timeout":
        finIdleTimeout = atoi(text) & 0xffff;
        break;
      case "fin_hard_timeout":
        finHardTimeout = atoi(text) & 0xffff;
        break;
      case "cookie":
        cookie = strtoull(text);
        break;
      case "send_flow_rem":
        sendFlowRem = true;
        break;
      case "delete_learned":
        deleteLearned = true;
        break;
      case "limit":
        limit = atoi(text) >>> 0;
        break;
      case "result_dst":
        resultDst = atValue(pairs, () => parseSubfield(text));
        if (!resultDst.field.writable) throw pairs.errorAtValue(`${text} is read-only`);
        if (resultDst.bits !== 1) {
          throw pairs.errorAtValue("result_dst in 'learn' action must be a single bit");
        }
        break;
      default:
        specs.push(parseSpec(at.value, pairs, context));
    }
  }
  return {
    type: "learn",
    idleTimeout,
    hardTimeout,
    priority,
    cookie,
    table,
    finIdleTimeout,
    finHardTimeout,
    sendFlowRem,
    deleteLearned,
    limit,
    resultDst,
    specs,
  };
}

/** One of the pairs that say what the learned flow matches and does. `whole` is learn's argument, for messages. */
function parseSpec(whole: string, at: Scanner, context: ActionContext): LearnSpec {
  const name = at.key;
  const field = fieldByPlainName(name);
  if (field !== undefined) return parseFieldSpec(whole, at, field, context);
  const subfield = trySubfield(name);
  if (typeof subfield !== "string") return parseSubfieldSpec(whole, at, subfield, context);
  if (name === "load") return parseLoadSpec(at);
  if (name === "output") {
    const { subfield: src, rest } = atValue(at, () => parseSubfieldPrefix(at.value));
    if (rest !== "") throw at.errorAtValue("unexpected input following field syntax");
    return { kind: "output", src, dst: null, bits: src.bits };
  }
  throw at.errorAtKey(`${whole}: unknown keyword ${name}`);
}

/** `FIELD`, `FIELD=SUBFIELD`, `FIELD=VALUE` */
function parseFieldSpec(whole: string, at: Scanner, field: Field, context: ActionContext): LearnSpec {
  const dst = wholeField(field);
  refuseExperimenter(whole, at, field);
  if (at.value === "") return { kind: "match", src: dst, dst, bits: dst.bits };
  const source = trySubfield(at.value);
  if (typeof source !== "string") return matchOf(whole, at, source, dst);
  try {
    const { value, mask } = parseField(field, at.value, context.portByName);
    if (mask.some((byte) => byte !== 0xff)) {
      throw new MegaflowError("ETEXT", `${at.value}: wildcards not allowed here`);
    }
    return { kind: "match", src: value, dst, bits: dst.bits };
  } catch (error) {
    throw neither(whole, at, source, (error as Error).message);
  }
}

/** `SUBFIELD`, `SUBFIELD=SUBFIELD`, `SUBFIELD=NUMBER` */
function parseSubfieldSpec(whole: string, at: Scanner, dst: Subfield, context: ActionContext): LearnSpec {
  // All of a field takes values in the field's own form.
  refuseExperimenter(whole, at, dst.field);
  if (dst.bits === dst.field.bits) return parseFieldSpec(whole, at, dst.field, context);
  if (at.value === "") return { kind: "match", src: dst, dst, bits: dst.bits };
  const source = trySubfield(at.value);
  if (typeof source !== "string") return matchOf(whole, at, source, dst);
  const value = readInteger(at.value);
  if (value === null || value < 0n) throw neither(whole, at, source, `${whole}: cannot parse integer value`);
  if (value >> BigInt(dst.bits) !== 0n) {
    const text = `0x${value.toString(16)}`;
    throw neither(whole, at, source, `${whole}: value ${text} does not fit into ${dst.bits} bits`);
  }
  return { kind: "match", src: bytesOf(value, dst.field.valueSize), dst, bits: dst.bits };
}

function matchOf(whole: string, at: Scanner, src: Subfield, dst: Subfield): LearnSpec {
  if (src.bits !== dst.bits) {
    throw at.errorAtValue(
      `${whole}: bit widths of ${at.key} (${src.bits}) and ${at.value} (${dst.bits}) differ`,
    );
  }
  return { kind: "match", src, dst, bits: dst.bits };
}

/** The subfield a text is, or the message that says why it is none. */
function trySubfield(text: string): Subfield | string {
  try {
    return parseSubfield(text);
  } catch (error) {
    return (error as Error).message;
  }
}

function neither(whole: string, at: Scanner, subfieldError: string, valueError: string): MegaflowError {
  return at.errorAtValue(
    `${whole}: ${at.key} value ${at.value} cannot be parsed as a subfield (${subfieldError}) or an immediate value (${valueError})`,
  );
}

/** `load:VALUE->SUBFIELD`, `load:SUBFIELD->SUBFIELD` */
function parseLoadSpec(at: Scanner): LearnSpec {
  const text = at.value;
  const arrow = text.indexOf("->");
  if (arrow < 0) throw at.errorAtValue(`load: missing \`->' in \`${text}'`);
  if (arrow === 0) throw at.errorAtValue(`load: missing source before \`->' in \`${text}'`);
  const value = leadingInteger(text);
  const number = leadingText(text);
  if (value !== null) {
    if (!text.startsWith("->", number)) throw at.errorAtValue(`load: garbage before \`->' in \`${text}'`);
    const dst = atValue(at, () => parseSubfield(text.slice(arrow + 2)));
    refuseExperimenter(text, at, dst.field, text.slice(arrow + 2));
    if (value >> BigInt(dst.bits) !== 0n) {
      throw at.errorAtValue(`${text}: value does not fit into ${dst.bits} bits`);
    }
    return { kind: "load", src: bytesOf(value, dst.field.valueSize), dst, bits: dst.bits };
  }
  const { src, dst } = parseMovePair(at, text);
  return { kind: "load", src, dst, bits: src.bits };
}
