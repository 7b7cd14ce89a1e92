// One OpenFlow table's rules, looked up by tuple space search: one hash table (subtable) per distinct mask.
//
// Right answers are easy; the art is to look at as few bits as possible, because what a lookup looked at becomes the
// megaflow's mask (DESIGN D4) and every bit more means more upcalls. A lookup with `wc` ORs into it what it looked at:
//
// - Subtables are asked in descending order of their highest priority, and asking stops when no later one can beat the
//   rule in hand. Subtables never asked cost nothing, so their order among equals shows in the megaflows and is OVS's.
// - In a subtable, a hit costs its whole mask. A miss costs the stages looked at until the miss was certain
//   (subtable.ts): a flow that differs in metadata leaves addresses and ports wildcarded.
// - Before a stage that holds nw_dst or nw_src, the table's prefix trie for that field may show that no rule with this
//   subtable's prefix length covers the address. The leading bits that show it are cheaper than the whole prefix.
// - A miss in the last stage costs of the transport ports only the bits that the ports trie needed to tell.
// - Rules with `conjunction` actions are soft matches: only as high as the priority that a full set of clauses has.
//   conj_id goes into `wc` too; the datapath's key ends before it.
//
// Removing a rule and changing priorities reorder the subtables as OVS's priority vector does: a removed subtable's place
// is taken by the last one, then the vector is sorted, stably, when it is out of order.
import { FLOW_WORDS, Flow } from "../flow/flow.ts";
import { O_CONJ_ID, O_DL_TYPE, O_PACKET_TYPE } from "../flow/layout.ts";
import { ClauseCollector } from "./conjunction.ts";
import type { Rule } from "./rule.ts";
import { PORTS_WORD, Subtable, TRIE_COUNT, TRIE_OFFSETS } from "./subtable.ts";
import { Trie } from "./trie.ts";

const ETH_TYPE_IP = 0x0800;
const PACKET_TYPE_ETHERTYPE_IP = 0x0001_0800;
const CONJ_ID_WORD = O_CONJ_ID / 4;

// A lookup's trie results, found when first needed. One lookup runs at a time.
const $trieAsked = new Uint8Array(TRIE_COUNT);
const $trieBits = new Int32Array(TRIE_COUNT);
const $triePlens = new Int32Array(TRIE_COUNT);
const $soft: Rule[] = [];
const $flow = new Flow();

/** Places for more subtables that OVS makes with every copy of the array. */
const SPARE_PLACES = 4;

export class Classifier {
  ruleCount = 0;
  /** In descending order of highest priority (except between changes and `publish`). */
  private readonly subtables: Subtable[] = [];
  private outOfOrder = false;
  /** Subtables that lost their last rule of highest priority since `publish`: counting anew is left to it. */
  private readonly lowered = new Set<Subtable>();
  /** Subtables that are new or of another highest priority since `publish`. */
  private readonly unpublished: Subtable[] = [];
  /**
   * OVS keeps the subtables in an array. A new one that belongs at the end goes there and is seen at once while there is
   * room; other changes are made to a copy, with room for some more, that takes the array's place at `publish`. So it
   * decides what a batch of flow-mods sees of itself. These are the places left in each; null without a copy.
   */
  private room = SPARE_PLACES;
  private copyRoom: number | null = null;
  /** Subtables by the hash of their mask. */
  private readonly byMask = new Map<number, Subtable[]>();
  private readonly tries: readonly Trie[] = TRIE_OFFSETS.map(() => new Trie());

