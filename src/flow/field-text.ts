// The value of one field in text: what stands after `NAME=` in a match and between `set_field:` and `->`.
import { MegaflowError } from "../lib/errors.ts";
import { formatMac } from "../packet/address.ts";
import { formatIpv4Masked, formatIpv6Masked, parseEthernet, parseIpv4, parseIpv6 } from "./address-text.ts";
import type { Field } from "./field.ts";
import {
  CT_STATE_NAMES,
  type FlagNames,
  formatFlagsMasked,
  parseFlags,
  TCP_FLAG_NAMES,
  TUN_FLAG_NAMES,
} from "./flags-text.ts";
import { formatPort, type PortResolver, parsePort } from "./port-text.ts";
import { portFromOxm, portToOxm } from "./subfield.ts";

/** A value and mask as they stand in OXM: `field.valueSize` bytes each, most significant first. */
export interface FieldValue {
  readonly value: Uint8Array;
  readonly mask: Uint8Array;
}

/** Parses the text of a value, with a mask where the field allows one. `*` means no bit. Throws ETEXT in OVS's words. */
export function parseField(field: Field, text: string, ports?: PortResolver): FieldValue {
  const value = new Uint8Array(field.valueSize);
  const mask = new Uint8Array(field.valueSize);
  parseFieldInto(field, text, ports, value, mask);
  return { value, mask };
}

/** The same into buffers of at least `field.valueSize` bytes. */
export function parseFieldInto(
  field: Field,
  text: string,
  ports: PortResolver | undefined,
  value: Uint8Array,
  mask: Uint8Array,
): void {
  const size = field.valueSize;
  if (text === "*") {
    value.fill(0, 0, size);
    mask.fill(0, 0, size);
    return;
  }
  switch (field.form) {
    case "decimal":
    case "hexadecimal":
      parseIntegers(field, text, value, mask);
      break;
    case "ethernet":
      parseEthernet(text, value, mask);
      break;
    case "ipv4":
      parseIpv4(text, value, mask);
      break;
    case "ipv6":
      parseIpv6(text, value, mask);
      break;
    case "ct_state":
      parseFlagsInto(CT_STATE_NAMES, text, size, value, mask);
      break;
    case "tcp_flags":
      parseFlagsInto(TCP_FLAG_NAMES, text, size, value, mask);
      break;
    case "tunnel_flags":
      parseFlagsInto(TUN_FLAG_NAMES, text, size, value, mask);
      break;
    case "of_port":
    case "of_port_oxm": {
      const port = parsePort(text, ports);
      if (port === undefined) {
        const what = size === 2 ? "invalid or unknown port for" : "port value out of range for";
        throw new MegaflowError("ETEXT", `${text}: ${what} ${field.name}`);
      }
      putNumber(size === 2 ? port : portToOxm(port), size, value);
      mask.fill(0xff, 0, size);
      break;
    }
    case "frag":
      parseFrag(text, value, mask);
      break;
    case "packet_type":
      parsePacketType(text, value);
      mask.fill(0xff, 0, 4);
      break;
  }
  if (!field.maskable && !isUniform(mask, size)) {
    throw new MegaflowError("ETEXT", `${text}: invalid mask for field ${field.name}`);
  }
}

/** As `set_field` prints it; the mask is left out when every bit is set. */
export function formatFieldValue(field: Field, value: Uint8Array, mask: Uint8Array | null = null): string {
  const size = field.valueSize;
  if (mask !== null) {
    if (mask.every((b) => b === 0)) return "ANY";
    if (mask.every((b) => b === 0xff)) mask = null;
  }
  const number = size <= 4 ? getNumber(value, size) : 0;
  const ones = size <= 4 && mask !== null ? getNumber(mask, size) : 0xffffffff;
  switch (field.form) {
    case "of_port":
      if (mask === null) return formatPort(number);
      break;
    case "of_port_oxm":
      if (mask === null) return formatPort(portFromOxm(number));
      break;
    case "ethernet": {
      const text = formatMac(value, 0);
      return mask === null ? text : `${text}/${formatMac(mask, 0)}`;
    }
    case "ipv4":
      return formatIpv4Masked(value, mask ?? ALL_ONES, 0);
    case "ipv6":
      return formatIpv6Masked(value, mask ?? ALL_ONES, 0);
    case "ct_state":
      return formatFlagsMasked(CT_STATE_NAMES, number, mask === null ? -1 : ones, 0xffff);
    case "tcp_flags":
      return formatFlagsMasked(TCP_FLAG_NAMES, number, ones & 0xfff, 0xfff);
    case "tunnel_flags":
      return formatFlagsMasked(TUN_FLAG_NAMES, number, ones & 1, 1);
    case "frag":
      return FRAG_TEXT[ones & 3]?.[number & ones & 3] ?? "<error>";
    case "packet_type":
      return formatPacketType(number, ones);
    default:
      break;
  }
  const text = field.form === "hexadecimal" ? formatHex(value, size) : getInteger(value, size).toString();
  return mask === null ? text : `${text}/${formatHex(mask, size)}`;
}

