// The bits of a flow key that say which tunnel options (tun_metadata0 to 63) a frame has; in a mask, which were looked for.
import { O_TUN_METADATA_PRESENT } from "./layout.ts";

/** Sets the bit that says that option `index` is present. */
export function setPresent(bytes: Uint8Array, index: number): void {
  bytes[O_TUN_METADATA_PRESENT + 7 - (index >> 3)]! |= 1 << (index & 7);
}

export function clearPresent(bytes: Uint8Array, index: number): void {
  bytes[O_TUN_METADATA_PRESENT + 7 - (index >> 3)]! &= ~(1 << (index & 7));
}

export function isPresent(bytes: Uint8Array, index: number): boolean {
  return ((bytes[O_TUN_METADATA_PRESENT + 7 - (index >> 3)]! >> (index & 7)) & 1) !== 0;
}
