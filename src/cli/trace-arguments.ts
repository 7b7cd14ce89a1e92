// The arguments of `ofproto/trace`: a flow, perhaps a frame, and the ct_states to come.
import { Extractor } from "../datapath/extract.ts";
import { CT_STATE_NAMES, formatFlags } from "../flow/flags-text.ts";
import { Flow } from "../flow/flow.ts";
import { parseFlow } from "../flow/flow-text.ts";
import {
  CS_ESTABLISHED,
  CS_INVALID,
  CS_NEW,
  CS_REPLY_DIR,
  CS_TRACKED,
  O_IN_PORT,
  O_PKT_MARK,
  O_REGS,
  O_TUN_ID,
} from "../flow/layout.ts";
import type { TlvMap } from "../flow/tlv-map.ts";
import { MegaflowError } from "../lib/errors.ts";
import type { PortTable } from "../pipeline/port-table.ts";
import type { TraceRequest } from "../pipeline/trace.ts";

/**
 * The words after the bridge's name in `ofproto/trace BRIDGE FLOW [FRAME] [--ct-next STATE]...`. Of a frame, `vlanLimit` tags are
 * looked at.
 */
export function parseTraceArguments(
  words: readonly string[],
  ports: PortTable,
  tlvMap: TlvMap | null = null,
  vlanLimit = 1,
): Omit<TraceRequest, "nowMs"> {
  const rest: string[] = [];
  const ctNext: number[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (word !== "--ct-next") rest.push(word);
    else if (i + 1 < words.length) ctNext.push(parseCtState(words[++i]!));
    else throw new MegaflowError("EARGS", "Missing argument for option --ct-next");
  }
  if (rest.length === 0 || rest.length > 2) throw new MegaflowError("EARGS", "Syntax error");
  const flow = parseTraceFlow(rest[0]!, ports, tlvMap);
  if (rest.length === 1) return { flow, frame: null, ctNext };
  const frame = parseFrame(rest[1]!);
  return { flow: flowOfFrame(frame, flow, vlanLimit), frame, ctNext };
}

function parseTraceFlow(text: string, ports: PortTable, tlvMap: TlvMap | null): Flow {
  try {
    return parseFlow(text, (name) => ports.byName(name)?.no, tlvMap);
  } catch (error) {
    if (!(error instanceof MegaflowError)) throw error;
    throw new MegaflowError(error.code, `Bad openflow flow syntax: ${error.message}`, error.place);
  }
}

/** The frame's own fields, with in_port and what else surrounds a frame from `given`. */
function flowOfFrame(frame: Uint8Array, given: Flow, vlanLimit: number): Flow {
  const flow = new Flow();
  new Extractor(vlanLimit).extract(frame, frame.length, given.get32(O_IN_PORT), flow);
  flow.set32(O_PKT_MARK, given.get32(O_PKT_MARK));
  flow.bytes.set(given.bytes.subarray(O_TUN_ID, O_REGS), O_TUN_ID);
  return flow;
}

function parseFrame(text: string): Uint8Array {
  const digits = text.replace(/[\s:.]/g, "");
  if (!/^([0-9a-fA-F]{2})*$/.test(digits))
    throw new MegaflowError("EARGS", "Trailing garbage in packet data");
  const frame = Uint8Array.from(Buffer.from(digits, "hex"));
  if (frame.length < 14) throw new MegaflowError("EARGS", "Packet data too short for Ethernet");
  return frame;
}

/** A ct_state that can be: tracked, and of new, established and invalid one at most. Errors in OVS's words, a line each. */
export function parseCtState(text: string): number {
  const words = text.split(/[, ]+/).filter((w) => w !== "");
  const unknown = words.find((w) => !CT_STATE_NAMES.names.includes(w));
  if (unknown !== undefined) {
    throw new MegaflowError("EARGS", `${unknown}: unknown connection tracking state flag`);
  }
  const state = words.reduce((bits, w) => bits | (1 << CT_STATE_NAMES.names.indexOf(w)), 0);
  const faults = faultsOf(state);
  if (faults.length === 0) return state;
  const given = formatFlags(CT_STATE_NAMES, state);
  throw new MegaflowError(
    "EARGS",
    faults.map((why) => `${given}: invalid connection state: ${why}`).join("\n"),
  );
}

function faultsOf(state: number): string[] {
  const has = (bits: number): boolean => (state & bits) === bits;
  const faults: string[] = [];
  if (state !== 0 && !has(CS_TRACKED)) faults.push('If "trk" is unset, no other flags are set');
  if (has(CS_INVALID) && (state & ~(CS_TRACKED | CS_INVALID)) !== 0) {
    faults.push('when "inv" is set, only "trk" may also be set');
  }
  if (has(CS_NEW | CS_ESTABLISHED)) faults.push('"new" and "est" are mutually exclusive');
  if (has(CS_NEW | CS_REPLY_DIR)) faults.push('"new" and "rpy" are mutually exclusive');
  return faults;
}
