// Bridges described in YAML against real OVS with the same columns: VLANs of ports under NORMAL, port flags, mirrors.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  configureOvs,
  type FloodOrder,
  floodOrderOf,
  type LabCase,
  mirrorCountsOfOvs,
  OurLab,
  runTheirs,
} from "./lab-case.ts";
import { LAB_PORTS, type LabKinds, makeLabCase } from "./lab-cases.ts";
import { type Ovs, ovsSkip, requireOvs } from "./ovs.ts";

const SEED = Number(process.env.SEED ?? 5);
const LABS = Number(process.env.LABS ?? 8);
const FRAMES = Number(process.env.FRAMES ?? 20);

async function compare(ovs: Ovs, order: FloodOrder, c: LabCase, what: string): Promise<void> {
  await configureOvs(ovs, c);
  const ours = new OurLab(c, true, order);
  const uncached = new OurLab(c, false, order);
  for (const [i, frame] of c.frames.entries()) {
    const theirs = await runTheirs(ovs, c, frame);
    const mine = ours.run(frame);
    const plain = uncached.run(frame);
    try {
      assert.deepEqual(mine, theirs);
      assert.deepEqual(mine, plain, "with and without caches");
    } catch (error) {
      const text = c.ports.map((p) => JSON.stringify(p)).join("\n");
      console.log(
        `# ${what}, frame ${i}: ${JSON.stringify(frame)}\n${text}\n${JSON.stringify(c.bridge ?? {})}`,
      );
      console.log(c.flows.join("\n"));
      throw error;
    }
  }
  if (c.bridge?.mirrors === undefined) return;
  const mirrors = `${what}: ${JSON.stringify(c)}`;
  assert.deepEqual(ours.mirrorCounts(), await mirrorCountsOfOvs(ovs), mirrors);
  assert.deepEqual(uncached.mirrorCounts(), ours.mirrorCounts(), mirrors);
}

const CASES: readonly (readonly [name: string, kinds: LabKinds])[] = [
  ["VLANs of every mode", { vlans: true }],
  ["port flags", { flags: true }],
  ["VLANs and flags", { vlans: true, flags: true }],
  ["ports under more than NORMAL", { vlans: true, flags: true, flows: true }],
  ["mirrors under NORMAL", { vlans: true, mirrors: true }],
  ["mirrors", { vlans: true, flags: true, flows: true, mirrors: true, bridge: true }],
  ["bridges' settings", { vlans: true, bridge: true, flows: true }],
];

for (const [name, kinds] of CASES) {
  test(`${name} are what they are in OVS (seed ${SEED})`, { skip: ovsSkip }, async () => {
    const ovs = await requireOvs();
    try {
      await ovs.addBridge("br0", { ports: LAB_PORTS.map((no) => ({ no })) });
      await ovs.stopClock();
      const order = await floodOrderOf(ovs);
      for (let i = 0; i < LABS; i++) {
        const seed = SEED * 1000 + i;
        await compare(ovs, order, makeLabCase(seed, kinds, FRAMES), `seed ${seed}`);
      }
    } finally {
      await ovs.stop();
    }
  });
}