  /** The rule of highest priority that matches, or null. The bits looked at are OR-ed into `wc` unless it is null. */
  lookup(flow: Flow, wc: Flow | null): Rule | null {
    for (let i = 0; i < TRIE_COUNT; i++) $trieAsked[i] = 0; // fill() takes five times as long
    let hard: Rule | null = null;
    let hardPriority = -1;
    let softPriority = -1;
    const subtables = this.subtables;
    for (let i = 0; i < subtables.length; i++) {
      const subtable = subtables[i]!;
      if (subtable.maxPriority <= hardPriority) break;
      const rule = wc === null ? findIn(subtable, flow.words) : this.findTracking(subtable, flow, wc);
      if (rule === null || rule.priority <= hardPriority) continue;
      if (rule.clauses === null) {
        hard = rule;
        hardPriority = rule.priority;
      } else {
        if (softPriority < 0) $soft.length = 0;
        $soft.push(rule);
        if (rule.priority > softPriority) softPriority = rule.priority;
      }
    }
    if (hardPriority >= softPriority) return hard;
    return this.resolveSoft($soft.slice(), hard, flow, wc);
  }

  /** The rule with exactly this match and priority, or null. */
  findExactly(flow: Flow, mask: Flow, priority: number): Rule | null {
    return this.findSubtable(mask, hashMask(mask.words))?.findExactly(flow.words, priority) ?? null;
  }

  /**
   * Whether a rule of this priority can match a flow that (flow, mask) matches too. As in OVS, it finds nothing in a subtable
   * that had no rule of such a priority before the current batch of flow-mods.
   */
  overlaps(flow: Flow, mask: Flow, priority: number): boolean {
    for (const subtable of this.subtables) {
      if (subtable.publishedPriority < priority) continue;
      for (let rule = subtable.first; rule !== null; rule = rule.listNext) {
        if (rule.priority === priority && !rule.removed && agree(rule, subtable, flow, mask)) return true;
      }
    }
    return false;
  }

  /**
   * Adds a rule of this match (`flow` zero outside `mask`); one of the same match and priority may be there, if removed.
   * `publish` must follow before the next lookup or dump, here as after `remove`.
   */
  insert(rule: Rule, flow: Flow, mask: Flow): void {
    const hash = hashMask(mask.words);
    let subtable = this.findSubtable(mask, hash);
    if (subtable === null) {
      subtable = new Subtable(mask.clone(), hash);
      const sameHash = this.byMask.get(hash);
      if (sameHash === undefined) this.byMask.set(hash, [subtable]);
      else sameHash.push(subtable);
    }
    const isNewMatch = subtable.insert(rule, flow.words);
    if (isNewMatch) this.addToTries(subtable, flow);
    if (subtable.ruleCount === 1) {
      subtable.maxPriority = rule.priority;
      subtable.maxCount = 1;
      const last = this.subtables[this.subtables.length - 1];
      this.subtables.push(subtable);
      const isLast = last === undefined || rule.priority <= last.maxPriority;
      if (this.copyRoom === null && this.room > 0 && isLast) {
        this.room--;
        subtable.publishedPriority = rule.priority;
      } else {
        if (!this.copyRoom) this.copyRoom = SPARE_PLACES;
        this.copyRoom--;
        this.unpublished.push(subtable);
      }
      if (last !== undefined && last.maxPriority < rule.priority) this.outOfOrder = true;
    } else if (rule.priority === subtable.maxPriority) {
      subtable.maxCount++;
    } else if (rule.priority > subtable.maxPriority) {
      subtable.maxCount = 1;
      this.changePriority(subtable, rule.priority);
    }
    this.ruleCount++;
  }

  /** Takes a rule out. */
  remove(rule: Rule): void {
    const subtable = rule.subtable!;
    const flow = subtable.unpack(rule, $flow);
    if (subtable.remove(rule)) this.removeFromTries(subtable, flow);
    this.ruleCount--;
    if (subtable.ruleCount === 0) this.removeSubtable(subtable);
    else if (rule.priority === subtable.maxPriority && --subtable.maxCount === 0) {
      this.lowered.add(subtable);
      subtable.maxCount = 1; // until publish counts again
    }
  }

