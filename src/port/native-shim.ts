// The native part of live ports (native-shim/), loaded when the first one is opened: replay, trace and parse run without it.
import { createRequire } from "node:module";
import { MegaflowError } from "../lib/errors.ts";

/** A watch on a file descriptor. */
export type Watch = object & { readonly __watch: unique symbol };

/** Frames one call of readFrames or writeFrames moves at most. */
export const SHIM_FRAMES_MAX = 64;

/** What native-shim/shim.h declares. Errors carry the system's `code` ("EPERM"). */
export interface NativeShim {
  /** Makes or opens a TAP device, "" for a name of the kernel's choice, in the namespace at the path `netns` or in our own. */
  openTap(name: string, netns: string | null): { readonly fd: number; readonly name: string };
  /** Reads waiting frames, frame i to `offset + i * slotSize`, its length to `lengths[i]`; how many. Never waits. */
  readFrames(fd: number, memory: Uint8Array, offset: number, slotSize: number, lengths: Uint32Array): number;
  /** Writes frames; how many the device took. Never waits. */
  writeFrames(
    fd: number,
    memory: Uint8Array,
    offsets: Uint32Array,
    lengths: Uint32Array,
    count: number,
  ): number;
  /** Calls back whenever there is something to read. */
  watch(fd: number, callback: () => void): Watch;
  /** Before the descriptor is closed. */
  unwatch(watch: Watch): void;
}

let loaded: NativeShim | null = null;

/** Throws MegaflowError EUNSUPPORTED when the shim has not been built. */
export function loadNativeShim(): NativeShim {
  if (loaded !== null) return loaded;
  // From dist/src/port, where this file runs.
  const path = new URL("../../../native-shim/build/Release/shim.node", import.meta.url).pathname;
  try {
    loaded = createRequire(import.meta.url)(path) as NativeShim;
  } catch (error) {
    const why = error instanceof Error ? error.message.split("\n")[0] : String(error);
    throw new MegaflowError(
      "EUNSUPPORTED",
      `live ports need native-shim, which cannot be loaded (${why}); install make, g++ and python3 and run npm ci again`,
    );
  }
  return loaded;
}
