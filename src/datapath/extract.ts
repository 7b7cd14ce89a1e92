// The flow key of a single frame, by the kernel's own parser: for `megaflow parse`, a trace's frame, and tests.
import type { Flow } from "../flow/flow.ts";
import { KEY_SIZE, O_REGS } from "../flow/layout.ts";
import { assert } from "../lib/assert.ts";
import { loadKernel } from "./kernel.ts";

/**
 * Bytes of a frame that are looked at. No header reaches this far, so a longer frame parses as one cut here does.
 */
const FRAME_MAX = 256 * 1024;
const HEAP = 0x20000;
/** Room after the longest frame: for the parser's first load, of 16 bytes, and for soil(). */
const SLACK = 4096;

/** A small kernel that only parses. */
export class Extractor {
  readonly #bytes: Uint8Array;
  readonly #frame: number;
  readonly #key: (len: number, inPort: number, wireLen: number) => number;

  /** `vlanLimit`: how many VLAN tags are read, 0 to 2 (OVS: other_config:vlan-limit; `ovs-ofctl parse-pcap` reads two). */
  constructor(vlanLimit = 2) {
    const never = (): never => {
      throw new Error("a parsing kernel calls nothing");
    };
    const kernel = loadKernel(HEAP + FRAME_MAX + SLACK, { upcall: never, flush: never });
    kernel.exports.setVlanLimit(vlanLimit);
    this.#bytes = kernel.bytes;
    this.#key = kernel.exports.extractKey;
    this.#frame = kernel.exports.extractFrame();
    assert(this.#frame === HEAP, "the frame lies at HEAP");
  }

  /**
   * Fills `flow` as OVS does for a frame received on `inPort`: the frame's fields and in_port, all else zero.
   * A frame of less than 14 bytes has no field. `wireLen` is its length on the wire: a frame that a capture's snaplen
   * cut (wireLen above its length) is read as far as it is there; OVS itself would take it for a short frame.
   */
  extract(frame: Uint8Array, wireLen: number, inPort: number, flow: Flow): void {
    assert(wireLen >= frame.length, "a frame has no more bytes than it had on the wire");
    const len = Math.min(frame.length, FRAME_MAX);
    this.#bytes.set(len === frame.length ? frame : frame.subarray(0, len), this.#frame);
    const key = this.#key(len, inPort, wireLen);
    flow.bytes.set(this.#bytes.subarray(key, key + KEY_SIZE));
    flow.bytes.fill(0, O_REGS);
  }

  /** For tests: `garbage` follows a frame of `len` bytes put here next; no result may depend on it (DESIGN D9). */
  soil(len: number, garbage: Uint8Array): void {
    this.#bytes.set(garbage, this.#frame + len);
  }
}
