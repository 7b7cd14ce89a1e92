// A VLAN tag (IEEE 802.1Q): tpid 2 | priority 3 bits, DEI 1, VLAN id 12. It stands before the frame's EtherType.

import { concatBytes, get16, put16 } from "./bytes.ts";
import { ETH_TYPE_VLAN } from "./ethernet.ts";

export const VLAN_SIZE = 4;
const TAG_AT = 12;

export interface Vlan {
  /** 0x8100 or 0x88a8. */
  readonly tpid: number;
  readonly vid: number;
  readonly pcp: number;
  readonly dei: boolean;
}

/** Reads the tag at `at`, where its tpid stands. Null when the bytes are too few. */
export function readVlan(bytes: Uint8Array, at = TAG_AT): Vlan | null {
  if (bytes.length < at + VLAN_SIZE) return null;
  const tci = get16(bytes, at + 2);
  return { tpid: get16(bytes, at), vid: tci & 0xfff, pcp: tci >>> 13, dei: (tci & 0x1000) !== 0 };
}

/** The frame with one more tag, outermost. */
export function pushVlan(frame: Uint8Array, tag: Partial<Vlan>): Uint8Array {
  const out = new Uint8Array(VLAN_SIZE);
  put16(out, 0, tag.tpid ?? ETH_TYPE_VLAN);
  put16(out, 2, ((tag.pcp ?? 0) << 13) | (tag.dei ? 0x1000 : 0) | (tag.vid ?? 0));
  return concatBytes(frame.subarray(0, TAG_AT), out, frame.subarray(TAG_AT));
}
