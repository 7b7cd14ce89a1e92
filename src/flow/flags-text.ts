// Named bits in text: ct_state, tcp_flags and tun_flags, in both of OVS's forms: `new|trk` (all bits matter) and `+trk-inv`.
import { MegaflowError } from "../lib/errors.ts";

/** The names of a flag field, by bit from the lowest; `what` is how OVS calls them in errors. */
export interface FlagNames {
  readonly what: string;
  readonly names: readonly string[];
  /** The bits that may be given in text. */
  readonly allowed: number;
}

export const CT_STATE_NAMES: FlagNames = {
  what: "ct_state",
  names: ["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"],
  allowed: 0xff,
};

export const TCP_FLAG_NAMES: FlagNames = {
  what: "TCP",
  names: ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]"],
  allowed: 0xfff,
};

/** Matches may name oam alone; the others are printed for flows. */
export const TUN_FLAG_NAMES: FlagNames = { what: "tunnel", names: ["oam", "df", "csum", "key"], allowed: 1 };

/** `a|b`, or 0 when no bit is set. */
export function formatFlags(set: FlagNames, flags: number): string {
  if (flags === 0) return "0";
  let text = "";
  for (let i = 0; i < set.names.length; i++) {
    if (flags & (1 << i)) text += (text === "" ? "" : "|") + set.names[i];
  }
  const others = (flags >>> set.names.length) * 2 ** set.names.length;
  if (others !== 0) text += `${text === "" ? "" : "|"}0x${others.toString(16)}`;
  return text;
}

/** Letters of TCP's flags by bit, in the order they are printed: as packets are described, `SFP.`. */
const TCP_FLAG_LETTERS: readonly (readonly [bit: number, letter: string])[] = [
  [0x002, "S"],
  [0x001, "F"],
  [0x008, "P"],
  [0x004, "R"],
  [0x020, "U"],
  [0x010, "."],
  [0x040, "E"],
  [0x080, "C"],
  [0x100, "N"],
  [0x200, "[200]"],
  [0x400, "[400]"],
  [0x800, "[800]"],
];

/** TCP flags as statistics show them: a letter each. */
export function formatTcpFlagLetters(flags: number): string {
  return TCP_FLAG_LETTERS.map(([bit, letter]) => (flags & bit ? letter : "")).join("");
}

/** `a|b` when the mask is `whole`, else `+a-b`. */
export function formatFlagsMasked(set: FlagNames, flags: number, mask: number, whole: number): string {
  if (mask === whole) return formatFlags(set, flags);
  if (mask === 0) return "0/0";
  let text = "";
  for (let i = 0; i < 32; i++) {
    if (mask & (1 << i)) text += (flags & (1 << i) ? "+" : "-") + (set.names[i] ?? "[Unknown]");
  }
  return text;
}

/** What parseFlags found. A mask of -1 means: every bit of the field. */
export interface ParsedFlags {
  flags: number;
  mask: number;
}

const INTEGER = "[+-]?(?:0[xX][0-9a-fA-F]+|\\d+)";
const FLAGS_AND_MASK = new RegExp(`^(${INTEGER})/(${INTEGER})$`);
const LEADING_INTEGER = new RegExp(`^${INTEGER}`);

/** Reads `value/mask`, `+a-b`, `a|b` or a number. Throws ETEXT in OVS's words. */
export function parseFlags(set: FlagNames, text: string): ParsedFlags {
  const both = FLAGS_AND_MASK.exec(text);
  if (both !== null) {
    const flags = toInteger(both[1]!);
    const mask = toInteger(both[2]!);
    if ((flags | mask) & ~set.allowed) throw unknown(set, text);
    return { flags, mask };
  }
  const first = text.charCodeAt(0);
  return first === 0x2b || first === 0x2d ? parseSigned(set, text) : parseListed(set, text);
}

/** `+a-b` */
function parseSigned(set: FlagNames, text: string): ParsedFlags {
  let flags = 0;
  let mask = 0;
  let at = 0;
  while (at < text.length) {
    const on = text[at] === "+";
    let end = ++at;
    while (end < text.length && text[end] !== "+" && text[end] !== "-") end++;
    const bit = set.names.indexOf(text.slice(at, end));
    if (bit >= 0 && mask & (1 << bit)) {
      throw new MegaflowError("ETEXT", `${text.slice(at)}: Each ${set.what} flag can be specified only once`);
    }
    if (bit < 0 || !(set.allowed & (1 << bit))) throw unknown(set, text.slice(at));
    mask |= 1 << bit;
    if (on) flags |= 1 << bit;
    at = end;
  }
  return { flags, mask };
}

/** `a|b|0x10` */
function parseListed(set: FlagNames, text: string): ParsedFlags {
  let flags = 0;
  let at = 0;
  while (at < text.length) {
    const number = LEADING_INTEGER.exec(text.slice(at));
    if (number !== null) {
      const value = toInteger(number[0]);
      if (value & ~set.allowed) throw unknown(set, text);
      flags |= value;
      at += number[0].length;
      if (text[at] === "|") at++;
      continue;
    }
    const bar = text.indexOf("|", at);
    const end = bar < 0 ? text.length : bar;
    const bit = set.names.indexOf(text.slice(at, end));
    if (bit < 0 || !(set.allowed & (1 << bit))) throw unknown(set, text);
    flags |= 1 << bit;
    at = bar < 0 ? end : end + 1;
  }
  return { flags, mask: -1 };
}

/** As scanf's %i reads one: 0x for hexadecimal, a leading 0 for octal. */
function toInteger(text: string): number {
  const digits = text.replace(/^[+-]/, "");
  const value = BigInt(/^0[0-7]+$/.test(digits) ? `0o${digits}` : digits);
  return Number(BigInt.asIntN(32, text.startsWith("-") ? -value : value));
}

function unknown(set: FlagNames, text: string): MegaflowError {
  return new MegaflowError("ETEXT", `${text}: unknown ${set.what} flag(s)`);
}
