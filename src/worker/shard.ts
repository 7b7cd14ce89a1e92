// What runs in a shard's thread: one kernel over a memory that the main thread sees too, doing what the mailbox asks. It decides
// nothing: tables, upcalls and what is installed are the main thread's (DESIGN D3). Started by piscina, once a thread (shard-pool.ts).
import { readlinkSync } from "node:fs";
import { type MessagePort, receiveMessageOnPort, threadId } from "node:worker_threads";
import {
  CTC_CONNECTIONS,
  FRAME_DESC_SIZE,
  FRAME_IN_PORT,
  FRAME_LEN,
  FRAME_PTR,
  FRAME_TIME,
  FRAME_TUNNEL,
  FRAME_WIRE_LEN,
} from "../datapath/abi.ts";
import { instantiateKernel, type Kernel } from "../datapath/kernel.ts";
import {
  ANSWER,
  CALL,
  FLUSH,
  JOIN,
  LOAD,
  Mailbox,
  RETURNED,
  STEER,
  STOP,
  TAKE,
  UPCALL,
  type Value,
} from "./mailbox.ts";
import { Steering } from "./steering.ts";
import { KIND_FRAGMENT, KIND_IP, SHORT_FRAME, Window } from "./window.ts";

/** What the thread is started with. */
export interface ShardTask {
  readonly mailbox: SharedArrayBuffer;
  /** Where the kernel's module and memory come from. */
  readonly port: MessagePort;
}

/** What a LOAD finds on the port. */
export interface LoadMessage {
  readonly module: WebAssembly.Module;
  /** Shared. */
  readonly memory: WebAssembly.Memory;
}

/** What a JOIN finds on the port. */
export interface JoinMessage {
  /** Filled in turn. */
  readonly windows: readonly SharedArrayBuffer[];
  /** This shard's number, and how many there are. */
  readonly shard: number;
  readonly shards: number;
  /** Frames are steered by their addresses alone. */
  readonly byPair: boolean;
  /** Frames that are not IP go to shard 0. */
  readonly othersTogether: boolean;
}

class Stopped extends Error {}

export default function shard(task: ShardTask): void {
  const mailbox = new Mailbox("shard", task.mailbox);
  try {
    mailbox.send(RETURNED, 0, [threadId, systemThread()]);
    new Shard(mailbox, task.port).serve();
  } catch (error) {
    if (error instanceof Stopped) mailbox.send(RETURNED, 0, []);
    else mailbox.fail(error instanceof Error ? error.message : String(error));
  } finally {
    task.port.close();
  }
}

/** The number of this thread to the system, 0 where that does not say. */
function systemThread(): number {
  try {
    return Number(readlinkSync("/proc/thread-self").split("/").at(-1));
  } catch {
    return 0;
  }
}

class Shard {
  readonly #mailbox: Mailbox;
  readonly #port: MessagePort;
  /** The kernel's exports, in the module's order. */
  #exports: readonly { readonly name: string; readonly kind: string }[] = [];
  #kernel: Kernel | null = null;
  #share: Share | null = null;

  constructor(mailbox: Mailbox, port: MessagePort) {
    this.#mailbox = mailbox;
    this.#port = port;
  }

  /** Does what is asked until an ANSWER comes, and returns it. An export that asks for an upcall is inside this while it waits. */
  serve(): number {
    const mailbox = this.#mailbox;
    for (;;) {
      mailbox.wait();
      switch (mailbox.kind) {
        case ANSWER:
          return mailbox.number;
        case CALL: {
          const value = this.#call(mailbox.number, mailbox.values);
          mailbox.send(RETURNED, 0, value === undefined ? [] : [value]);
          break;
        }
        case STEER:
          mailbox.send(RETURNED, 0, [this.#share!.steer(mailbox.number, ...this.#range()) ? 1 : 0]);
          break;
        case TAKE:
          mailbox.send(RETURNED, 0, this.#share!.take(mailbox.number, ...this.#range()));
          break;
        case LOAD:
          this.#load();
          mailbox.send(RETURNED, 0, []);
          break;
        case JOIN: {
          const message = receiveMessageOnPort(this.#port)!.message as JoinMessage;
          this.#share = new Share(this.#kernel!, message);
          mailbox.send(RETURNED, 0, []);
          break;
        }
        case STOP:
          throw new Stopped();
        default:
          throw new Error(`a message of unknown kind ${mailbox.kind}`);
      }
    }
  }

  #range(): [number, number] {
    const [from, to] = this.#mailbox.values;
    return [Number(from), Number(to)];
  }

  #load(): void {
    const { module, memory } = receiveMessageOnPort(this.#port)!.message as LoadMessage;
    this.#exports = WebAssembly.Module.exports(module);
    this.#share = null;
    this.#kernel = instantiateKernel(module, memory, {
      upcall: () => this.#ask(UPCALL),
      flush: () => {
        this.#ask(FLUSH);
      },
    });
  }

  #ask(kind: number): number {
    this.#mailbox.send(kind, 0, []);
    return this.serve();
  }

