// A subtable: the rules of one table that share a mask, in a hash table over the words that the mask keeps.
//
// The mask's words are listed by *segment* (metadata | L2 | L3 | L4, the order in which lookups read a flow), so that a
// lookup can stop early: every segment but the last has an index of the hashes met so far, and a flow whose hash is not
// there cannot match, whatever the later fields hold. Those fields then stay wildcarded in the megaflow. A word of the
// flow key can belong to two segments (dl_type | nw_proto, nw_frag); it is listed once for each, with a part of the mask.
//
//   places:  0 ......... | ......... | ......... width      place = (word number, mask)
//            stage 0       stage 1     last stage           only stages whose mask is not empty
//   row r:   values[r * width ...]  the rule's words, masked; hashes[r]; heads[r] = rule of highest priority -> lower ...
//   slots:   open addressing, row + 1, 0 when empty
//
// Rules of one match and several priorities share a row. `first`/`last` list all rules in the order of insertion.
import { FLOW_WORDS, Flow } from "../flow/flow.ts";
import * as L from "../flow/layout.ts";
import { HashCounter, homeSlot, slotShift } from "./hash-counter.ts";
import type { Rule } from "./rule.ts";
import { Trie } from "./trie.ts";

const SEGMENTS = 4;
const INITIAL_ROWS = 4;

const $flow = new Flow();

/** For each segment the bits of each word that belong to it. */
const SEGMENT_MASKS: readonly Int32Array[] = segmentMasks();

/** A field with a prefix trie for the whole table; in this order they are asked. OVS 3.1: ip_dst, ip_src by default. */
export const TRIE_OFFSETS = [L.O_NW_DST, L.O_NW_SRC] as const;
export const TRIE_COUNT = TRIE_OFFSETS.length;

const TP_WORD = L.O_TP_SRC / 4;

export class Subtable {
  readonly mask: Flow;
  readonly maskHash: number;
  /** The words that count, by stage: word number and mask of each place. */
  readonly wordAt: Int32Array;
  readonly maskAt: Int32Array;
  readonly width: number;
  /** Where each stage ends among the places; at least one stage, even when the mask is empty. */
  readonly stageEnd: readonly number[];
  /** For each stage but the last, how many rows have a hash up to its end. */
  readonly stageIndex: readonly HashCounter[];
  /** Length of the mask as a prefix on each of TRIE_OFFSETS; 0 when it is none or not contiguous. */
  readonly triePlen: readonly number[];
  /** The stage that holds each of those fields. */
  readonly trieStage: readonly number[];
  /** How far the mask reaches into tp_src, tp_dst (32 bits); 0 when it keeps neither. */
  readonly portsLength: number;
  readonly portsMask: number;
  readonly portsTrie: Trie | null;

  maxPriority = 0;
  /** maxPriority before the current batch of flow-mods; -1 when the subtable was not there. */
  publishedPriority = -1;
  /** How many rules have that priority. */
  maxCount = 0;
  rowCount = 0;
  ruleCount = 0;
  first: Rule | null = null;
  private last: Rule | null = null;

  private values: Int32Array;
  private hashes = new Int32Array(INITIAL_ROWS);
  readonly heads: (Rule | null)[] = [];
  private freeRows: number[] = [];
  private slots = new Int32Array(2 * INITIAL_ROWS);
  private slotMask = 2 * INITIAL_ROWS - 1;
  private slotShift = slotShift(2 * INITIAL_ROWS);

  constructor(mask: Flow, maskHash: number) {
    this.mask = mask;
    this.maskHash = maskHash;
    const words: number[] = [];
    const masks: number[] = [];
    const stageEnd: number[] = [];
    const stageOfSegment: number[] = [];
    for (let segment = 0; segment < SEGMENTS; segment++) {
      stageOfSegment.push(stageEnd.length);
      const before = words.length;
      const segmentMask = SEGMENT_MASKS[segment]!;
      for (let word = 0; word < FLOW_WORDS; word++) {
        const bits = mask.words[word]! & segmentMask[word]!;
        if (bits === 0) continue;
        words.push(word);
        masks.push(bits);
      }
      if (words.length > before) stageEnd.push(words.length);
    }
    if (stageEnd.length === 0) stageEnd.push(0);
    this.wordAt = Int32Array.from(words);
    this.maskAt = Int32Array.from(masks);
    this.width = words.length;
    this.stageEnd = stageEnd;
    this.stageIndex = stageEnd.slice(1).map(() => new HashCounter());
    this.triePlen = TRIE_OFFSETS.map((offset) => prefixLength(mask.get32(offset)));
    this.trieStage = TRIE_OFFSETS.map(() => stageOfSegment[2]!);
    this.portsMask = mask.get32(L.O_TP_SRC) | 0;
    this.portsLength = this.portsMask === 0 ? 0 : 32 - trailingZeros(this.portsMask);
    this.portsTrie = this.portsMask === 0 ? null : new Trie();
    this.values = new Int32Array(INITIAL_ROWS * this.width);
  }

