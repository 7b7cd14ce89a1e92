// All rules by cookie: a controller that deletes by cookie finds its own among a million. It also decides in which order a
// flow-mod with an exact cookie takes up its rules, and with it the order of a dump: the first rule of a cookie, then the
// others, the youngest first (so OVS's index has it).
//
//   heads: cookie -> rule -> rule -> ...      cookieNext, cookiePrev: no allocation for a rule
import type { Rule } from "./rule.ts";

export class CookieIndex {
  private readonly heads = new Map<bigint, Rule>();

  add(rule: Rule): void {
    const head = this.heads.get(rule.cookie);
    if (head === undefined) {
      this.heads.set(rule.cookie, rule);
      return;
    }
    const next = head.cookieNext;
    rule.cookiePrev = head;
    rule.cookieNext = next;
    head.cookieNext = rule;
    if (next !== null) next.cookiePrev = rule;
  }

  remove(rule: Rule): void {
    const { cookiePrev: prev, cookieNext: next } = rule;
    if (next !== null) next.cookiePrev = prev;
    if (prev !== null) prev.cookieNext = next;
    else if (next !== null) this.heads.set(rule.cookie, next);
    else this.heads.delete(rule.cookie);
    rule.cookiePrev = null;
    rule.cookieNext = null;
  }

  /** The rules with just this cookie. */
  *rules(cookie: bigint): Generator<Rule> {
    for (let rule = this.heads.get(cookie) ?? null; rule !== null; rule = rule.cookieNext) yield rule;
  }
}
