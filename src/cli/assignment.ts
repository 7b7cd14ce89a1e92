// Arguments of the form LEFT=RIGHT, and numbers in arguments.
import { MegaflowError } from "../lib/errors.ts";
import { OFPP_LOCAL, OFPP_MAX } from "../pipeline/action.ts";

/** Splits at the first `=`; `form` says in the error what was wanted. */
export function splitAssignment(text: string, form: string): [left: string, right: string] {
  const at = text.indexOf("=");
  if (at <= 0 || at === text.length - 1) throw new MegaflowError("EARGS", `${form} is wanted, not "${text}"`);
  return [text.slice(0, at), text.slice(at + 1)];
}

/** An OpenFlow port number: 1 to 65279, or LOCAL. */
export function portNumber(text: string, form: string): number {
  if (text.toUpperCase() === "LOCAL") return OFPP_LOCAL;
  const no = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (no === OFPP_LOCAL || (no >= 1 && no < OFPP_MAX)) return no;
  throw new MegaflowError("EARGS", `${form}: "${text}" is no port number (1 to ${OFPP_MAX - 1}, or LOCAL)`);
}

/** A whole number of at least `least`. */
export function wholeNumber(text: string, option: string, least: number): number {
  const n = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(n) && n >= least) return n;
  throw new MegaflowError("EARGS", `${option} wants a whole number of at least ${least}, not "${text}"`);
}

/** A whole number of at most `max`. */
export function wholeUpTo(text: string, max: number, form: string): number {
  const n = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (n <= max) return n;
  throw new MegaflowError("EARGS", `${form}: "${text}" is no whole number up to ${max}`);
}

/** Some 31 years: more is a date, where the time since the first frame is wanted. */
const SECONDS_MAX = 1e9;

/** `+SECONDS`, or SECONDS, to nanoseconds. */
export function secondsToNs(text: string, form: string): number {
  if (!/^\+?\d+(\.\d+)?$/.test(text)) {
    throw new MegaflowError("EARGS", `${form}: "${text}" is no time in seconds, such as +2.5`);
  }
  if (Number(text) > SECONDS_MAX) {
    throw new MegaflowError(
      "EARGS",
      `${form}: ${text} is too long after the first frame (at most ${SECONDS_MAX})`,
    );
  }
  return Math.round(Number(text) * 1e9);
}