  /** Hash of the places from `from` up to `to`, going on from `hash` (0 at place 0). */
  hashRange(words: Uint32Array, from: number, to: number, hash: number): number {
    const { wordAt, maskAt } = this;
    for (let i = from; i < to; i++) {
      const mixed = Math.imul(hash ^ (words[wordAt[i]!]! & maskAt[i]!), 0x85ebca6b);
      hash = (mixed << 15) | (mixed >>> 17);
    }
    return hash;
  }

  /** The row whose words are those of a flow with this hash (of all places), or -1. */
  findRow(words: Uint32Array, hash: number): number {
    const { slots, slotMask, hashes } = this;
    for (let slot = homeSlot(hash, this.slotShift); ; slot = (slot + 1) & slotMask) {
      const row = slots[slot]! - 1;
      if (row < 0) return -1;
      if (hashes[row] === hash && this.rowEquals(row, words)) return row;
    }
  }

  /** The rule of exactly this match (already masked) and priority that is not removed, or null. */
  findExactly(words: Uint32Array, priority: number): Rule | null {
    const row = this.findRow(words, this.hashRange(words, 0, this.width, 0));
    if (row < 0) return null;
    for (let rule = this.heads[row]!; rule !== null; rule = rule.lower!) {
      if (rule.priority < priority) return null;
      if (rule.priority === priority && !rule.removed) return rule;
    }
    return null;
  }

  /** Adds a rule whose match holds `words`. Returns true when its match is new here (its row too). */
  insert(rule: Rule, words: Uint32Array): boolean {
    const hash = this.hashRange(words, 0, this.width, 0);
    let row = this.findRow(words, hash);
    const isNew = row < 0;
    if (isNew) row = this.addRow(words, hash);
    rule.subtable = this;
    rule.row = row;
    let above: Rule | null = null;
    let below = isNew ? null : this.heads[row]!;
    while (below !== null && below.priority >= rule.priority) {
      above = below;
      below = below.lower;
    }
    rule.lower = below;
    if (above === null) this.heads[row] = rule;
    else above.lower = rule;

    rule.listPrev = this.last;
    if (this.last === null) this.first = rule;
    else this.last.listNext = rule;
    this.last = rule;
    this.ruleCount++;
    return isNew;
  }

  /** Takes a rule out. Returns true when no rule of its match is left. The rule keeps its words for itself. */
  remove(rule: Rule): boolean {
    rule.words = this.values.slice(rule.row * this.width, (rule.row + 1) * this.width);
    if (rule.listPrev === null) this.first = rule.listNext;
    else rule.listPrev.listNext = rule.listNext;
    if (rule.listNext === null) this.last = rule.listPrev;
    else rule.listNext.listPrev = rule.listPrev;
    rule.listNext = rule.listPrev = null;
    this.ruleCount--;

    const row = rule.row;
    let above: Rule | null = null;
    let at = this.heads[row]!;
    while (at !== rule) {
      above = at;
      at = at.lower!;
    }
    if (above !== null) above.lower = rule.lower;
    else this.heads[row] = rule.lower;
    rule.lower = null;
    if (this.heads[row] !== null) return false;
    this.removeRow(row, this.unpack(rule, $flow).words);
    return true;
  }

  /** Finds the highest priority anew, sets `maxCount` to how many rules have it and returns it. */
  countHighest(): number {
    let highest = -1;
    for (const head of this.heads) {
      if (head === null) continue;
      if (head.priority > highest) {
        highest = head.priority;
        this.maxCount = 1;
      } else if (head.priority === highest) this.maxCount++;
    }
    return highest;
  }

  /** Writes a rule's match into `flow`, which must be zero outside the mask; returns it. */
  unpack(rule: Rule, flow: Flow): Flow {
    const values = rule.words ?? this.values;
    const base = rule.words === null ? rule.row * this.width : 0;
    const { wordAt, maskAt, width } = this;
    // A word can have two places: each sets its own bits.
    for (let i = 0; i < width; i++) {
      const word = wordAt[i]!;
      flow.words[word] = (flow.words[word]! & ~maskAt[i]!) | values[base + i]!;
    }
    return flow;
  }

  /** The masked word of a rule in the table at a place. */
  valueAt(rule: Rule, place: number): number {
    return this.values[rule.row * this.width + place]!;
  }

  private rowEquals(row: number, words: Uint32Array): boolean {
    const { values, wordAt, maskAt, width } = this;
    const base = row * width;
    for (let i = 0; i < width; i++) {
      if (values[base + i] !== (words[wordAt[i]!]! & maskAt[i]!)) return false;
    }
    return true;
  }

