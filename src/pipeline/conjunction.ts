// Conjunctive matches (ovs-fields(7), "Conjunctive Match Fields"): a rule with `conjunction(id, k/n)` actions is one
// alternative of clause k; a flow that matches an alternative of every clause is looked up again with conj_id = id.
import type { Action } from "./action.ts";

/** One `conjunction(id, clause/count)`; `clause` counts from 0. */
export interface Clause {
  readonly id: number;
  readonly clause: number;
  readonly count: number;
}

/** The clauses among a rule's actions, in their order; null when there is none. */
export function clausesOf(actions: readonly Action[]): readonly Clause[] | null {
  let clauses: Clause[] | null = null;
  for (const action of actions) {
    if (action.type !== "conjunction") continue;
    clauses ??= [];
    clauses.push({ id: action.id, clause: action.clause - 1, count: action.nClauses });
  }
  return clauses;
}

/**
 * Gathers the clauses met by rules of one priority. A conjunction has at most 64 clauses (ovs-actions(7)),
 * which are kept as two 32-bit halves with the bits beyond its count set from the start.
 */
export class ClauseCollector {
  private readonly met = new Map<number, { low: number; high: number }>();

  /**
   * Adds a rule's clauses; returns the id of the first conjunction that is now complete, or -1.
   * One of more clauses than `rulesMet` (the rules of this priority that matched) cannot be.
   */
  add(clauses: readonly Clause[], rulesMet: number): number {
    for (const { id, clause, count } of clauses) {
      if (count > rulesMet) continue;
      let met = this.met.get(id);
      if (met === undefined) {
        met = {
          low: count >= 32 ? 0 : -1 << count,
          high: count <= 32 ? -1 : count >= 64 ? 0 : -1 << (count - 32),
        };
        this.met.set(id, met);
      }
      if (clause < 32) met.low |= 1 << clause;
      else met.high |= 1 << (clause - 32);
      if (met.low === -1 && met.high === -1) return id;
    }
    return -1;
  }
}
