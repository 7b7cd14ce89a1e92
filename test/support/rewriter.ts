// Runs header rewriting alone on the kernel's exported functions: no pipeline, no cache.
import type { DatapathAction } from "../../src/datapath/action.ts";
import { type Kernel, loadKernel } from "../../src/datapath/kernel.ts";
import { encodeProgram } from "../../src/datapath/program.ts";

// Addresses of src/kernel/memory.ts, and two places in the heap, which nothing else uses here.
const PKT = 0x10000;
const KEY = 0x10100;
const PKT_PTR = PKT;
const PKT_LEN = PKT + 4;
const PKT_WIRE_LEN = PKT + 8;
const PKT_FLAGS = PKT + 28;
const PKT_HASH = 0x10000 + 68;
const PKT_F_OWNED = 1;
const PROGRAM = 0x20000;
const PROGRAM_SIZE = 0x1000;
const FRAME = 0x30000;
const SIZE = 0x60000;

export class Rewriter {
  readonly kernel: Kernel;
  readonly #program: Uint32Array;

  constructor() {
    const never = (): never => {
      throw new Error("rewriting calls nothing");
    };
    this.kernel = loadKernel(SIZE, { upcall: never, flush: never });
    this.kernel.exports.setVlanLimit(1); // OVS's other_config:vlan-limit when it is not set
    this.#program = new Uint32Array(this.kernel.memory.buffer, PROGRAM, PROGRAM_SIZE / 4);
  }

  /** Takes a frame in and parses it; all around it is filled with `garbage`. `wireLen` is its length before it was cut. */
  load(frame: Uint8Array, garbage = 0, wireLen = frame.length): void {
    const { bytes, view, exports } = this.kernel;
    bytes.fill(garbage, FRAME - 0x1000);
    bytes.set(frame, FRAME);
    view.setUint32(PKT_PTR, FRAME, true);
    view.setUint32(PKT_LEN, frame.length, true);
    view.setUint32(PKT_WIRE_LEN, wireLen, true);
    view.setUint32(PKT_FLAGS, PKT_F_OWNED, true);
    view.setUint32(PKT_HASH, 0, true);
    exports.parse();
  }

  /** Executes a set, push or pop; a recirc parses the frame again. */
  execute(action: DatapathAction): void {
    const { exports } = this.kernel;
    encodeProgram([action], this.#program, () => 0);
    const [, first, second] = this.#program;
    if (action.type === "set") exports.setHeader(PROGRAM);
    else if (action.type === "push_vlan") exports.pushVlan(first);
    else if (action.type === "pop_vlan") exports.popVlan();
    else if (action.type === "push_mpls") exports.pushMpls(first, second);
    else if (action.type === "pop_mpls") exports.popMpls(first);
    else if (action.type === "recirc") exports.parse();
    else throw new Error(`${action.type} rewrites nothing`);
  }

  /** The frame as it stands. */
  frame(): Uint8Array {
    const { bytes, view } = this.kernel;
    const at = view.getUint32(PKT_PTR, true);
    return bytes.slice(at, at + view.getUint32(PKT_LEN, true));
  }

  /** What stands right after the frame. */
  after(count: number): Uint8Array {
    const { bytes, view } = this.kernel;
    const end = view.getUint32(PKT_PTR, true) + view.getUint32(PKT_LEN, true);
    return bytes.slice(end, end + count);
  }

  /** A number of PKT (src/kernel/memory.ts), by its offset. */
  pkt(offset: number): number {
    return this.kernel.view.getUint32(PKT + offset, true);
  }

  /** A byte range of KEY. */
  key(offset: number, size: number): Uint8Array {
    return this.kernel.bytes.slice(KEY + offset, KEY + offset + size);
  }
}

/** What is sent by actions that end in outputs: a copy of the frame for each. */
export function rewriteAndSend(
  rewriter: Rewriter,
  frame: Uint8Array,
  actions: readonly DatapathAction[],
  garbage = 0,
): { port: number; frame: Uint8Array }[] {
  rewriter.load(frame, garbage);
  const sent: { port: number; frame: Uint8Array }[] = [];
  for (const action of actions) {
    if (action.type === "output") sent.push({ port: action.port, frame: rewriter.frame() });
    else rewriter.execute(action);
  }
  return sent;
}
