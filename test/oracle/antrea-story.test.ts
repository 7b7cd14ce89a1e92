// The recorded Antrea story once more through real Open vSwitch, frame by frame on its stopped clock: what the recording says the
// switch did is what it does. So the captures are complete, and a replay may be compared with them.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ANTREA_BEFORE_POLICY_FLOWS,
  ANTREA_POLICY_FLOWS,
  ANTREA_PORTS,
  ANTREA_RECORDED,
  flowCounts,
  framesOf,
  policyAt,
  recordedConnections,
  recordedFlows,
  type StoryPart,
  storyFrames,
  switchedCapture,
} from "../antrea-story.ts";
import { type Ovs, ovsSkip, requireOvs } from "./ovs.ts";

/** Plays a part into a fresh switch, the policy at its time. */
async function play(ovs: Ovs, part: StoryPart): Promise<void> {
  await ovs.addBridge("br-int", { ports: ANTREA_PORTS });
  await ovs.ofctl(["-O", "OpenFlow13", "add-flows", "br-int", ANTREA_BEFORE_POLICY_FLOWS]);
  const nameOf = new Map(ANTREA_PORTS.map(({ no, name }) => [no, name]));
  await ovs.stopClock();
  const policyMs = part === "policy" ? Math.round(policyAt() * 1000) : Number.POSITIVE_INFINITY;
  let nowMs = 0;
  let applied = false;
  const applyPolicy = async () => {
    await ovs.ofctl(["-O", "OpenFlow13", "add-flows", "br-int", ANTREA_POLICY_FLOWS]);
    await ovs.settle();
    applied = true;
  };
  for (const { port, timeNs, bytes } of await storyFrames(part)) {
    const timeMs = Math.floor(timeNs / 1e6);
    if (timeMs >= policyMs && !applied) await applyPolicy();
    if (timeMs > nowMs) await ovs.warp(timeMs - nowMs);
    nowMs = Math.max(nowMs, timeMs);
    await ovs.receive(nameOf.get(port)!, bytes);
  }
}

const hex = (frames: readonly Uint8Array[]) => frames.map((frame) => Buffer.from(frame).toString("hex"));

for (const part of ["before-policy", "policy"] as const) {
  test(`real Open vSwitch does again what it did: ${part}`, { skip: ovsSkip }, async () => {
    const ovs = await requireOvs();
    try {
      await play(ovs, part);
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
