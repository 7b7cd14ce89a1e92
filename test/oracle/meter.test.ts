// What meters a switch takes and refuses, in its own words; and which frames they let pass, on a clock that both share.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Bridge } from "../../src/bridge/bridge.ts";
import { meterStatsLines } from "../../src/bridge/dump.ts";
import { parseFlowFile } from "../../src/control/openflow/flow-file.ts";
import { parseMeterMod } from "../../src/control/openflow/meter-file.ts";
import { MegaflowError } from "../../src/lib/errors.ts";
import { Prng } from "../../src/lib/prng.ts";
import { udpFrame } from "../../src/packet/frame.ts";
import { MeterTable } from "../../src/pipeline/meter.ts";
import { PortTable } from "../../src/pipeline/port-table.ts";
import { ovsSkip, requireOvs } from "./ovs.ts";

const bands = (count: number) =>
  Array.from({ length: count }, (_, i) => `type=drop,rate=${10 * (i + 1)}`).join(",");

const COMMANDS = { add: "add", mod: "modify" } as const;

/** In this order: each meets what those before it left. */
const MODS: readonly (readonly [command: keyof typeof COMMANDS, text: string])[] = [
  ["add", "meter=1,pktps,bands=type=drop,rate=10"],
  ["add", "meter=1,pktps,bands=type=drop,rate=10"],
  ["add", "meter=2,kbps,burst,stats,bands=type=drop,rate=10,burst_size=20"],
  ["add", "meter=3,pktps,bands=type=dscp_remark,rate=10,prec_level=1"],
  ["mod", "meter=4,pktps,bands=type=drop,rate=10"],
  ["mod", "meter=2,pktps,bands=type=dscp_remark,rate=10,prec_level=1"],
  ["add", `meter=5,pktps,bands=${bands(8)}`],
  ["add", `meter=6,pktps,bands=${bands(9)}`],
];

test("meters are taken and refused as by Open vSwitch", { skip: ovsSkip }, async () => {
  const ovs = await requireOvs();
  const meters = new MeterTable();
  try {
    await ovs.addBridge("br0", { ports: [{ no: 1 }] });
    for (const [command, text] of MODS) {
      let theirs = "taken";
      try {
        await ovs.ofctl(["-O", "OpenFlow15", `${command}-meter`, "br0", text]);
      } catch (error) {
        theirs = /OFPMMFC_[A-Z_]+/.exec(String(error))?.[0] ?? String(error);
      }
      let ours = "taken";
      try {
        meters.apply([parseMeterMod(text, COMMANDS[command])], 0);
      } catch (error) {
        assert.ok(error instanceof MegaflowError);
        ours = error.message;
      }
      assert.equal(ours, theirs, `${command} ${text}`);
    }
  } finally {
    await ovs.stop();
  }
});

const SEED = Number(process.env.SEED ?? 4);
const STEPS = Number(process.env.STEPS ?? 60);

const METERS = [
  "meter=1,pktps,burst,bands=type=drop,rate=3,burst_size=10",
  "meter=2,kbps,burst,bands=type=drop,rate=7,burst_size=5",
  "meter=3,pktps,stats,bands=type=drop,rate=2,type=drop,rate=5,type=drop,rate=4",
  "meter=4,kbps,bands=type=drop,rate=9,type=drop,rate=4",
  "meter=controller,pktps,bands=type=drop,rate=2",
];

/** By input port. */
const FLOWS = [
  "in_port=1,udp,tp_dst=1 actions=meter:1,output:2",
  "in_port=1,udp,tp_dst=2 actions=meter:2,output:2",
  "in_port=1,udp,tp_dst=3 actions=meter:3,output:2",
  "in_port=1,udp,tp_dst=4 actions=meter:4,output:2",
  "in_port=1,udp,tp_dst=5 actions=controller,output:2",
  "in_port=1,udp,tp_dst=6 actions=controller(meter_id=1),output:2",
];

test("meters let the same frames pass and count alike", { skip: ovsSkip }, async () => {
  console.log(`seed ${SEED}`);
  const random = new Prng(SEED);
  const ovs = await requireOvs();
  try {
    const ports = [{ no: 1 }, { no: 2 }];
    await ovs.addBridge("br0", { ports });
    await ovs.stopClock();
    const bridge = new Bridge({
      ports: new PortTable(ports.map(({ no }) => ({ no, name: `p${no}` }))),
      failMode: "secure",
    });
    for (const meter of METERS) {
      await ovs.ofctl(["-O", "OpenFlow15", "add-meter", "br0", meter]);
      bridge.applyMeters([parseMeterMod(meter)], 0);
    }
    await ovs.ofctl(["-O", "OpenFlow15", "add-flows", "br0", "-"], { input: FLOWS.join("\n") });
    bridge.applyFlows(parseFlowFile(FLOWS.join("\n")), 0);
    let sent: string[] = [];
    const sink = {
      port(_port: number, memory: Uint8Array, offset: number, length: number) {
        sent.push(Buffer.from(memory.subarray(offset, offset + length)).toString("hex"));
      },
      userspace() {},
      verdict() {},
    };
    let nowMs = 0;
    for (let step = 0; step < STEPS; step++) {
      const ms = random.pick([0, 0, 1, 40, 333, 1000, 9000]);
      nowMs += ms;
      if (ms > 0) await ovs.warp(ms);
      bridge.advance(nowMs);
      const count = 1 + random.below(12);
      for (let i = 0; i < count; i++) {
        const frame = udpFrame({
          ethSrc: "02:00:00:00:00:01",
          ethDst: "02:00:00:00:00:02",
          src: "10.0.0.1",
          dst: "10.0.0.2",
          srcPort: 1000 * step + i,
          dstPort: 1 + random.below(FLOWS.length),
          payload: new Uint8Array(random.below(600)),
        });
        await ovs.receive("p1", frame);
        bridge.datapath.stage(frame, 0, frame.length, frame.length, 1, nowMs);
        bridge.run(sink);
      }
      const what = `step ${step}`;
      assert.deepEqual(
        sent,
        ovs.takeSent("p2").map((frame) => Buffer.from(frame).toString("hex")),
        what,
      );
      sent = [];
      const theirs = await ovs.ofctl(["-O", "OpenFlow15", "meter-stats", "br0"]);
      assert.deepEqual(blocks(meterStatsLines(bridge).join("\n")), blocks(theirs), what);
    }
  } finally {
    await ovs.stop();
  }
});

/** OVS lists meters in the order of a hash table. */
const blocks = (text: string): string[] =>
  text
    .slice(text.indexOf("\n") + 1)
    .trim()
    .split("\n\n")
    .sort();
