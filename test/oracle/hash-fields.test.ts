// The named sets of fields that multipath and bundle hash, against real Open vSwitch: sixteen bits of each hash, and what the
// megaflow says was looked at.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseTraceArguments } from "../../src/cli/trace-arguments.ts";
import { parseFlowFile } from "../../src/control/openflow/flow-file.ts";
import { Prng } from "../../src/lib/prng.ts";
import { Pipeline } from "../../src/pipeline/pipeline.ts";
import { FrameMaker, PLAIN_FRAMES } from "./judge/frames.ts";
import { normalizeTrace } from "./judge/normalize.ts";
import { ourPorts } from "./judge/ours.ts";
import { ovsSkip, requireOvs } from "./ovs.ts";

const SEED = Number(process.env.SEED ?? 1);
const CASES = Number(process.env.CASES ?? 200);
const FIELDS = [
  "eth_src",
  "nw_src",
  "nw_dst",
  "symmetric_l3",
  "symmetric_l3l4",
  "symmetric_l3l4+udp",
  "symmetric_l4",
] as const;

test(`multipath hashes as in OVS, seed ${SEED}`, { skip: ovsSkip }, async (t) => {
  t.diagnostic(`SEED=${SEED} CASES=${CASES}`);
  const rng = new Prng(SEED);
  const ovs = await requireOvs();
  try {
    await ovs.addBridge("br0", { ports: [1, 2, 3, 4].map((no) => ({ no })) });
    for (const fields of FIELDS) {
      const basis = rng.below(0x10000);
      const flow = `actions=multipath(${fields},${basis},modulo_n,65536,0,reg0[])`;
      await ovs.ofctl(["del-flows", "br0"]);
      await ovs.ofctl(["add-flow", "br0", flow]);
      const pipeline = new Pipeline({ ports: ourPorts(), failMode: "secure", seed: 1 });
      pipeline.applyFlows(parseFlowFile(flow), 0);
      for (const frame of new FrameMaker(rng, PLAIN_FRAMES).make(Math.ceil(CASES / FIELDS.length))) {
        const args = [`in_port=${frame.port === 0xfffffffe ? "LOCAL" : frame.port}`, frame.hex];
        const theirs = normalizeTrace(await ovs.trace("br0", ...args));
        const request = parseTraceArguments(args, pipeline.ports);
        const ours = normalizeTrace(pipeline.trace({ ...request, nowMs: 0 }));
        // Where there is no IP header, OVS hashes the link layer and forgets to say that it has looked at it.
        const forgets = fields.startsWith("symmetric_l3l4") && !/^Flow: (ip|tcp|udp|sctp|icmp)/.test(ours);
        const compared = (text: string) => (forgets ? text.replace(/^Megaflow: .*$/m, "") : text);
        assert.equal(compared(ours), compared(theirs), `${flow} ${frame.hex}`);
      }
    }
  } finally {
    await ovs.stop();
  }
});
