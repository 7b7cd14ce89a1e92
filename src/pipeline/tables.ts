// The OpenFlow tables of a bridge: flow-mods in, rules looked up, dumped and expired (ovs-ofctl(8), "Flow Syntax").
//
// A batch of flow-mods takes effect as a whole or not at all. Each is first *started*: new rules go into the classifiers
// and those they replace are marked as removed but stay where they are, so that a later failure can be taken back without
// a trace, the order of dumps included. When all have started they are *finished*: counters move over and removed rules
// leave. OVS works in the same two steps, which decides where subtables come to stand (classifier.ts).

import type { Flow, Match } from "../flow/flow.ts";
import { MegaflowError } from "../lib/errors.ts";
import { type FlowMod, OFPP_NONE } from "./action.ts";
import { Classifier } from "./classifier.ts";
import { clausesOf } from "./conjunction.ts";
import { ExpiryQueue } from "./expiry.ts";
import { Rule, type RuleInit } from "./rule.ts";
import { outputsToGroup, outputsToPort } from "./rule-filter.ts";

/** Tables a flow can be added to are 0 to 253; OVS keeps 254 for itself. */
export const TABLE_COUNT = 254;
export const TABLE_INTERNAL = 254;
export const TABLE_ALL = 255;
const NO_COOKIE_MASK = 0n;

/** A refused flow-mod. `message` is OVS's error name, `index` tells which one of the batch. */
export class FlowModError extends MegaflowError {
  readonly index: number;

  constructor(message: string, index: number) {
    super("ETEXT", message);
    this.index = index;
  }
}

export interface TablesOptions {
  /**
   * OpenFlow 1.0's modify: it gives the new cookie and adds the flow when there is none and no cookie mask. From
   * OpenFlow 1.1 on (the default here) a modify does neither.
   */
  readonly modifyAsOpenFlow10?: boolean;
  /**
   * Called before a flow-mod that carries actions is started; throws a MegaflowError (OVS's error name) when they cannot
   * be, for example for a group or meter that does not exist.
   */
  readonly checkActions?: (mod: FlowMod) => void;
}

/** What one started flow-mod did: `added[i]` takes the place of `replaced[i]`, which is null for a new rule. */
interface Change {
  readonly keepCounts: boolean;
  readonly added: Rule[];
  readonly replaced: (Rule | null)[];
  readonly deleted: Rule[];
}

export class Tables {
  /** Goes up with every change. */
  version = 0;
  private readonly classifiers: (Classifier | null)[] = new Array(TABLE_COUNT + 1).fill(null);
  /** Those whose subtables may be out of order. */
  private readonly changed = new Set<Classifier>();
  private readonly expiry = new ExpiryQueue();
  private readonly checkActions: (mod: FlowMod) => void;
  private readonly modifyAsOpenFlow10: boolean;

  constructor(options: TablesOptions = {}) {
    this.checkActions = options.checkActions ?? (() => {});
    this.modifyAsOpenFlow10 = options.modifyAsOpenFlow10 ?? false;
  }

  /**
   * The rule of table `tableId` that matches, or null. The bits looked at are OR-ed into `wc`, when it is given.
   * For a fragment the caller has zeroed the transport ports (ovs-fields(7), nw_frag).
   */
  lookup(tableId: number, flow: Flow, wc: Flow | null): Rule | null {
    const classifier = this.classifiers[tableId]!;
    return classifier === null ? null : classifier.lookup(flow, wc);
  }

  /**
   * Applies flow-mods in order, all or none, as a bundle does. Throws FlowModError. Call it once for each flow-mod to do as
   * `ovs-ofctl add-flows` does without --bundle: rules and refusals are the same but for check_overlap, which does not see
   * its own bundle, and the order of subtables of equal priority. Matches come normalized (flow/normalize.ts).
   */
  apply(mods: readonly FlowMod[], nowMs: number): void {
    const changes: Change[] = [];
    try {
      for (const mod of mods) {
        const change: Change = { keepCounts: !mod.resetCounts, added: [], replaced: [], deleted: [] };
        changes.push(change);
        this.start(mod, change, nowMs);
      }
    } catch (error) {
      this.publish();
      this.revert(changes);
      this.publish();
      if (!(error instanceof MegaflowError)) throw error;
      throw new FlowModError(error.message, changes.length - 1);
    }
    this.publish();
    let changed = false;
    for (const change of changes) {
      changed ||= change.added.length > 0 || change.deleted.length > 0;
      this.finish(change);
    }
    if (changed) this.version++;
  }

