// A case through Megaflow, in process.
import { Bridge, type FrameSink } from "../../../src/bridge/bridge.ts";
import { conntrackText, flowsText, groupStatsLines, meterStatsLines } from "../../../src/bridge/dump.ts";
import { parseTraceArguments } from "../../../src/cli/trace-arguments.ts";
import { parseFlowFile } from "../../../src/control/openflow/flow-file.ts";
import { parseGroupFile } from "../../../src/control/openflow/group-file.ts";
import { parseMeterFile } from "../../../src/control/openflow/meter-file.ts";
import { TlvMap } from "../../../src/flow/tlv-map.ts";
import { MegaflowError } from "../../../src/lib/errors.ts";
import { OFPP_CONTROLLER, OFPP_LOCAL } from "../../../src/pipeline/action.ts";
import { formatFlowRemoval } from "../../../src/pipeline/flow-removal.ts";
import { Pipeline } from "../../../src/pipeline/pipeline.ts";
import { PortTable } from "../../../src/pipeline/port-table.ts";
import {
  type Case,
  type CaseFrame,
  connectionsComparable,
  type Outcome,
  PORTS,
  refusal,
  TLV_MAP,
} from "./case.ts";
import { isFragment, keepsFragments, type Spans, sortSpans } from "./fragments.ts";
import { normalizeFlows, normalizeRemoval, normalizeStatistics, normalizeTrace } from "./normalize.ts";

/** Any start but 0 will do. */
const START_MS = 1_000_000;
export const tlvMap = TlvMap.parse(TLV_MAP);
export const parseFlows = (text: string) => parseFlowFile(text, undefined, { tlvMap });
export const parseGroups = (text: string) => parseGroupFile(text, undefined, { tlvMap });

export function ourPorts(): PortTable {
  const ports = new PortTable(PORTS.map((no) => ({ no, name: `p${no}` })));
  ports.add({ no: OFPP_LOCAL, name: "br0" });
  return ports;
}

export interface OursOptions {
  readonly cache: boolean;
  /** The frames to trace afterwards. */
  readonly traced?: readonly CaseFrame[];
  /** Called when all frames have gone through. */
  readonly inspect?: (bridge: Bridge) => void;
}

/** What Megaflow made of a case. */
export interface OurOutcome extends Outcome {
  /** Which lines of `sent` and `controller` pieces led to, frame by frame: their order is sorted, and means nothing. */
  readonly pieces: { readonly sent: Spans; readonly controller: Spans };
}

const lines = (text: string) => text.split("\n").filter((line) => line !== "");

