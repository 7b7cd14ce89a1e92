// What has changed beneath installed megaflows, and which of them it may concern. A rule that comes or goes concerns a megaflow only if
// some frame of the megaflow could meet it: its table was asked, and in no bit that the megaflow holds fixed does the rule want
// another value. A bit that the translation had rewritten by the time it asked a table decides nothing, as tables then saw another.
//
// Why: translating a megaflow again takes microseconds, ruling it out some tens of nanoseconds. A flow-mod beside 250 megaflows took
// about 0.5 ms of work without this and about 0.05 ms with it (bench `flow-mods-1000`: 55 % of the speed left, and 94 %).
import { KEY_WORDS, type Match } from "../flow/flow.ts";
import * as abi from "./abi.ts";
import type { Kernel } from "./kernel.ts";
import type { Megaflow } from "./megaflow.ts";

/** A rule that was added, changed or removed. */
export interface ChangedRule {
  readonly tableId: number;
  readonly match: Match;
}

export interface Stale {
  /** Any megaflow may be concerned. */
  readonly all: boolean;
  /** Facts (Translation.dependencies) that have changed; null for none. */
  readonly facts: ReadonlySet<string> | null;
  readonly rules: readonly ChangedRule[];
}

export const STALE_ALL: Stale = { all: true, facts: null, rules: [] };

/** Tells which megaflows what is stale may concern. */
export class StaleFilter {
  readonly #stale: Stale;
  readonly #rules: readonly RuleFilter[];

  constructor(stale: Stale) {
    this.#stale = stale;
    this.#rules = stale.rules.map((rule) => new RuleFilter(rule));
  }

  concerns(megaflow: Megaflow, kernel: Kernel): boolean {
    const { all, facts } = this.#stale;
    if (all) return true;
    if (facts !== null && megaflow.dependencies?.some((fact) => facts.has(fact))) return true;
    if (this.#rules.length > 0 && megaflow.owner.dependsOnRules) return true;
    for (const rule of this.#rules)
      if (megaflow.owner.asked(rule.tableId) && rule.overlaps(megaflow, kernel)) return true;
    return false;
  }
}

/** A changed rule, as far as megaflows can tell it from others: the words of the key that it matches on. */
class RuleFilter {
  readonly tableId: number;
  readonly #words: readonly number[];
  readonly #masks: Uint32Array;
  readonly #values: Uint32Array;

  constructor({ tableId, match: { flow, mask } }: ChangedRule) {
    this.tableId = tableId;
    const words: number[] = [];
    for (let i = 0; i < KEY_WORDS; i++) if (mask.words[i] !== 0) words.push(i);
    this.#words = words;
    this.#masks = Uint32Array.from(words, (i) => mask.words[i]!);
    this.#values = Uint32Array.from(words, (i) => flow.words[i]!);
  }

  /** Whether some frame of the megaflow may match it, were its table asked. */
  overlaps(megaflow: Megaflow, kernel: Kernel): boolean {
    const { rewritten } = megaflow.owner;
    const { words, bytes } = kernel;
    const subtable = words[(megaflow.at + abi.MF_SUBTABLE) >>> 2]!;
    const blocks = words[(subtable + abi.ST_BLOCKS) >>> 2]!;
    for (let k = 0; k < this.#words.length; k++) {
      const word = this.#words[k]!;
      if (rewritten?.includes(word)) continue;
      for (let i = 0; i < blocks; i++) {
        if (bytes[subtable + abi.ST_BLOCK_NUMBERS + i] !== word >> 2) continue;
        const at = i * 16 + (word & 3) * 4;
        const fixed = words[(subtable + abi.ST_MASKS + at) >>> 2]!;
        const value = words[(megaflow.at + abi.MF_KEY + at) >>> 2]!;
        if (((value ^ this.#values[k]!) & fixed & this.#masks[k]!) !== 0) return false;
      }
    }
    return true;
  }
}
