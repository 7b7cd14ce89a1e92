// Golden outputs of real OVS. The eleven ofproto/trace outputs that real OVS gave for the Antrea v0.6 pipeline, run in order in one bridge, come out
// the same to the letter. What is different by nature is taken out first:
// - OVS's datapath numbers its ports itself (5 is OpenFlow port 2); here the numbers are OpenFlow's, so those OVS
//   printed are translated;
// - OVS's node has a tunnel port, which wraps what port 1 gets in outer headers: an issue of its own.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parseTraceArguments } from "../src/cli/trace-arguments.ts";
import { readFlowFile } from "../src/control/openflow/flow-file.ts";
import { readGroupFile } from "../src/control/openflow/group-file.ts";
import { readMeterFile } from "../src/control/openflow/meter-file.ts";
import { Pipeline } from "../src/pipeline/pipeline.ts";
import { PortTable } from "../src/pipeline/port-table.ts";

const dir = new URL("../../test/fixtures/antrea/", import.meta.url);
/** OVS's datapath port numbers at the time. */
const OPENFLOW_PORTS: Readonly<Record<string, string>> = { "4": "1", "5": "2", "85": "6", "91": "5" };

function normalize(text: string): string {
  return text
    .replace(/^(Datapath actions: .*?)(\d+)$/gm, (line, head: string, port: string) => {
      const last = head.at(-1);
      return last === "," || last === " " ? head + (OPENFLOW_PORTS[port] ?? port) : line;
    })
    .trimEnd();
}

test("the traces of real OVS come out the same", () => {
  const golden = readFileSync(new URL("antrea-v0.6-traces.txt", dir), "utf8");
  const ports = new PortTable([1, 2, 3, 4, 5, 6].map((no) => ({ no, name: `p${no}` })));
  const pipeline = new Pipeline({ ports, failMode: "secure", seed: 0, bridgeName: "br-int" });
  pipeline.applyFlows(
    readFlowFile(new URL("../../../pcap-fixtures/antrea/antrea-v0.6-node1.flows", dir).pathname),
    0,
  );

  const traces = golden.split(/^##### /m).slice(1);
  assert.equal(traces.length, 11);
  for (const trace of traces) {
    const [title, command, ...lines] = trace.split("\n");
    const words = command!.replace("$ ovs-appctl ofproto/trace br-int ", "").split(" ");
    const ours = pipeline.trace({ ...parseTraceArguments(words, ports), nowMs: 0 });
    assert.equal(ours.trimEnd(), normalize(lines.join("\n")), `trace ${title}`);
  }
});

// The same for today's pipeline: NAT, select groups before and after the hash is known, meters, the controller. Its ports
// are dummies numbered as in OpenFlow, so nothing is taken out.
test("the traces of today's pipeline come out the same", () => {
  const file = (name: string): string => new URL(`antrea-v2-${name}`, dir).pathname;
  const ports = new PortTable([1, 2, 3, 4, 32768, 32769].map((no) => ({ no, name: `p${no}` })));
  const pipeline = new Pipeline({ ports, failMode: "secure", seed: 0, bridgeName: "br-int" });
  pipeline.applyMeters(readMeterFile(file("node1.meters")), 0);
  pipeline.applyGroups(readGroupFile(file("node1.groups")), 0);
  pipeline.applyFlows(readFlowFile(file("node1.flows")), 0);
  const traces = readFileSync(file("traces.txt"), "utf8")
    .split(/^##### /m)
    .slice(1);
  assert.equal(traces.length, 16);
  for (const trace of traces) {
    const [title, command, ...lines] = trace.split("\n");
    const words = command!.replace("$ ovs-appctl ofproto/trace br-int ", "").split(" ");
    const ours = pipeline.trace({ ...parseTraceArguments(words, ports), nowMs: 0, spelling: "OpenFlow15" });
    assert.equal(ours.trimEnd(), lines.join("\n").trimEnd(), `trace ${title}`);
  }
});
