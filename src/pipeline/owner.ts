// Whom a megaflow's traffic belongs to: every rule it matched (each match counts), the group buckets it chose, the MAC
// it refreshes, the flows it keeps learning, the recirculations it leads to.
import type { FlowStats, MegaflowOwner } from "../datapath/upcall.ts";
import type { Group, GroupBucket } from "./group.ts";
import type { MacTable } from "./mac-table.ts";
import type { Mirror } from "./mirror.ts";
import type { FrozenState } from "./recirc.ts";
import type { Rule } from "./rule.ts";
import type { Tables } from "./tables.ts";

/** TCP flags that let fin_timeout act. */
export const TCP_FIN_RST = 0x005;

export class Owner implements MegaflowOwner {
  readonly rules: Rule[] = [];
  // Rare, so made when needed.
  groups: { readonly group: Group; readonly bucket: GroupBucket | null }[] | null = null;
  /** What the translation read outside the tables: keys of MAC addresses, looked up or learned, and of multicast groups. */
  facts: string[] | null = null;
  learnedMac: { readonly macs: MacTable; readonly key: string; readonly port: number } | null = null;
  finTimeouts: { readonly rule: Rule; readonly idle: number; readonly hard: number }[] | null = null;
  /** Each keeps a learned flow fresh. */
  learns: ((nowMs: number) => void)[] | null = null;
  recircs: FrozenState[] | null = null;
  mirrors: Mirror[] | null = null;
  /** Tables in which nothing was found. */
  missed: number[] | null = null;
  rewritten: number[] | null = null;
  /** It learns: what it would learn may be there or gone, and the limit be reached, in whatever table. */
  dependsOnRules = false;
  readonly #tables: Tables;

  constructor(tables: Tables) {
    this.#tables = tables;
  }

  credit(stats: FlowStats): void {
    const { packets, bytes, usedMs } = stats;
    if (this.recircs !== null) {
      for (const state of this.recircs) if (usedMs > state.usedMs) state.usedMs = usedMs;
    }
    if (packets === 0) return;
    for (const rule of this.rules) rule.credit(packets, bytes, usedMs);
    if (this.groups !== null) this.#creditGroups(packets, bytes);
    if (this.mirrors !== null) for (const mirror of this.mirrors) mirror.credit(packets, bytes);
    // These frames came before whatever has changed since: they keep fresh what they would have learned, and bring nothing back.
    if (this.learnedMac !== null) {
      const { macs, key, port } = this.learnedMac;
      macs.refresh(key, port, usedMs);
    }
    if (this.learns !== null) for (const refresh of this.learns) refresh(usedMs);
    if (this.finTimeouts !== null && (stats.tcpFlags & TCP_FIN_RST) !== 0) {
      for (const fin of this.finTimeouts) this.#tables.reduceTimeouts(fin.rule, fin.idle, fin.hard);
    }
  }

  asked(tableId: number): boolean {
    for (const rule of this.rules) if (rule.tableId === tableId) return true;
    return this.missed?.includes(tableId) ?? false;
  }

  equals(other: MegaflowOwner): boolean {
    return (
      other instanceof Owner &&
      sameItems(this.rules, other.rules) &&
      this.#isPlain() &&
      other.#isPlain() &&
      sameItems(this.recircs, other.recircs) &&
      sameItems(this.facts, other.facts) &&
      sameItems(this.missed, other.missed) &&
      sameItems(this.rewritten, other.rewritten) &&
      sameItems(this.mirrors, other.mirrors) &&
      this.#sameGroups(other) &&
      this.dependsOnRules === other.dependsOnRules
    );
  }

  hash(): number {
    let hash = this.rules.length;
    for (const { tableId, priority, row } of this.rules) {
      const mixed = Math.imul(hash ^ (row + (priority << 8) + (tableId << 24)), 0x85ebca6b);
      hash = (mixed << 15) | (mixed >>> 17);
    }
    return hash;
  }

  /** Without what is each frame's own. */
  #isPlain(): boolean {
    return this.learnedMac === null && this.finTimeouts === null && this.learns === null;
  }

  #sameGroups({ groups }: Owner): boolean {
    const own = this.groups;
    if (own === null || groups === null) return own === groups;
    if (own.length !== groups.length) return false;
    return own.every(({ group, bucket }, i) => group === groups[i]!.group && bucket === groups[i]!.bucket);
  }

  #creditGroups(packets: number, bytes: number): void {
    for (const { group, bucket } of this.groups!) {
      group.nPackets += packets;
      group.nBytes += bytes;
      // A group that copies to all its buckets counts in each.
      for (const b of bucket === null ? group.buckets : [bucket]) {
        b.nPackets += packets;
        b.nBytes += bytes;
      }
    }
  }
}

function sameItems<T>(a: readonly T[] | null, b: readonly T[] | null): boolean {
  if (a === null || b === null) return a === b;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
