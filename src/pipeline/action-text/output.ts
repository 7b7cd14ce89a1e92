// Actions that send a packet somewhere (ovs-actions(7), "Output Actions"): text in.

import { parsePort } from "../../flow/port-text.ts";
import { parseSubfield } from "../../flow/subfield.ts";
import {
  type Action,
  OFPP_ALL,
  OFPP_CONTROLLER,
  OFPP_FLOOD,
  OFPP_IN_PORT,
  OFPP_LOCAL,
  OFPP_MAX,
  OFPP_NONE,
  OFPP_NORMAL,
  OFPP_TABLE,
  OFPP_UNSET,
} from "../action.ts";
import type { ActionContext } from "./context.ts";
import { boundedInteger, hexBytes, uint32 } from "./number.ts";
import { Scanner } from "./scan.ts";
import { tableFromText } from "./table-text.ts";

/** An Ethernet header: output cannot cut below it. */
const MAX_LEN_MIN = 14;

/** The whole packet goes to the controller. */
const MAX_LEN_ALL = 0xffff;

/** `output` to a port. */
export function outputTo(port: number): Action {
  return { type: "output", port, maxLen: port === OFPP_CONTROLLER ? MAX_LEN_ALL : 0 };
}

/** `output:PORT`, `output:FIELD[a..b]`, `output(port=PORT,max_len=BYTES)`. */
export function parseOutput(at: Scanner, context: ActionContext): Action {
  const text = at.value;
  const port = parsePort(text, context.portByName);
  if (port !== undefined) return outputTo(port);
  if (text.includes("port") && text.includes("max_len")) return parseOutputTrunc(at, context);
  try {
    return { type: "output_reg", src: parseSubfield(text), maxLen: MAX_LEN_ALL };
  } catch {
    throw at.errorAtValue(`${text}: output to unknown port`);
  }
}

function parseOutputTrunc(at: Scanner, context: ActionContext): Action {
  let port = 0;
  let maxLen = 0;
  const pairs = new Scanner(at.value, at.valueAt);
  while (pairs.next()) {
    if (pairs.key === "port") {
      const found = parsePort(pairs.value, context.portByName);
      if (found === undefined) {
        throw pairs.errorAtValue(`output to unknown truncate port: ${pairs.value}`);
      }
      if (found > OFPP_MAX && (OUTPUT_ONLY_WHOLE.has(found) || found === OFPP_UNSET)) {
        throw pairs.errorAtValue(`output to unsupported truncate port: ${pairs.value}`);
      }
      port = found;
    } else if (pairs.key === "max_len") {
      maxLen = uint32(pairs);
      if (maxLen < MAX_LEN_MIN) {
        throw pairs.errorAtValue(`max_len ${maxLen} is less than the minimum value ${MAX_LEN_MIN}`);
      }
    } else {
      throw pairs.errorAtKey(`invalid key '${pairs.key}' in output_trunc argument`);
    }
  }
  return { type: "output_trunc", port, maxLen };
}

const OUTPUT_ONLY_WHOLE: ReadonlySet<number> = new Set([
  OFPP_TABLE,
  OFPP_NORMAL,
  OFPP_FLOOD,
  OFPP_ALL,
  OFPP_CONTROLLER,
  OFPP_NONE,
]);

/** `group:ID` */
export function parseGroup(at: Scanner): Action {
  return { type: "group", groupId: uint32(at) };
}

/** `enqueue:PORT:QUEUE` or `enqueue(PORT,QUEUE)`. */
export function parseEnqueue(at: Scanner, context: ActionContext): Action {
  const m = /^[:,]*([^:,]+)[:,](.+)$/s.exec(at.value);
  if (m === null) {
    throw at.errorAtValue('"enqueue" syntax is "enqueue:PORT:QUEUE" or "enqueue(PORT,QUEUE)"');
  }
  const port = parsePort(m[1]!, context.portByName);
  if (port === undefined) throw at.errorAtValue(`${m[1]}: enqueue to unknown port`);
  return { type: "enqueue", port, queue: uint32(at, m[2]) };
}

/** Why a packet goes to the controller: the names ovs-ofctl knows. */
const REASONS: ReadonlySet<string> = new Set([
  "no_match",
  "action",
  "invalid_ttl",
  "action_set",
  "group",
  "packet_out",
]);

/** `controller`, `controller:MAX_LEN`, `controller(key=value,...)`. */
export function parseController(at: Scanner): Action {
  let maxLen = MAX_LEN_ALL;
  let controllerId = 0;
  let reason = "action";
  let digits = "";
  let pause = false;
  let meterId: number | null = null;
  if (/^[0-9]+$/.test(at.value)) {
    maxLen = boundedInteger(at, "max_len", 0xffff);
  } else {
    const pairs = new Scanner(at.value, at.valueAt);
    while (pairs.next()) {
      switch (pairs.key) {
        case "reason":
          if (pairs.value !== "" && !REASONS.has(pairs.value))
            throw pairs.errorAtValue(`unknown reason "${pairs.value}"`);
          reason = pairs.value;
          break;
        case "max_len":
          maxLen = boundedInteger(pairs, "max_len", 0xffff);
          break;
        case "id":
          controllerId = boundedInteger(pairs, "id", 0xffff);
          break;
        case "userdata":
          digits = pairs.value;
          break;
        case "pause":
          pause = true;
          break;
        case "meter_id":
          // 0 stands for none.
          meterId = uint32(pairs) || null;
          break;
        default:
          throw pairs.errorAtKey(`unknown key "${pairs.key}" parsing controller action`);
      }
    }
  }
  // The last userdata counts, and is read after all the rest.
  const userdata = Uint8Array.from(hexBytes(at, digits, "bad hex digit in `controller' action `userdata'"));
  return { type: "controller", maxLen, controllerId, reason, userdata, pause, meterId };
}

/** `resubmit:PORT`, `resubmit([PORT],[TABLE][,ct])`. */
export function parseResubmit(at: Scanner, context: ActionContext): Action {
  const parts = at.value.split(",");
  const [portText = "", tableText = "", ctText = ""] = parts; // what follows is not read
  let inPort: number | null = null;
  let table: number | null = null;
  if (portText !== "") {
    const port = parsePort(portText, context.portByName);
    if (port === undefined) throw at.errorAtValue(`${portText}: resubmit to unknown port`);
    if (port !== OFPP_IN_PORT) inPort = port;
  }
  if (tableText !== "") {
    table = tableFromText(tableText, context);
    if (table === null) throw at.errorAtValue(`${tableText}: resubmit to unknown table`);
    if (table === 255) table = null;
  }
  if (ctText !== "" && ctText !== "ct") throw at.errorAtValue(`${ctText}: unknown parameter`);
  if (inPort === null && table === null) {
    throw at.errorAtValue('at least one "in_port" or "table" must be specified on resubmit');
  }
  return { type: "resubmit", inPort, table, withCt: ctText === "ct" };
}

/** Whether OpenFlow lets a packet go to this port: a real one or a reserved one, but not NONE. */
export function isOutputPort(port: number): boolean {
  return port < OFPP_MAX || (port >= OFPP_IN_PORT && port <= OFPP_LOCAL);
}
