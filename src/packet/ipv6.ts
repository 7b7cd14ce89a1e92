// IPv6 header (RFC 8200, 3). Its extension headers are in ipv6-extension.ts.
import { formatIpv6, parseIpv6 } from "./address.ts";
import { concatBytes, get16, get32, put16, put32 } from "./bytes.ts";

export const IPV6_SIZE = 40;

export interface Ipv6 {
  readonly trafficClass: number;
  readonly label: number;
  /** Bytes after this header, as the header says. */
  readonly payloadSize: number;
  readonly nextHeader: number;
  readonly hopLimit: number;
  readonly src: string;
  readonly dst: string;
}

/** Null when the bytes are too few. */
export function readIpv6(bytes: Uint8Array, at = 0): Ipv6 | null {
  if (bytes.length < at + IPV6_SIZE) return null;
  const first = get32(bytes, at);
  return {
    trafficClass: (first >>> 20) & 0xff,
    label: first & 0xfffff,
    payloadSize: get16(bytes, at + 4),
    nextHeader: bytes[at + 6]!,
    hopLimit: bytes[at + 7]!,
    src: formatIpv6(bytes, at + 8),
    dst: formatIpv6(bytes, at + 24),
  };
}

/** The payload size is computed unless given. */
export function buildIpv6(
  header: Partial<Ipv6> & Pick<Ipv6, "src" | "dst" | "nextHeader">,
  payload: Uint8Array,
): Uint8Array {
  const out = new Uint8Array(IPV6_SIZE);
  put32(out, 0, ((6 << 28) | ((header.trafficClass ?? 0) << 20) | (header.label ?? 0)) >>> 0);
  put16(out, 4, header.payloadSize ?? payload.length);
  out[6] = header.nextHeader;
  out[7] = header.hopLimit ?? 64;
  out.set(parseIpv6(header.src), 8);
  out.set(parseIpv6(header.dst), 24);
  return concatBytes(out, payload);
}