  /** Brings the subtables into order. */
  publish(): void {
    if (this.lowered.size > 0) {
      for (const subtable of this.lowered) {
        if (subtable.ruleCount > 0) this.changePriority(subtable, subtable.countHighest());
      }
      this.lowered.clear();
    }
    if (this.copyRoom !== null) {
      this.room = this.copyRoom;
      this.copyRoom = null;
    }
    for (const subtable of this.unpublished) subtable.publishedPriority = subtable.maxPriority;
    this.unpublished.length = 0;
    if (!this.outOfOrder) return;
    this.subtables.sort((a, b) => b.maxPriority - a.maxPriority); // stable
    this.outOfOrder = false;
  }

  /** All rules in the order in which OVS dumps them; also those marked as removed that are still there. */
  *rules(): Generator<Rule> {
    for (const subtable of this.subtables) {
      for (let rule = subtable.first; rule !== null; rule = rule.listNext) yield rule;
    }
  }

  /**
   * The rules not removed whose match is at least as narrow as this one, in dump order. As in OVS, those of a mask that is
   * new in the current batch of flow-mods are not found unless their subtable came to stand at the end (see `room`).
   */
  *rulesWithin(flow: Flow, mask: Flow): Generator<Rule> {
    const words: number[] = [];
    for (let i = 0; i < FLOW_WORDS; i++) if (mask.words[i] !== 0) words.push(i);
    for (const subtable of this.subtables) {
      if (
        subtable.publishedPriority < 0 ||
        !words.every((i) => (mask.words[i]! & ~subtable.mask.words[i]!) === 0)
      )
        continue;
      for (let rule = subtable.first; rule !== null; rule = rule.listNext) {
        if (!rule.removed && (words.length === 0 || agree(rule, subtable, flow, mask))) yield rule;
      }
    }
  }

  get subtableCount(): number {
    return this.subtables.length;
  }

  private findTracking(subtable: Subtable, flow: Flow, wc: Flow): Rule | null {
    const words = flow.words;
    const { stageEnd, stageIndex } = subtable;
    const lastStage = stageIndex.length;
    let hash = 0;
    let at = 0;
    for (let stage = 0; stage < lastStage; stage++) {
      if (this.triesExclude(subtable, stage, flow, wc)) {
        fold(subtable, at, wc.words);
        return null;
      }
      const end = stageEnd[stage]!;
      hash = subtable.hashRange(words, at, end, hash);
      at = end;
      if (!stageIndex[stage]!.has(hash)) {
        fold(subtable, at, wc.words);
        return null;
      }
    }
    if (this.triesExclude(subtable, lastStage, flow, wc)) {
      fold(subtable, at, wc.words);
      return null;
    }
    hash = subtable.hashRange(words, at, subtable.width, hash);
    const row = subtable.findRow(words, hash);
    if (row >= 0) {
      fold(subtable, subtable.width, wc.words);
      return subtable.heads[row]!;
    }
    if (subtable.portsTrie === null) {
      fold(subtable, subtable.width, wc.words);
      return null;
    }
    const ports = wc.words[PORTS_WORD]!;
    fold(subtable, subtable.width, wc.words);
    wc.words[PORTS_WORD] = ports;
    const portsMask = subtable.portsMask;
    const bits = subtable.portsTrie.lookup(flow.get32(PORTS_WORD * 4) & portsMask);
    foldPrefix(wc, PORTS_WORD * 4, bits, portsMask);
    return null;
  }

  /**
   * Whether a trie shows, at the stage that holds its field, that no rule of this subtable matches, and that costs no more
   * bits than the subtable's own prefix or none that are not already exact. The bits that show it are then folded.
   */
  private triesExclude(subtable: Subtable, stage: number, flow: Flow, wc: Flow): boolean {
    for (let i = 0; i < TRIE_COUNT; i++) {
      const plen = subtable.triePlen[i]!;
      if (plen === 0 || subtable.trieStage[i] !== stage) continue;
      const offset = TRIE_OFFSETS[i]!;
      if ($trieAsked[i] === 0) {
        $trieAsked[i] = 1;
        if (isIpv4(flow)) {
          const trie = this.tries[i]!;
          $trieBits[i] = trie.lookup(flow.get32(offset));
          $triePlens[i] = trie.plens;
        } else {
          $trieBits[i] = 0;
          $triePlens[i] = -1; // the field is another's (ARP): nothing can be said
        }
      }
      if (($triePlens[i]! & (1 << (plen - 1))) !== 0) continue;
      const bits = $trieBits[i]!;
      if (bits <= plen) {
        foldPrefix(wc, offset, bits, -1);
        return true;
      }
      const prefix = prefixMask(bits);
      if ((wc.get32(offset) & prefix) === prefix) return true;
    }
    return false;
  }

