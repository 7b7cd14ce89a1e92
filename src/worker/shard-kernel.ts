// A shard's kernel as the main thread sees it: its memory at first hand, its exports through the mailbox. A datapath over it is a
// datapath like any other.
import type { MessagePort } from "node:worker_threads";
import { type Kernel, type KernelImports, sharedKernelModule, sharedMemory } from "../datapath/kernel.ts";
import { assert } from "../lib/assert.ts";
import { MegaflowError } from "../lib/errors.ts";
import {
  ANSWER,
  CALL,
  FAILED,
  FLUSH,
  JOIN,
  LOAD,
  type Mailbox,
  RETURNED,
  STEER,
  TAKE,
  UPCALL,
  type Value,
} from "./mailbox.ts";
import type { JoinMessage, LoadMessage } from "./shard.ts";

/** A shard that has said nothing for so long is taken for dead. */
export const SILENCE_MS = 10_000;

/** What the pool knows of a thread. It learns of its end only when this thread is back in its event loop. */
export interface ThreadState {
  /** Why the thread is gone; null while it is there. */
  lost: string | null;
  /** Asks the system whether it is gone. */
  isGone(): boolean;
}

/** How often it is asked whether a thread that does not answer is still there. */
const LOOK_MS = 20;

export class ShardKernel implements Kernel {
  readonly memory: WebAssembly.Memory;
  readonly exports: Kernel["exports"] = {};
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly view: DataView;
  readonly #name: string;
  readonly #mailbox: Mailbox;
  readonly #state: ThreadState;
  readonly #imports: KernelImports;
  readonly #silenceMs: number;
  readonly #forgiving: boolean;
  readonly #port: MessagePort;
  #failure: MegaflowError | null = null;
  /** The kind of what the shard waits for. */
  #asked = 0;
  #answer = 0;
  #result: readonly Value[] = [];

  /**
   * Loads a kernel in the thread behind `mailbox`, which must be ready. Throws MegaflowError ESHARD, as every call does; but where it is
   * `forgiving`, exports of a shard that is lost give 0: who asks looks at isLost at a time that suits.
   */
  constructor(
    name: string,
    mailbox: Mailbox,
    port: MessagePort,
    state: ThreadState,
    byteLength: number,
    imports: KernelImports,
    silenceMs: number = SILENCE_MS,
    forgiving = false,
  ) {
    this.#name = name;
    this.#mailbox = mailbox;
    this.#state = state;
    this.#port = port;
    this.#imports = imports;
    this.#silenceMs = silenceMs;
    this.#forgiving = forgiving;
    const module = sharedKernelModule();
    this.memory = sharedMemory(byteLength);
    this.bytes = new Uint8Array(this.memory.buffer);
    this.words = new Uint32Array(this.memory.buffer);
    this.view = new DataView(this.memory.buffer);
    WebAssembly.Module.exports(module).forEach((e, number) => {
      const call = (...values: Value[]) => {
        try {
          return this.#call(number, values);
        } catch (error) {
          if (!this.#forgiving || error !== this.#failure) throw error;
          return 0;
        }
      };
      // A global is read anew each time.
      if (e.kind === "global") Object.defineProperty(this.exports, e.name, { value: new RemoteGlobal(call) });
      else this.exports[e.name] = call;
    });
    if (state.lost !== null) throw this.#fail(`has ended: ${state.lost}`);
    const message: LoadMessage = { module, memory: this.memory };
    port.postMessage(message);
    mailbox.send(LOAD, 0, []);
    this.pause();
  }

  get isLost(): boolean {
    return this.#failure !== null;
  }

  /** Why it is lost; null when it is not. */
  get failure(): MegaflowError | null {
    return this.#failure;
  }

  /** Takes part in the work on a window, once it is set up. */
  join(message: JoinMessage): void {
    this.#port.postMessage(message);
    this.#start(JOIN, 0, []);
    this.pause();
  }

  /** Starts saying whose the window's frames `from` to `to` are; pause() and result(0) tell whether there is a fragment among them. */
  beginSteer(window: number, from: number, to: number): void {
    this.#start(STEER, window, [from, to]);
  }

  /**
   * Starts working on its own of the same frames; what the take before put out is forgotten. pause() until it has ended; result(0): outputs
   * that wait, result(1): frames taken, result(2): their bytes on the wire, result(3): connections in its table.
   */
  beginTake(window: number, from: number, to: number): void {
    this.#start(TAKE, window, [from, to]);
  }

  /** Waits until what was begun has ended, or wants something of this thread: an upcall ("asks"), its output taken ("full"). */
  pause(): "ended" | "asks" | "full" {
    const what = this.#pause();
    // Kept: other calls may be made before it is asked for.
    if (what === "ended") this.#result = this.#mailbox.values;
    return what;
  }

  #pause(): "ended" | "asks" | "full" {
    const mailbox = this.#mailbox;
    if (this.#failure !== null) throw this.#failure;
    this.#wait();
    if (mailbox.kind === FAILED) throw this.#fail(`has failed: ${mailbox.text}`);
    if (mailbox.kind === RETURNED) return "ended";
    // Kept too: an answer to another shard may call exports here in between.
    this.#asked = mailbox.kind;
    return mailbox.kind === UPCALL ? "asks" : "full";
  }

  #wait(): void {
    const step = Math.min(LOOK_MS, this.#silenceMs);
    for (let waited = 0; waited < this.#silenceMs; waited += step) {
      if (this.#mailbox.wait(step)) return;
      if (this.#state.isGone() && !this.#mailbox.hasMessage)
        throw this.#fail("has ended: its thread is gone");
    }
    throw this.#fail("does not answer");
  }

  /** Does what is wanted. That may call exports in turn. */
  answer(): void {
    assert(this.#asked === UPCALL || this.#asked === FLUSH, "a shard that asks is answered");
    this.#answer = 0;
    if (this.#asked === UPCALL) this.#answer = this.#imports.upcall();
    else this.#imports.flush();
  }

  /** Lets it go on after the answer: pause() again. */
  proceed(): void {
    this.#mailbox.send(ANSWER, this.#answer, []);
  }

  /** The n-th value of what has ended. */
  result(n: number): number {
    return Number(this.#result[n] ?? 0);
  }

  #call(number: number, values: readonly Value[]): Value | undefined {
    this.#start(CALL, number, values);
    while (this.#pause() !== "ended") {
      this.answer();
      this.proceed();
    }
    return this.#mailbox.values[0];
  }

  #start(kind: number, number: number, values: readonly Value[]): void {
    if (this.#failure !== null) throw this.#failure;
    if (this.#state.lost !== null) throw this.#fail(`has ended: ${this.#state.lost}`);
    assert(this.#mailbox.hasMessage, "a shard that works is not disturbed");
    this.#mailbox.send(kind, number, values);
  }

  #fail(what: string): MegaflowError {
    this.#failure ??= new MegaflowError("ESHARD", `${this.#name} ${what}`);
    return this.#failure;
  }
}

class RemoteGlobal {
  readonly #read: () => Value | undefined;

  constructor(read: () => Value | undefined) {
    this.#read = read;
  }

  get value(): Value | undefined {
    return this.#read();
  }
}
