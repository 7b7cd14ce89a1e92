// An action set becomes a list in the order OpenFlow prescribes (OpenFlow 1.5.1, 5.6), whatever the order of writing.
import { compileActions, S_ENQUEUE, S_UNROLL, type Step } from "./compile.ts";

/** The action types that occur at most once before the sets and moves, the last written of each, in this order. */
const FIRST = [
  "strip_vlan",
  "pop_mpls",
  "decap",
  "encap",
  "push_mpls",
  "push_vlan",
  "dec_ttl",
  "dec_mpls_ttl",
  "dec_nsh_ttl",
];
const SETS = new Set(["set_field", "load", "move", "mod", "set_mpls", "set_tunnel", "set_queue"]);
/** Of these, one kind only: the first of the list that the set has. */
const FINAL = ["group", "output", "resubmit", "ct"];

/** The steps of an action set, in order; empty (a drop) when the set has no output. */
export function orderActionSet(written: readonly Step[]): readonly Step[] {
  const set = written.flatMap(outOfEnqueue);
  const lastOf = (type: string): Step | undefined =>
    set.findLast((s) => s.code !== S_UNROLL && s.action.type === type);
  const final = FINAL.map(lastOf).find((s) => s !== undefined);
  if (final === undefined) return [];
  const first = FIRST.map(lastOf).filter((s) => s !== undefined);
  return [...first, ...set.filter((s) => SETS.has(s.action.type)), final];
}

/** A bucket's enqueue is a queue and an output to OpenFlow 1.1 and later, each with its own place. */
function outOfEnqueue(step: Step): readonly Step[] {
  if (step.code !== S_ENQUEUE || step.action.type !== "enqueue") return [step];
  const { port, queue } = step.action;
  return compileActions([
    { type: "set_queue", queue },
    { type: "output", port, maxLen: 0 },
  ]);
}
