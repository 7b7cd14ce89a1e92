// VXLAN (RFC 7348): flags 8 | reserved 24 | VNI 24 | reserved 8, behind UDP and before an Ethernet frame. With a group policy
// (draft-smith-vxlan-group-policy) the reserved bytes behind the flags are: policy flags 8 | policy id 16.
import { get16, get32, put16, put32 } from "./bytes.ts";

export const VXLAN_SIZE = 8;
const HAS_VNI = 0x08;
const HAS_POLICY = 0x80;

export interface Vxlan {
  readonly vni: number;
  /** Group policy: id and flags; null for none. */
  readonly policy: { readonly id: number; readonly flags: number } | null;
  /** Bytes of the header. */
  readonly size: number;
}

/** Null when the bytes end within the header or it has no VNI. Reserved bits are ignored, as the RFC demands. */
export function readVxlan(bytes: Uint8Array, at = 0): Vxlan | null {
  if (bytes.length < at + VXLAN_SIZE) return null;
  const flags = bytes[at]!;
  if ((flags & HAS_VNI) === 0) return null;
  const policy = (flags & HAS_POLICY) === 0 ? null : { id: get16(bytes, at + 2), flags: bytes[at + 1]! };
  return { vni: get32(bytes, at + 4) >>> 8, policy, size: VXLAN_SIZE };
}

export function buildVxlan({
  vni,
  policy = null,
}: Omit<Vxlan, "size" | "policy"> & Partial<Vxlan>): Uint8Array {
  const out = new Uint8Array(VXLAN_SIZE);
  out[0] = HAS_VNI;
  if (policy !== null) {
    out[0] |= HAS_POLICY;
    out[1] = policy.flags;
    put16(out, 2, policy.id);
  }
  put32(out, 4, (vni << 8) >>> 0);
  return out;
}
