// Translation against real OVS: the same flows in both, and for random flows the whole text of `ofproto/trace` must be the
// same: tables visited, notes, final flow, megaflow, datapath actions, recirculations. Recirculation ids are numbered by
// appearance first (real OVS counts them per process).
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { parseTraceArguments } from "../../src/cli/trace-arguments.ts";
import { parseFlowFile, readFlowFile } from "../../src/control/openflow/flow-file.ts";
import { parseGroupFile, readGroupFile } from "../../src/control/openflow/group-file.ts";
import { readMeterFile } from "../../src/control/openflow/meter-file.ts";
import { OFPP_LOCAL } from "../../src/pipeline/action.ts";
import type { Spelling } from "../../src/pipeline/action-text.ts";
import { formatRule } from "../../src/pipeline/flow-dump.ts";
import { Pipeline } from "../../src/pipeline/pipeline.ts";
import { type Port, PortTable } from "../../src/pipeline/port-table.ts";
import { mendTrace, normalizeTrace, perPort } from "./judge/normalize.ts";
import { type Ovs, ovsSkip, requireOvs } from "./ovs.ts";
import {
  antreaFlow,
  makeGroups,
  makeLearnedFrame,
  makePipeline,
  makeSwitchedFrame,
  makeTraceFlow,
  type Random,
  random,
} from "./trace-cases.ts";

const SEED = Number(process.env.SEED ?? 5);
const TRACES = Number(process.env.TRACES ?? 150);
const PIPELINES = Number(process.env.PIPELINES ?? 12);

function ourPorts(numbers: readonly number[]): PortTable {
  const ports = new PortTable(numbers.map((no) => ({ no, name: `p${no}` })));
  ports.add({ no: OFPP_LOCAL, name: "br0" });
  return ports;
}

async function compare(
  ovs: Ovs,
  pipeline: Pipeline,
  words: readonly string[],
  flows: string,
  spelling: Spelling,
  nowMs = 0,
  ignored = /(?!)/g,
): Promise<void> {
  const ours = normalizeTrace(
    pipeline.trace({ ...parseTraceArguments(words, pipeline.ports), nowMs, spelling }),
  ).replace(ignored, "");
  const theirs = normalizeTrace(await ovs.trace("br0", ...words)).replace(ignored, "");
  const real = mendTrace(theirs, ours);
  if (real === ours || perPort(real) === perPort(ours)) return;
  console.log(`# seed ${SEED}; ofproto/trace br0 ${words.join(" ")}\n${flows}`);
  assert.equal(ours, real);
}

const fixture = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));

test("Antrea v0.6 translates as in OVS", { skip: ovsSkip }, async () => {
  const ovs = await requireOvs();
  try {
    const numbers = [1, 2, 3, 4, 5, 6];
    await ovs.addBridge("br0", { ports: numbers.map((no) => ({ no })) });
    const file = fixture("pcap-fixtures/antrea/antrea-v0.6-node1.flows");
    await ovs.ofctl(["-O", "OpenFlow13", "add-flows", "br0", file]);
    const pipeline = new Pipeline({
      ports: ourPorts(numbers),
      failMode: "secure",
      seed: 0,
      bridgeName: "br0",
    });
    pipeline.applyFlows(parseFlowFile(readFileSync(file, "utf8")), 0);
    const rnd = random(SEED);
    for (let i = 0; i < TRACES; i++) await compare(ovs, pipeline, antreaFlow(rnd, "v0.6"), "", "given");
  } finally {
    await ovs.stop();
  }
});

