// IGMP and MLD snooping under NORMAL against real OVS: what goes where, what traces say, and what the tables hold.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../src/lib/prng.ts";
import { alignBonds, makeOvsBridge, normalizeDump } from "./bundle-bridge.ts";
import { type LabResult, OurLab, runTheirs } from "./lab-case.ts";
import { ovsSkip, requireOvs } from "./ovs.ts";
import { makeSnoopingCase, makeSnoopingFrame } from "./snooping-cases.ts";

const SEED = Number(process.env.SEED ?? 21);
const BRIDGES = Number(process.env.BRIDGES ?? 8);
const FRAMES = Number(process.env.FRAMES ?? 80);

/** OVS goes through flood ports and report ports in the order of a hash table. */
function withSortedPorts({ sent, trace }: LabResult): LabResult {
  const listed = /(^.*(mcast flagged port|dropping the Report|mcast flood port).*\n)+/gm;
  return {
    sent,
    trace: trace.replace(listed, (run) => run.trimEnd().split("\n").sort().join("\n").concat("\n")),
  };
}

test(`multicast snooping does as in OVS (seed ${SEED})`, { skip: ovsSkip }, async () => {
  for (let i = 0; i < BRIDGES; i++) {
    const seed = SEED * 1000 + i;
    const rnd = new Prng(seed);
    const c = makeSnoopingCase(rnd);
    const ovs = await requireOvs();
    try {
      await makeOvsBridge(ovs, c);
      const ours = new OurLab(c);
      const uncached = new OurLab(c, false);
      await alignBonds(ovs, c, [ours, uncached]);
      for (let n = 0; n < FRAMES; n++) {
        if (rnd.below(100) < 25) {
          const seconds = rnd.pick([1, 1, 5, 19, 90, 170]);
          await ovs.settle(); // what was used, was used before
          await ovs.warp(seconds * 1000);
          for (const lab of [ours, uncached]) {
            lab.nowMs += seconds * 1000;
            lab.bridge.advance(lab.nowMs);
          }
        }
        const frame = makeSnoopingFrame(rnd, c);
        const what = `seed ${seed}, frame ${n}: ${JSON.stringify(frame)}\n${JSON.stringify(c)}`;
        const theirs = await runTheirs(ovs, c, frame);
        const mine = ours.run(frame);
        const plain = uncached.run(frame);
        assert.deepEqual(withSortedPorts(mine), withSortedPorts(theirs), what);
        assert.deepEqual(plain, mine, `with and without caches, ${what}`);
        const dump = (lab: OurLab) => normalizeDump(lab.bridge.pipeline.snooping!.dump(lab.nowMs), c);
        assert.deepEqual(dump(ours), normalizeDump(await ovs.appctl("mdb/show", "br0"), c), what);
        assert.deepEqual(dump(uncached), dump(ours));
      }
    } finally {
      await ovs.stop();
    }
  }
});