  private addRow(words: Uint32Array, hash: number): number {
    const row = this.freeRows.pop() ?? this.heads.length;
    if (row === this.hashes.length) this.growRows();
    this.hashes[row] = hash;
    this.heads[row] = null;
    const base = row * this.width;
    for (let i = 0; i < this.width; i++) this.values[base + i] = words[this.wordAt[i]!]! & this.maskAt[i]!;
    let stageHash = 0;
    let at = 0;
    for (let stage = 0; stage < this.stageIndex.length; stage++) {
      const end = this.stageEnd[stage]!;
      stageHash = this.hashRange(words, at, end, stageHash);
      at = end;
      this.stageIndex[stage]!.add(stageHash);
    }
    this.place(row);
    this.rowCount++;
    return row;
  }

  private removeRow(row: number, words: Uint32Array): void {
    let stageHash = 0;
    let at = 0;
    for (let stage = 0; stage < this.stageIndex.length; stage++) {
      const end = this.stageEnd[stage]!;
      stageHash = this.hashRange(words, at, end, stageHash);
      at = end;
      this.stageIndex[stage]!.remove(stageHash);
    }
    const { slots, slotMask, slotShift, hashes } = this;
    let hole = homeSlot(hashes[row]!, slotShift);
    while (slots[hole] !== row + 1) hole = (hole + 1) & slotMask;
    // Closes the gap: moves up what would no longer be found past it.
    for (let slot = (hole + 1) & slotMask; slots[slot] !== 0; slot = (slot + 1) & slotMask) {
      const home = homeSlot(hashes[slots[slot]! - 1]!, slotShift);
      if (((slot - home) & slotMask) >= ((slot - hole) & slotMask)) {
        slots[hole] = slots[slot]!;
        hole = slot;
      }
    }
    slots[hole] = 0;
    this.freeRows.push(row);
    this.rowCount--;
  }

  private place(row: number): void {
    let slot = homeSlot(this.hashes[row]!, this.slotShift);
    while (this.slots[slot] !== 0) slot = (slot + 1) & this.slotMask;
    this.slots[slot] = row + 1;
  }

  private growRows(): void {
    const size = 2 * this.hashes.length;
    const hashes = new Int32Array(size);
    hashes.set(this.hashes);
    this.hashes = hashes;
    const values = new Int32Array(size * this.width);
    values.set(this.values);
    this.values = values;
    this.slots = new Int32Array(2 * size);
    this.slotMask = 2 * size - 1;
    this.slotShift = slotShift(2 * size);
    for (let row = 0; row < this.heads.length; row++) this.place(row);
  }
}

/** Segments by byte offset of fields, after the order in which OVS's struct flow holds them. */
function segmentMasks(): Int32Array[] {
  const METADATA = 0;
  const L2 = 1;
  const L3 = 2;
  const L4 = 3;
  const segmentOf = new Uint8Array(L.FLOW_SIZE).fill(METADATA);
  segmentOf.fill(L4, L.O_CT_TP_SRC, L.O_CT_TP_DST + 2);
  segmentOf.fill(L2, L.O_DL_DST, L.O_NW_PROTO);
  segmentOf.fill(L3, L.O_NW_PROTO, L.O_TP_SRC);
  segmentOf.fill(L4, L.O_TP_SRC, L.O_NW_TOS);
  segmentOf.fill(L3, L.O_NW_TOS, L.O_TCP_FLAGS);
  segmentOf.fill(L4, L.O_TCP_FLAGS, L.O_TCP_FLAGS + 2);
  segmentOf.fill(L2, L.O_VLAN0, L.O_PKT_MARK);
  segmentOf.fill(L2, L.O_MPLS_LSE0, L.O_PACKET_TYPE);
  segmentOf.fill(L3, L.O_CT_NW_SRC, L.O_CT_NW_DST + 4);
  segmentOf.fill(L3, L.O_IPV6_SRC, L.O_ND_TARGET);
  segmentOf.fill(L4, L.O_ND_TARGET, L.O_IPV6_LABEL);
  segmentOf.fill(L3, L.O_IPV6_LABEL, L.O_IGMP_GROUP);
  segmentOf.fill(L4, L.O_IGMP_GROUP, L.O_TUN_ID);
  return Array.from({ length: SEGMENTS }, (_, segment) => {
    const mask = new Flow();
    for (let i = 0; i < L.FLOW_SIZE; i++) if (segmentOf[i] === segment) mask.bytes[i] = 0xff;
    return new Int32Array(mask.words);
  });
}

function trailingZeros(x: number): number {
  return 31 - Math.clz32(x & -x);
}

/** Number of leading ones when nothing but zeros follows them; otherwise 0. */
function prefixLength(mask: number): number {
  const ones = Math.clz32(~mask);
  return ones === 32 || mask << ones === 0 ? ones : 0;
}

/** The word of the flow key that holds tp_src and tp_dst. */
export const PORTS_WORD = TP_WORD;
