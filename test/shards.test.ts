// Any number of shards does what one does: the judge's regressions, random pipelines cut down to what may be spread.
// `CASES=1000 SEED=7 npm test -- shards.test` runs as many as wanted.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { SpreadPlan } from "../src/bridge/spread-plan.ts";
import { Prng } from "../src/lib/prng.ts";
import { type ShardLoader, ShardPool } from "../src/worker/shard-pool.ts";
import { type Case, formatCase, parseCase } from "./oracle/judge/case.ts";
import { FrameMaker, PLAIN_FRAMES } from "./oracle/judge/frames.ts";
import { acceptable } from "./oracle/judge/ours.ts";
import { makePipeline, withChanges } from "./oracle/judge/pipelines.ts";
import { planOf, spreadable, transcript } from "./support/shard-case.ts";

const SEED = Number(process.env.SEED ?? 60_000);
const CASES = Number(process.env.CASES ?? 20);
const REGRESSIONS = fileURLToPath(new URL("../../test/oracle/regressions/", import.meta.url));
const SHARDS = [2, 4, 7];

let pool: ShardPool;
const begin = async () => {
  pool = await ShardPool.start(Math.max(...SHARDS));
};
before(begin);
after(() => pool.close());

/** Cases in which the megaflows were others, and nothing else. */
const otherMegaflows = new Set<string>();

/** Throws when a number of shards makes something else of the case than one does. */
function compare(c: Case, plan: SpreadPlan, shards: readonly number[], cache: boolean, what: string): void {
  const expected = transcript(c, null, cache);
  for (const count of shards) {
    const loaders: readonly ShardLoader[] = pool.loaders.slice(0, count);
    const actual = transcript(c, { loaders, plan }, cache);
    const hold = (a: readonly string[], b: readonly string[]) => {
      const at = a.findIndex((line, i) => line !== b[i]);
      if (at < 0 && a.length === b.length) return;
      assert.fail(
        `${what}, ${count} shards (${plan.by}), line ${at}:\n- ${a[at]}\n+ ${b[at]}\n${formatCase(c, what, null)}`,
      );
    };
    hold(expected.said, actual.said);
    // 15 cases in 1,000.
    if (expected.megaflows.join() !== actual.megaflows.join()) otherMegaflows.add(what);
  }
}

test("what disagreed once with Open vSwitch is the same on every number of shards", () => {
  let spread = 0;
  for (const name of readdirSync(REGRESSIONS).filter((n) => n.endsWith(".txt"))) {
    const { case: whole } = parseCase(readFileSync(join(REGRESSIONS, name), "utf8"));
    for (const c of [whole, spreadable(whole, new Prng(1))]) {
      const plan = planOf(c);
      if (plan.by === null) continue;
      spread++;
      compare(c, plan, SHARDS, true, name);
    }
  }
  assert.ok(spread > 10, `${spread} were spread`);
});

test(`random pipelines are the same on every number of shards (seed ${SEED})`, async () => {
  let spread = 0;
  let tracked = 0;
  for (let i = 0; i < CASES; i++) {
    // The memory of a kernel lives until its thread ends.
    if (i % 10 === 9) {
      await pool.close();
      await begin();
    }
    const r = new Prng(SEED + i);
    const made = makePipeline(r, 12);
    const frames = withChanges(r, made.flows, new FrameMaker(r, PLAIN_FRAMES).make(300));
    const c = spreadable(
      acceptable({ ...made, frames }, () => {}),
      r,
    );
    const plan = planOf(c);
    if (plan.by === null) continue;
    spread++;
    if (plan.tracks) tracked++;
    compare(c, plan, CASES > 100 ? SHARDS : [SHARDS[i % SHARDS.length]!], i % 5 > 0, `seed ${SEED + i}`);
  }
  assert.ok(otherMegaflows.size <= CASES * 0.02, `other megaflows: ${[...otherMegaflows].join()}`);
  if (CASES < 10) return;
  assert.ok(spread > CASES * 0.7, `${spread} of ${CASES} were spread`);
  assert.ok(tracked > CASES * 0.2, `${tracked} of ${CASES} track connections`);
});