test("today's Antrea pipeline translates as in OVS", { skip: ovsSkip }, async () => {
  const ovs = await requireOvs();
  try {
    const numbers = [1, 2, 3, 4, 32768, 32769];
    await ovs.addBridge("br0", { ports: numbers.map((no) => ({ no })) });
    const file = (kind: string): string => fixture(`test/fixtures/antrea/antrea-v2-node1.${kind}`);
    const meters = readMeterFile(file("meters"));
    for (const line of readFileSync(file("meters"), "utf8").trim().split("\n")) {
      await ovs.ofctl(["-O", "OpenFlow15", "add-meter", "br0", line]);
    }
    await ovs.ofctl(["-O", "OpenFlow15", "add-groups", "br0", file("groups")]);
    await ovs.ofctl(["-O", "OpenFlow15", "add-flows", "br0", file("flows")]);
    const pipeline = new Pipeline({
      ports: ourPorts(numbers),
      failMode: "secure",
      seed: 0,
      bridgeName: "br0",
    });
    pipeline.applyMeters(meters, 0);
    pipeline.applyGroups(readGroupFile(file("groups")), 0);
    pipeline.applyFlows(readFlowFile(file("flows")), 0);
    const rnd = random(SEED);
    for (let i = 0; i < TRACES; i++) {
      await compare(ovs, pipeline, antreaFlow(rnd, "v2"), "", "OpenFlow15");
    }
  } finally {
    await ovs.stop();
  }
});

test("random pipelines translate as in OVS", { skip: ovsSkip }, async () => {
  const ovs = await requireOvs();
  let refused = 0;
  try {
    const numbers = [1, 2, 3, 4, 5];
    await ovs.addBridge("br0", { ports: numbers.map((no) => ({ no })) });
    for (let i = 0; i < PIPELINES; i++) {
      const rnd = random(SEED * 1000 + i);
      const groups = makeGroups(rnd);
      const flows = makePipeline(rnd, true);
      if (!(await load(ovs, groups, flows))) {
        refused++;
        continue;
      }
      const pipeline = new Pipeline({
        ports: ourPorts(numbers),
        failMode: "secure",
        seed: 0,
        bridgeName: "br0",
      });
      pipeline.applyGroups(parseGroupFile(groups), 0);
      pipeline.applyFlows(parseFlowFile(flows), 0);
      await traces(ovs, pipeline, rnd, groups + flows);
    }
  } finally {
    await ovs.stop();
  }
  assert.ok(refused < PIPELINES / 2, `OVS refused ${refused} of ${PIPELINES} generated pipelines`);
});

/** Ports of every VLAN mode, as `ovs-vsctl set port` and as ours. */
const VLAN_PORTS: readonly (readonly [no: number, column: string, ours: Partial<Port>])[] = [
  [1, "", {}],
  [2, "tag=5", { vlanMode: "access", tag: 5 }],
  [3, "trunks=5,6", { trunks: new Set([5, 6]) }],
  [4, "vlan_mode=native-untagged tag=6", { vlanMode: "native-untagged", tag: 6 }],
  [5, "vlan_mode=native-tagged tag=5", { vlanMode: "native-tagged", tag: 5 }],
  [6, "tag=6", { vlanMode: "access", tag: 6 }],
];

test("NORMAL learns, ages and tags as in OVS", { skip: ovsSkip }, async () => {
  const ovs = await requireOvs();
  try {
    await ovs.addBridge("br0", { failMode: "standalone", ports: VLAN_PORTS.map(([no]) => ({ no })) });
    const ports = new PortTable([{ no: OFPP_LOCAL, name: "br0" }]);
    for (const [no, column, ours] of VLAN_PORTS) {
      if (column !== "") await ovs.vsctl(["set", "port", `p${no}`, ...column.split(" ")]);
      ports.add({ no, name: `p${no}`, ...ours });
    }
    await ovs.stopClock();
    const pipeline = new Pipeline({ ports, failMode: "standalone", seed: 0, bridgeName: "br0" });
    const rnd = random(SEED);
    let nowMs = 1000;
    for (let i = 0; i < 300; i++) {
      if (rnd(20) === 0) {
        // Not close to an entry's end: OVS counts whole seconds.
        const ms = [2_000, 150_500, 310_000][rnd(3)]!;
        await ovs.warp(ms, 50_000);
        nowMs += ms;
        pipeline.runTimers(nowMs);
      }
      await compare(ovs, pipeline, makeSwitchedFrame(rnd), `frame ${i}`, "OpenFlow15", nowMs);
    }
  } finally {
    await ovs.stop();
  }
});

