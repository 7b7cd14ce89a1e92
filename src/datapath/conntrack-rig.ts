// A kernel reduced to its parser and connection tracker, for unit tests, the comparison with OVS, and benches: frames go
// through ct actions by hand, and what a pipeline would see of them comes back.
import { Flow } from "../flow/flow.ts";
import {
  CS_DST_NAT,
  CS_ESTABLISHED,
  CS_INVALID,
  CS_NEW,
  CS_RELATED,
  CS_REPLY_DIR,
  CS_SRC_NAT,
  CS_TRACKED,
  KEY_SIZE,
  O_CT_STATE,
} from "../flow/layout.ts";
import { parseIp } from "../packet/address.ts";
import {
  A_CT,
  CT_F_ALG_FTP,
  CT_F_ALG_TFTP,
  CT_F_COMMIT,
  CT_F_FORCE,
  CT_F_LABEL,
  CT_F_MARK,
  CT_F_NAT,
  NAT_F_DST,
  NAT_F_SRC,
} from "./abi.ts";
import { type Connection, connections } from "./conntrack-dump.ts";
import { type Kernel, loadKernel } from "./kernel.ts";

export interface CtAction {
  readonly zone?: number;
  readonly commit?: boolean;
  readonly force?: boolean;
  readonly mark?: { readonly value: number; readonly mask?: number };
  /** 16 bytes each. */
  readonly label?: { readonly value: Uint8Array; readonly mask?: Uint8Array };
  readonly alg?: "ftp" | "tftp";
  /** `kind` "undo" stands for `nat` without arguments. `max` and `maxPort` are `min` and `minPort` unless given. */
  readonly nat?: {
    readonly kind: "src" | "dst" | "undo";
    readonly min?: string;
    readonly max?: string;
    readonly minPort?: number;
    readonly maxPort?: number;
  };
}

// The kernel's memory map (src/kernel/memory.ts).
const PKT = 0x10000;
const KEY = 0x10100;
const FRAME = 0x20000;
const FRAME_MAX = 0x20000;
const PROGRAM = FRAME + FRAME_MAX;
const TABLE = PROGRAM + 0x1000;
const PKT_FLAGS = 28;
const PKT_F_OWNED = 1;
const PKT_KEY_MAP = 32;
const PKT_NOW = 40;

const STATES: readonly (readonly [number, string])[] = [
  [CS_NEW, "new"],
  [CS_ESTABLISHED, "est"],
  [CS_RELATED, "rel"],
  [CS_REPLY_DIR, "rpl"],
  [CS_INVALID, "inv"],
  [CS_TRACKED, "trk"],
  [CS_SRC_NAT, "snat"],
  [CS_DST_NAT, "dnat"],
];

/** `est|rpl|trk`: the bits of a ct_state, as OVS writes and orders them; empty for none. */
export function ctStateText(state: number): string {
  return STATES.filter(([bit]) => (state & bit) !== 0)
    .map(([, name]) => name)
    .join("|");
}

/** The words of an A_CT action. */
export function ctWords(action: CtAction): Uint32Array {
  const words = new Uint32Array(action.nat === undefined ? 13 : 23);
  const flags =
    (action.commit || action.force ? CT_F_COMMIT : 0) |
    (action.force ? CT_F_FORCE : 0) |
    (action.mark ? CT_F_MARK : 0) |
    (action.label ? CT_F_LABEL : 0) |
    (action.nat ? CT_F_NAT : 0) |
    (action.alg === "ftp" ? CT_F_ALG_FTP : action.alg === "tftp" ? CT_F_ALG_TFTP : 0);
  words.set([A_CT | (words.length << 8), flags, action.zone ?? 0]);
  if (action.mark) words.set([action.mark.value, action.mark.mask ?? 0xffffffff], 3);
  if (action.label) {
    const bytes = new Uint8Array(words.buffer);
    bytes.set(action.label.value, 5 * 4);
    bytes.set(action.label.mask ?? new Uint8Array(16).fill(0xff), 9 * 4);
  }
  if (action.nat) {
    const { kind, min, max = min, minPort = 0, maxPort = minPort } = action.nat;
    const bytes = new Uint8Array(words.buffer);
    words[13] = kind === "src" ? NAT_F_SRC : kind === "dst" ? NAT_F_DST : 0;
    for (const [address, end] of [
      [min, 18],
      [max, 22],
    ] as const) {
      if (address === undefined) continue;
      const parsed = parseIp(address);
      bytes.set(parsed, end * 4 - parsed.length);
    }
    words[22] = (minPort | (maxPort << 16)) >>> 0;
  }
  return words;
}

