// Table 254, OVS's own: what it holds cannot be seen in a whole dump, added to or changed. A flow-mod that would change one
// of these flows is refused; one that finds none of them does nothing.
import { Flow } from "../flow/flow.ts";
import { O_RECIRC_ID, O_REGS } from "../flow/layout.ts";
import { Classifier } from "./classifier.ts";
import { BLANK_FLOW_MOD } from "./flow-mod.ts";
import { Rule } from "./rule.ts";

export const TABLE_INTERNAL = 254;

/** Matches and priorities of the flows that OVS keeps there: what has not been recirculated, and what a miss does. */
const FLOWS: readonly (readonly [offset: number, value: number, priority: number])[] = [
  [O_RECIRC_ID, 0, 2],
  [O_REGS, 1, 0],
  [O_REGS, 2, 0],
  [O_REGS, 3, 0],
];

export function internalTable(): Classifier {
  const classifier = new Classifier();
  for (const [offset, value, priority] of FLOWS) {
    const flow = new Flow();
    const mask = new Flow();
    flow.set32(offset, value);
    mask.setExact(offset, 4);
    const rule = new Rule({ ...BLANK_FLOW_MOD, tableId: TABLE_INTERNAL, priority, cookie: 0n }, null, 0);
    classifier.insert(rule, flow, mask);
  }
  classifier.publish();
  return classifier;
}
