// A TAP device as a port: a network interface of the system whose other end is this process.
import type { Link } from "./device.ts";
import { deviceError, openDevice, SystemDevice } from "./system-device.ts";

export interface TapOptions {
  /** At most 15 bytes; "" lets the kernel choose (tap0, tap1, ...). */
  readonly name: string;
  /** The network namespace that gets the interface: a name of `ip netns`, or a path. Default: our own. */
  readonly netns?: string | undefined;
  /** What the interface gets; the system's default is 1500. */
  readonly mtu?: number | undefined;
}

/**
 * Frames go in and out of memory that the caller owns (the arena), up to 64 a call, without waiting. Errors: MegaflowError
 * EFILE when the device cannot be opened or fails, EUNSUPPORTED when native-shim is not built.
 */
export class TapPort extends SystemDevice {
  /** Makes the interface (down, without addresses), or attaches to one that has been made persistent. */
  static open({ name, netns, mtu }: TapOptions): TapPort {
    const [shim, opened] = openDevice(
      { what: "TAP device", name, netns, capability: "CAP_NET_ADMIN" },
      (shim, path) => shim.openTap(name, path),
    );
    const port = new TapPort(shim, opened);
    if (mtu === undefined) return port;
    try {
      shim.setMtu(opened.control, opened.name, mtu);
    } catch (error) {
      port.close();
      throw deviceError(error);
    }
    return port;
  }

  /**
   * Reads waiting frames, as many as `lengths` has room for and at most 64: frame i lies at `offset + i * slotSize`, a frame longer than
   * a slot is cut.
   */
  override read(
    memory: Uint8Array,
    offset: number,
    slotSize: number,
    lengths: Uint32Array,
    segments: Uint32Array,
  ): number {
    try {
      return this.shim.readFrames(this.opened.fd, memory, offset, slotSize, lengths, segments);
    } catch (error) {
      throw deviceError(error);
    }
  }

  /** Sends frames; gives how many the device took, fewer than `count` when its queue is full. */
  override write(
    memory: Uint8Array,
    offsets: Uint32Array,
    lengths: Uint32Array,
    count: number,
    segments: Uint32Array,
  ): number {
    try {
      return this.shim.writeFrames(this.opened.fd, memory, offsets, lengths, segments, count);
    } catch (error) {
      throw deviceError(error);
    }
  }

  /** Null when the interface has another name or namespace by now: that is not our business, it works on. */
  override link(): Link | null {
    return this.shim.link(this.opened.control, this.name);
  }
}
