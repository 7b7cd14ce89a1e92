// Bonds under NORMAL against real OVS: which member a frame goes out on, which frames are let in, what is learned where.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Flow } from "../../src/flow/flow.ts";
import { O_DL_SRC } from "../../src/flow/layout.ts";
import { Prng } from "../../src/lib/prng.ts";
import { OFPP_LOCAL } from "../../src/pipeline/action.ts";
import { bondBucket } from "../../src/pipeline/bond.ts";
import { alignBonds, makeOvsBridge, normalizeDump } from "./bundle-bridge.ts";
import { interfacesOf, type LabBond, type LabCase, type LabFrame, OurLab, runTheirs } from "./lab-case.ts";
import { ovsSkip, requireOvs } from "./ovs.ts";

const SEED = Number(process.env.SEED ?? 11);
const BRIDGES = Number(process.env.BRIDGES ?? 4);
const FRAMES = Number(process.env.FRAMES ?? 60);

const chance = (rnd: Prng, in100: number): boolean => rnd.below(100) < in100;

function makeCase(rnd: Prng, mode: string): LabCase {
  const vlanKeys = () =>
    chance(rnd, 40) ? { tag: rnd.pick([5, 6]), vlan_mode: rnd.pick(["access", "native-untagged"]) } : {};
  const ports = [1, 2, 3].map((no) => ({ no, name: `p${no}`, ...vlanKeys() }));
  const bond = (name: string, numbers: readonly number[]): LabBond => {
    const members = numbers.map((no) => ({
      no,
      name: `p${no}`,
      ...(chance(rnd, 20) ? { link_state: "down" } : {}),
    }));
    const primary = chance(rnd, 50) ? { bond_primary: rnd.pick(members).name } : {};
    return { name, members, bond_mode: mode, ...primary, ...vlanKeys() };
  };
  const bonds = [bond("bond0", [4, 5, 6]), bond("bond1", chance(rnd, 80) ? [7, 8] : [7, 8, 9])];
  return { ports, bonds, flows: [], frames: [] };
}

const HOSTS = 4;

function makeFrame(rnd: Prng, c: LabCase, last: LabFrame | null): LabFrame {
  const port = rnd.pick([...interfacesOf(c).map(({ no }) => no), OFPP_LOCAL]);
  // A frame that comes back, or whose sender has moved.
  if (last !== null && chance(rnd, 50)) {
    return { port: chance(rnd, 50) ? rnd.pick(c.bonds!).members[0]!.no : port, hex: last.hex };
  }
  const host = (): string => `02000000000${1 + rnd.below(HOSTS)}`;
  const tag = rnd.pick(["", "", "", "", "81000005", "81000006", "8100a005"]);
  const sender = host();
  const dst = rnd.pick([host(), host(), host(), "ffffffffffff", "ffffffffffff", "01005e010101"]);
  // Requests of an address for itself, replies to all.
  const target = rnd.below(2);
  const arp = `0806000108000604000${1 + rnd.below(2)}${sender}0a0000010000000000000a00000${target}`;
  const ipv4 = "080045000014000000004011000000000a0000010a000002";
  if (chance(rnd, 40)) return { port, hex: `ffffffffffff${sender}${tag}${arp}` };
  return { port, hex: `${dst}${sender}${tag}${rnd.pick([arp, ipv4])}` };
}

for (const mode of ["active-backup", "balance-slb", "balance-tcp"]) {
  test(`${mode} bonds do as in OVS (seed ${SEED})`, { skip: ovsSkip }, async () => {
    for (let i = 0; i < BRIDGES; i++) {
      const seed = SEED * 1000 + i;
      const rnd = new Prng(seed);
      const c = makeCase(rnd, mode);
      const ovs = await requireOvs();
      try {
        await makeOvsBridge(ovs, c);
        const flows = { ...c, flows: ["actions=NORMAL"] };
        const ours = new OurLab(flows);
        const uncached = new OurLab(flows, false);
        await alignBonds(ovs, c, [ours, uncached]);
        let last: LabFrame | null = null;
        for (let n = 0; n < FRAMES; n++) {
          if (chance(rnd, 20)) {
            const seconds = rnd.pick([1, 4, 6, 60, 200]);
            await ovs.settle(); // what was used, was used before
            await ovs.warp(seconds * 1000);
            ours.nowMs += seconds * 1000;
            uncached.nowMs = ours.nowMs;
          }
          const frame: LabFrame = makeFrame(rnd, c, last);
          last = frame;
          const what = `seed ${seed}, frame ${n}: ${JSON.stringify(frame)}\n${JSON.stringify(c)}`;
          const theirs = await runTheirs(ovs, c, frame);
          const mine = ours.run(frame);
          const plain = uncached.run(frame);
          const fdb = normalizeDump(await ovs.appctl("fdb/show", "br0"), c);
          assert.deepEqual(mine, theirs, what);
          assert.deepEqual(plain, mine, `with and without caches, ${what}`);
          const { macs } = ours.bridge.pipeline;
          assert.deepEqual(normalizeDump(macs.dump(ours.nowMs), c).sort(), fdb.sort(), what);
        }
      } finally {
        await ovs.stop();
      }
    }
  });
}

test("buckets are OVS's, and OVS deals them out in turn", { skip: ovsSkip }, async () => {
  const ovs = await requireOvs();
  try {
    const rnd = new Prng(SEED);
    const flow = new Flow();
    for (let i = 0; i < 50; i++) {
      const mac = Array.from({ length: 6 }, () => rnd.below(256));
      const vlan = i % 3 === 0 ? 0 : rnd.below(4096);
      const basis = i % 2 === 0 ? 0 : rnd.below(1 << 30);
      const text = mac.map((b) => b.toString(16).padStart(2, "0")).join(":");
      flow.bytes.set(mac, O_DL_SRC);
      const theirs = await ovs.appctl("bond/hash", text, String(vlan), String(basis));
      assert.equal(bondBucket(flow.bytes, vlan, basis), Number(theirs), `${text} ${vlan} ${basis}`);
    }
    const members = [4, 5, 6].map((no) => ({ no, name: `p${no}` }));
    const c: LabCase = {
      ports: [{ no: 1, name: "p1" }],
      bonds: [{ name: "bond0", members, bond_mode: "balance-slb" }],
      flows: ["actions=NORMAL"],
      frames: [],
    };
    await makeOvsBridge(ovs, c);
    const ours = new OurLab(c);
    const theirOrder: string[] = [];
    const ourOrder: string[] = [];
    const buckets = new Set<number>();
    for (let i = 1; buckets.size < 12; i++) {
      const hex = `ffffffffffff0200000000${i.toString(16).padStart(2, "0")}080045000014000000004011000000000a0000010a000002`;
      flow.bytes.set(Buffer.from(hex, "hex").subarray(6, 12), O_DL_SRC);
      const bucket = bondBucket(flow.bytes, 0, 0);
      if (buckets.has(bucket)) continue;
      buckets.add(bucket);
      await ovs.receive("p1", Buffer.from(hex, "hex"));
      theirOrder.push(members.find(({ name }) => ovs.takeSent(name).length > 0)!.name);
      const { sent } = ours.run({ port: 1, hex });
      ourOrder.push(`p${sent.find((line) => /^[456] /.test(line))![0]}`);
    }
    const turn = (order: readonly string[]): number[] => order.map((name) => order.indexOf(name));
    assert.deepEqual(turn(theirOrder), [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]);
    assert.deepEqual(
      ourOrder,
      theirOrder.map((_, i) => `p${4 + (i % 3)}`),
    );
  } finally {
    await ovs.stop();
  }
});
