// A case through Megaflow, in process.
import { Bridge, type FrameSink } from "../../../src/bridge/bridge.ts";
import { conntrackText, flowsText } from "../../../src/bridge/dump.ts";
import { parseTraceArguments } from "../../../src/cli/trace-arguments.ts";
import { parseFlowFile } from "../../../src/control/openflow/flow-file.ts";
import { parseGroupFile } from "../../../src/control/openflow/group-file.ts";
import { MegaflowError } from "../../../src/lib/errors.ts";
import { OFPP_LOCAL } from "../../../src/pipeline/action.ts";
import { Pipeline } from "../../../src/pipeline/pipeline.ts";
import { PortTable } from "../../../src/pipeline/port-table.ts";
import { type Case, type CaseFrame, connectionsComparable, type Outcome, PORTS } from "./case.ts";
import { normalizeFlows, normalizeTrace } from "./normalize.ts";

/** Any start but 0 will do. */
const START_MS = 1_000_000;

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

const lines = (text: string) => text.split("\n").filter((line) => line !== "");

export function runOurs(c: Case, options: OursOptions): Outcome {
  const bridge = new Bridge({
    ports: ourPorts(),
    failMode: "secure",
    cache: options.cache,
    connectionsMax: 4096,
    megaflowsMax: 8192,
  });
  const refused: string[] = [];
  try {
    bridge.applyGroups(parseGroupFile(c.groups.join("\n")), START_MS);
    bridge.applyFlows(parseFlowFile(c.flows.join("\n")), START_MS);
  } catch (error) {
    if (!(error instanceof MegaflowError)) throw error;
    refused.push(error.message);
    return { refused, sent: [], controller: [], flows: [], connections: [], traces: [] };
  }
  const sent = new Map<number, string[]>();
  const controller: string[] = [];
  const sink: FrameSink = {
    port(port, memory, offset, length) {
      const list = sent.get(port) ?? [];
      list.push(`${port} ${Buffer.from(memory.subarray(offset, offset + length)).toString("hex")}`);
      sent.set(port, list);
    },
    userspace(to, memory, offset, length) {
      // A controller with number 0 is listening, to what one hears unless it asks for more.
      if (to.controllerId !== 0 || to.reason === "invalid_ttl") return;
      const userdata = to.userdata.length === 0 ? "-" : Buffer.from(to.userdata).toString("hex");
      const frame = Buffer.from(memory.subarray(offset, offset + length)).toString("hex");
      const reason = to.reason === "explicit_miss" ? "no_match" : to.reason;
      controller.push(`${to.tableId} 0x${to.cookie.toString(16)} ${reason} ${userdata} ${frame}`);
    },
    verdict() {},
  };
  let nowMs = START_MS;
  for (const frame of c.frames) {
    if (frame.afterMs > 0) {
      nowMs += frame.afterMs;
      bridge.run(sink);
    }
    if (frame.mods !== undefined) {
      bridge.run(sink);
      bridge.applyFlows(parseFlowFile(frame.mods.join("\n")), nowMs);
    }
    const bytes = Buffer.from(frame.hex, "hex");
    bridge.datapath.stage(bytes, 0, bytes.length, bytes.length, frame.port, nowMs);
  }
  bridge.run(sink);
  options.inspect?.(bridge);
  return {
    refused,
    sent: [...PORTS, OFPP_LOCAL].flatMap((port) => sent.get(port) ?? []),
    controller,
    flows: normalizeFlows(lines(flowsText(bridge)).slice(1)),
    connections: connectionsComparable(c) ? lines(conntrackText(bridge)).sort() : [],
    traces: (options.traced ?? []).map((f) => traceOurs(bridge, f)),
  };
}

function traceOurs(bridge: Bridge, frame: CaseFrame): string {
  const { pipeline } = bridge;
  const request = parseTraceArguments([`in_port=${frame.port}`, frame.hex], pipeline.ports);
  return normalizeTrace(pipeline.trace({ ...request, nowMs: bridge.nowMs, spelling: "OpenFlow15" }));
}

/** The lines that we accept, each tried alone; the others go to `refused` with our reason. */
export function acceptable(
  groups: readonly string[],
  flows: readonly string[],
  frames: readonly CaseFrame[],
  refused: (line: string, why: string, code: string) => void,
): Case {
  const pipeline = new Pipeline({ ports: ourPorts(), failMode: "secure", seed: 1 });
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
  const applyFlow = (line: string) => pipeline.applyFlows(parseFlowFile(line), 0);
  return {
    groups: keep(groups, (line) => pipeline.applyGroups(parseGroupFile(line), 0)),
    flows: keep(flows, applyFlow),
    frames: frames.map((f) => {
      const mods = keep(f.mods ?? [], applyFlow);
      const { port, afterMs, hex } = f;
      return mods.length === 0 ? { port, afterMs, hex } : { port, afterMs, hex, mods };
    }),
  };
}
