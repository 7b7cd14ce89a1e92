// Whatever stands in a flow, group or meter file: the answer is what it says or a MegaflowError, never another exception.
//
//   MEGAFLOW_LINES=200000 MEGAFLOW_SEED=5 npm test -- flow-lines-robust
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFlowFile } from "../src/control/openflow/flow-file.ts";
import { parseGroupFile } from "../src/control/openflow/group-file.ts";
import { parseMeterFile } from "../src/control/openflow/meter-file.ts";
import { MegaflowError } from "../src/lib/errors.ts";
import { formatActions } from "../src/pipeline/action-text.ts";
import { FlowLineMaker } from "./oracle/flow-line-maker.ts";
import { BAD_GROUPS, BAD_METERS, GROUPS, METERS } from "./oracle/openflow-text-cases.ts";

const SEED = Number(process.env.MEGAFLOW_SEED ?? Date.now() % 1_000_000);
const LINES = Number(process.env.MEGAFLOW_LINES ?? 10_000);

function attempt(line: string, parse: (line: string) => unknown): boolean {
  try {
    parse(line);
    return true;
  } catch (error) {
    if (!(error instanceof MegaflowError)) {
      assert.fail(`MEGAFLOW_SEED=${SEED}: ${line}\n${(error as Error).stack}`);
    }
    return false;
  }
}

test("no line of a flow, group or meter file is an exception", (t) => {
  t.diagnostic(`MEGAFLOW_SEED=${SEED} MEGAFLOW_LINES=${LINES}`);
  const maker = new FlowLineMaker(SEED);
  const groups = [...GROUPS, ...BAD_GROUPS];
  const meters = [...METERS, ...BAD_METERS];
  let taken = 0;
  for (let i = 0; i < LINES; i++) {
    const kind = maker.below(8);
    const taking =
      kind === 0
        ? attempt(
            maker.mangled(`${maker.pick(groups)},${maker.actions(new Set(["none"]), 1)}`),
            parseGroupFile,
          )
        : kind === 1
          ? attempt(maker.mangled(maker.pick(meters)), parseMeterFile)
          : attempt(maker.line(), (line) => {
              for (const mod of parseFlowFile(line)) formatActions(mod.actions);
            });
    if (taking) taken++;
  }
  t.diagnostic(`${taken} taken`);
  assert.ok(taken > LINES / 20);
  assert.ok(taken < LINES);
});
