// Flows that go: for each reason, what a controller of OVS is told, and what a bridge tells here; and which flow a full table
// gives up.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { Bridge, type FrameSink } from "../../src/bridge/bridge.ts";
import { flowLines } from "../../src/bridge/dump.ts";
import { parseFlowFile } from "../../src/control/openflow/flow-file.ts";
import { parseGroupMod } from "../../src/control/openflow/group-text.ts";
import { parseMeterMod } from "../../src/control/openflow/meter-file.ts";
import { parseSubfieldPrefix } from "../../src/flow/subfield.ts";
import { udpFrame } from "../../src/packet/frame.ts";
import { formatFlowRemoval } from "../../src/pipeline/flow-removal.ts";
import { PortTable } from "../../src/pipeline/port-table.ts";
import { ovsSkip, requireOvs } from "./ovs.ts";

const OF15 = ["-O", "OpenFlow15", "--no-names"];
const LIMIT = 4;
const GROUP = "group_id=1,type=indirect,bucket=actions=output:2";
const METER = "meter=1,pktps,bands=type=drop,rate=1000";

const FLOWS = `
table=0,priority=9,udp,send_flow_rem,cookie=0x10 actions=learn(table=1,cookie=0x11,delete_learned,send_flow_rem,priority=7,in_port,output:NXM_OF_IN_PORT[]),output:2
table=0,priority=8,ip,send_flow_rem,cookie=0x12 actions=learn(table=1,cookie=0x11,delete_learned,in_port,output:NXM_OF_IN_PORT[])
table=0,send_flow_rem,idle_timeout=3 actions=drop
table=0,priority=5,send_flow_rem,hard_timeout=5,idle_timeout=60,cookie=1 actions=drop
table=2,priority=1,ip,send_flow_rem actions=group:1
table=2,priority=2,udp,nw_src=10.0.0.0/8,send_flow_rem actions=clone(group:1,output:2)
table=2,priority=3,tcp,tp_dst=0x50/0xfff0,send_flow_rem actions=meter:1,output:2
table=2,priority=4,arp,send_flow_rem actions=output:2
table=3,priority=1,in_port=1,send_flow_rem,idle_timeout=128 actions=drop
table=3,priority=2,in_port=1,send_flow_rem,idle_timeout=896,importance=2 actions=drop
table=3,priority=3,in_port=1,send_flow_rem,hard_timeout=512,importance=1 actions=drop
table=3,priority=1,in_port=2,send_flow_rem,idle_timeout=128 actions=drop
`;

/** Each after the other: what it is about is in the words of the removals. */
const LATER = [
  "table=3,priority=9,in_port=3,send_flow_rem,hard_timeout=128 actions=drop",
  "table=3,priority=8,in_port=3,send_flow_rem,hard_timeout=384 actions=drop",
  "table=3,priority=7,in_port=3,send_flow_rem,hard_timeout=256 actions=drop",
  "delete_strict table=0,priority=8,ip",
  "delete_strict table=0,priority=9,udp",
  "modify table=2,arp,send_flow_rem actions=group:1",
];

const DEAF: FrameSink = { port() {}, userspace() {}, verdict() {} };
const plain = (line: string): string => line.replace(/duration=?[0-9.]+s|idle_age=\d+/g, "");

test("each flow that goes is told of with its reason and its counts", { skip: ovsSkip }, async () => {
  const ovs = await requireOvs();
  try {
    const ports = [1, 2, 3];
    await ovs.addBridge("br0", { ports: ports.map((no) => ({ no })) });
    await ovs.addBridge("nudge");
    await ovs.vsctl([
      ...["--id=@t", "create", "Flow_Table", `flow_limit=${LIMIT}`, "overflow_policy=evict"],
      ...['groups="NXM_OF_IN_PORT[]"', "--", "set", "bridge", "br0", "flow_tables={3=@t}"],
    ]);
    await ovs.stopClock();
    const monitor = await ovs.monitor("br0");
    const groups = [parseSubfieldPrefix("NXM_OF_IN_PORT[]").subfield];
    const bridge = new Bridge({
      ports: new PortTable(ports.map((no) => ({ no, name: `p${no}` }))),
      failMode: "secure",
      settings: { flowTables: new Map([[3, { flowLimit: LIMIT, overflowPolicy: "evict", groups }]]) },
    });
    const ours: string[] = [];
    bridge.onFlowRemoved = (removal) => ours.push(formatFlowRemoval(removal));
    let nowMs = 0;
    const wait = async (ms: number) => {
      await ovs.warp(ms, 500);
      nowMs += ms;
      bridge.advance(nowMs);
    };
    const send = async () => {
      const ip = {
        ethSrc: "02:00:00:00:00:01",
        ethDst: "02:00:00:00:00:02",
        src: "10.0.0.1",
        dst: "10.0.0.2",
      };
      const frame = udpFrame({ ...ip, srcPort: 1, dstPort: 2 });
      await ovs.receive("p1", frame);
      await ovs.settle();
      bridge.datapath.stage(frame, 0, frame.length, frame.length, 1, nowMs);
      bridge.run(DEAF);
    };
    const compare = async (what: string) => {
      const ourFlows = [...flowLines(bridge)].slice(1).map(plain);
      let theirs: string[] = [];
      let told: string[] = [];
      for (let i = 0; i < 10; i++) {
        theirs = (await ovs.dumpFlows("br0")).map(plain);
        told = (await monitor()).filter((line) => line.includes("FLOW_REMOVED")).map(plain);
        if (theirs.join() === ourFlows.join() && told.length === ours.length) break;
        // OVS looks for flows whose time has come when its revalidators have been round.
        await ovs.ofctl(["add-flow", "nudge", "actions=drop"]);
        await setTimeout(50);
      }
      assert.deepEqual(ourFlows, theirs, what);
      assert.deepEqual(ours.map(plain).sort(), told.sort(), what);
    };

    await ovs.ofctl([...OF15, "add-group", "br0", GROUP]);
    await ovs.ofctl([...OF15, "add-meter", "br0", METER]);
    await ovs.ofctl([...OF15, "add-flows", "br0", "-"], { input: FLOWS });
    bridge.applyGroups([parseGroupMod(GROUP)], nowMs);
    bridge.applyMeters([parseMeterMod(METER)], nowMs);
    bridge.addFlows(parseFlowFile(FLOWS), nowMs);
    await send();
    await send();
    await compare("learned");
    for (const line of LATER) {
      await ovs.ofctl([...OF15, "add-flows", "br0", "-"], { input: line });
      bridge.addFlows(parseFlowFile(line), nowMs);
      await wait(128);
      await compare(line);
    }
    await wait(4000);
    await wait(4000);
    await compare("timeouts");
    await ovs.ofctl([...OF15, "del-meter", "br0", "meter=1"]);
    bridge.applyMeters([parseMeterMod("meter=1", "delete")], nowMs);
    await compare("meter");
    await ovs.ofctl([...OF15, "del-groups", "br0", "group_id=1"]);
    bridge.applyGroups([parseGroupMod("group_id=1", {}, "delete")], nowMs);
    await compare("group");
    const reasons = new Set(ours.map((line) => /reason=(\w+)/.exec(line)![1]));
    assert.deepEqual([...reasons].sort(), [
      "delete",
      "eviction",
      "group_delete",
      "hard",
      "idle",
      "meter_delete",
    ]);
  } finally {
    await ovs.stop();
  }
});
