// Geneve (RFC 8926): version 2, length of the options in words 6 | O, C, reserved 6 | protocol 16 | VNI 24 | reserved 8 | options,
// behind UDP. An option: class 16 | type 8 (its high bit: critical) | reserved 3, length in words 5 | value.
import { concatBytes, get16, get32, put16, put32 } from "./bytes.ts";

export const GENEVE_BASE_SIZE = 8;
const OPTION_HEADER_SIZE = 4;
const OPTIONS_SIZE_MAX = 63 * 4;
const OPTION_SIZE_MAX = 31 * 4;
const OAM = 0x80;
const CRITICAL = 0x40;
/** Of an option's type: a receiver that does not know the option must drop the frame. */
export const GENEVE_TYPE_CRITICAL = 0x80;
/** Protocol of an Ethernet frame. */
export const TRANSPARENT_ETHERNET = 0x6558;

export interface GeneveOption {
  readonly optionClass: number;
  readonly type: number;
  /** A whole number of words, at most 124 bytes. */
  readonly value: Uint8Array;
}

export interface Geneve {
  readonly vni: number;
  /** A control message. */
  readonly oam: boolean;
  /** Some option is critical. */
  readonly critical: boolean;
  readonly protocol: number;
  readonly options: readonly GeneveOption[];
  /** Bytes of the header with its options. */
  readonly size: number;
}

/** Null when the version is not 0, or the bytes are fewer than the header or one of its options says. */
export function readGeneve(bytes: Uint8Array, at = 0): Geneve | null {
  if (bytes.length < at + GENEVE_BASE_SIZE) return null;
  const first = bytes[at]!;
  const size = GENEVE_BASE_SIZE + (first & 0x3f) * 4;
  if (first >>> 6 !== 0 || bytes.length < at + size) return null;
  const options: GeneveOption[] = [];
  let next = at + GENEVE_BASE_SIZE;
  const end = at + size;
  while (next < end) {
    // All lengths are whole words: what is left has room for an option's header.
    const length = (bytes[next + 3]! & 0x1f) * 4;
    const value = next + OPTION_HEADER_SIZE;
    if (value + length > end) return null;
    options.push({
      optionClass: get16(bytes, next),
      type: bytes[next + 2]!,
      value: bytes.slice(value, value + length),
    });
    next = value + length;
  }
  return {
    vni: get32(bytes, at + 4) >>> 8,
    oam: (bytes[at + 1]! & OAM) !== 0,
    critical: (bytes[at + 1]! & CRITICAL) !== 0,
    protocol: get16(bytes, at + 2),
    options,
    size,
  };
}

/** Sets the critical bit when an option has it. Throws RangeError when the options do not fit or are not whole words. */
export function buildGeneve(
  header: { vni: number } & Partial<Omit<Geneve, "size" | "critical">>,
): Uint8Array {
  const { vni, oam = false, protocol = TRANSPARENT_ETHERNET, options = [] } = header;
  const parts = options.map(buildOption);
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  if (size > OPTIONS_SIZE_MAX) throw new RangeError(`${size} bytes of options; ${OPTIONS_SIZE_MAX} fit`);
  const out = new Uint8Array(GENEVE_BASE_SIZE);
  out[0] = size / 4;
  if (oam) out[1]! |= OAM;
  if (options.some(({ type }) => (type & GENEVE_TYPE_CRITICAL) !== 0)) out[1]! |= CRITICAL;
  put16(out, 2, protocol);
  put32(out, 4, (vni << 8) >>> 0);
  return concatBytes(out, ...parts);
}

function buildOption({ optionClass, type, value }: GeneveOption): Uint8Array {
  if (value.length % 4 !== 0 || value.length > OPTION_SIZE_MAX) {
    throw new RangeError(`an option of ${value.length} bytes`);
  }
  const out = new Uint8Array(OPTION_HEADER_SIZE + value.length);
  put16(out, 0, optionClass);
  out[2] = type;
  out[3] = value.length / 4;
  out.set(value, OPTION_HEADER_SIZE);
  return out;
}
