// The OpenFlow tables of a bridge: flow-mods in, rules looked up, dumped and expired (ovs-ofctl(8), "Flow Syntax").
//
// A batch of flow-mods takes effect as a whole or not at all. Each is first *started*: new rules go into the classifiers
// and those they replace are marked as removed but stay where they are, so that a later failure can be taken back without
// a trace, the order of dumps included. When all have started they are *finished*: counters move over and removed rules
// leave. OVS works in the same two steps, which decides where subtables come to stand (classifier.ts).

import type { Flow, Match } from "../flow/flow.ts";
import { MegaflowError } from "../lib/errors.ts";
import { type FlowMod, OFPP_NONE } from "./action.ts";
import { Classifier, isWithin } from "./classifier.ts";
import { clausesOf } from "./conjunction.ts";
import { CookieIndex } from "./cookie-index.ts";
import { type FlowTableOptions, TableLimit } from "./eviction.ts";
import { ExpiryQueue, hardExpiryMs } from "./expiry.ts";
import type { RemovalReason } from "./flow-removal.ts";
import { internalTable, TABLE_INTERNAL } from "./internal-table.ts";
import { type Learned, LearnedCookies } from "./learned-cookies.ts";
import { References } from "./references.ts";
import { Rule, type RuleInit } from "./rule.ts";
import { outputsToGroup, outputsToPort } from "./rule-filter.ts";

/** Tables a flow can be added to are 0 to 253; OVS keeps 254 for itself. */
export const TABLE_COUNT = 254;
export const TABLE_ALL = 255;
/** More changed rules than this concern about every megaflow. */
const CHANGED_MAX = 64;
const NO_COOKIE_MASK = 0n;
const EXACT_COOKIE = 0xffff_ffff_ffff_ffffn;

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
  /** Of tables that are not as all others. */
  readonly flowTables?: ReadonlyMap<number, FlowTableOptions>;
  /** Told of each rule that is gone: not of one that another replaced. What came before may still be credited to it. */
  readonly onRemoved?: (rule: Rule, reason: RemovalReason, nowMs: number) => void;
}

/** What one started flow-mod did: `added[i]` takes the place of `replaced[i]`, which is null for a new rule. */
interface Change {
  readonly keepCounts: boolean;
  readonly added: Rule[];
  readonly replaced: (Rule | null)[];
  /** Went so that an added one has room. */
  evicted: Rule | null;
  readonly deleted: Rule[];
  readonly reason: RemovalReason;
}

export class Tables {
  private readonly classifiers: (Classifier | null)[] = new Array(TABLE_COUNT + 1).fill(null);
  private readonly internal = internalTable();
  /** Those whose subtables may be out of order. */
  private readonly changed = new Set<Classifier>();
  private readonly limits: (TableLimit | null)[] = new Array(TABLE_COUNT).fill(null);
  private readonly expiry = new ExpiryQueue();
  private readonly cookies = new CookieIndex();
  private readonly references = new References();
  private readonly learned = new LearnedCookies();
  /** Rules that came or went since takeChanged() was called, null when they are too many to tell. */
  private changedRules: Rule[] | null = [];
  private readonly checkActions: (mod: FlowMod) => void;
  private readonly onRemoved: NonNullable<TablesOptions["onRemoved"]>;
  private readonly modifyAsOpenFlow10: boolean;

