// A rule: one OpenFlow flow as a table holds it. Its match lies packed in its subtable (a million rules must be cheap);
// `match` unpacks a copy. A changed flow is a new Rule, to which the old one forwards what is still credited to it.
import { Flow, type Match } from "../flow/flow.ts";
import type { Action } from "./action.ts";
import type { Clause } from "./conjunction.ts";
import type { Subtable } from "./subtable.ts";

/** What a rule is made from. Times are seconds, 0 for none. */
export interface RuleInit {
  readonly tableId: number;
  readonly priority: number;
  readonly actions: readonly Action[];
  readonly cookie: bigint;
  readonly idleTimeout: number;
  readonly hardTimeout: number;
  readonly importance: number;
  readonly sendFlowRem: boolean;
  readonly checkOverlap: boolean;
  readonly resetCounts: boolean;
  readonly noPacketCounts: boolean;
  readonly noByteCounts: boolean;
}

export class Rule {
  readonly tableId: number;
  readonly priority: number;
  readonly actions: readonly Action[];
  readonly cookie: bigint;
  /** Seconds without traffic after which the rule goes; 0 for never. */
  idleTimeout: number;
  /** Seconds since it was added or modified after which the rule goes; 0 for never. */
  hardTimeout: number;
  importance: number;
  sendFlowRem: boolean;
  checkOverlap: boolean;
  resetCounts: boolean;
  noPacketCounts: boolean;
  noByteCounts: boolean;
  nPackets = 0;
  nBytes = 0;
  createdMs: number;
  modifiedMs: number;
  usedMs: number;
  /** Out of the tables: deleted, expired or replaced. */
  removed = false;
  /** Added by a batch of flow-mods that is not finished yet. */
  pending = true;
  /** The `conjunction` actions, null when there is none: such a rule matches only as part of a conjunction. */
  readonly clauses: readonly Clause[] | null;
  /** The translator's cache for these actions. */
  plan: unknown = null;

  // The places in the classifier; the subtable's business.
  subtable: Subtable | null = null;
  row = -1;
  /** Its masked words, once it is out of the subtable. */
  words: Int32Array | null = null;
  /** The next rule of lower priority with the same match. */
  lower: Rule | null = null;
  listNext: Rule | null = null;
  listPrev: Rule | null = null;
  // The place among the rules of its cookie (cookie-index.ts).
  cookieNext: Rule | null = null;
  cookiePrev: Rule | null = null;

  // Set when this rule is replaced.
  successor: Rule | null = null;
  forwardCounts = true;
  /** Whether the successor has this rule's timeouts, and so is shortened in its stead. */
  forwardTimeouts = false;

  constructor(init: RuleInit, clauses: readonly Clause[] | null, nowMs: number) {
    this.tableId = init.tableId;
    this.priority = init.priority;
    this.actions = init.actions;
    this.cookie = init.cookie;
    this.idleTimeout = init.idleTimeout;
    this.hardTimeout = init.hardTimeout;
    this.importance = init.importance;
    this.sendFlowRem = init.sendFlowRem;
    this.checkOverlap = init.checkOverlap;
    this.resetCounts = init.resetCounts;
    this.noPacketCounts = init.noPacketCounts;
    this.noByteCounts = init.noByteCounts;
    this.createdMs = nowMs;
    this.modifiedMs = nowMs;
    this.usedMs = nowMs;
    this.clauses = clauses;
  }

  /** The match, unpacked into a new flow; the mask is shared with the subtable and must not be written to. */
  get match(): Match {
    const subtable = this.subtable!;
    return { flow: subtable.unpack(this, new Flow()), mask: subtable.mask };
  }

  /** Counts traffic. On a rule that was replaced it counts for the rule that took its place, as OVS does. */
  credit(packets: number, bytes: number, usedMs: number): void {
    let rule: Rule = this;
    let counts = true;
    while (rule.successor !== null) {
      counts &&= rule.forwardCounts;
      rule = rule.successor;
    }
    if (counts) {
      rule.nPackets += packets;
      rule.nBytes += bytes;
    }
    if (usedMs > rule.usedMs) rule.usedMs = usedMs;
  }
}
