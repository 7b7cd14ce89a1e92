// Frames rewritten by real Open vSwitch and by our kernel, byte for byte: random frames, random actions. The datapath
// actions are OVS's own (as its trace prints them), so that only the rewriting is compared, and their text is printed
// back to compare datapath/action-text.ts too.
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatDatapathActions } from "../../src/datapath/action-text.ts";
import { Prng } from "../../src/lib/prng.ts";
import { type RewriteCase, randomCase } from "../support/rewrite-cases.ts";
import { Rewriter, rewriteAndSend } from "../support/rewriter.ts";
import { parseDatapathActions } from "./datapath-actions.ts";
import { ovsSkip, requireOvs } from "./ovs.ts";

const SEED = Number(process.env.SEED ?? 1);
const CASES = Number(process.env.CASES ?? 600);

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const dlDst = (i: number) =>
  `02:00:00:00:${hex(Uint8Array.of(i >> 8)).padStart(2, "0")}:${hex(Uint8Array.of(i))}`;

test(`frames rewritten as real OVS rewrites them, seed ${SEED}`, { skip: ovsSkip }, async (t) => {
  t.diagnostic(`SEED=${SEED} CASES=${CASES}`);
  const rng = new Prng(SEED);
  const cases: RewriteCase[] = Array.from({ length: CASES }, (_, i) => randomCase(rng, dlDst(i)));
  const flows = cases.map(
    (c, i) => `dl_dst=${dlDst(i)},${c.match},actions=${[...c.actions, "output:2"].join(",")}`,
  );

  const ovs = await requireOvs();
  try {
    await ovs.addBridge("br0", { ports: [{ no: 1 }, { no: 2 }] });
    await ovs.ofctl(["-O", "OpenFlow15", "add-flows", "br0", "-"], { input: flows.join("\n") + "\n" });
    const rewriter = new Rewriter();
    let changed = 0;
    for (const [i, c] of cases.entries()) {
      const trace = await ovs.trace("br0", "in_port=1", hex(c.frame));
      const texts = [...trace.matchAll(/^Datapath actions: (.*)$/gm)].map((m) => m[1]!);
      const sent = await send(ovs, c.frame);
      const about = `case ${i}: ${c.kind} ${hex(c.frame)}\n${flows[i]}\n${texts.join(" | ")}`;
      if (texts.some((text) => text.includes("userspace("))) continue; // an expired TTL
      const actions = texts.flatMap(parseDatapathActions);
      for (const text of texts) {
        assert.equal(formatDatapathActions(parseDatapathActions(text), String), text, about);
      }
      const ours = rewriteAndSend(rewriter, c.frame, actions, 0x00).map((s) => hex(s.frame));
      assert.deepEqual(ours, sent.map(hex), about);
      const again = rewriteAndSend(rewriter, c.frame, actions, 0xff).map((s) => hex(s.frame));
      assert.deepEqual(again, ours, `bytes around the frame matter in ${about}`);
      if (ours[0] !== undefined && ours[0] !== hex(c.frame)) changed++;
    }
    t.diagnostic(`${changed} of ${cases.length} frames were changed`);
    assert.ok(changed > cases.length / 3, `only ${changed} frames were changed`);
  } finally {
    await ovs.stop();
  }
});

async function send(ovs: Awaited<ReturnType<typeof requireOvs>>, frame: Uint8Array): Promise<Uint8Array[]> {
  await ovs.receive("p1", frame);
  return ovs.takeSent("p2");
}