  #call(number: number, values: readonly Value[]): Value | undefined {
    const { name, kind } = this.#exports[number]!;
    const target = this.#kernel!.exports[name];
    return kind === "global" ? target.value : target(...values);
  }
}

/** Bytes of the arena that a frame takes beyond its own: the kernel may read past a frame's end. */
const SLACK = 64;

/** A shard's part of the work on a window. */
class Share {
  readonly #kernel: Kernel;
  readonly #windows: readonly Window[];
  readonly #me: number;
  readonly #shards: number;
  readonly #byPair: boolean;
  readonly #othersTogether: boolean;
  readonly #steering = new Steering();
  readonly #frames: number;
  readonly #arena: number;

  constructor(kernel: Kernel, { windows, shard, shards, byPair, othersTogether }: JoinMessage) {
    this.#kernel = kernel;
    this.#windows = windows.map((buffer) => new Window(shards, buffer));
    this.#me = shard;
    this.#shards = shards;
    this.#byPair = byPair;
    this.#othersTogether = othersTogether;
    // The kernel has been set up since it was loaded.
    this.#frames = kernel.exports.framesAt() >>> 0;
    this.#arena = kernel.exports.arenaAt() >>> 0;
  }

  /** Says of a window's frames `from` to `to` whose they are; true when there is a fragment among them. */
  steer(window: number, from: number, to: number): boolean {
    const w = this.#windows[window]!;
    const steering = this.#steering;
    let fragments = false;
    for (let n = from; n < to; n++) {
      steering.look(w.bytes, w.offset[n]!, w.length[n]!);
      const { isIp, isFragment, pair, tuple } = steering;
      w.pair[n] = pair;
      w.kind[n] = (isIp ? KIND_IP : 0) | (isFragment ? KIND_FRAGMENT : 0);
      w.shard[n] = !isIp && this.#othersTogether ? 0 : (this.#byPair ? pair : tuple) % this.#shards;
      fragments ||= isFragment;
    }
    return fragments;
  }

  /** Works on this shard's frames among `from` to `to`; returns the waiting outputs, the frames, their bytes on the wire, and the connections. */
  take(window: number, from: number, to: number): [number, number, number, number] {
    const w = this.#windows[window]!;
    const { bytes, words } = this.#kernel;
    const numbers = w.numbers[this.#me]!;
    let at = this.#arena;
    let d = this.#frames >>> 2;
    let count = 0;
    let wireBytes = 0;
    for (let n = from; n < to; n++) {
      if (w.shard[n] !== this.#me) continue;
      const length = w.length[n]!;
      const wireLength = w.wireLength[n]!;
      const timeMs = w.timeMs[n]!;
      const from = w.offset[n]!;
      if (length > SHORT_FRAME) {
        bytes.set(w.bytes.subarray(from, from + length), at);
      } else {
        // Up to three bytes more than there are: what follows a frame never counts.
        for (let i = 0; i < length; i += 4) words[(at + i) >>> 2] = w.words[(from + i) >>> 2]!;
      }
      words[d + (FRAME_PTR >> 2)] = at;
      words[d + (FRAME_LEN >> 2)] = length;
      words[d + (FRAME_WIRE_LEN >> 2)] = wireLength;
      words[d + (FRAME_IN_PORT >> 2)] = w.inPort[n]!;
      words[d + (FRAME_TUNNEL >> 2)] = 0;
      words[d + (FRAME_TIME >> 2)] = timeMs % 0x100000000;
      words[d + (FRAME_TIME >> 2) + 1] = timeMs / 0x100000000;
      d += FRAME_DESC_SIZE >> 2;
      at = (at + length + SLACK) & ~15;
      w.place[n] = count;
      numbers[count++] = n;
      wireBytes += wireLength;
    }
    const outputs = count === 0 ? 0 : this.#kernel.exports.receiveNext(this.#frames, count);
    const connections = Number(this.#kernel.exports.conntrackCounter(CTC_CONNECTIONS));
    return [outputs, count, wireBytes, connections];
  }
}
