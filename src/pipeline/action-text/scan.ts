// The one tokenizer of OpenFlow text: `key`, `key=value`, `key:value` and `key(value)`, separated by commas or blanks,
// as ovs-ofctl(8) and ovs-actions(7) describe. Flows, actions and the arguments inside parentheses are all made of these
// pairs, so every parser here walks its text with one Scanner.
//
//   a value after `=` or `:` ends at a blank or a comma outside parentheses
//   a value after `(` ends at its `)`; what follows `)->` belongs to it too: check_pkt_larger(100)->reg0[0] gives "100)->reg0[0]"

import { MegaflowError } from "../../lib/errors.ts";

const SPACE = 32;
const COMMA = 44;
const OPEN = 40;
const CLOSE = 41;
const COLON = 58;
const EQUALS = 61;

/** True for blank, tab, carriage return and line feed. */
function isBlank(c: number): boolean {
  return c === SPACE || c === 9 || c === 13 || c === 10;
}

/** Walks the pairs of a text; after `next()` returned true, `key` and `value` hold the pair (value "" when there is none). */
export class Scanner {
  readonly text: string;
  key = "";
  value = "";
  /** Offsets of the pair's key and value, counted in the outermost text. */
  keyAt = 0;
  valueAt = 0;
  readonly #base: number;
  #pos = 0;

  /** `base` is the offset of `text` in the outermost text, so that errors can tell their column. */
  constructor(text: string, base = 0) {
    this.text = text;
    this.#base = base;
  }

  next(): boolean {
    const text = this.text;
    const end = text.length;
    let i = this.#pos;
    while (i < end) {
      const c = text.charCodeAt(i);
      if (c !== COMMA && !isBlank(c)) break;
      i++;
    }
    if (i >= end) {
      this.#pos = i;
      return false;
    }
    const start = i;
    let delimiter = 0;
    while (i < end) {
      const c = text.charCodeAt(i);
      if (c === COMMA || c === EQUALS || c === COLON || c === OPEN || isBlank(c)) {
        delimiter = c;
        break;
      }
      i++;
    }
    this.key = text.slice(start, i);
    this.keyAt = this.#base + start;
    i++;
    if (delimiter !== EQUALS && delimiter !== COLON && delimiter !== OPEN) {
      this.value = "";
      this.valueAt = this.#base + Math.min(i - 1, end);
      this.#pos = i;
      return true;
    }
    const valueStart = i;
    if (delimiter === OPEN) {
      i = endOfParenthesis(text, i);
      if (text.startsWith(")->", i)) i = endOfPlainValue(text, i);
    } else {
      i = endOfPlainValue(text, i);
    }
    this.value = text.slice(valueStart, i);
    this.valueAt = this.#base + valueStart;
    this.#pos = i + 1;
    return true;
  }

  /** What follows the pair and the delimiter that ends it. */
  get rest(): string {
    return this.text.slice(this.#pos);
  }

  /** An error at the pair's key. */
  errorAtKey(message: string): MegaflowError {
    return new MegaflowError("ETEXT", message, { column: this.keyAt + 1 });
  }

  /** An error at the pair's value. */
  errorAtValue(message: string): MegaflowError {
    return new MegaflowError("ETEXT", message, { column: this.valueAt + 1 });
  }
}

/** Index of the blank or comma, outside parentheses, that ends a value starting at `i`; the length when there is none. */
function endOfPlainValue(text: string, i: number): number {
  const end = text.length;
  while (i < end) {
    const c = text.charCodeAt(i);
    if (c === COMMA || isBlank(c)) return i;
    i = c === OPEN ? afterNested(text, i) : i + 1;
  }
  return end;
}

/** Index of the `)` that ends a value which starts just after `(`; the length when there is none. */
function endOfParenthesis(text: string, i: number): number {
  const end = text.length;
  while (i < end) {
    const c = text.charCodeAt(i);
    if (c === CLOSE) return i;
    i = c === OPEN ? afterNested(text, i) : i + 1;
  }
  return end;
}

/** Index just after the `)` that matches the `(` at `i`. */
function afterNested(text: string, i: number): number {
  const end = text.length;
  let level = 0;
  for (; i < end; i++) {
    const c = text.charCodeAt(i);
    if (c === OPEN) level++;
    else if (c === CLOSE && --level === 0) return i + 1;
  }
  return end;
}