  /** Some soft matches are above the best hard one: finds whether their clauses make up a conjunction. */
  private resolveSoft(soft: (Rule | null)[], hard: Rule | null, flow: Flow, wc: Flow | null): Rule | null {
    for (;;) {
      const softPriority = dropUnder(soft, hard === null ? -1 : hard.priority);
      if (soft.length === 0) return hard;
      let atPriority = 0;
      for (const rule of soft) if (rule!.priority === softPriority) atPriority++;

      const collector = new ClauseCollector();
      for (const rule of soft) {
        if (rule!.priority !== softPriority) continue;
        const id = collector.add(rule!.clauses!, atPriority);
        if (id < 0) continue;
        const found = this.lookupConjunction(id, flow, wc);
        if (found !== null) return found;
      }

      // None at this priority: what lies under those rules, with the same match, comes into question.
      for (let i = 0; i < soft.length; i++) {
        if (soft[i]!.priority !== softPriority) continue;
        const lower = soft[i]!.lower;
        if (lower !== null && lower.clauses === null) {
          if (hard === null || lower.priority > hard.priority) hard = lower;
          soft[i] = null;
        } else soft[i] = lower;
      }
    }
  }

  /** Looks the flow up again with this conj_id; soft matches no longer count. */
  private lookupConjunction(id: number, flow: Flow, wc: Flow | null): Rule | null {
    const saved = flow.words[CONJ_ID_WORD]!;
    flow.set32(O_CONJ_ID, id);
    $trieAsked.fill(0);
    let best: Rule | null = null;
    for (const subtable of this.subtables) {
      if (best !== null && subtable.maxPriority <= best.priority) break;
      const rule = wc === null ? findIn(subtable, flow.words) : this.findTracking(subtable, flow, wc);
      if (rule === null || rule.clauses !== null) continue;
      if (best === null || rule.priority > best.priority) best = rule;
    }
    flow.words[CONJ_ID_WORD] = saved;
    return best;
  }

  private findSubtable(mask: Flow, hash: number): Subtable | null {
    const sameHash = this.byMask.get(hash);
    if (sameHash === undefined) return null;
    for (const subtable of sameHash) if (subtable.mask.equals(mask)) return subtable;
    return null;
  }

  private removeSubtable(subtable: Subtable): void {
    const sameHash = this.byMask.get(subtable.maskHash)!;
    if (sameHash.length === 1) this.byMask.delete(subtable.maskHash);
    else sameHash.splice(sameHash.indexOf(subtable), 1);
    const { subtables } = this;
    this.copyRoom = (this.copyRoom ?? SPARE_PLACES) + 1;
    const index = subtables.indexOf(subtable);
    const last = subtables.pop()!;
    if (index < subtables.length) subtables[index] = last;
    this.outOfOrder = true;
  }

  private changePriority(subtable: Subtable, priority: number): void {
    const { subtables } = this;
    subtable.maxPriority = priority;
    const index = subtables.indexOf(subtable);
    const isAbove = index > 0 && subtables[index - 1]!.maxPriority < priority;
    const isBelow = index + 1 < subtables.length && subtables[index + 1]!.maxPriority > priority;
    if (isAbove || isBelow) {
      this.outOfOrder = true;
      this.copyRoom ??= SPARE_PLACES;
    }
    if (this.copyRoom === null) subtable.publishedPriority = priority;
    else this.unpublished.push(subtable);
  }

