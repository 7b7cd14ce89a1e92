// An interface that is there already as a port: the end of a veth, a network card. A packet socket takes what arrives there, before
// the system's own stack has it (which gets it too), and sends.
import { MegaflowError } from "../lib/errors.ts";
import type { Link } from "./device.ts";
import { openDevice, SystemDevice } from "./system-device.ts";

export interface PacketPortOptions {
  readonly name: string;
  /** The network namespace that has the interface: a name of `ip netns`, or a path. Default: our own. */
  readonly netns?: string | undefined;
}

/**
 * Up to 64 frames a call, without waiting; checksums that the sender left to the interface are complete, VLAN tags are in the frame.
 * Errors: MegaflowError EFILE when the interface is not there, is gone or fails, EUNSUPPORTED when native-shim is not built.
 */
export class PacketPort extends SystemDevice {
  static open({ name, netns }: PacketPortOptions): PacketPort {
    const [shim, opened] = openDevice(
      { what: "interface", name, netns, capability: "CAP_NET_RAW" },
      (shim, path) => shim.openPacket(name, path),
    );
    return new PacketPort(shim, [opened], shim.readPackets, shim.writePackets);
  }

  /** Throws when the interface is gone, or another one has its name. */
  override link(): Link {
    const link = this.shim.link(this.opened.control, this.name);
    if (link?.index === this.opened.index) return link;
    throw new MegaflowError("EFILE", `interface ${this.name}: it has been removed`);
  }

  /** An interface that is down moves nothing; one that is gone ends the port. */
  protected override failed(error: unknown): 0 {
    this.link();
    const code = error instanceof Error && "code" in error ? error.code : "";
    if (code === "ENETDOWN" || code === "ENXIO") return 0;
    return super.failed(error);
  }
}
