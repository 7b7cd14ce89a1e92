// When rules expire. A heap holds each rule with timeouts, under a time before which it cannot expire; traffic moves
// the true time on, which is looked up only when a rule's turn comes.
import type { Rule } from "./rule.ts";

interface Entry {
  readonly rule: Rule;
  readonly atMs: number;
}

export class ExpiryQueue {
  private readonly heap: Entry[] = [];

  /** Takes up a rule that has a timeout; again when its timeouts became shorter. */
  watch(rule: Rule): void {
    const atMs = expiryMs(rule);
    if (atMs !== Infinity) this.push({ rule, atMs });
  }

  /** A time before which nothing expires; Infinity when nothing ever does. */
  nextMs(): number {
    this.dropRemoved();
    return this.heap.length === 0 ? Infinity : this.heap[0]!.atMs;
  }

  /** The rules due at `nowMs`, each once, soonest first; they are no longer watched. */
  take(nowMs: number): Rule[] {
    const due = new Set<Rule>();
    const { heap } = this;
    while (heap.length > 0 && heap[0]!.atMs <= nowMs) {
      const { rule } = this.pop();
      if (rule.removed || due.has(rule)) continue;
      const atMs = expiryMs(rule);
      if (atMs <= nowMs) due.add(rule);
      else this.push({ rule, atMs });
    }
    return [...due];
  }

  private dropRemoved(): void {
    while (this.heap.length > 0 && this.heap[0]!.rule.removed) this.pop();
  }

  private push(entry: Entry): void {
    const { heap } = this;
    let at = heap.length;
    heap.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]!.atMs <= entry.atMs) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = entry;
  }

  private pop(): Entry {
    const { heap } = this;
    const top = heap[0]!;
    const entry = heap.pop()!;
    const size = heap.length;
    if (size === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && heap[child + 1]!.atMs < heap[child]!.atMs) child++;
      if (heap[child]!.atMs >= entry.atMs) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = entry;
    return top;
  }
}

/** The first millisecond at which a rule has outlived a timeout: OVS wants more than the timeout to have passed. */
export function expiryMs(rule: Rule): number {
  const idle = rule.idleTimeout === 0 ? Infinity : rule.usedMs + rule.idleTimeout * 1000 + 1;
  const hard = rule.hardTimeout === 0 ? Infinity : rule.modifiedMs + rule.hardTimeout * 1000 + 1;
  return Math.min(idle, hard);
}