/** `0x` and the digits without leading zeros; `0` for zero. */
export function formatHex(bytes: Uint8Array, size: number, at = 0): string {
  let text = "";
  for (let i = at; i < at + size; i++) {
    if (text !== "") text += bytes[i]!.toString(16).padStart(2, "0");
    else if (bytes[i] !== 0) text = "0x" + bytes[i]!.toString(16);
  }
  return text === "" ? "0" : text;
}

/** `eth` for Ethernet, else `packet_type=(NS,TYPE)`, each part masked if it must be. */
export function formatPacketType(value: number, mask: number): string {
  if (value === 0 && mask === 0xffffffff) return "eth";
  const part = (v: number, m: number): string => {
    if (m === 0) return "*";
    const text = v > 9 ? "0x" + v.toString(16) : String(v);
    return m === 0xffff ? text : `${text}/0x${m.toString(16)}`;
  };
  return `packet_type=(${part(value >>> 16, mask >>> 16)},${part(value & 0xffff, mask & 0xffff)})`;
}

/** Texts of nw_frag by mask (1 any, 2 later, 3 both) and value. */
export const FRAG_TEXT: Readonly<Record<number, readonly string[]>> = {
  1: ["no", "yes"],
  2: ["not_later", "<error>", "later"],
  3: ["no", "first", "<error>", "later"],
};

const ALL_ONES = new Uint8Array(16).fill(0xff);

/** The first `size` (at most 4) bytes as a number. */
export function getNumber(bytes: Uint8Array, size: number): number {
  let n = 0;
  for (let i = 0; i < size; i++) n = (n << 8) | bytes[i]!;
  return n >>> 0;
}

/** The same for any size. */
export function getInteger(bytes: Uint8Array, size: number): bigint {
  let n = 0n;
  for (let i = 0; i < size; i++) n = (n << 8n) | BigInt(bytes[i]!);
  return n;
}

function putNumber(n: number, size: number, out: Uint8Array): void {
  for (let i = size - 1; i >= 0; i--) {
    out[i] = n & 0xff;
    n = Math.floor(n / 256);
  }
}

function parseFlagsInto(
  set: FlagNames,
  text: string,
  size: number,
  value: Uint8Array,
  mask: Uint8Array,
): void {
  const { flags, mask: bits } = parseFlags(set, text);
  putNumber(flags, size, value);
  if (bits === -1) mask.fill(0xff, 0, size);
  else putNumber(bits, size, mask);
}

/** Values that several masks may go with take the one that matches most bits, as OVS's do. */
function parseFrag(text: string, value: Uint8Array, mask: Uint8Array): void {
  const found = {
    no: [0, 3],
    first: [1, 3],
    later: [3, 3],
    yes: [1, 1],
    not_later: [0, 2],
  }[text.toLowerCase()];
  if (found === undefined) {
    throw new MegaflowError(
      "ETEXT",
      `${text}: unknown fragment type (valid types are "no", "yes", "first", "later", "not_later"`,
    );
  }
  value[0] = found[0]!;
  mask[0] = found[1]! | 0xfc;
}

