// The threads of the shards: N of them, each with one task that lasts until close(). Where shards are to be replaced when they are lost,
// one thread more stands by: it takes the place at once, and another is started to stand by.
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { MessageChannel, type MessagePort } from "node:worker_threads";
import { Piscina } from "piscina";
import type { KernelImports } from "../datapath/kernel.ts";
import { MegaflowError } from "../lib/errors.ts";
import { Mailbox, STOP } from "./mailbox.ts";
import type { ShardTask } from "./shard.ts";
import { ShardKernel, SILENCE_MS, type ThreadState } from "./shard-kernel.ts";

/** More threads than that help nobody. */
export const SHARDS_MAX = 64;
const POLL_MS = 1;
/** A thread that has not begun after so long will not. */
const START_MS = 60_000;
/** Threads that are ending beside those that work. */
const ENDING_MAX = 64;

/** Loads a kernel in a shard's thread. */
export type ShardLoader = (byteLength: number, imports: KernelImports) => ShardKernel;

export interface ShardPoolOptions {
  /** A shard that is silent for so long in a call is given up. */
  readonly silenceMs?: number;
  /** replace() is used: a thread stands by, and exports of a lost shard give 0 (shard-kernel.ts). */
  readonly replaces?: boolean;
}

export class ShardPool {
  /** A loader for each shard. One that is used again ends the kernel that it loaded before. */
  readonly loaders: readonly ShardLoader[];
  readonly #pool: Piscina;
  readonly #threads: Thread[];
  /** Stands by, or is on its way. */
  #spare: Thread | null;
  #closed = false;

  private constructor(pool: Piscina, threads: Thread[], spare: Thread | null, options: ShardPoolOptions) {
    this.#pool = pool;
    this.#threads = threads;
    this.#spare = spare;
    const { silenceMs = SILENCE_MS, replaces = false } = options;
    this.loaders = threads.map((_, i) => (byteLength, imports) => {
      const { mailbox, port, state } = this.#threads[i]!;
      return new ShardKernel(`shard ${i}`, mailbox, port, state, byteLength, imports, silenceMs, replaces);
    });
  }

  /** Starts `count` threads. Throws MegaflowError ESHARD. */
  static async start(count: number, options: ShardPoolOptions = {}): Promise<ShardPool> {
    const pool = new Piscina({
      filename: new URL("./shard.js", import.meta.url).href,
      minThreads: count,
      maxThreads: count + ENDING_MAX,
      idleTimeout: Number.POSITIVE_INFINITY,
    });
    // Of a thread without a task: one that has one tells it.
    pool.on("error", () => {});
    const threads = Array.from({ length: count }, () => new Thread(pool));
    const spare = options.replaces === true ? new Thread(pool) : null;
    const all = spare === null ? threads : [...threads, spare];
    const startMs = performance.now();
    while (!all.every((thread) => thread.begun)) {
      const lost = all.find(({ state }) => state.lost !== null)?.state.lost ?? null;
      if (lost !== null || performance.now() - startMs > START_MS) {
        await pool.destroy();
        const why = lost ?? "a thread does not start";
        throw new MegaflowError("ESHARD", `the shards cannot be started: ${why}`);
      }
      await sleep(POLL_MS);
    }
    return new ShardPool(pool, threads, spare, options);
  }

  /** Gives the n-th shard the thread that stands by, for its loader to be used again; false when there is none yet: try again. */
  replace(n: number): boolean {
    const spare = this.#spare;
    if (spare === null || this.#closed) return false;
    if (spare.state.lost !== null) {
      spare.port.close();
      this.#spare = new Thread(this.#pool);
      return false;
    }
    if (!spare.begun) return false;
    const old = this.#threads[n]!;
    this.#threads[n] = spare;
    this.#spare = new Thread(this.#pool);
    old.port.close();
    void this.#end(old);
    return true;
  }

  /** Ends the n-th shard's thread at once, whatever it does: what it was to answer never is. */
  async terminate(n: number): Promise<void> {
    await this.#end(this.#threads[n]!);
  }

  async #end(thread: Thread): Promise<void> {
    if (thread.state.lost !== null || thread.done) return;
    await this.#pool.threads.find(({ threadId }) => threadId === thread.id)?.terminate();
  }

  /** Ends the threads, whatever they do. */
  async close(): Promise<void> {
    this.#closed = true;
    const all = this.#spare === null ? this.#threads : [...this.#threads, this.#spare];
    for (const { mailbox, port } of all) {
      if (mailbox.hasMessage) mailbox.send(STOP, 0, []);
      port.close();
    }
    await this.#pool.destroy();
  }
}

/** A thread with its task. */
class Thread {
  readonly mailbox = new Mailbox("main");
  readonly port: MessagePort;
  readonly state: ThreadState = { lost: null, isGone: () => this.#isGone() };
  /** Its task has come to an end of its own: the thread has no part in this any more. */
  done = false;
  /** To Node, and to the system (0: not known); both when it has begun. */
  id = -1;
  #systemId = 0;
  #begun = false;

  constructor(pool: Piscina) {
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    // It must not keep the process alive.
    port1.unref();
    const task: ShardTask = { mailbox: this.mailbox.buffer, port: port2 };
    // The shard tells its errors itself; what comes here is a thread that could not begin, or has been ended.
    pool.run(task, { transferList: [port2] }).then(
      () => {
        this.done = true;
      },
      (error: unknown) => {
        this.state.lost = error instanceof Error ? error.message : String(error);
      },
    );
  }

  /** Whether it has begun: the first message says so. */
  get begun(): boolean {
    if (!this.#begun && this.mailbox.hasMessage) {
      const [id, systemId] = this.mailbox.values;
      this.id = Number(id);
      this.#systemId = Number(systemId);
      this.#begun = true;
    }
    return this.#begun;
  }

  #isGone(): boolean {
    return this.#systemId !== 0 && !existsSync(`/proc/self/task/${this.#systemId}`);
  }
}
