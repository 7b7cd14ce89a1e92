// Flow files: a policy change arrives as text.
import { readFileSync } from "node:fs";
import { parseFlowFile } from "../src/control/openflow/flow-file.ts";
import { formatActions } from "../src/pipeline/action-text.ts";
import { ANTREA_FLOWS } from "./fixtures.ts";
import { type BenchContext, type BenchResult, hashOf, measureOperation } from "./harness.ts";

export const name = "flow-text";
export const question = "How fast are the flows of a current Antrea node read from text?";

export function run(context: BenchContext): BenchResult {
  const text = readFileSync(ANTREA_FLOWS, "utf8");
  const mods = parseFlowFile(text);
  const parts: (string | Uint8Array)[] = [];
  for (const mod of mods) parts.push(mod.match.flow.bytes, mod.match.mask.bytes, formatActions(mod.actions));
  return measureOperation(context, mods.length, () => parseFlowFile(text), hashOf(...parts));
}