/** `(NS,TYPE)`. The texts in the errors are what was left to read, as in OVS. */
function parsePacketType(text: string, value: Uint8Array): void {
  const bad = (rest: string, what: string): MegaflowError =>
    new MegaflowError("ETEXT", `${rest}: bad syntax for packet type ${what}`);
  if (!text.startsWith("(")) throw bad(text, "missing '('");
  let rest = text.slice(1);
  for (const [at, what, delimiter] of [
    [0, "ns", ","],
    [2, "ns_type", ")"],
  ] as const) {
    const digits = INTEGER_PREFIX.exec(rest);
    const out = value.subarray(at, at + 2);
    if (digits === null || !parseInteger(digits[0].replace(BLANKS, ""), 2, out)) throw bad(rest, what);
    if (rest[digits[0].length] !== delimiter) throw bad(rest, `missing '${delimiter}'`);
    rest = rest.slice(digits[0].length + 1);
  }
}

const INTEGER_PREFIX =
  /^[ \t\r\n]*(?:0[xX](?:[ \t\r\n]*[0-9a-fA-F])*[ \t\r\n]*|[+-]?(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9]\d*))/;
const SMALL = /^(?:0|[1-9]\d{0,8})$/;

/**
 * Reads a number into `size` bytes: decimal, hexadecimal, octal with a leading 0, as OVS reads them (a negative one wraps
 * at 64 bits, and only hexadecimal may be wider than that). False when it does not fit.
 */
export function parseInteger(text: string, size: number, out: Uint8Array): boolean {
  if (SMALL.test(text)) {
    const n = Number(text);
    if (size < 4 && n >= 2 ** (8 * size)) return false;
    putNumber(n, size, out);
    return true;
  }
  text = text.trimEnd();
  if (text.startsWith("0x") || text.startsWith("0X")) {
    let i = size - 1;
    let at = text.length;
    for (; i >= 0; i--) {
      const from = Math.max(2, at - 2);
      out[i] = from < at ? Number.parseInt(text.slice(from, at), 16) : 0;
      at = from;
    }
    for (let j = 2; j < at; j++) if (text[j] !== "0") return false;
    return true;
  }
  const digits = text.replace(/^[+-]/, "");
  let n = BigInt(/^0[0-7]+$/.test(digits) ? "0o" + digits : digits);
  if (text[0] === "-") n = -n;
  if (n <= -(1n << 64n)) return false;
  if (n < 0n) n += 1n << 64n;
  if (n < 0n || n >= 1n << 64n) return false;
  if (size < 8 && n >= 1n << BigInt(8 * size)) return false;
  for (let i = size - 1; i >= 0; i--) {
    out[i] = Number(n & 0xffn);
    n >>= 8n;
  }
  return true;
}

/** `value` or `value/mask`. */
function parseIntegers(field: Field, text: string, value: Uint8Array, mask: Uint8Array): void {
  const slash = text.indexOf("/");
  parseOne(field, text, slash < 0 ? text : text.slice(0, slash), "value", value);
  if (slash < 0) mask.fill(0xff, 0, field.valueSize);
  else parseOne(field, text, text.slice(slash + 1), "mask", mask);
}

function parseOne(field: Field, text: string, part: string, what: string, out: Uint8Array): void {
  // A number that is too large is an error whatever follows it.
  const digits = INTEGER_START.exec(part);
  const fits = digits !== null && parseInteger(digits[1]!.replace(BLANKS, ""), field.valueSize, out);
  if (digits === null || (fits && digits[0].length !== part.length)) {
    throw new MegaflowError("ETEXT", `${text}: bad syntax for ${field.name} ${what}`);
  }
  if (!fits) {
    throw new MegaflowError(
      "ETEXT",
      `${text}: ${what} too large for ${field.valueSize}-byte field ${field.name}`,
    );
  }
}

/** Hexadecimal digits may stand apart. */
const INTEGER_START =
  /^[ \t\r\n]*(0[xX](?:[ \t\r\n]*[0-9a-fA-F])*[ \t\r\n]*|[+-]?(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9]\d*))/;
const BLANKS = /[ \t\r\n]+/g;

/** All bits zero or all bits one. */
function isUniform(bytes: Uint8Array, size: number): boolean {
  const first = bytes[0]!;
  if (first !== 0 && first !== 0xff) return false;
  for (let i = 1; i < size; i++) if (bytes[i] !== first) return false;
  return true;
}
