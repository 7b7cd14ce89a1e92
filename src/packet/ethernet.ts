// Ethernet II header (IEEE 802.3): dst 6 | src 6 | EtherType or length 2.
import { formatMac, parseMac } from "./address.ts";
import { concatBytes, get16, put16 } from "./bytes.ts";

export const ETHERNET_SIZE = 14;

export const ETH_TYPE_IPV4 = 0x0800;
export const ETH_TYPE_ARP = 0x0806;
export const ETH_TYPE_RARP = 0x8035;
export const ETH_TYPE_VLAN = 0x8100;
export const ETH_TYPE_IPV6 = 0x86dd;
export const ETH_TYPE_MPLS = 0x8847;
export const ETH_TYPE_MPLS_MULTICAST = 0x8848;
export const ETH_TYPE_SERVICE_VLAN = 0x88a8;
export const ETH_TYPE_NSH = 0x894f;

export interface Ethernet {
  readonly dst: string;
  readonly src: string;
  /** EtherType, or below 0x600 the length of what follows. */
  readonly type: number;
}

/** Null when the bytes are too few. */
export function readEthernet(bytes: Uint8Array, at = 0): Ethernet | null {
  if (bytes.length < at + ETHERNET_SIZE) return null;
  return { dst: formatMac(bytes, at), src: formatMac(bytes, at + 6), type: get16(bytes, at + 12) };
}

export function buildEthernet(header: Ethernet, payload: Uint8Array): Uint8Array {
  const out = new Uint8Array(ETHERNET_SIZE);
  out.set(parseMac(header.dst));
  out.set(parseMac(header.src), 6);
  put16(out, 12, header.type);
  return concatBytes(out, payload);
}