  private addToTries(subtable: Subtable, flow: Flow): void {
    for (let i = 0; i < TRIE_COUNT; i++) {
      const plen = subtable.triePlen[i]!;
      if (plen > 0) this.tries[i]!.insert(flow.get32(TRIE_OFFSETS[i]!), plen);
    }
    subtable.portsTrie?.insert(flow.get32(PORTS_WORD * 4) & subtable.portsMask, subtable.portsLength);
  }

  private removeFromTries(subtable: Subtable, flow: Flow): void {
    for (let i = 0; i < TRIE_COUNT; i++) {
      const plen = subtable.triePlen[i]!;
      if (plen > 0) this.tries[i]!.remove(flow.get32(TRIE_OFFSETS[i]!), plen);
    }
    subtable.portsTrie?.remove(flow.get32(PORTS_WORD * 4) & subtable.portsMask, subtable.portsLength);
  }
}

function findIn(subtable: Subtable, words: Uint32Array): Rule | null {
  const row = subtable.findRow(words, subtable.hashRange(words, 0, subtable.width, 0));
  return row < 0 ? null : subtable.heads[row]!;
}

/**
 * Drops soft matches that are gone or not above `floor`; returns the highest priority left. The last one takes a dropped
 * one's place, as in OVS: the order decides which of two complete conjunctions is tried first.
 */
function dropUnder(soft: (Rule | null)[], floor: number): number {
  let highest = -1;
  for (let i = 0; i < soft.length; ) {
    const rule = soft[i]!;
    if (rule === null || rule.priority <= floor) {
      const last = soft.pop()!;
      if (i < soft.length) soft[i] = last;
    } else {
      if (rule.priority > highest) highest = rule.priority;
      i++;
    }
  }
  return highest;
}

/** Un-wildcards the first `places` places of a subtable's mask. */
function fold(subtable: Subtable, places: number, wc: Uint32Array): void {
  const { wordAt, maskAt } = subtable;
  for (let i = 0; i < places; i++) {
    const word = wordAt[i]!;
    wc[word] = wc[word]! | maskAt[i]!;
  }
}

function foldPrefix(wc: Flow, offset: number, bits: number, within: number): void {
  wc.set32(offset, wc.get32(offset) | (prefixMask(bits) & within));
}

function prefixMask(bits: number): number {
  return bits === 0 ? 0 : -1 << (32 - bits);
}

function isIpv4(flow: Flow): boolean {
  const packetType = flow.get32(O_PACKET_TYPE);
  return packetType === 0 ? flow.get16(O_DL_TYPE) === ETH_TYPE_IP : packetType === PACKET_TYPE_ETHERTYPE_IP;
}

/** Whether a rule's match is at least as narrow as this one. */
export function isWithin(rule: Rule, flow: Flow, mask: Flow): boolean {
  const subtable = rule.subtable!;
  for (let i = 0; i < FLOW_WORDS; i++) if ((mask.words[i]! & ~subtable.mask.words[i]!) !== 0) return false;
  return agree(rule, subtable, flow, mask);
}

/** Whether a rule and a match hold the same values wherever both masks look. */
function agree(rule: Rule, subtable: Subtable, flow: Flow, mask: Flow): boolean {
  const { wordAt, maskAt, width } = subtable;
  for (let i = 0; i < width; i++) {
    const word = wordAt[i]!;
    const both = maskAt[i]! & mask.words[word]!;
    if (((subtable.valueAt(rule, i) ^ flow.words[word]!) & both) !== 0) return false;
  }
  return true;
}

function hashMask(words: Uint32Array): number {
  let hash = 0;
  for (let i = 0; i < FLOW_WORDS; i++) {
    const word = words[i]!;
    if (word !== 0) hash = Math.imul(hash ^ word ^ (i << 24), 0x85ebca6b) ^ (hash >>> 13);
  }
  return hash;
}
