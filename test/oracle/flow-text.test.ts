// Random matches, flows and megaflows, printed by us and by real Open vSwitch.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { formatFlow, parseFlow } from "../../src/flow/flow-text.ts";
import { formatMatch, normalizeMatch, parseMatch } from "../../src/flow/match.ts";
import { formatMegaflow } from "../../src/flow/megaflow-text.ts";
import { parseOdpFlow } from "../../src/flow/odp-text.ts";
import { FlowTextMaker } from "./flow-text-maker.ts";
import { type Ovs, ovsSkip, requireOvs } from "./ovs.ts";

const MATCHES = 4000;
const FLOWS = 600;
const MEGAFLOWS = 300;

const seed = Number(process.env.SEED ?? 1);
let ovs: Ovs;

before(async () => {
  if (ovsSkip !== false) return;
  ovs = await requireOvs();
  await ovs.addBridge("br0", { ports: [{ no: 1 }, { no: 2 }] });
});

after(async () => {
  if (ovsSkip === false) await ovs.stop();
});

test(`random matches are printed as ovs-ofctl parse-flows prints them (SEED=${seed})`, {
  skip: ovsSkip,
}, async () => {
  const maker = new FlowTextMaker(seed);
  const texts = Array.from({ length: MATCHES }, () => maker.match());
  const file = join(ovs.dir, "matches");
  writeFileSync(file, texts.map((text) => `${text},actions=drop\n`).join(""));
  const output = await ovs.ofctl(["-F", "NXM+table_id", "parse-flows", file]);
  const lines = output.split("\n").filter((line) => line.includes("FLOW_MOD"));
  assert.equal(lines.length, texts.length);
  for (let i = 0; i < texts.length; i++) {
    const refused = /decode error: (\w+)/.exec(lines[i]!);
    const expected = refused?.[1] ?? /ADD (?:table:255 ?)?(.*?) ?actions=drop/.exec(lines[i]!)![1]!;
    assert.equal(reprint(texts[i]!), expected, `SEED=${seed}, match ${i}: ${texts[i]}`);
  }
});

/** What we print for a match, or why we refuse it. */
function reprint(text: string): string {
  try {
    const match = parseMatch(text);
    normalizeMatch(match);
    return formatMatch(match);
  } catch (error) {
    return (error as Error).message;
  }
}

test(`random flows are completed and printed as ofproto/trace prints them (SEED=${seed})`, {
  skip: ovsSkip,
}, async () => {
  const maker = new FlowTextMaker(seed + 1);
  for (let i = 0; i < FLOWS; i++) {
    const text = maker.flow();
    const expected = await ovs.trace("br0", text).then(
      (output) => /^Flow: (.*)/m.exec(output)![1]!,
      (error) => /Bad openflow flow syntax: (.*)/.exec(String(error))![1]!,
    );
    let printed: string;
    try {
      printed = formatFlow(parseFlow(text));
    } catch (error) {
      printed = (error as Error).message;
    }
    assert.equal(printed, expected, `SEED=${seed}, flow ${i}: ${text}`);
  }
});

test(`random datapath keys are printed as dpctl/dump-flows prints them (SEED=${seed})`, {
  skip: ovsSkip,
}, async () => {
  const maker = new FlowTextMaker(seed + 2);
  let added = 0;
  for (let i = 0; i < MEGAFLOWS; i++) {
    const text = maker.odp();
    await ovs.appctl("dpctl/del-flows");
    try {
      await ovs.appctl("dpctl/add-flow", "dummy@ovs-dummy", text, "2");
    } catch {
      continue; // OVS does not take every combination of masks.
    }
    added++;
    const lines = await ovs.dumpMegaflows();
    const expected = /(.*), packets:/.exec(lines[0]!)![1]!;
    const { flow, mask } = parseOdpFlow(text);
    assert.equal(formatMegaflow(flow, mask), expected, `SEED=${seed}, key ${i}: ${text}`);
  }
  assert.ok(added > MEGAFLOWS / 2, `OVS took ${added} keys only`);
});
