// Random pipelines through Megaflow and real Open vSwitch (judge/judge.ts), and the cases that once disagreed
// (regressions/). `npm run oracle` does it for as long as wanted.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { differences, formatCase, parseCase } from "./judge/case.ts";
import { judge } from "./judge/judge.ts";
import { normalizeFlows } from "./judge/normalize.ts";
import { runOurs } from "./judge/ours.ts";
import { Theirs } from "./judge/theirs.ts";
import { ovsSkip } from "./ovs.ts";

const SEED = Number(process.env.SEED ?? 20_000);
const PIPELINES = Number(process.env.PIPELINES ?? 200);
const REGRESSIONS = fileURLToPath(new URL("../../../test/oracle/regressions/", import.meta.url));

const OPTIONS = {
  seed: SEED,
  pipelines: PIPELINES,
  frames: 100,
  tablesMax: 20,
  traces: 4,
  shrinkTries: 150,
  disagreementsMax: 3,
};

test("random pipelines do what they do in Open vSwitch", { skip: ovsSkip }, async () => {
  const theirs = await Theirs.start();
  try {
    const result = await judge(theirs, OPTIONS);
    assert.equal(result.disagreements.length, 0, `seed ${SEED}\n${result.disagreements.join("\n")}`);
    assert.ok(result.unsteady.length < PIPELINES / 20, result.unsteady.join("\n"));
    const ended = [...result.ended.values()].flat();
    assert.ok(ended.length < PIPELINES / 10, `Open vSwitch ended on ${ended.join()}`);
    assert.ok(result.sent > result.frames / 4, "the frames go somewhere");
  } finally {
    await theirs.stop();
  }
});

test("cached and uncached agree, and bits outside the masks do not matter", async () => {
  const result = await judge(null, { ...OPTIONS, pipelines: 60 });
  assert.equal(result.disagreements.length, 0, `seed ${SEED}\n${result.disagreements.join("\n")}`);
  assert.ok(result.flips > 1000);
});

for (const name of readdirSync(REGRESSIONS).filter((n) => n.endsWith(".txt"))) {
  const kept = parseCase(readFileSync(join(REGRESSIONS, name), "utf8"));
  const c = kept.case;
  const outcome = { ...kept.outcome, flows: normalizeFlows(kept.outcome.flows) };
  const traced = outcome.traces.length > 0 ? c.frames : [];
  for (const cache of [true, false]) {
    test(`${name.replace(".txt", "").replaceAll("-", " ")}, ${cache ? "cached" : "uncached"}`, () => {
      const ours = runOurs(c, { cache, traced });
      if (differences(ours, outcome).length > 0)
        assert.equal(formatCase(c, "", ours), formatCase(c, "", outcome));
    });
  }
}
