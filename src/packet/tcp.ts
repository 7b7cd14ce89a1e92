// TCP header (RFC 9293, 3.1).
import { parseIp } from "./address.ts";
import { concatBytes, get16, get32, put16, put32 } from "./bytes.ts";
import { internetChecksum, pseudoHeaderSum } from "./checksum.ts";
import { PROTO_TCP } from "./ipv4.ts";

export const TCP_SIZE = 20;

export const TCP_FIN = 0x001;
export const TCP_SYN = 0x002;
export const TCP_RST = 0x004;
export const TCP_PSH = 0x008;
export const TCP_ACK = 0x010;
export const TCP_URG = 0x020;

export interface Tcp {
  readonly srcPort: number;
  readonly dstPort: number;
  readonly seq: number;
  readonly ack: number;
  /** Twelve bits: the three reserved ones and NS too. */
  readonly flags: number;
  readonly window: number;
  readonly checksum: number;
  readonly urgent: number;
  /** A multiple of 4 bytes, at most 40. */
  readonly options: Uint8Array;
}

/** Null when the bytes are fewer than the header. */
export function readTcp(bytes: Uint8Array, at = 0): Tcp | null {
  if (bytes.length < at + TCP_SIZE) return null;
  const size = (bytes[at + 12]! >>> 4) * 4;
  if (size < TCP_SIZE || bytes.length < at + size) return null;
  return {
    srcPort: get16(bytes, at),
    dstPort: get16(bytes, at + 2),
    seq: get32(bytes, at + 4),
    ack: get32(bytes, at + 8),
    flags: get16(bytes, at + 12) & 0xfff,
    window: get16(bytes, at + 14),
    checksum: get16(bytes, at + 16),
    urgent: get16(bytes, at + 18),
    options: bytes.slice(at + TCP_SIZE, at + size),
  };
}

/** The checksum is computed over `src` and `dst`, IPv4 or IPv6 addresses, unless given. */
export function buildTcp(header: Partial<Tcp>, payload: Uint8Array, src: string, dst: string): Uint8Array {
  const options = header.options ?? new Uint8Array(0);
  const out = concatBytes(new Uint8Array(TCP_SIZE), options, payload);
  put16(out, 0, header.srcPort ?? 0);
  put16(out, 2, header.dstPort ?? 0);
  put32(out, 4, header.seq ?? 0);
  put32(out, 8, header.ack ?? 0);
  put16(out, 12, (((TCP_SIZE + options.length) >>> 2) << 12) | (header.flags ?? TCP_ACK));
  put16(out, 14, header.window ?? 65535);
  put16(out, 18, header.urgent ?? 0);
  const seed = pseudoHeaderSum(parseIp(src), parseIp(dst), PROTO_TCP, out.length);
  put16(out, 16, header.checksum ?? internetChecksum(out, seed));
  return out;
}
