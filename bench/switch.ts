// A real switch under measurement: flows as text in a bridge, and frames that lie in the kernel's arena from the beginning,
// described once, so that a batch is one call into the kernel and nothing else runs per frame.
import { createHash } from "node:crypto";
import { Bridge, type FrameSink } from "../src/bridge/bridge.ts";
import { parseFlowFile } from "../src/control/openflow/flow-file.ts";
import { parseGroupFile } from "../src/control/openflow/group-file.ts";
import { parseMeterFile } from "../src/control/openflow/meter-file.ts";
import {
  BATCH_MAX,
  FRAME_DESC_SIZE,
  FRAME_IN_PORT,
  FRAME_LEN,
  FRAME_PTR,
  FRAME_TIME,
  FRAME_TUNNEL,
  FRAME_WIRE_LEN,
  OUT_ARG,
  OUT_DESC_SIZE,
  OUT_FRAME,
  OUT_LEN,
  OUT_PTR,
} from "../src/datapath/abi.ts";
import { assert } from "../src/lib/assert.ts";
import { PortTable } from "../src/pipeline/port-table.ts";

export interface SwitchOptions {
  readonly cache?: boolean;
  readonly exactEntries?: number;
  readonly connectionsMax?: number;
  readonly megaflowsMax?: number;
  /** Texts of a group and a meter file. */
  readonly groups?: string;
  readonly meters?: string;
  /** How many small frames load() will be given, when they are more than a hundred thousand. */
  readonly framesMax?: number;
  readonly seed: number;
}

/** The clock of all frames: nothing ages in a bench. */
const NOW_MS = 1_587_638_000_000;
/** A frame takes whole pairs of cache lines; a batch touches as many as it would in a port's ring. */
const STRIDE = 128;
const ARENA_BYTES = 17 << 20; // as datapath.ts has it
const FRAME_BYTES = STRIDE + FRAME_DESC_SIZE;
const NEVER = 0xffffffffffffffffn;

const nowhere: FrameSink = { port() {}, userspace() {}, verdict() {} };

export class BenchSwitch {
  readonly bridge: Bridge;
  readonly #arenaBytes: number;
  /** How many frames one pass sends. */
  #count = 0;
  /** Where each frame lies. */
  #at: readonly number[] = [];
  #next = 0;
  #descriptors = 0;
  readonly #receive: (frames: number, count: number, deadline: bigint) => number;
  readonly #reset: () => void;

  /** `flows` is the text of a flow file. */
  constructor(flows: string, options: SwitchOptions) {
    const ports = new PortTable(
      [1, 2, 3, 4, 5, 6].map((no) => ({ no, name: `p${no}` })),
      { anyNumber: true },
    );
    this.#arenaBytes = Math.max(ARENA_BYTES, (options.framesMax ?? 0) * FRAME_BYTES);
    this.bridge = new Bridge({ ports, failMode: "secure", ...options, arenaBytes: this.#arenaBytes });
    this.bridge.advance(NOW_MS);
    this.bridge.applyMeters(parseMeterFile(options.meters ?? ""), NOW_MS);
    this.bridge.applyGroups(parseGroupFile(options.groups ?? ""), NOW_MS);
    this.bridge.addFlows(parseFlowFile(flows), NOW_MS);
    this.#receive = this.bridge.datapath.kernel.exports.receive;
    this.#reset = this.bridge.datapath.kernel.exports.outputReset;
  }

  /** Sends a frame through, as a port would: to open connections before the measurement. */
  send(frame: Uint8Array, inPort: number): void {
    const { bridge } = this;
    const stage = () => bridge.datapath.stage(frame, 0, frame.length, frame.length, inPort, NOW_MS);
    if (stage()) return;
    bridge.run(nowhere);
    stage();
  }

  /**
   * Lays the frames of the measurement out; send() must not be called afterwards. They arrive on one port, or each on its own;
   * `order` says, when they do not come one after the other, which frame comes when, some of them more than once.
   */
  load(frames: readonly Uint8Array[], inPort: number | readonly number[], order?: Uint32Array): void {
    const { bridge } = this;
    bridge.run(nowhere);
    const { kernel } = bridge.datapath;
    const arena: number = kernel.exports.arenaAt();
    this.#descriptors = arena;
    this.#count = order?.length ?? frames.length;
    let at = arena + this.#count * FRAME_DESC_SIZE;
    this.#at = frames.map((frame) => {
      const here = at;
      at += Math.ceil(frame.length / STRIDE) * STRIDE;
      return here;
    });
    assert(at <= arena + this.#arenaBytes, "the frames fit into the arena");
    frames.forEach((frame, i) => {
      kernel.bytes.set(frame, this.#at[i]!);
    });
    for (let i = 0; i < this.#count; i++) {
      const which = order?.[i] ?? i;
      const d = arena + i * FRAME_DESC_SIZE;
      const { length } = frames[which]!;
      kernel.view.setUint32(d + FRAME_PTR, this.#at[which]!, true);
      kernel.view.setUint32(d + FRAME_LEN, length, true);
      kernel.view.setUint32(d + FRAME_WIRE_LEN, length, true);
      kernel.view.setUint32(d + FRAME_IN_PORT, typeof inPort === "number" ? inPort : inPort[which]!, true);
      kernel.view.setBigUint64(d + FRAME_TIME, BigInt(NOW_MS), true);
      kernel.view.setUint32(d + FRAME_TUNNEL, 0, true);
    }
  }

  /** The bytes of the n-th frame laid out. */
  frame(n: number): DataView {
    return new DataView(this.bridge.datapath.kernel.memory.buffer, this.#at[n]!, STRIDE);
  }

  /** Sends the next batch through, round and round; gives the number of its frames. */
  batch(): number {
    const count = this.#receiveNext();
    this.#reset();
    return count;
  }

  /** Sends every frame through once. */
  pass(): void {
    this.#next = 0;
    do this.batch();
    while (this.#next !== 0);
  }

  /** A hash of what comes out of one pass: of each frame where it goes and all its bytes. */
  hash(): string {
    const { kernel } = this.bridge.datapath;
    const descriptors: number = kernel.exports.descriptorsAt();
    const hash = createHash("sha256");
    this.#next = 0;
    do {
      this.#receiveNext();
      const count: number = kernel.exports.outputCount();
      for (let i = 0; i < count; i++) {
        const d = descriptors + i * OUT_DESC_SIZE;
        const ptr = kernel.view.getUint32(d + OUT_PTR, true);
        hash.update(kernel.bytes.subarray(d + OUT_LEN, d + OUT_ARG + 4));
        hash.update(kernel.bytes.subarray(d + OUT_FRAME, d + OUT_FRAME + 4));
        hash.update(kernel.bytes.subarray(ptr, ptr + kernel.view.getUint32(d + OUT_LEN, true)));
      }
      this.#reset();
    } while (this.#next !== 0);
    return hash.digest("hex").slice(0, 16);
  }

  #receiveNext(): number {
    const count = Math.min(BATCH_MAX, this.#count - this.#next);
    const done = this.#receive(this.#descriptors + this.#next * FRAME_DESC_SIZE, count, NEVER);
    this.#next += done;
    if (this.#next === this.#count) this.#next = 0;
    return done;
  }
}
