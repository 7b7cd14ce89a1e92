// `megaflow trace`: what `ovs-appctl ofproto/trace` prints, for tables read from files.
import type { Command } from "commander";
import { readFlowFile } from "../control/openflow/flow-file.ts";
import { readGroupFile } from "../control/openflow/group-file.ts";
import { readMeterFile } from "../control/openflow/meter-file.ts";
import { O_IN_PORT } from "../flow/layout.ts";
import { MegaflowError } from "../lib/errors.ts";
import { type Action, type FlowMod, OFPP_LOCAL, OFPP_MAX } from "../pipeline/action.ts";
import { Pipeline } from "../pipeline/pipeline.ts";
import { PortTable } from "../pipeline/port-table.ts";
import { parseTraceArguments } from "./trace-arguments.ts";

const EXAMPLES = `
Examples:
  The way of a Pod's first packet to a Service:
    $ megaflow trace --flows br-int.flows --ct-next trk,new \\
        'in_port=4,tcp,dl_src=0e:5a:10:60:01:03,dl_dst=0e:5a:10:60:01:01,nw_src=100.96.1.3,nw_dst=100.70.238.176,nw_ttl=64,tp_dst=80'

  A frame as captured, received on port 1 (MAC addresses and learned flows are kept for the trace):
    $ megaflow trace --flows br0.flows in_port=1 ffffffffffff0e5a106001030806000108000604...

Every port that the flows or FLOW mention exists. After each ct action with a table the trace goes on with the next
--ct-next state, or trk,new. Exit status: 0 done, 2 bad arguments or input.`;

interface TraceOptions {
  readonly flows: string;
  readonly groups?: string;
  readonly meters?: string;
  readonly ctNext: string[];
  readonly bridge: string;
  readonly failMode: string;
}

export function register(program: Command): void {
  program
    .command("trace")
    .summary("print the way of a flow through the tables")
    .description(
      "Print the way of a flow or frame through OpenFlow tables, as `ovs-appctl ofproto/trace` does.",
    )
    .requiredOption("--flows <file>", "flows, in ovs-ofctl's syntax")
    .option("--groups <file>", "groups, in ovs-ofctl's syntax")
    .option("--meters <file>", "meters, in ovs-ofctl's syntax")
    .option(
      "--ct-next <state>",
      "ct_state after the next ct action, e.g. trk,est (repeatable)",
      (state: string, before: string[]) => [...before, state],
      [] as string[],
    )
    .option("--bridge <name>", "the bridge's name", "br0")
    .option(
      "--fail-mode <mode>",
      "standalone: begin, as OVS and megaflow replay do, with a flow that does NORMAL; or secure",
      "standalone",
    )
    .argument("<flow>", "the flow, in the syntax of a match without wildcards")
    .argument("[frame]", "a frame in hexadecimal; FLOW then gives its in_port and metadata")
    .addHelpText("after", EXAMPLES)
    .action((flow: string, frame: string | undefined, options: TraceOptions) => {
      process.exitCode = run(flow, frame, options);
    });
}

function run(flow: string, frame: string | undefined, options: TraceOptions): number {
  try {
    const words = [flow, ...(frame === undefined ? [] : [frame])];
    for (const state of options.ctNext) words.push("--ct-next", state);
    process.stdout.write(`${traceText(words, options)}\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof MegaflowError)) throw error;
    process.stderr.write(`megaflow trace: ${error.describe()}\n`);
    return 2;
  }
}

function traceText(words: readonly string[], options: TraceOptions): string {
  const { failMode } = options;
  if (failMode !== "secure" && failMode !== "standalone") {
    throw new MegaflowError("EARGS", `--fail-mode ${failMode}: must be secure or standalone`);
  }
  const flows = readFlowFile(options.flows);
  const groups = options.groups === undefined ? [] : readGroupFile(options.groups);
  const ports = new PortTable();
  const request = parseTraceArguments(words, ports);
  const mentioned = new Set<number>([request.flow.get32(O_IN_PORT)]);
  for (const mod of flows) mentionedPorts(mod, mentioned);
  for (const group of groups) for (const bucket of group.buckets) actionPorts(bucket.actions, mentioned);
  for (const no of mentioned) {
    if (no > 0 && no < OFPP_MAX) ports.add({ no, name: `p${no}` });
  }
  ports.add({ no: OFPP_LOCAL, name: options.bridge });

  const pipeline = new Pipeline({ ports, failMode, seed: 0, bridgeName: options.bridge });
  if (options.meters !== undefined) pipeline.applyMeters(readMeterFile(options.meters), 0);
  pipeline.applyGroups(groups, 0);
  pipeline.applyFlows(flows, 0);
  return pipeline.trace({ ...request, nowMs: 0 });
}

/** Adds the ports that a flow names: in its match, in outputs. */
function mentionedPorts(mod: FlowMod, ports: Set<number>): void {
  if (mod.match.mask.get32(O_IN_PORT) !== 0) ports.add(mod.match.flow.get32(O_IN_PORT));
  actionPorts(mod.actions, ports);
}

function actionPorts(actions: readonly Action[], ports: Set<number>): void {
  for (const action of actions) {
    switch (action.type) {
      case "output":
      case "output_trunc":
      case "enqueue":
        ports.add(action.port);
        break;
      case "bundle":
        for (const port of action.members) ports.add(port);
        break;
      case "resubmit":
        if (action.inPort !== null) ports.add(action.inPort);
        break;
      // A register that is loaded may be one that a flow outputs to.
      case "load":
        if (action.dst.field.name.startsWith("reg") && action.value < BigInt(OFPP_MAX))
          ports.add(Number(action.value));
        break;
      case "set_field":
        if (action.field.name.startsWith("reg")) {
          const value = action.value.reduce((n, b) => n * 256 + b, 0);
          if (value < OFPP_MAX) ports.add(value);
        }
        break;
      case "clone":
      case "write_actions":
        actionPorts(action.actions, ports);
        break;
      case "ct":
        actionPorts(action.exec, ports);
        break;
      default:
    }
  }
}
