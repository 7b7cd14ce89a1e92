// Neighbour solicitation and advertisement (RFC 4861, 4.3, 4.4, 4.6.1), which are ICMPv6.
import { formatIpv6, formatMac, parseIpv6, parseMac } from "./address.ts";
import { concatBytes, get32 } from "./bytes.ts";
import { buildIcmpv6, ICMP_SIZE } from "./icmp.ts";

export const NEIGHBOUR_SOLICITATION = 135;
export const NEIGHBOUR_ADVERTISEMENT = 136;
export const OPTION_SOURCE_ADDRESS = 1;
export const OPTION_TARGET_ADDRESS = 2;
const NEIGHBOUR_SIZE = ICMP_SIZE + 16;
const OPTION_SIZE = 8;

export interface NeighbourOption {
  readonly type: number;
  readonly mac: string;
}

export interface Neighbour {
  /** NEIGHBOUR_SOLICITATION or NEIGHBOUR_ADVERTISEMENT. */
  readonly type: number;
  /** The 32 bits after the checksum: router, solicited and override flags of an advertisement. */
  readonly reserved: number;
  readonly target: string;
  /** The link-layer address options, in order; other options are not kept. */
  readonly options: readonly NeighbourOption[];
}

/** Null when the bytes are too few or are another message. A broken option ends the list. */
export function readNeighbour(bytes: Uint8Array, at = 0): Neighbour | null {
  if (bytes.length < at + NEIGHBOUR_SIZE) return null;
  const type = bytes[at]!;
  if (type !== NEIGHBOUR_SOLICITATION && type !== NEIGHBOUR_ADVERTISEMENT) return null;
  const options: NeighbourOption[] = [];
  for (let next = at + NEIGHBOUR_SIZE; next + OPTION_SIZE <= bytes.length; ) {
    const size = bytes[next + 1]! * 8;
    if (size === 0 || next + size > bytes.length) break;
    const kind = bytes[next]!;
    if (size === OPTION_SIZE && (kind === OPTION_SOURCE_ADDRESS || kind === OPTION_TARGET_ADDRESS)) {
      options.push({ type: kind, mac: formatMac(bytes, next + 2) });
    }
    next += size;
  }
  return { type, reserved: get32(bytes, at + 4), target: formatIpv6(bytes, at + ICMP_SIZE), options };
}

/** The ICMPv6 message from `src` to `dst`. */
export function buildNeighbour(message: Partial<Neighbour>, src: string, dst: string): Uint8Array {
  const options = (message.options ?? []).map((option) =>
    concatBytes(Uint8Array.of(option.type, 1), parseMac(option.mac)),
  );
  const data = concatBytes(parseIpv6(message.target ?? "::"), ...options);
  return buildIcmpv6(
    { type: message.type ?? NEIGHBOUR_SOLICITATION, rest: message.reserved ?? 0 },
    data,
    src,
    dst,
  );
}
