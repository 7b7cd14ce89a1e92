// Which rules name a group or a meter: they go when it goes, and statistics count them.
import type { Action } from "./action.ts";
import type { Rule } from "./rule.ts";
import { eachAction } from "./rule-filter.ts";

/** The rules that name one thing, in the order in which they go with it. */
class Referrers {
  /** How often it is named; a rule may do so twice. */
  count = 0;
  readonly rules: Rule[] = [];
  private readonly indexes = new Map<Rule, number>();

  add(rule: Rule): void {
    this.count++;
    if (this.indexes.has(rule)) return;
    this.indexes.set(rule, this.rules.length);
    this.rules.push(rule);
  }

  /** The last rule takes the place of the one that leaves, as in OVS. */
  remove(rule: Rule): void {
    this.count--;
    const index = this.indexes.get(rule);
    if (index === undefined) return;
    this.indexes.delete(rule);
    const last = this.rules.pop()!;
    if (last === rule) return;
    this.rules[index] = last;
    this.indexes.set(last, index);
  }
}

export class References {
  private readonly groups = new Map<number, Referrers>();
  private readonly meters = new Map<number, Referrers>();

  add(rule: Rule): void {
    for (const id of groupsOf(rule.actions)) referrers(this.groups, id).add(rule);
    const meterId = meterOf(rule.actions);
    if (meterId !== null) referrers(this.meters, meterId).add(rule);
  }

  remove(rule: Rule): void {
    for (const id of groupsOf(rule.actions)) leave(this.groups, id, rule);
    const meterId = meterOf(rule.actions);
    if (meterId !== null) leave(this.meters, meterId, rule);
  }

  groupRules(groupId: number): readonly Rule[] {
    return this.groups.get(groupId)?.rules.slice() ?? [];
  }

  meterRules(meterId: number): readonly Rule[] {
    return this.meters.get(meterId)?.rules.slice() ?? [];
  }

  /** How often rules name the group, also inside clone, write_actions and ct(exec(...)). */
  groupCount(groupId: number): number {
    return this.groups.get(groupId)?.count ?? 0;
  }

  /** How many rules have the meter as their first action; those of `controller(meter_id=...)` do not count. */
  meterCount(meterId: number): number {
    return this.meters.get(meterId)?.count ?? 0;
  }
}

function referrers(all: Map<number, Referrers>, id: number): Referrers {
  let found = all.get(id);
  if (found === undefined) all.set(id, (found = new Referrers()));
  return found;
}

function leave(all: Map<number, Referrers>, id: number, rule: Rule): void {
  const found = all.get(id)!;
  found.remove(rule);
  if (found.count === 0) all.delete(id);
}

const NONE: readonly number[] = [];

function groupsOf(actions: readonly Action[]): readonly number[] {
  let found: number[] | null = null;
  eachAction(actions, (action) => {
    if (action.type === "group") (found ??= []).push(action.groupId);
  });
  return found ?? NONE;
}

function meterOf(actions: readonly Action[]): number | null {
  for (const action of actions) if (action.type === "meter") return action.meterId;
  return null;
}
