// ARP for IPv4 over Ethernet (RFC 826): hardware type 2 | protocol 2 | sizes 1, 1 | opcode 2 | sha 6 | spa 4 | tha 6 | tpa 4.
import { formatIpv4, formatMac, parseIpv4, parseMac } from "./address.ts";
import { get16, put16 } from "./bytes.ts";

export const ARP_SIZE = 28;
export const ARP_REQUEST = 1;
export const ARP_REPLY = 2;

export interface Arp {
  readonly hardware: number;
  readonly protocol: number;
  readonly hardwareSize: number;
  readonly protocolSize: number;
  readonly op: number;
  readonly sha: string;
  readonly spa: string;
  readonly tha: string;
  readonly tpa: string;
}

/** Null when the bytes are too few. The addresses mean something only for the usual types and sizes. */
export function readArp(bytes: Uint8Array, at = 0): Arp | null {
  if (bytes.length < at + ARP_SIZE) return null;
  return {
    hardware: get16(bytes, at),
    protocol: get16(bytes, at + 2),
    hardwareSize: bytes[at + 4]!,
    protocolSize: bytes[at + 5]!,
    op: get16(bytes, at + 6),
    sha: formatMac(bytes, at + 8),
    spa: formatIpv4(bytes, at + 14),
    tha: formatMac(bytes, at + 18),
    tpa: formatIpv4(bytes, at + 24),
  };
}

export function buildArp(header: Partial<Arp>): Uint8Array {
  const out = new Uint8Array(ARP_SIZE);
  put16(out, 0, header.hardware ?? 1);
  put16(out, 2, header.protocol ?? 0x0800);
  out[4] = header.hardwareSize ?? 6;
  out[5] = header.protocolSize ?? 4;
  put16(out, 6, header.op ?? ARP_REQUEST);
  out.set(parseMac(header.sha ?? "00:00:00:00:00:00"), 8);
  out.set(parseIpv4(header.spa ?? "0.0.0.0"), 14);
  out.set(parseMac(header.tha ?? "00:00:00:00:00:00"), 18);
  out.set(parseIpv4(header.tpa ?? "0.0.0.0"), 24);
  return out;
}
