// Ports in the states of a spanning tree, beside a real bridge whose own protocol puts them there as its clock goes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseTraceArguments } from "../../src/cli/trace-arguments.ts";
import { parseFlowFile } from "../../src/control/openflow/flow-file.ts";
import { OFPP_LOCAL } from "../../src/pipeline/action.ts";
import { Pipeline } from "../../src/pipeline/pipeline.ts";
import { PortTable } from "../../src/pipeline/port-table.ts";
import type { RstpState, StpState } from "../../src/pipeline/spanning-tree.ts";
import { type Ovs, ovsSkip, requireOvs } from "./ovs.ts";

const NOW_MS = 1_000_000;
const FLOWS = [
  "actions=NORMAL",
  "priority=40000,dl_type=0x0800 actions=output:1,output:2,output:3",
  "priority=40001,tcp actions=ct(table=1)",
  "priority=40002,udp actions=write_actions(output:2)",
  "table=1,actions=output:2,output:3",
];
const TO = "dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02";
const BPDU =
  "0180c2000000020000000001002642420300000000000000000000000000000000000000000000000000000014000200000f0000000000";
const NO_BPDU = "0180c2000000020000000001080045000014000000004006000000000000000000000000";
const PACKETS = ["dl_type=0x1234", "icmp", "tcp", "udp"]
  .flatMap((kind) => [1, 2, 3].map((port) => [`in_port=${port},${TO},${kind}`]))
  .concat([BPDU, NO_BPDU].flatMap((hex) => [1, 3].map((port) => [`in_port=${port}`, hex])));

/** Which state ports 1 and 2 are in, and what OVS's clock must do before they are in it. Port 3 is no part of the tree. */
const STAGES: Readonly<Record<"stp" | "rstp", readonly (readonly [StpState | RstpState, number])[]>> = {
  stp: [
    ["listening", 0],
    ["learning", 16_000],
    ["forwarding", 15_000],
  ],
  rstp: [
    ["discarding", 0],
    ["forwarding", 40_000],
  ],
};

function ours(protocol: "stp" | "rstp", state: StpState | RstpState, packet: string[]): string {
  const tree = protocol === "stp" ? { stpState: state as StpState } : { rstpState: state as RstpState };
  const ports = new PortTable([
    { no: 1, name: "p1", ...tree },
    { no: 2, name: "p2", ...tree },
    { no: 3, name: "p3" },
    { no: OFPP_LOCAL, name: "br0" },
  ]);
  const pipeline = new Pipeline({ ports, failMode: "secure", seed: 1 });
  for (const mod of parseFlowFile(FLOWS.join("\n"))) pipeline.applyFlows([mod], NOW_MS);
  return normal(pipeline.trace({ ...parseTraceArguments(packet, ports, null, 1), nowMs: NOW_MS }));
}

/** Without what differs between any two traces: recirculation ids, and in which order a flood goes. */
function normal(trace: string): string {
  return trace
    .trim()
    .replaceAll(/recirc(_id=|\()0x[0-9a-f]+/g, "recirc$1#")
    .replaceAll(/^(Datapath actions: )([0-9,]+)$/gm, (_, words: string, list: string) => {
      const numbers = list.split(",").map((no) => (no === "100" || no === "65534" ? "LOCAL" : no));
      return words + numbers.sort().join(",");
    });
}

async function until(ovs: Ovs, protocol: string, state: string): Promise<void> {
  for (let i = 0; i < 60; i++) {
    const shown = (await ovs.appctl(`${protocol}/show`, "br0")).toLowerCase();
    if (["p1", "p2"].every((name) => new RegExp(`${name} +\\w+ +${state}`).test(shown))) return;
    await ovs.warp(500);
  }
  assert.fail(`the ports never were ${state}:\n${await ovs.appctl(`${protocol}/show`, "br0")}`);
}

for (const protocol of ["stp", "rstp"] as const) {
  test(`ports do in every state of ${protocol} what they do in OVS`, { skip: ovsSkip }, async () => {
    const ovs = await requireOvs();
    try {
      await ovs.stopClock();
      await ovs.addBridge("br0", { ports: [{ no: 1 }, { no: 2 }, { no: 3 }] });
      await ovs.vsctl(["set", "port", "p3", `other_config:${protocol}-enable=false`]);
      await ovs.vsctl(["set", "bridge", "br0", `${protocol}_enable=true`]);
      for (const flow of FLOWS) await ovs.ofctl(["-O", "OpenFlow15", "add-flow", "br0", flow]);
      for (const [state, afterMs] of STAGES[protocol]) {
        if (afterMs > 0) await ovs.warp(afterMs, 500);
        await until(ovs, protocol, state);
        for (const packet of PACKETS) {
          const theirs = normal(await ovs.trace("br0", ...packet));
          assert.equal(ours(protocol, state, packet), theirs, `${state}: ${packet}`);
        }
      }
    } finally {
      await ovs.stop();
    }
  });
}
