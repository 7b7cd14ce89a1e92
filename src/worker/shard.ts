// What runs in a shard's thread: one kernel over a memory that the main thread sees too, doing what the mailbox asks. It decides
// nothing: tables, upcalls and what is installed are the main thread's (DESIGN D3). Started by piscina, once a thread (shard-pool.ts).
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { instantiateKernel, type Kernel } from "../datapath/kernel.ts";
import { ANSWER, CALL, FLUSH, LOAD, Mailbox, RETURNED, STOP, UPCALL, type Value } from "./mailbox.ts";

/** What the thread is started with. */
export interface ShardTask {
  readonly mailbox: SharedArrayBuffer;
  /** Where the kernel's module and memory come from. */
  readonly port: MessagePort;
}

/** What a LOAD finds on the port. */
export interface ShardKernel {
  readonly module: WebAssembly.Module;
  /** Shared. */
  readonly memory: WebAssembly.Memory;
}

class Stopped extends Error {}

export default function shard(task: ShardTask): void {
  const mailbox = new Mailbox("shard", task.mailbox);
  try {
    mailbox.send(RETURNED, 0, []);
    new Shard(mailbox, task.port).serve();
  } catch (error) {
    if (error instanceof Stopped) mailbox.send(RETURNED, 0, []);
    else mailbox.fail(error instanceof Error ? error.message : String(error));
  } finally {
    task.port.close();
  }
}

class Shard {
  readonly #mailbox: Mailbox;
  readonly #port: MessagePort;
  /** The kernel's exports, in the module's order. */
  #exports: readonly { readonly name: string; readonly kind: string }[] = [];
  #kernel: Kernel | null = null;

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
        case LOAD:
          this.#load();
          mailbox.send(RETURNED, 0, []);
          break;
        case STOP:
          throw new Stopped();
        default:
          throw new Error(`a message of unknown kind ${mailbox.kind}`);
      }
    }
  }

  #load(): void {
    const { module, memory } = receiveMessageOnPort(this.#port)!.message as ShardKernel;
    this.#exports = WebAssembly.Module.exports(module);
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
