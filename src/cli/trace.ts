// `megaflow trace`: what `ovs-appctl ofproto/trace` prints, for tables read from files.

import type { Command } from "commander";
import { policyNumbers } from "../datapath/conntrack-settings.ts";
import { O_IN_PORT } from "../flow/layout.ts";
import { OFPP_MAX } from "../pipeline/action.ts";
import { Pipeline } from "../pipeline/pipeline.ts";
import { loadSwitch, readSwitchFiles } from "./switch-files.ts";
import { addSwitchOptions, describeSwitch, type SwitchOptions } from "./switch-options.ts";
import { parseTraceArguments } from "./trace-arguments.ts";

const EXAMPLES = `
Examples:
  The way of a Pod's first packet to a Service:
    $ megaflow trace --flows br-int.flows --ct-next trk,new \\
        'in_port=4,tcp,dl_src=0e:5a:10:60:01:03,dl_dst=0e:5a:10:60:01:01,nw_src=100.96.1.3,nw_dst=100.70.238.176,nw_ttl=64,tp_dst=80'

  A frame as captured, received on port 1 (MAC addresses and learned flows are kept for the trace):
    $ megaflow trace --flows br0.flows in_port=1 ffffffffffff0e5a106001030806000108000604...

  The ports, files and settings of a bridge in YAML:
    $ megaflow trace --config lab.yaml in_port=1,dl_vlan=10,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02

After each ct action with a table the trace goes on with the next --ct-next state, or trk,new.

Exit status: 0 done; 2 bad arguments or input.`;

export interface TraceOptions extends SwitchOptions {
  readonly ctNext: string[];
}

export function register(program: Command): void {
  const command = program
    .command("trace")
    .summary("print the way of a flow through the tables")
    .description(
      "Print the way of a flow or frame through OpenFlow tables, as `ovs-appctl ofproto/trace` does.",
    );
  addSwitchOptions(command)
    .option(
      "--ct-next <STATE>",
      "ct_state after the next ct action, e.g. trk,est (repeatable)",
      (state: string, before: string[]) => [...before, state],
      [] as string[],
    )
    .argument("<flow>", "the flow, in the syntax of a match without wildcards")
    .argument("[frame]", "a frame in hexadecimal; FLOW then gives its in_port and metadata")
    .addHelpText("after", EXAMPLES)
    .action((flow: string, frame: string | undefined, options: TraceOptions) => {
      const words = [flow, ...(frame === undefined ? [] : [frame])];
      for (const state of options.ctNext) words.push("--ct-next", state);
      // A translation that failed ends with a line's end of its own.
      process.stdout.write(`${traceText(words, options).trimEnd()}\n`);
    });
}

/** What the command prints for these words. Throws MegaflowError. */
export function traceText(words: readonly string[], options: Omit<TraceOptions, "ctNext">): string {
  const described = describeSwitch(options, []);
  const files = readSwitchFiles({ ...described, localName: described.bridgeName }, [], []);
  const { ports } = files;
  const request = parseTraceArguments(words, ports, described.settings.tlvMap, described.vlanLimit);
  const inPort = request.flow.get32(O_IN_PORT);
  if (inPort > 0 && inPort < OFPP_MAX) ports.add(ports.get(inPort) ?? { no: inPort, name: String(inPort) });
  const pipeline = new Pipeline({
    ...described.settings,
    ctTimeouts: policyNumbers(described.conntrack),
    ports,
    failMode: described.failMode,
    seed: 0,
    bridgeName: described.bridgeName,
  });
  loadSwitch(pipeline, files, 0);
  return pipeline.trace({ ...request, nowMs: 0 });
}
