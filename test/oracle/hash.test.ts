// dp_hash against real Open vSwitch: a select group's bucket copies it into the frame's destination address.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../src/lib/prng.ts";
import { randomCase } from "../support/rewrite-cases.ts";
import { Rewriter } from "../support/rewriter.ts";
import { ovsSkip, requireOvs } from "./ovs.ts";

const SEED = Number(process.env.SEED ?? 1);
const CASES = Number(process.env.CASES ?? 200);

test(`dp_hash as real OVS computes it, seed ${SEED}`, { skip: ovsSkip }, async (t) => {
  t.diagnostic(`SEED=${SEED} CASES=${CASES}`);
  const rng = new Prng(SEED);
  const l4Basis = rng.u32();
  const symBasis = rng.u32();
  const ovs = await requireOvs();
  try {
    await ovs.addBridge("br0", { ports: [{ no: 1 }, { no: 2 }, { no: 3 }, { no: 4 }] });
    const ofctl = (...args: string[]) => ovs.ofctl(["-O", "OpenFlow15", ...args]);
    const group = (id: number, more: string) =>
      ofctl("add-group", "br0", `group_id=${id},type=select,${more}bucket=bucket_id:1,resubmit(,1)`);
    // The high 32 bits of the parameter are the algorithm, the low ones the basis.
    await group(1, `selection_method=dp_hash,selection_method_param=${l4Basis},`);
    await group(3, `selection_method=dp_hash,selection_method_param=${(1n << 32n) | BigInt(symBasis)},`);
    await group(4, "");
    for (const no of [1, 3, 4]) await ofctl("add-flow", "br0", `in_port=${no},actions=group:${no}`);
    await ofctl("add-flow", "br0", "table=1,actions=move:NXM_NX_DP_HASH[]->NXM_OF_ETH_DST[0..31],output:2");

    const rewriter = new Rewriter();
    const { hashL4, hashSymL4 } = rewriter.kernel.exports;
    for (let i = 0; i < CASES; i++) {
      const { kind, frame } = randomCase(rng, "02:00:00:00:00:01");
      const sent: string[] = [];
      for (const port of ["p1", "p3", "p4"]) {
        await ovs.receive(port, frame);
        const [out] = ovs.takeSent("p2");
        sent.push(Buffer.from(out!.subarray(2, 6)).toString("hex"));
      }
      rewriter.load(frame);
      const ours = [hashL4(l4Basis), hashSymL4(symBasis), hashSymL4(0)];
      const hex = ours.map((hash) => (hash >>> 0).toString(16).padStart(8, "0"));
      assert.deepEqual(hex, sent, `${kind} ${Buffer.from(frame).toString("hex")} ${l4Basis} ${symBasis}`);
    }
  } finally {
    await ovs.stop();
  }
});
