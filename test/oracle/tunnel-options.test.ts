// Tunnel fields and Geneve options against real OVS: random maps, flows and traces. Compared are the verdict on each flow line,
// the text of dump-flows, and the whole text of ofproto/trace.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { parseTraceArguments } from "../../src/cli/trace-arguments.ts";
import { parseFlowMod } from "../../src/control/openflow/flow-text.ts";
import { TlvMap } from "../../src/flow/tlv-map.ts";
import { MegaflowError } from "../../src/lib/errors.ts";
import { formatRuleWithoutStatistics } from "../../src/pipeline/flow-dump.ts";
import { Pipeline } from "../../src/pipeline/pipeline.ts";
import { PortTable } from "../../src/pipeline/port-table.ts";
import { type Ovs, ovsSkip, requireOvs } from "./ovs.ts";
import { random } from "./trace-cases.ts";
import { makeTunnelCase, type TunnelCase } from "./tunnel-cases.ts";

const SEED = Number(process.env.SEED ?? 11);
const CASES = Number(process.env.CASES ?? 8);

const OUTPUTS = ["1", "2", "NXM_NX_REG1[0..1]"];

/** A switch of ours with the case's map; the error's name for each line that it refuses. */
function ourSwitch(tunnelCase: TunnelCase): { pipeline: Pipeline; ports: PortTable; refused: string[] } {
  const ports = new PortTable([
    { no: 1, name: "p1" },
    { no: 2, name: "p2" },
  ]);
  const tlvMap = TlvMap.parse(tunnelCase.tlvMap);
  const pipeline = new Pipeline({ ports, failMode: "secure", seed: 0, tlvMap });
  const refused: string[] = [];
  for (const line of tunnelCase.flows) {
    try {
      pipeline.applyFlows([parseFlowMod(line, { tlvMap })], 0);
    } catch (error) {
      if (!(error instanceof MegaflowError)) throw error;
      refused.push(`${line}: ${error.message}`);
    }
  }
  return { pipeline, ports, refused };
}

/** Deleted flows hold on to the map until OVS has freed them, a moment later. */
async function clearMap(ovs: Ovs): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await ovs.ofctl(["del-tlv-map", "br0"]);
      return;
    } catch (error) {
      if (tries === 50 || !String(error).includes("NXTTMFC_INVALID_TLV_DEL")) throw error;
      await sleep(20);
    }
  }
}

async function theirRefusals(ovs: Ovs, tunnelCase: TunnelCase): Promise<string[]> {
  const refused: string[] = [];
  await ovs.ofctl(["del-flows", "br0"]);
  await clearMap(ovs);
  await ovs.ofctl(["add-tlv-map", "br0", tunnelCase.tlvMap]);
  for (const line of tunnelCase.flows) {
    try {
      await ovs.ofctl(["-O", "OpenFlow13", "add-flow", "br0", line]);
    } catch (error) {
      const text = String(error);
      const name = /(?:OFPT_ERROR[^:]*: |ovs-ofctl: )(.*)/.exec(text);
      refused.push(`${line}: ${name === null ? text : name[1]}`);
    }
  }
  return refused;
}

/** Without the protocol, which OVS 3.1 forgets to match when it rewrites a header (differences.md). */
function spelling(text: string): string {
  return text
    .replace(/^Megaflow: .*$/gm, (line) => line.replace(/,(?:tcp|udp),/, ",ip,").replace(",tcp6,", ",ipv6,"))
    .trimEnd();
}

test("tunnel options in flows, dumps and traces are as in OVS", {
  skip: ovsSkip,
  timeout: 300_000,
}, async () => {
  console.log(`SEED=${SEED}`);
  const rnd = random(SEED);
  const ovs = await requireOvs();
  try {
    await ovs.addBridge("br0", { ports: [{ no: 1 }, { no: 2 }] });
    for (let i = 0; i < CASES; i++) {
      const tunnelCase = makeTunnelCase(rnd, OUTPUTS, ["1", "2"]);
      const where = `SEED=${SEED}, case ${i}\n${tunnelCase.tlvMap}\n${tunnelCase.flows.join("\n")}`;
      const { pipeline, ports, refused } = ourSwitch(tunnelCase);
      assert.deepEqual(refused, await theirRefusals(ovs, tunnelCase), where);
      const dumped = [...pipeline.tables.rules()].map((rule) =>
        formatRuleWithoutStatistics(rule, pipeline.tlvMap),
      );
      const theirs = (await ovs.dumpFlows("br0", "--no-stats")).map((line) =>
        line.replace("reset_counts ", ""),
      );
      assert.deepEqual(dumped, theirs, where);
      for (const flow of tunnelCase.traced) {
        const request = parseTraceArguments([flow], ports, pipeline.tlvMap);
        const ours = pipeline.trace({ ...request, nowMs: 0 });
        assert.equal(spelling(ours), spelling(await ovs.trace("br0", flow)), `${where}\n${flow}`);
      }
    }
  } finally {
    await ovs.stop();
  }
});