  constructor(options: TablesOptions = {}) {
    this.checkActions = options.checkActions ?? (() => {});
    this.onRemoved = options.onRemoved ?? (() => {});
    this.modifyAsOpenFlow10 = options.modifyAsOpenFlow10 ?? false;
    for (const [tableId, table] of options.flowTables ?? []) {
      if (tableId >= 0 && tableId < TABLE_COUNT) this.limits[tableId] = new TableLimit(table);
    }
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
  apply(mods: readonly FlowMod[], nowMs: number, asOpenFlow10 = this.modifyAsOpenFlow10): void {
    const changes: Change[] = [];
    try {
      for (const mod of mods) {
        const change = newChange("delete", !mod.resetCounts);
        changes.push(change);
        this.start(mod, change, nowMs, asOpenFlow10 || mod.asOpenFlow10 === true);
      }
    } catch (error) {
      this.publish();
      this.revert(changes);
      this.publish();
      if (!(error instanceof MegaflowError)) throw error;
      throw new FlowModError(error.message, changes.length - 1);
    }
    this.publish();
    for (const change of changes) this.finish(change, nowMs);
  }

  /** A learned flow: as in OVS, one that is there keeps its timeouts, flags and age, and gets the cookie and the actions. */
  learn(mod: FlowMod, nowMs: number): void {
    const command = this.find(mod.tableId, mod.match, mod.priority) === null ? "add" : "modify_strict";
    this.apply([{ ...mod, command }], nowMs, true);
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

  /** The rules that came, changed or went since it was last called; null when they are too many to tell. */
  takeChanged(): readonly Rule[] | null {
    const changed = this.changedRules;
    this.changedRules = [];
    return changed;
  }

  private noteChanged(rules: readonly Rule[]): void {
    if (this.changedRules === null || rules.length === 0) return;
    if (this.changedRules.length + rules.length > CHANGED_MAX) this.changedRules = null;
    else this.changedRules.push(...rules);
  }

  /** No rule expires before this time; Infinity when none ever does. */
  nextExpiryMs(): number {
    return this.expiry.nextMs();
  }

  /** The rules with just this cookie, in all tables. */
  rulesOfCookie(cookie: bigint): Iterable<Rule> {
    return this.cookies.rules(cookie);
  }

  /** How often rules name the group. */
  groupReferences(groupId: number): number {
    return this.references.groupCount(groupId);
  }

  /** How many rules go through the meter. */
  meterReferences(meterId: number): number {
    return this.references.meterCount(meterId);
  }

  /** Removes the rules whose idle or hard timeout has passed, and returns them. */
  expire(nowMs: number): Rule[] {
    const due = this.expiry.take(nowMs);
    const expired: Rule[] = [];
    for (const rule of due) {
      if (rule.removed) continue; // with one before it that had learned it
      this.remove([rule], hardExpiryMs(rule) <= nowMs ? "hard" : "idle", nowMs);
      expired.push(rule);
    }
    return expired;
  }

  /** Removes the rules that name a group which is no more. */
  removeGroup(groupId: number, nowMs: number): void {
    this.remove(this.references.groupRules(groupId), "group_delete", nowMs);
  }

  /** Removes the rules that go through a meter which is no more. */
  removeMeter(meterId: number, nowMs: number): void {
    this.remove(this.references.meterRules(meterId), "meter_delete", nowMs);
  }

  /**
   * Shortens a rule's timeouts (`fin_timeout`), or those of what it was modified to since the frames that are told of now came;
   * 0 leaves one as it is, a longer one changes nothing.
   */
  reduceTimeouts(of: Rule, idleTimeout: number, hardTimeout: number): void {
    let rule = of;
    while (rule.successor !== null && rule.forwardTimeouts) rule = rule.successor;
    if (rule.removed) return;
    rule.idleTimeout = reduced(rule.idleTimeout, idleTimeout);
    rule.hardTimeout = reduced(rule.hardTimeout, hardTimeout);
    this.expiry.watch(rule);
  }

  private remove(rules: readonly Rule[], reason: RemovalReason, nowMs: number): void {
    if (rules.length === 0) return;
    const change = newChange(reason, true);
    this.startRemoval(rules, change);
    this.finish(change, nowMs);
  }

  private start(mod: FlowMod, change: Change, nowMs: number, asOpenFlow10: boolean): void {
    const { match } = mod;
    if (mod.tableId < 0 || mod.tableId > TABLE_ALL) refuse("OFPBRC_BAD_TABLE_ID");
    switch (mod.command) {
      case "add":
        this.checkActions(mod);
        this.add(mod, match.flow, match.mask, change, nowMs);
        return;
      case "modify":
      case "modify_strict": {
        const old = this.select(mod, mod.command === "modify_strict");
        // As in OVS, a modify that finds nothing may name a group that does not exist.
        if (old.length > 0) this.checkActions(mod);
        if (old.length > 0) for (const rule of old) this.modify(rule, mod, change, nowMs, asOpenFlow10);
        else if (asOpenFlow10 && mod.newCookie !== null && mod.cookieMask === NO_COOKIE_MASK) {
          this.checkActions(mod);
          this.add(mod, match.flow, match.mask, change, nowMs);
        }
        return;
      }
      case "delete":
      case "delete_strict": {
        const rules = this.select(mod, mod.command === "delete_strict");
        this.startRemoval(rules, change);
        return;
      }
    }
  }

  private startRemoval(rules: readonly Rule[], change: Change): void {
    for (const rule of rules) {
      rule.removed = true;
      this.unlink(rule);
      change.deleted.push(rule);
    }
  }

  private add(mod: FlowMod, flow: Flow, mask: Flow, change: Change, nowMs: number): void {
    const tableId = mod.tableId === TABLE_ALL ? 0 : mod.tableId;
    if (tableId === TABLE_INTERNAL) refuse("OFPBRC_EPERM");
    this.checkActions(mod);
    const classifier = (this.classifiers[tableId] ??= new Classifier());
    const old = classifier.findExactly(flow, mask, mod.priority);
    if (old === null) {
      if (mod.checkOverlap && classifier.overlaps(flow, mask, mod.priority)) refuse("OFPFMFC_OVERLAP");
      change.evicted = this.limits[tableId]?.choose(classifier.rules(), nowMs) ?? null;
      if (change.evicted !== null) {
        change.evicted.removed = true;
        this.unlink(change.evicted);
      }
    }
    this.put(new Rule(initOf(mod, tableId), clausesOf(mod.actions), nowMs), old, flow, mask, change);
  }

  /** A modified rule keeps its timeouts, flags, age and cookie. */
  private modify(old: Rule, mod: FlowMod, change: Change, nowMs: number, newCookie: boolean): void {
    const { flow, mask } = old.match;
    const init = {
      tableId: old.tableId,
      priority: old.priority,
      actions: mod.actions,
      cookie: (newCookie ? mod.newCookie : null) ?? old.cookie,
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
    this.put(rule, old, flow, mask, change);
    old.forwardTimeouts = true;
  }

  /** Puts a new rule in, in the place of an old one or of none. */
  private put(rule: Rule, old: Rule | null, flow: Flow, mask: Flow, change: Change): void {
    if (old !== null) {
      old.removed = true;
      old.forwardTimeouts = false;
      this.unlink(old);
    }
    const classifier = this.classifiers[rule.tableId]!;
    classifier.insert(rule, flow, mask);
    this.changed.add(classifier);
    this.link(rule, flow);
    change.added.push(rule);
    change.replaced.push(old);
  }

  /** Enters a rule wherever rules are found but by their match. */
  private link(rule: Rule, flow: Flow): void {
    this.cookies.add(rule);
    this.references.add(rule);
    this.limits[rule.tableId]?.add(rule, flow);
  }

  private unlink(rule: Rule): void {
    this.cookies.remove(rule);
    this.references.remove(rule);
    this.limits[rule.tableId]?.remove(rule);
  }

  /** The rules a modify or delete is about: in dump order, or in that of the cookie's rules when all of it is given. */
  private select(mod: FlowMod, strict: boolean): Rule[] {
    const { flow, mask } = mod.match;
    const found: Rule[] = [];
    if (mod.tableId === TABLE_INTERNAL) {
      collectFrom(this.internal, mod, strict, found);
      if (found.length > 0) refuse("OFPBRC_EPERM");
    } else if (mod.cookieMask === EXACT_COOKIE && !strict) {
      for (const rule of this.cookies.rules(mod.cookie)) {
        if (mod.tableId !== TABLE_ALL && rule.tableId !== mod.tableId) continue;
        if (isWithin(rule, flow, mask) && isWanted(rule, mod)) found.push(rule);
      }
    } else {
      const first = mod.tableId === TABLE_ALL ? 0 : mod.tableId;
      const end = mod.tableId === TABLE_ALL ? TABLE_COUNT : mod.tableId + 1;
      for (let tableId = first; tableId < end; tableId++) {
        const classifier = this.classifiers[tableId]!;
        if (classifier !== null) collectFrom(classifier, mod, strict, found);
      }
    }
    return found;
  }

  private finish(change: Change, nowMs: number): void {
    const { added, replaced, evicted, deleted } = change;
    const orphans: Learned[] = [];
    this.noteChanged(added);
    this.noteChanged(deleted);
    if (evicted !== null) this.noteChanged([evicted]);
    for (let i = 0; i < added.length; i++) {
      const rule = added[i]!;
      const old = replaced[i]!;
      rule.pending = false;
      this.learned.add(rule);
      if (old !== null) {
        if (change.keepCounts) {
          rule.nPackets = old.nPackets;
          rule.nBytes = old.nBytes;
        }
        rule.usedMs = old.usedMs;
        old.successor = rule;
        old.forwardCounts = change.keepCounts;
        this.learned.remove(old, orphans);
      }
      this.expiry.watch(rule);
    }
    const gone = evicted === null ? deleted : [evicted, ...deleted];
    for (const rule of gone) this.learned.remove(rule, orphans);
    this.discard(replaced);
    this.discard(gone);
    if (evicted !== null) this.onRemoved(evicted, "eviction", nowMs);
    for (const rule of deleted) this.onRemoved(rule, change.reason, nowMs);
    for (const { tableId, cookie } of orphans) {
      const orphaned = [...this.cookies.rules(cookie)].filter((r) => r.tableId === tableId && !r.pending);
      this.remove(orphaned, "delete", nowMs);
    }
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
      const { added, replaced, evicted, deleted } = changes[i]!;
      for (let k = 0; k < added.length; k++) {
        const rule = added[k]!;
        if (replaced[k] !== null) this.restore(replaced[k]!);
        rule.removed = true;
        this.unlink(rule);
        const classifier = this.classifiers[rule.tableId]!;
        classifier.remove(rule);
        this.changed.add(classifier);
      }
      if (evicted !== null) this.restore(evicted);
      for (const rule of deleted) this.restore(rule);
    }
  }

  private restore(rule: Rule): void {
    rule.removed = false;
    this.link(rule, rule.match.flow);
  }
}

/** Appends the rules of one table that a modify or delete is about. */
function collectFrom(classifier: Classifier, mod: FlowMod, strict: boolean, found: Rule[]): void {
  const { flow, mask } = mod.match;
  if (strict) {
    const rule = classifier.findExactly(flow, mask, mod.priority);
    if (rule !== null && isWanted(rule, mod)) found.push(rule);
  } else {
    for (const rule of classifier.rulesWithin(flow, mask)) if (isWanted(rule, mod)) found.push(rule);
  }
}

/** Whether cookie, out_port and out_group let a rule be meant. */
function isWanted(rule: Rule, mod: FlowMod): boolean {
  return (
    ((rule.cookie ^ mod.cookie) & mod.cookieMask) === 0n &&
    (mod.outPort === OFPP_NONE || outputsToPort(rule.actions, mod.outPort)) &&
    (mod.outGroup === null || outputsToGroup(rule.actions, mod.outGroup))
  );
}

function newChange(reason: RemovalReason, keepCounts: boolean): Change {
  return { keepCounts, added: [], replaced: [], evicted: null, deleted: [], reason };
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
