// How deep a frame may recirculate: DESIGN's limit is OVS's own, and this asks it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Bridge } from "../../src/bridge/bridge.ts";
import { parseFlowFile } from "../../src/control/openflow/flow-file.ts";
import { RECIRC_DEPTH_MAX } from "../../src/datapath/abi.ts";
import { dropReason } from "../../src/datapath/drop.ts";
import { tcpFrame } from "../../src/packet/frame.ts";
import { PortTable } from "../../src/pipeline/port-table.ts";
import { ovsSkip, requireOvs } from "./ovs.ts";

const PORTS = [
  { no: 1, name: "p1" },
  { no: 2, name: "p2" },
];
const FRAME = tcpFrame({ src: "10.0.0.1", dst: "10.0.0.2", srcPort: 1, dstPort: 2 });

/** Flows that track a frame in `count` zones, a recirculation each, before it goes out of port 2. */
function chain(count: number): string {
  const steps = Array.from(
    { length: count },
    (_, i) => `table=${i},ip,actions=ct(table=${i + 1},zone=${i + 1})`,
  );
  return [...steps, `table=${count},ip,actions=output:2`, ""].join("\n");
}

/** Frames that come out of port 2, and the drop reason's name if there is one. */
function ours(count: number): { sent: number; drop: string | null } {
  const bridge = new Bridge({ ports: new PortTable(PORTS), failMode: "secure", connectionsMax: 64 });
  bridge.addFlows(parseFlowFile(chain(count)), 0);
  let sent = 0;
  let drop: string | null = null;
  bridge.datapath.stage(FRAME, 0, FRAME.length, FRAME.length, 1, 1000);
  bridge.run({
    port: () => sent++,
    userspace: () => {},
    verdict: (_, verdict) => {
      if (verdict.outputs === 0) drop = dropReason(verdict.drop).name;
    },
  });
  return { sent, drop };
}

test(`a frame recirculates ${RECIRC_DEPTH_MAX} times and no more`, () => {
  assert.deepEqual(ours(RECIRC_DEPTH_MAX), { sent: 1, drop: null });
  assert.deepEqual(ours(RECIRC_DEPTH_MAX + 1), { sent: 0, drop: "datapath_drop_recirc_error" });
});

test("real Open vSwitch ends at the same depth", { skip: ovsSkip }, async () => {
  const ovs = await requireOvs();
  try {
    await ovs.addBridge("br0", { failMode: "secure", ports: PORTS });
    for (const count of [RECIRC_DEPTH_MAX - 1, RECIRC_DEPTH_MAX, RECIRC_DEPTH_MAX + 1]) {
      await ovs.ofctl(["del-flows", "br0"]);
      await ovs.ofctl(["add-flows", "br0", "-"], { input: chain(count) });
      await ovs.settle();
      const before = ovs.sent("p2").length;
      await ovs.receive("p1", FRAME);
      assert.equal(ovs.sent("p2").length - before, ours(count).sent, `${count} recirculations`);
    }
  } finally {
    await ovs.stop();
  }
});