  /** The rules of one table, or of all, in the order of OVS's dumps. */
  *rules(tableId?: number): Generator<Rule> {
    if (tableId !== undefined && tableId !== TABLE_ALL) {
      const classifier = this.classifiers[tableId] ?? null;
      if (classifier !== null) yield* classifier.rules();
      return;
    }
    for (const classifier of this.classifiers) if (classifier !== null) yield* classifier.rules();
  }

  /** The rule of just this match and priority, or null. */
  find(tableId: number, match: Match, priority: number): Rule | null {
    const classifier = this.classifiers[tableId] ?? null;
    if (classifier === null) return null;
    return classifier.findExactly(match.flow, match.mask, priority);
  }

  ruleCount(tableId: number): number {
    return this.classifiers[tableId]?.ruleCount ?? 0;
  }

  /** No rule expires before this time; Infinity when none ever does. */
  nextExpiryMs(): number {
    return this.expiry.nextMs();
  }

  /** Removes the rules whose idle or hard timeout has passed, and returns them. */
  expire(nowMs: number): Rule[] {
    const expired = this.expiry.take(nowMs);
    if (expired.length === 0) return expired;
    this.finish({ keepCounts: true, added: [], replaced: [], deleted: this.mark(expired) });
    this.version++;
    return expired;
  }

  /** Shortens a rule's timeouts (`fin_timeout`); 0 leaves one as it is, a longer one changes nothing. */
  reduceTimeouts(rule: Rule, idleTimeout: number, hardTimeout: number): void {
    if (rule.removed) return;
    rule.idleTimeout = reduced(rule.idleTimeout, idleTimeout);
    rule.hardTimeout = reduced(rule.hardTimeout, hardTimeout);
    this.expiry.watch(rule);
  }

  private start(mod: FlowMod, change: Change, nowMs: number): void {
    const { match } = mod;
    if (mod.tableId < 0 || mod.tableId > TABLE_ALL) refuse("OFPBRC_BAD_TABLE_ID");
    if (mod.command !== "delete" && mod.command !== "delete_strict") this.checkActions(mod);
    switch (mod.command) {
      case "add":
        this.add(mod, match.flow, match.mask, change, nowMs);
        return;
      case "modify":
      case "modify_strict": {
        const old = this.select(mod, match.flow, match.mask, mod.command === "modify_strict");
        if (old.length > 0) for (const rule of old) this.modify(rule, mod, change, nowMs);
        else if (this.modifyAsOpenFlow10 && mod.newCookie !== null && mod.cookieMask === NO_COOKIE_MASK) {
          this.add(mod, match.flow, match.mask, change, nowMs);
        }
        return;
      }
      case "delete":
      case "delete_strict": {
        const rules = this.select(mod, match.flow, match.mask, mod.command === "delete_strict").filter(
          (rule) =>
            (mod.outPort === OFPP_NONE || outputsToPort(rule.actions, mod.outPort)) &&
            (mod.outGroup === null || outputsToGroup(rule.actions, mod.outGroup)),
        );
        for (const rule of this.mark(rules)) change.deleted.push(rule);
        return;
      }
    }
  }

  private add(mod: FlowMod, flow: Flow, mask: Flow, change: Change, nowMs: number): void {
    const tableId = mod.tableId === TABLE_ALL ? 0 : mod.tableId;
    if (tableId === TABLE_INTERNAL) refuse("OFPBRC_EPERM");
    const classifier = (this.classifiers[tableId] ??= new Classifier());
    const old = classifier.findExactly(flow, mask, mod.priority);
    if (old === null && mod.checkOverlap && classifier.overlaps(flow, mask, mod.priority)) {
      refuse("OFPFMFC_OVERLAP");
    }
    const rule = new Rule(initOf(mod, tableId), clausesOf(mod.actions), nowMs);
    if (old !== null) old.removed = true;
    classifier.insert(rule, flow, mask);
    this.changed.add(classifier);
    change.added.push(rule);
    change.replaced.push(old);
  }