const LEARNING = `
table=0,priority=9,arp actions=learn(table=1,idle_timeout=60,hard_timeout=300,priority=7,cookie=0x9,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:0->NXM_OF_VLAN_TCI[],output:NXM_OF_IN_PORT[]),resubmit(,1),IN_PORT
table=0,priority=8,tcp actions=learn(table=1,hard_timeout=10,fin_idle_timeout=5,priority=100,send_flow_rem,eth_type=0x800,nw_proto=6,NXM_OF_IP_SRC[]=NXM_OF_IP_DST[],NXM_OF_TCP_DST[]=NXM_OF_TCP_SRC[],load:0x5->NXM_NX_REG0[4..7],load:NXM_OF_IN_PORT[]->NXM_NX_REG1[0..15]),resubmit(,1)
table=0,priority=7,udp actions=learn(table=2,limit=2,result_dst=NXM_NX_REG2[0],priority=3,cookie=0x77,eth_type=0x800,NXM_OF_IP_SRC[]),resubmit(,2)
table=0,priority=1 actions=resubmit(,1)
table=1,priority=1 actions=FLOOD
table=2,reg2=0x1/0x1,priority=9 actions=output:1
table=2,priority=1 actions=output:2
`;

test("learn makes the flows that OVS makes", { skip: ovsSkip }, async () => {
  const ovs = await requireOvs();
  try {
    const numbers = [1, 2, 3];
    await ovs.addBridge("br0", { ports: numbers.map((no) => ({ no })) });
    const file = join(ovs.dir, "learn.flows");
    writeFileSync(file, LEARNING);
    await ovs.ofctl(["-O", "OpenFlow15", "add-flows", "br0", file]);
    const pipeline = new Pipeline({
      ports: ourPorts(numbers),
      failMode: "secure",
      seed: 0,
      bridgeName: "br0",
    });
    pipeline.applyFlows(parseFlowFile(LEARNING), 0);
    const rnd = random(SEED);
    for (let i = 0; i < 150; i++) {
      // What is learned holds from the next frame on in both. OVS's mask already has what the new flow matches on.
      await compare(ovs, pipeline, makeLearnedFrame(rnd), `frame ${i}`, "OpenFlow15", 0, /^Megaflow: .*$/gm);
    }
    const ours = [...pipeline.tables.rules()].map((rule) => formatRule(rule, 0));
    assert.deepEqual(ours.map(withoutCounts).sort(), (await ovs.dumpFlows("br0")).map(withoutCounts).sort());
  } finally {
    await ovs.stop();
  }
});

/** A trace counts nothing here, and time runs there. */
function withoutCounts(line: string): string {
  return line.trim().replace(/(duration|n_packets|n_bytes|idle_age|hard_age)=[^,]*, /g, "");
}

async function load(ovs: Ovs, groups: string, flows: string): Promise<boolean> {
  const file = join(ovs.dir, "random.flows");
  writeFileSync(file, flows);
  const groupFile = join(ovs.dir, "random.groups");
  writeFileSync(groupFile, groups);
  await ovs.ofctl(["del-flows", "br0"]);
  await ovs.ofctl(["-O", "OpenFlow15", "del-groups", "br0"]);
  await ovs.ofctl(["-O", "OpenFlow15", "add-groups", "br0", groupFile]);
  try {
    await ovs.ofctl(["-O", "OpenFlow15", "--bundle", "add-flows", "br0", file]);
    return true;
  } catch (error) {
    if (process.env.VERBOSE) console.log(String(error), flows);
    return false;
  }
}

async function traces(ovs: Ovs, pipeline: Pipeline, rnd: Random, flows: string): Promise<void> {
  for (let k = 0; k < 12; k++) await compare(ovs, pipeline, makeTraceFlow(rnd), flows, "OpenFlow15");
}
