// UDP header (RFC 768): source port 2 | destination port 2 | length 2 | checksum 2.
import { parseIp } from "./address.ts";
import { concatBytes, get16, put16 } from "./bytes.ts";
import { internetChecksum, pseudoHeaderSum } from "./checksum.ts";
import { PROTO_UDP } from "./ipv4.ts";

export const UDP_SIZE = 8;

export interface Udp {
  readonly srcPort: number;
  readonly dstPort: number;
  /** Header and payload in bytes, as the header says. */
  readonly length: number;
  /** Zero: none was computed. */
  readonly checksum: number;
}

/** Null when the bytes are too few. */
export function readUdp(bytes: Uint8Array, at = 0): Udp | null {
  if (bytes.length < at + UDP_SIZE) return null;
  return {
    srcPort: get16(bytes, at),
    dstPort: get16(bytes, at + 2),
    length: get16(bytes, at + 4),
    checksum: get16(bytes, at + 6),
  };
}

/** Length and checksum are computed unless given; a checksum of 0 is sent as 0xffff. */
export function buildUdp(header: Partial<Udp>, payload: Uint8Array, src: string, dst: string): Uint8Array {
  const out = concatBytes(new Uint8Array(UDP_SIZE), payload);
  put16(out, 0, header.srcPort ?? 0);
  put16(out, 2, header.dstPort ?? 0);
  put16(out, 4, header.length ?? out.length);
  const seed = pseudoHeaderSum(parseIp(src), parseIp(dst), PROTO_UDP, out.length);
  put16(out, 6, header.checksum ?? (internetChecksum(out, seed) || 0xffff));
  return out;
}