export function runOurs(c: Case, options: OursOptions): OurOutcome {
  const bridge = new Bridge({
    ports: ourPorts(),
    failMode: "secure",
    settings: { tlvMap },
    vlanLimit: c.vlanLimit,
    cache: options.cache,
    connectionsMax: 4096,
    megaflowsMax: 8192,
  });
  const removed: string[] = [];
  bridge.onFlowRemoved = (removal) => removed.push(normalizeRemoval(formatFlowRemoval(removal, tlvMap)));
  try {
    bridge.applyMeters(parseMeterFile(c.meters.join("\n")), START_MS);
    bridge.applyGroups(parseGroups(c.groups.join("\n")), START_MS);
    bridge.applyFlows(parseFlows(c.flows.join("\n")), START_MS);
  } catch (error) {
    if (!(error instanceof MegaflowError)) throw error;
    return { ...refusal(error.message), pieces: { sent: [], controller: [] } };
  }
  const sent = new Map<number, Line[]>();
  const controller: Line[] = [];
  let ran = 0; // the index in the case of the first frame of a run
  const sink: FrameSink = {
    port(port, memory, offset, length, _wireLength, n) {
      const list = sent.get(port) ?? [];
      const text = `${port} ${Buffer.from(memory.subarray(offset, offset + length)).toString("hex")}`;
      list.push({ text, port, frame: ran + n });
      sent.set(port, list);
    },
    userspace(to, memory, offset, length, _wireLength, n) {
      // A controller with number 0 is listening, to what one hears unless it asks for more.
      if (to.controllerId !== 0 || to.reason === "invalid_ttl") return;
      const userdata = to.userdata.length === 0 ? "-" : Buffer.from(to.userdata).toString("hex");
      const frame = Buffer.from(memory.subarray(offset, offset + length)).toString("hex");
      const reason = to.reason === "explicit_miss" ? "no_match" : to.reason;
      const text = `${to.tableId} 0x${to.cookie.toString(16)} ${reason} ${userdata} ${frame}`;
      controller.push({ text, port: OFPP_CONTROLLER, frame: ran + n });
    },
    verdict() {},
  };
  let nowMs = START_MS;
  const run = () => {
    const count = bridge.staged;
    bridge.run(sink);
    ran += count;
  };
  for (const frame of c.frames) {
    if (frame.afterMs > 0) {
      nowMs += frame.afterMs;
      run();
    }
    if (frame.mods !== undefined) {
      run();
      bridge.advance(nowMs); // what is due goes first
      bridge.applyFlows(parseFlows(frame.mods.join("\n")), nowMs);
    }
    const bytes = Buffer.from(frame.hex, "hex");
    bridge.datapath.stage(bytes, 0, bytes.length, bytes.length, frame.port, nowMs);
  }
  run();
  bridge.advance(nowMs); // what a frame has ended ends
  options.inspect?.(bridge);
  const all = [...PORTS, OFPP_LOCAL].flatMap((port) => sent.get(port) ?? []);
  const pieces = { sent: pieceSpans(c, all), controller: pieceSpans(c, controller) };
  // Theirs has no megaflow left that would keep a recirculation's id for the traces.
  bridge.pipeline.recirc.forgetFrom(1, new Set());
  return {
    refused: [],
    sent: sortSpans(all.map(textOf), pieces.sent),
    controller: sortSpans(controller.map(textOf), pieces.controller),
    pieces,
    flows: normalizeFlows(lines(flowsText(bridge)).slice(1)),
    removed: removed.sort(),
    statistics: normalizeStatistics(
      [...groupStatsLines(bridge)].join("\n"),
      meterStatsLines(bridge).join("\n"),
    ),
    connections: connectionsComparable(c) ? lines(conntrackText(bridge)).sort() : [],
    traces: (options.traced ?? []).map((f) => traceOurs(bridge, c, f)),
  };
}

/** A line of an outcome, where it went, and the index of the frame that led to it. */
interface Line {
  readonly text: string;
  readonly port: number;
  readonly frame: number;
}

const textOf = (line: Line): string => line.text;

/** The runs of lines that a piece led to, on one port or for the controller. */
function pieceSpans(c: Case, all: readonly Line[]): Spans {
  const spans: [number, number][] = [];
  if (!keepsFragments(c)) return spans;
  all.forEach((line, i) => {
    if (!isFragment(c.frames[line.frame]!)) return;
    const before = all[i - 1];
    if (before?.frame === line.frame && before.port === line.port) spans.at(-1)![1] = i + 1;
    else spans.push([i, i + 1]);
  });
  return spans;
}

function traceOurs(bridge: Bridge, c: Case, frame: CaseFrame): string {
  const { pipeline } = bridge;
  const request = parseTraceArguments(
    [`in_port=${frame.port}`, frame.hex],
    pipeline.ports,
    tlvMap,
    c.vlanLimit,
  );
  return normalizeTrace(pipeline.trace({ ...request, nowMs: bridge.nowMs, spelling: "OpenFlow15" }));
}

/** The case with the lines that we accept, each tried alone; the others go to `refused` with our reason. */
export function acceptable(c: Case, refused: (line: string, why: string, code: string) => void): Case {
  const pipeline = new Pipeline({ ports: ourPorts(), failMode: "secure", seed: 1, tlvMap });
  const keep = (all: readonly string[], apply: (line: string) => void) =>
    all.filter((line) => {
      try {
        apply(line);
        return true;
      } catch (error) {
        if (!(error instanceof MegaflowError)) throw error;
        refused(line, error.message, error.code);
        return false;
      }
    });
  const applyFlow = (line: string) => pipeline.applyFlows(parseFlows(line), 0);
  return {
    vlanLimit: c.vlanLimit,
    meters: keep(c.meters, (line) => pipeline.applyMeters(parseMeterFile(line), 0)),
    groups: keep(c.groups, (line) => pipeline.applyGroups(parseGroups(line), 0)),
    flows: keep(c.flows, applyFlow),
    frames: c.frames.map((f) => {
      const mods = keep(f.mods ?? [], applyFlow);
      const { port, afterMs, hex } = f;
      return mods.length === 0 ? { port, afterMs, hex } : { port, afterMs, hex, mods };
    }),
  };
}
