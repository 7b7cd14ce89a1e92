// learn(...,delete_learned) (ovs-actions(7)): learned flows go when no flow is left that learns into their table with their
// cookie.
import type { Action } from "./action.ts";
import type { Rule } from "./rule.ts";
import { eachAction } from "./rule-filter.ts";

/** Where flows were learned, and with which cookie. */
export interface Learned {
  readonly tableId: number;
  readonly cookie: bigint;
}

export class LearnedCookies {
  private readonly counts = new Map<string, number>();

  add(rule: Rule): void {
    eachLearned(rule.actions, ({ tableId, cookie }) => {
      const key = keyOf(tableId, cookie);
      this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
    });
  }

  /** Appends to `orphans` what nobody learns any more. */
  remove(rule: Rule, orphans: Learned[]): void {
    eachLearned(rule.actions, ({ tableId, cookie }) => {
      const key = keyOf(tableId, cookie);
      const count = this.counts.get(key)! - 1;
      if (count > 0) this.counts.set(key, count);
      else {
        this.counts.delete(key);
        orphans.push({ tableId, cookie });
      }
    });
  }
}

const keyOf = (tableId: number, cookie: bigint): string => `${tableId}/${cookie}`;

function eachLearned(actions: readonly Action[], visit: (learned: Learned) => void): void {
  eachAction(actions, (action) => {
    if (action.type === "learn" && action.deleteLearned)
      visit({ tableId: action.table, cookie: action.cookie });
  });
}
