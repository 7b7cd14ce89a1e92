// A shard's kernel as the main thread sees it: its memory at first hand, its exports through the mailbox. A datapath over it is a
// datapath like any other.
import type { MessagePort } from "node:worker_threads";
import {
  type KernelImports,
  type RemoteKernel,
  sharedKernelModule,
  sharedMemory,
} from "../datapath/kernel.ts";
import { assert } from "../lib/assert.ts";
import { MegaflowError } from "../lib/errors.ts";
import { ANSWER, CALL, FAILED, FLUSH, LOAD, type Mailbox, RETURNED, UPCALL, type Value } from "./mailbox.ts";
import type { ShardKernel as Message } from "./shard.ts";

/** A shard that has said nothing for so long is taken for dead. */
export const SILENCE_MS = 10_000;

/** What the pool knows of a thread. It learns of its end only when this thread is back in its event loop. */
export interface ThreadState {
  /** Why the thread is gone; null while it is there. */
  lost: string | null;
}

export class ShardKernel implements RemoteKernel {
  readonly memory: WebAssembly.Memory;
  readonly exports: RemoteKernel["exports"] = {};
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly view: DataView;
  readonly #name: string;
  readonly #mailbox: Mailbox;
  readonly #state: ThreadState;
  readonly #imports: KernelImports;
  readonly #silenceMs: number;
  readonly #numbers = new Map<string, number>();
  #failure: MegaflowError | null = null;
  /** The kind of what the shard waits for. */
  #asked = 0;
  #answer = 0;
  #result = 0;

  /** Loads a kernel in the thread behind `mailbox`, which must be ready. Throws MegaflowError ESHARD, as every call does. */
  constructor(
    name: string,
    mailbox: Mailbox,
    port: MessagePort,
    state: ThreadState,
    byteLength: number,
    imports: KernelImports,
    silenceMs: number = SILENCE_MS,
  ) {
    this.#name = name;
    this.#mailbox = mailbox;
    this.#state = state;
    this.#imports = imports;
    this.#silenceMs = silenceMs;
    const module = sharedKernelModule();
    this.memory = sharedMemory(byteLength);
    this.bytes = new Uint8Array(this.memory.buffer);
    this.words = new Uint32Array(this.memory.buffer);
    this.view = new DataView(this.memory.buffer);
    WebAssembly.Module.exports(module).forEach((e, number) => {
      this.#numbers.set(e.name, number);
      const call = (...values: Value[]) => this.#call(number, values);
      // A global is read anew each time.
      if (e.kind === "global") Object.defineProperty(this.exports, e.name, { value: new RemoteGlobal(call) });
      else this.exports[e.name] = call;
    });
    if (state.lost !== null) throw this.#fail(`has ended: ${state.lost}`);
    const message: Message = { module, memory: this.memory };
    port.postMessage(message);
    mailbox.send(LOAD, 0, []);
    this.pause();
  }

  get isLost(): boolean {
    return this.#failure !== null;
  }

  begin(name: string, ...values: Value[]): void {
    this.#start(this.#numbers.get(name)!, values);
  }

  pause(): "ended" | "asks" | "full" {
    const what = this.#pause();
    // Kept: other calls may be made before it is asked for.
    if (what === "ended") this.#result = Number(this.#mailbox.values[0] ?? 0);
    return what;
  }

  #pause(): "ended" | "asks" | "full" {
    const mailbox = this.#mailbox;
    if (!mailbox.wait(this.#silenceMs)) throw this.#fail("does not answer");
    if (mailbox.kind === FAILED) throw this.#fail(`has failed: ${mailbox.text}`);
    if (mailbox.kind === RETURNED) return "ended";
    // Kept too: an answer to another shard may call exports here in between.
    this.#asked = mailbox.kind;
    return mailbox.kind === UPCALL ? "asks" : "full";
  }

  answer(): void {
    assert(this.#asked === UPCALL || this.#asked === FLUSH, "a shard that asks is answered");
    this.#answer = 0;
    if (this.#asked === UPCALL) this.#answer = this.#imports.upcall();
    else this.#imports.flush();
  }

  proceed(): void {
    this.#mailbox.send(ANSWER, this.#answer, []);
  }

  result(): number {
    return this.#result;
  }

  #call(number: number, values: readonly Value[]): Value | undefined {
    this.#start(number, values);
    while (this.#pause() !== "ended") {
      this.answer();
      this.proceed();
    }
    return this.#mailbox.values[0];
  }

  #start(number: number, values: readonly Value[]): void {
    if (this.#failure !== null) throw this.#failure;
    if (this.#state.lost !== null) throw this.#fail(`has ended: ${this.#state.lost}`);
    this.#mailbox.send(CALL, number, values);
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
