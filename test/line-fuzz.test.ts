// Mangled flow, group and meter lines: whatever the text, a result or an error of the one clear type, never anything else.
//
//   MEGAFLOW_LINES=1000000 MEGAFLOW_SEED=5 npm test -- line-fuzz
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFlowFile } from "../src/control/openflow/flow-file.ts";
import { parseGroupFile } from "../src/control/openflow/group-file.ts";
import { parseMeterFile } from "../src/control/openflow/meter-file.ts";
import { MegaflowError } from "../src/lib/errors.ts";
import { formatRule } from "../src/pipeline/flow-dump.ts";
import { formatGroup } from "../src/pipeline/group-dump.ts";
import { Tables } from "../src/pipeline/tables.ts";
import { GroupLineMaker } from "./oracle/group-line-maker.ts";

const SEED = Number(process.env.MEGAFLOW_SEED ?? 1);
const LINES = Number(process.env.MEGAFLOW_LINES ?? 6000);

/** True when a text is taken. Throws what is no operating error. */
function isTaken(line: string, run: () => void): boolean {
  try {
    run();
    return true;
  } catch (error) {
    if (error instanceof MegaflowError) return false;
    throw new Error(`${JSON.stringify(line)}: ${String(error)}`, { cause: error });
  }
}

test("any line is taken or refused with an operating error", (t) => {
  t.diagnostic(`MEGAFLOW_SEED=${SEED} MEGAFLOW_LINES=${LINES}`);
  const maker = new GroupLineMaker(SEED);
  let taken = 0;
  for (let i = 0; i < LINES; i++) {
    const kind = i % 10;
    const whole = kind === 0 ? maker.group() : kind === 1 ? maker.meter() : maker.line();
    const line = i % 3 === 0 ? whole : maker.mangled(whole);
    const ok = isTaken(line, () => {
      if (kind === 0) parseGroupFile(line).map(formatGroup);
      else if (kind === 1) parseMeterFile(line);
      else {
        const tables = new Tables();
        tables.apply(parseFlowFile(line), 0);
        for (const rule of tables.rules()) formatRule(rule, 0);
      }
    });
    if (ok) taken++;
  }
  t.diagnostic(`${taken} of ${LINES} taken`);
  assert(taken > LINES / 10);
  assert(taken < LINES / 2);
});
