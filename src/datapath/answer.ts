// What megaflows do and whom they count for, apart from the megaflows. Upcalls by the thousand get the same answer: it is kept
// once, for as long as a megaflow has it.
//
// Why: with actions, owner and counters in objects of its own a megaflow took 3 KB of JavaScript heap (200,000 of them 480 MB), and
// the collector a quarter of the time of an upcall.
import type { DatapathAction } from "./action.ts";
import type { MegaflowOwner, Translation } from "./upcall.ts";

export class Answer {
  readonly actions: readonly DatapathAction[];
  readonly owner: MegaflowOwner;
  readonly dependencies: readonly string[] | null;
  /** The actions as the kernel has them (abi.ts). */
  readonly program: Uint32Array;
  readonly hash: number;
  /** Megaflows that have it. */
  users = 0;
  /** The next of the same hash. */
  next: Answer | null = null;

  constructor(translation: Translation, program: Uint32Array, hash: number) {
    this.actions = translation.actions;
    this.owner = translation.owner;
    this.dependencies = translation.dependencies;
    this.program = program;
    this.hash = hash;
  }

  is(translation: Translation, words: Uint32Array, count: number): boolean {
    const { program } = this;
    if (program.length !== count) return false;
    for (let i = 0; i < count; i++) if (program[i] !== words[i]) return false;
    return this.owner.equals(translation.owner);
  }
}

/** How many answers of the same hash are compared: of more, equal ones are kept more than once. */
const TRIES = 8;

/** The answers in use, each with the number of its users. */
export class Answers {
  readonly #byHash = new Map<number, Answer>();
  /** Answers tend to repeat: the one given out last. */
  #last: Answer | null = null;

  /** The answer that a translation gives, whose program is the first `count` of `words`, for one more user. */
  take(translation: Translation, words: Uint32Array, count: number): Answer {
    const last = this.#last;
    const isLast = last?.is(translation, words, count) === true;
    const answer = isLast ? last : this.#find(translation, words, count);
    answer.users++;
    this.#last = answer;
    return answer;
  }

  /** One user less. */
  release(answer: Answer): void {
    if (--answer.users > 0) return;
    if (answer === this.#last) this.#last = null;
    const first = this.#byHash.get(answer.hash)!;
    if (first === answer) {
      if (answer.next === null) this.#byHash.delete(answer.hash);
      else this.#byHash.set(answer.hash, answer.next);
      return;
    }
    let before = first;
    while (before.next !== answer) before = before.next!;
    before.next = answer.next;
  }

  #find(translation: Translation, words: Uint32Array, count: number): Answer {
    let hash = translation.owner.hash();
    for (let i = 0; i < count; i++) {
      const mixed = Math.imul(hash ^ words[i]!, 0x85ebca6b);
      hash = (mixed << 15) | (mixed >>> 17);
    }
    const first = this.#byHash.get(hash) ?? null;
    let answer = first;
    for (let tries = TRIES; answer !== null && tries > 0; tries--) {
      if (answer.is(translation, words, count)) return answer;
      answer = answer.next;
    }
    const made = new Answer(translation, words.slice(0, count), hash);
    made.next = first;
    this.#byHash.set(hash, made);
    return made;
  }
}
