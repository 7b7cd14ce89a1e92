// LLC and SNAP (RFC 1042): dsap, ssap, control, organisation 3, type 2, in a frame whose type field is a length.

import { concatBytes, get16, put16 } from "./bytes.ts";
import { buildEthernet, type Ethernet } from "./ethernet.ts";

export const LLC_SNAP_SIZE = 8;

export interface LlcSnap {
  readonly dsap: number;
  readonly ssap: number;
  readonly control: number;
  readonly organisation: number;
  readonly type: number;
}

/** Null when the bytes are too few. */
export function readLlcSnap(bytes: Uint8Array, at = 0): LlcSnap | null {
  if (bytes.length < at + LLC_SNAP_SIZE) return null;
  const organisation = (bytes[at + 3]! << 16) | get16(bytes, at + 4);
  return {
    dsap: bytes[at]!,
    ssap: bytes[at + 1]!,
    control: bytes[at + 2]!,
    organisation,
    type: get16(bytes, at + 6),
  };
}

/** A whole 802.3 frame; what is not given of the header is that of SNAP over Ethernet. */
export function buildLlcSnap(
  ethernet: Omit<Ethernet, "type">,
  header: Partial<LlcSnap>,
  payload: Uint8Array,
): Uint8Array {
  const out = new Uint8Array(LLC_SNAP_SIZE);
  out[0] = header.dsap ?? 0xaa;
  out[1] = header.ssap ?? 0xaa;
  out[2] = header.control ?? 3;
  const organisation = header.organisation ?? 0;
  out[3] = organisation >>> 16;
  put16(out, 4, organisation & 0xffff);
  put16(out, 6, header.type ?? 0);
  return buildEthernet({ ...ethernet, type: LLC_SNAP_SIZE + payload.length }, concatBytes(out, payload));
}
