// When rules expire. A heap holds each rule with timeouts, under a time before which it cannot expire; traffic moves
// the true time on, which is looked up only when a rule's turn comes.
import { Heap, type HeapEntry } from "../lib/heap.ts";
import type { Rule } from "./rule.ts";

interface Entry extends HeapEntry {
  readonly rule: Rule;
  readonly atMs: number;
}

export class ExpiryQueue {
  private readonly heap = new Heap<Entry>((a, b) => a.atMs < b.atMs);

  /** Takes up a rule that has a timeout; again when its timeouts became shorter. */
  watch(rule: Rule): void {
    const atMs = expiryMs(rule);
    if (atMs !== Infinity) this.heap.add({ rule, atMs, heapIndex: -1 });
  }

  /** A time before which nothing expires; Infinity when nothing ever does. */
  nextMs(): number {
    const { heap } = this;
    while (heap.first?.rule.removed === true) heap.remove(heap.first);
    return heap.first?.atMs ?? Infinity;
  }

  /** The rules due at `nowMs`, each once, soonest first; they are no longer watched. */
  take(nowMs: number): Rule[] {
    const due = new Set<Rule>();
    const { heap } = this;
    while (heap.first !== null && heap.first.atMs <= nowMs) {
      const { rule } = heap.first;
      heap.remove(heap.first);
      if (rule.removed || due.has(rule)) continue;
      if (expiryMs(rule) <= nowMs) due.add(rule);
      else this.watch(rule);
    }
    return [...due];
  }
}

/** The first millisecond at which a rule has outlived a timeout: OVS wants more than the timeout to have passed. */
export function expiryMs(rule: Rule): number {
  return Math.min(idleExpiryMs(rule), hardExpiryMs(rule));
}

export function hardExpiryMs(rule: Rule): number {
  return rule.hardTimeout === 0 ? Infinity : rule.modifiedMs + rule.hardTimeout * 1000 + 1;
}

function idleExpiryMs(rule: Rule): number {
  return rule.idleTimeout === 0 ? Infinity : rule.usedMs + rule.idleTimeout * 1000 + 1;
}
