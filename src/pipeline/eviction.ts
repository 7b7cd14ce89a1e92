// What an OpenFlow table does when it is full (ovs-vswitchd.conf.db(5), table Flow_Table): refuse, or evict a flow.
//
// Only flows with a timeout can be evicted. They lie in groups by the values of the table's `groups` fields; the largest
// group gives, so that one port or tenant cannot push out the others' flows. In a group the flow of least importance goes,
// of several the one that would expire first. When that is, is found out when a flow comes in and once a second.
import type { Subfield } from "../flow/field.ts";
import { Flow } from "../flow/flow.ts";
import { readSubfield } from "../flow/subfield.ts";
import { MegaflowError } from "../lib/errors.ts";
import { Heap, type HeapEntry } from "../lib/heap.ts";
import { expiryMs } from "./expiry.ts";
import { prerequisiteMet, prerequisiteOf } from "./prerequisite.ts";
import type { Rule } from "./rule.ts";

/** A table's configuration: columns of OVS's Flow_Table. */
export interface FlowTableOptions {
  /** Flows the table may hold; without, any number. */
  readonly flowLimit?: number;
  /** What a flow too many does; default refuse (OFPFMFC_TABLE_FULL). */
  readonly overflowPolicy?: "refuse" | "evict";
  /** The eviction groups' fields; without, all flows are one group. */
  readonly groups?: readonly Subfield[];
}

const REFRESH_INTERVAL_MS = 1000;
/** Expiry times are compared in units of 1,024 ms, as OVS does. */
const EXPIRY_SHIFT = 10;

interface Evictable extends HeapEntry {
  readonly rule: Rule;
  readonly group: EvictionGroup;
  expiry: number;
}

interface EvictionGroup extends HeapEntry {
  readonly key: string;
  readonly rules: Heap<Evictable>;
}

/** A table with a limit. */
export class TableLimit {
  private count = 0;
  private readonly flowLimit: number;
  private readonly evicts: boolean;
  private readonly fields: readonly Subfield[];
  private readonly evictables = new Map<Rule, Evictable>();
  private readonly groups = new Map<string, EvictionGroup>();
  private readonly bySize = new Heap<EvictionGroup>((a, b) => a.rules.size > b.rules.size);
  private nextRefreshMs = Number.NEGATIVE_INFINITY;

  constructor(options: FlowTableOptions) {
    this.flowLimit = options.flowLimit ?? Infinity;
    this.evicts = options.overflowPolicy === "evict";
    this.fields = options.groups ?? [];
  }

  /** Takes note of a rule that the table now holds; `flow` is its match. */
  add(rule: Rule, flow: Flow): void {
    this.count++;
    if (this.evicts) this.addEvictable(rule, flow);
  }

  remove(rule: Rule): void {
    this.count--;
    const evictable = this.evictables.get(rule);
    if (evictable === undefined) return;
    this.evictables.delete(rule);
    const { group } = evictable;
    group.rules.remove(evictable);
    if (group.rules.size > 0) this.bySize.moved(group);
    else {
      this.bySize.remove(group);
      this.groups.delete(group.key);
    }
  }

  /** Who has to go before another rule fits: null when there is room. Throws OFPFMFC_TABLE_FULL when nobody can. */
  choose(rules: Iterable<Rule>, nowMs: number): Rule | null {
    if (this.count < this.flowLimit) return null;
    if (this.evicts) this.refresh(rules, nowMs);
    const first = this.bySize.first?.rules.first ?? null;
    if (first === null) throw new MegaflowError("ETEXT", "OFPFMFC_TABLE_FULL");
    return first.rule;
  }

  /** Traffic, and fin_timeout, have moved expiry times. */
  private refresh(rules: Iterable<Rule>, nowMs: number): void {
    if (nowMs <= this.nextRefreshMs) return;
    this.nextRefreshMs = nowMs + REFRESH_INTERVAL_MS;
    for (const rule of rules) {
      if (rule.removed) continue;
      const evictable = this.evictables.get(rule);
      if (evictable === undefined) this.addEvictable(rule, rule.match.flow);
      else evictable.expiry = expiryOf(rule);
    }
    for (const group of this.groups.values()) group.rules.rebuild();
  }

  private addEvictable(rule: Rule, flow: Flow): void {
    if (rule.idleTimeout === 0 && rule.hardTimeout === 0) return;
    const key = groupKey(this.fields, flow);
    let group = this.groups.get(key);
    if (group === undefined) {
      group = { key, rules: new Heap(goesBefore), heapIndex: -1 };
      this.groups.set(key, group);
      this.bySize.add(group);
    }
    const evictable = { rule, group, expiry: expiryOf(rule), heapIndex: -1 };
    this.evictables.set(rule, evictable);
    group.rules.add(evictable);
    this.bySize.moved(group);
  }
}

function goesBefore(a: Evictable, b: Evictable): boolean {
  if (a.rule.importance !== b.rule.importance) return a.rule.importance < b.rule.importance;
  return a.expiry < b.expiry;
}

const expiryOf = (rule: Rule): number => Math.floor((expiryMs(rule) - 1) / 2 ** EXPIRY_SHIFT);

const $looked = new Flow();

/** The group's values, nothing for a field that such a frame does not have. */
function groupKey(fields: readonly Subfield[], flow: Flow): string {
  return fields
    .map((sf) => (prerequisiteMet(prerequisiteOf(sf.field), flow, $looked) ? readSubfield(flow, sf) : ""))
    .join();
}
