// A TAP device as a port: a network interface of the system whose other end is this process.
import { closeSync } from "node:fs";
import { MegaflowError } from "../lib/errors.ts";
import type { Device } from "./device.ts";
import { loadNativeShim, type NativeShim, type Watch } from "./native-shim.ts";

export interface TapOptions {
  /** At most 15 bytes; "" lets the kernel choose (tap0, tap1, ...). */
  readonly name: string;
  /** The network namespace that gets the interface: a name of `ip netns`, or a path. Default: our own. */
  readonly netns?: string;
}

/**
 * Frames go in and out of memory that the caller owns (the arena), up to 64 a call, without waiting. Errors: MegaflowError
 * EFILE when the device cannot be opened or fails, EUNSUPPORTED when native-shim is not built.
 */
export class TapPort implements Device {
  /** The interface's name in its namespace. */
  readonly name: string;
  readonly #shim: NativeShim;
  readonly #fd: number;
  #watch: Watch | null = null;

  private constructor(shim: NativeShim, fd: number, name: string) {
    this.#shim = shim;
    this.#fd = fd;
    this.name = name;
  }

  /** Makes the interface (down, without addresses), or attaches to one that has been made persistent. */
  static open({ name, netns }: TapOptions): TapPort {
    const shim = loadNativeShim();
    const path = netns === undefined ? null : netns.includes("/") ? netns : `/var/run/netns/${netns}`;
    try {
      const device = shim.openTap(name, path);
      return new TapPort(shim, device.fd, device.name);
    } catch (error) {
      throw deviceError(error);
    }
  }

  /**
   * Reads waiting frames, as many as `lengths` has room for and at most 64: frame i lies at `offset + i * slotSize`, a frame longer than
   * a slot is cut.
   */
  read(memory: Uint8Array, offset: number, slotSize: number, lengths: Uint32Array): number {
    try {
      return this.#shim.readFrames(this.#fd, memory, offset, slotSize, lengths);
    } catch (error) {
      throw deviceError(error);
    }
  }

  /** Sends frames; gives how many the device took, fewer than `count` when its queue is full. */
  write(memory: Uint8Array, offsets: Uint32Array, lengths: Uint32Array, count: number): number {
    try {
      return this.#shim.writeFrames(this.#fd, memory, offsets, lengths, count);
    } catch (error) {
      throw deviceError(error);
    }
  }

  /** Calls back whenever frames wait. One callback for a port; it keeps the process alive until close(). */
  onReadable(callback: () => void): void {
    if (this.#watch !== null) this.#shim.unwatch(this.#watch);
    this.#watch = this.#shim.watch(this.#fd, callback);
  }

  /** The interface goes, unless it is persistent. */
  close(): void {
    if (this.#watch !== null) this.#shim.unwatch(this.#watch);
    this.#watch = null;
    closeSync(this.#fd);
  }
}

/** The shim's errors as ours; anything else is a bug and stays what it is. */
function deviceError(error: unknown): unknown {
  // EBADFD, what a deleted interface gives, has no name in libuv.
  const isSystems =
    error instanceof Error &&
    "code" in error &&
    typeof error.code === "string" &&
    /^(E[A-Z]|Unknown system error)/.test(error.code);
  return isSystems ? new MegaflowError("EFILE", error.message) : error;
}
