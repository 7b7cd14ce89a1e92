// The recorded Antrea story through `megaflow replay` and through real Open vSwitch: the same frames on every port in the same order,
// the same flow dump with the same counters, the same connections.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { ANTREA_PORTS, ANTREA_RECORDED, flowCounts, framesOf, replayArguments } from "../antrea-story.ts";
import { megaflow, megaflowSkip } from "../megaflow.ts";
import { playStory } from "./antrea-story.ts";
import { ovsSkip, requireOvs } from "./ovs.ts";

const dir = mkdtempSync(join(tmpdir(), "megaflow-replay-"));
after(() => rmSync(dir, { recursive: true }));

for (const part of ["before-policy", "policy"] as const) {
  test(`replay and Open vSwitch agree: ${part}`, { skip: ovsSkip || megaflowSkip }, async () => {
    const out = join(dir, part);
    const { status, stderr } = megaflow(...replayArguments(part), "--out-dir", out);
    assert.equal(status, 0, stderr);
    const ovs = await requireOvs();
    try {
      await playStory(ovs, part);
      for (const port of ANTREA_RECORDED) {
        const name = ANTREA_PORTS.find(({ no }) => no === port)!.name;
        const theirs = ovs.sent(name).map((frame) => Buffer.from(frame).toString("hex"));
        assert.deepEqual(await framesOf(join(out, `port-${port}.pcap`)), theirs, `frames on port ${port}`);
      }
      await ovs.settle();
      const byFlow = (a: { flow: string }, b: { flow: string }) => (a.flow < b.flow ? -1 : 1);
      const theirs = flowCounts((await ovs.dumpFlows("br-int")).join("\n")).sort(byFlow);
      const ours = flowCounts(readFileSync(join(out, "flows.txt"), "utf8")).sort(byFlow);
      assert.equal(theirs.length, part === "policy" ? 63 : 57);
      assert.deepEqual(ours, theirs);
      const connections = readFileSync(join(out, "conntrack.txt"), "utf8")
        .split("\n")
        .filter((line) => line !== "");
      assert.deepEqual(connections.sort(), (await ovs.dumpConntrack()).sort());
    } finally {
      await ovs.stop();
    }
  });
}
