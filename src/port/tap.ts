// A TAP device as a port: a network interface of the system whose other end is this process.
import type { Link } from "./device.ts";
import type { Opened } from "./native-shim.ts";
import { deviceError, openDevice, SystemDevice } from "./system-device.ts";

export interface TapOptions {
  /** At most 15 bytes; "" lets the kernel choose (tap0, tap1, ...). */
  readonly name: string;
  /** The network namespace that gets the interface: a name of `ip netns`, or a path. Default: our own. */
  readonly netns?: string | undefined;
  /** What the interface gets; the system's default is 1500. */
  readonly mtu?: number | undefined;
  /** Queues of the interface; default 1. */
  readonly queues?: number | undefined;
}

/**
 * Frames go in and out of memory that the caller owns (the arena), up to 64 a call, without waiting. Errors: MegaflowError
 * EFILE when the device cannot be opened or fails, EUNSUPPORTED when native-shim is not built.
 */
export class TapPort extends SystemDevice {
  /** Makes the interface (down, without addresses), or attaches to one that has been made persistent. */
  static open({ name, netns, mtu, queues = 1 }: TapOptions): TapPort {
    const opened: Opened[] = [];
    const open = (what: string) =>
      openDevice({ what: "TAP device", name: what, netns, capability: "CAP_NET_ADMIN" }, (shim, path) =>
        shim.openTap(what, path, queues > 1),
      );
    const [shim, first] = open(name);
    opened.push(first);
    try {
      while (opened.length < queues) opened.push(open(first.name)[1]);
    } catch (error) {
      new TapPort(shim, opened, shim.readFrames, shim.writeFrames).close();
      throw error;
    }
    const port = new TapPort(shim, opened, shim.readFrames, shim.writeFrames);
    if (mtu === undefined) return port;
    try {
      shim.setMtu(first.control, first.name, mtu);
    } catch (error) {
      port.close();
      throw deviceError(error);
    }
    return port;
  }

  /** Null when the interface has another name or namespace by now: that is not our business, it works on. */
  override link(): Link | null {
    return this.shim.link(this.opened.control, this.name);
  }
}
