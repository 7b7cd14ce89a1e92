// Connections that go from one kernel's table to another's, as they are. Of kernels with the same seed and zones, that use neither
// NAT nor helpers (what these remember stays behind).
import { CONN_COLD_SIZE, CONN_HOT_SIZE } from "./abi.ts";
import { indices, readConnection } from "./conntrack-dump.ts";
import type { Kernel } from "./kernel.ts";

const END_IS_SET = -1;

/** Moves the connections alive at `nowMs` whose addresses (4 or 16 bytes) are wanted; returns how many there was no room for: they have ended. */
export function moveConnections(
  from: Kernel,
  to: Kernel,
  isWanted: (src: Uint8Array, dst: Uint8Array) => boolean,
  nowMs: number,
): number {
  let lost = 0;
  for (const index of indices(from, nowMs)) {
    const { orig } = readConnection(from, index, nowMs);
    if (!isWanted(orig.src, orig.dst)) continue;
    const place: number = to.exports.conntrackAllocate(BigInt(nowMs));
    if (place >= 0) {
      copy(from, from.exports.conntrackHot(index), to, to.exports.conntrackHot(place), CONN_HOT_SIZE);
      copy(from, from.exports.conntrackCold(index), to, to.exports.conntrackCold(place), CONN_COLD_SIZE);
      to.exports.conntrackRestore(place, END_IS_SET, BigInt(nowMs));
    } else {
      lost++;
    }
    from.exports.conntrackRemove(index);
  }
  return lost;
}

function copy(from: Kernel, at: number, to: Kernel, target: number, size: number): void {
  to.bytes.set(from.bytes.subarray(at >>> 0, (at >>> 0) + size), target >>> 0);
}