  /** A modified rule keeps its timeouts, flags, age and cookie. */
  private modify(old: Rule, mod: FlowMod, change: Change, nowMs: number): void {
    const { flow, mask } = old.match;
    const init = {
      tableId: old.tableId,
      priority: old.priority,
      actions: mod.actions,
      cookie: (this.modifyAsOpenFlow10 ? mod.newCookie : null) ?? old.cookie,
      idleTimeout: old.idleTimeout,
      hardTimeout: old.hardTimeout,
      importance: old.importance,
      sendFlowRem: old.sendFlowRem,
      checkOverlap: old.checkOverlap,
      resetCounts: old.resetCounts,
      noPacketCounts: old.noPacketCounts,
      noByteCounts: old.noByteCounts,
    };
    const rule = new Rule(init, clausesOf(mod.actions), nowMs);
    rule.createdMs = old.createdMs;
    old.removed = true;
    const classifier = this.classifiers[old.tableId]!;
    classifier.insert(rule, flow, mask);
    this.changed.add(classifier);
    change.added.push(rule);
    change.replaced.push(old);
  }

  /** The rules a modify or delete is about, in dump order. */
  private select(mod: FlowMod, flow: Flow, mask: Flow, strict: boolean): Rule[] {
    const found: Rule[] = [];
    const first = mod.tableId === TABLE_ALL ? 0 : mod.tableId;
    const end = mod.tableId === TABLE_ALL ? TABLE_COUNT : mod.tableId + 1;
    const wantedCookie = mod.cookie & mod.cookieMask;
    for (let tableId = first; tableId < end; tableId++) {
      const classifier = this.classifiers[tableId]!;
      if (classifier === null) continue;
      if (strict) {
        const rule = classifier.findExactly(flow, mask, mod.priority);
        if (rule !== null && (rule.cookie & mod.cookieMask) === wantedCookie) found.push(rule);
      } else {
        for (const rule of classifier.rulesWithin(flow, mask)) {
          if ((rule.cookie & mod.cookieMask) === wantedCookie) found.push(rule);
        }
      }
    }
    return found;
  }

  private mark(rules: Rule[]): Rule[] {
    for (const rule of rules) rule.removed = true;
    return rules;
  }

  private finish(change: Change): void {
    const { added, replaced, deleted } = change;
    for (let i = 0; i < added.length; i++) {
      const rule = added[i]!;
      const old = replaced[i]!;
      rule.pending = false;
      if (old !== null) {
        if (change.keepCounts) {
          rule.nPackets = old.nPackets;
          rule.nBytes = old.nBytes;
        }
        rule.usedMs = old.usedMs;
        old.successor = rule;
        old.forwardCounts = change.keepCounts;
      }
      this.expiry.watch(rule);
    }
    this.discard(replaced);
    this.discard(deleted);
  }

  /** Takes rules out of the classifiers, then brings the subtables into order. */
  private discard(rules: readonly (Rule | null)[]): void {
    for (const rule of rules) {
      if (rule === null) continue;
      const classifier = this.classifiers[rule.tableId]!;
      classifier.remove(rule);
      this.changed.add(classifier);
    }
    this.publish();
  }

  private publish(): void {
    for (const classifier of this.changed) classifier.publish();
    this.changed.clear();
  }

  /** Takes started changes back, last first. */
  private revert(changes: readonly Change[]): void {
    for (let i = changes.length - 1; i >= 0; i--) {
      const { added, replaced, deleted } = changes[i]!;
      for (const rule of added) {
        rule.removed = true;
        const classifier = this.classifiers[rule.tableId]!;
        classifier.remove(rule);
        this.changed.add(classifier);
      }
      for (const rule of replaced) if (rule !== null) rule.removed = false;
      for (const rule of deleted) rule.removed = false;
    }
  }
}

function initOf(mod: FlowMod, tableId: number): RuleInit {
  return {
    tableId,
    priority: mod.priority,
    actions: mod.actions,
    cookie: mod.newCookie ?? 0n,
    idleTimeout: mod.idleTimeout,
    hardTimeout: mod.hardTimeout,
    importance: mod.importance,
    sendFlowRem: mod.sendFlowRem,
    checkOverlap: mod.checkOverlap,
    resetCounts: mod.resetCounts,
    noPacketCounts: mod.noPacketCounts,
    noByteCounts: mod.noByteCounts,
  };
}

function reduced(timeout: number, to: number): number {
  return to !== 0 && (timeout === 0 || to < timeout) ? to : timeout;
}

function refuse(name: string): never {
  throw new MegaflowError("ETEXT", name);
}
