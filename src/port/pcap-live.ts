// Any device of libpcap as a port, through the optional package `cap`: for systems and devices that the other types do not reach.
// One callback and one copy a frame, so slow; loaded when the first such port is opened.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { MegaflowError } from "../lib/errors.ts";
import { completeChecksum } from "../packet/partial-checksum.ts";
import { type Link, SEGMENT_UNKNOWN } from "./device.ts";
import { QueueDevice } from "./queue-device.ts";

/** What we use of `cap`. */
interface Capture {
  open(device: string, filter: string, bufferBytes: number, frame: Buffer): string;
  setMinBytes?(bytes: number): void;
  on(event: "packet", callback: (size: number, truncated: boolean) => void): void;
  send(frame: Buffer, size: number): void;
  close(): void;
}

export interface PcapPortOptions {
  /** As libpcap calls it. */
  readonly name: string;
  /** A filter expression (pcap-filter(7)) that frames must meet to come in; default: all. */
  readonly filter?: string | undefined;
}

const FRAME_MAX = 65_535;
const BUFFER_BYTES = 10 << 20;

function loadCap(): new () => Capture {
  try {
    return (createRequire(import.meta.url)("cap") as { Cap: new () => Capture }).Cap;
  } catch (error) {
    const why = error instanceof Error ? error.message.split("\n")[0] : String(error);
    throw new MegaflowError(
      "EUNSUPPORTED",
      `pcap-live ports need the package cap, which cannot be loaded (${why}): apt-get install libpcap-dev make g++, then npm install cap`,
    );
  }
}

export class PcapPort extends QueueDevice {
  readonly #capture: Capture;
  #isInterface = false;

  private constructor(name: string, capture: Capture) {
    super(name, () => {});
    this.#capture = capture;
  }

  /** Throws MegaflowError: EUNSUPPORTED without the package, EFILE when libpcap does not open the device or take the filter. */
  static open({ name, filter }: PcapPortOptions): PcapPort {
    const capture = new (loadCap())();
    const frame = Buffer.alloc(FRAME_MAX);
    // What the system itself sends there is not what arrives.
    const incoming = filter === undefined || filter.trim() === "" ? "inbound" : `inbound and (${filter})`;
    let link: string;
    try {
      link = capture.open(name, incoming, BUFFER_BYTES, frame);
    } catch (error) {
      const words = error instanceof Error ? error.message : String(error);
      throw new MegaflowError("EFILE", `pcap device ${name}: ${words.replaceAll("\n", " ")}`);
    }
    if (link !== "ETHERNET") {
      capture.close();
      throw new MegaflowError("EFILE", `pcap device ${name}: its frames are not Ethernet`);
    }
    capture.setMinBytes?.(0);
    const port = new PcapPort(name, capture);
    capture.on("packet", (size) => {
      const copy = new Uint8Array(frame.subarray(0, size));
      port.put(copy, completeChecksum(copy) ? SEGMENT_UNKNOWN : 0);
    });
    return port;
  }

  override write(memory: Uint8Array, offsets: Uint32Array, lengths: Uint32Array, count: number): number {
    let sent = 0;
    for (let i = 0; i < count; i++) {
      const frame = Buffer.from(memory.subarray(offsets[i]!, offsets[i]! + lengths[i]!));
      try {
        this.#capture.send(frame, frame.length);
        sent++;
      } catch {
        // libpcap says of a frame that is too long, a full queue and a device that is down alike only that it was not sent.
      }
    }
    return sent;
  }

  link(): Link | null {
    try {
      const read = (what: string) => readFileSync(`/sys/class/net/${this.name}/${what}`, "utf8").trim();
      const link = { up: read("operstate") !== "down", mtu: Number(read("mtu")) };
      this.#isInterface = true;
      return link;
    } catch {
      if (this.#isInterface)
        throw new MegaflowError("EFILE", `pcap device ${this.name}: it has been removed`);
      return null;
    }
  }

  override close(): void {
    super.close();
    this.#capture.close();
  }
}