export class ConntrackRig {
  readonly kernel: Kernel;
  nowMs = 1_000_000;
  #length = 0;

  constructor(maxConnections: number, seed = 0n) {
    const never = (): never => {
      throw new Error("the connection tracker calls nothing");
    };
    const small = loadKernel(TABLE, { upcall: never, flush: never });
    const size = small.exports.conntrackSize(maxConnections);
    this.kernel = loadKernel(TABLE + size, { upcall: never, flush: never });
    this.kernel.exports.conntrackInit(TABLE, maxConnections);
    this.kernel.exports.conntrackSeed(seed);
  }

  /** Takes a frame in: parsed, with no connection yet. `wireLen` is more than its length when a capture cut it. */
  receive(frame: Uint8Array, wireLen = frame.length): void {
    const { bytes, view, exports } = this.kernel;
    bytes.fill(0, KEY, KEY + KEY_SIZE);
    view.setBigUint64(PKT + PKT_KEY_MAP, 0n, true);
    bytes.set(frame, FRAME);
    // No result may depend on what follows the frame (DESIGN D9).
    bytes.fill(0xa5, FRAME + frame.length, FRAME + frame.length + 64);
    exports.extractKey(frame.length, 1, wireLen);
    view.setBigUint64(PKT + PKT_NOW, BigInt(this.nowMs), true);
    // The frame may be changed where it lies.
    view.setUint32(PKT + PKT_FLAGS, PKT_F_OWNED, true);
    this.#length = frame.length;
  }

  /** The frame as it stands: NAT changes it. */
  frame(): Uint8Array {
    return this.kernel.bytes.slice(FRAME, FRAME + this.#length);
  }

  /** Runs a ct action on the frame last received; returns its ct_state bits. */
  ct(action: CtAction = {}): number {
    const { kernel } = this;
    const state = kernel.bytes[KEY + O_CT_STATE]!;
    if ((state & (CS_SRC_NAT | CS_DST_NAT)) !== 0) {
      // NAT changed the frame: it is parsed again, as the datapath does.
      kernel.exports.parse();
    }
    kernel.words.set(ctWords(action), PROGRAM / 4);
    kernel.exports.conntrackExecute(PROGRAM);
    return this.kernel.bytes[KEY + O_CT_STATE]!;
  }

  /** Receives a frame and runs ct actions one after another; the state after the last, as text. */
  send(frame: Uint8Array, ...actions: readonly CtAction[]): string {
    this.receive(frame);
    let state = 0;
    for (const action of actions.length === 0 ? [{}] : actions) state = this.ct(action);
    return ctStateText(state);
  }

  clear(): void {
    this.kernel.exports.conntrackClear();
  }

  /** The frame's flow key now. */
  key(): Flow {
    const flow = new Flow();
    flow.bytes.set(this.kernel.bytes.subarray(KEY, KEY + KEY_SIZE));
    return flow;
  }

  /** The blocks of the key that PKT_KEY_MAP calls used. */
  keyMap(): bigint {
    return this.kernel.view.getBigUint64(PKT + PKT_KEY_MAP, true);
  }

  connections(): Connection[] {
    return [...connections(this.kernel, this.nowMs)];
  }

  counter(which: number): number {
    return Number(this.kernel.exports.conntrackCounter(which));
  }

  expire(): boolean {
    return this.kernel.exports.conntrackExpire(BigInt(this.nowMs)) !== 0;
  }
}
