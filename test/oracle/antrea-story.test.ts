// The recorded Antrea story once more through real Open vSwitch, frame by frame on its stopped clock: what the recording says the
// switch did is what it does. So the captures are complete, and a replay may be compared with them.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ANTREA_PORTS,
  ANTREA_RECORDED,
  flowCounts,
  framesOf,
  recordedConnections,
  recordedFlows,
  switchedCapture,
} from "../antrea-story.ts";
import { playStory } from "./antrea-story.ts";
import { ovsSkip, requireOvs } from "./ovs.ts";

const hex = (frames: readonly Uint8Array[]) => frames.map((frame) => Buffer.from(frame).toString("hex"));

for (const part of ["before-policy", "policy"] as const) {
  test(`real Open vSwitch does again what it did: ${part}`, { skip: ovsSkip }, async () => {
    const ovs = await requireOvs();
    try {
      await playStory(ovs, part);
      for (const port of ANTREA_RECORDED) {
        const name = ANTREA_PORTS.find(({ no }) => no === port)!.name;
        // Two endpoints' frames may have met in another order on the recorded port.
        assert.deepEqual(
          hex(ovs.sent(name)).sort(),
          (await framesOf(switchedCapture(part, port))).sort(),
          `frames on port ${port}`,
        );
      }
      await ovs.settle();
      const dump = await ovs.ofctl(["-O", "OpenFlow13", "dump-flows", "--no-names", "br-int"]);
      const byFlow = (a: { flow: string }, b: { flow: string }) => (a.flow < b.flow ? -1 : 1);
      assert.deepEqual(flowCounts(dump).sort(byFlow), recordedFlows(part).sort(byFlow));
      assert.deepEqual((await ovs.dumpConntrack()).sort(), recordedConnections(part));
    } finally {
      await ovs.stop();
    }
  });
}
