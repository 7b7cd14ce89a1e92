// The recorded Antrea story (pcap-fixtures/README.md), played into a real Open vSwitch.
import {
  ANTREA_BEFORE_POLICY_FLOWS,
  ANTREA_POLICY_FLOWS,
  ANTREA_PORTS,
  policyAt,
  type StoryPart,
  storyFrames,
} from "../antrea-story.ts";
import type { Ovs } from "./ovs.ts";

/** Plays a part of the story into a fresh switch (bridge br-int), frame by frame on its stopped clock, the policy at its time. */
export async function playStory(ovs: Ovs, part: StoryPart): Promise<void> {
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
