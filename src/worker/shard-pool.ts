// The threads of the shards: N of them, each with one task that lasts until close().
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

/** Loads a kernel in a shard's thread. */
export type ShardLoader = (byteLength: number, imports: KernelImports) => ShardKernel;

interface Thread {
  readonly mailbox: Mailbox;
  readonly port: MessagePort;
  readonly state: ThreadState;
}

export class ShardPool {
  /** A loader for each shard. One that is used again ends the kernel that it loaded before. */
  readonly loaders: readonly ShardLoader[];
  readonly #pool: Piscina;
  readonly #threads: readonly Thread[];

  private constructor(pool: Piscina, threads: readonly Thread[], silenceMs: number) {
    this.#pool = pool;
    this.#threads = threads;
    this.loaders = threads.map(
      ({ mailbox, port, state }, i) =>
        (byteLength, imports) =>
          new ShardKernel(`shard ${i}`, mailbox, port, state, byteLength, imports, silenceMs),
    );
  }

  /** Starts `count` threads. A shard that is silent for `silenceMs` in a call is given up. Throws MegaflowError ESHARD. */
  static async start(count: number, silenceMs: number = SILENCE_MS): Promise<ShardPool> {
    const pool = new Piscina({
      filename: new URL("./shard.js", import.meta.url).href,
      minThreads: count,
      maxThreads: count,
      idleTimeout: Number.POSITIVE_INFINITY,
    });
    const threads = Array.from({ length: count }, () => {
      const mailbox = new Mailbox("main");
      const { port1, port2 } = new MessageChannel();
      const task: ShardTask = { mailbox: mailbox.buffer, port: port2 };
      // The shard tells its errors itself; what comes here is a thread that could not begin, or has been ended.
      const state: ThreadState = { lost: null };
      pool.run(task, { transferList: [port2] }).catch((error: unknown) => {
        state.lost = error instanceof Error ? error.message : String(error);
      });
      // It must not keep the process alive.
      port1.unref();
      return { mailbox, port: port1, state };
    });
    const startMs = performance.now();
    while (!threads.every(({ mailbox }) => mailbox.hasMessage)) {
      const lost = threads.find(({ state }) => state.lost !== null)?.state.lost ?? null;
      if (lost !== null || performance.now() - startMs > START_MS) {
        await pool.destroy();
        const why = lost ?? "a thread does not start";
        throw new MegaflowError("ESHARD", `the shards cannot be started: ${why}`);
      }
      await sleep(POLL_MS);
    }
    return new ShardPool(pool, threads, silenceMs);
  }

  /** Ends the n-th thread at once, whatever it does: what it was to answer never is. */
  async terminate(n: number): Promise<void> {
    await this.#pool.threads[n]!.terminate();
  }

  /** Ends the threads, whatever they do. */
  async close(): Promise<void> {
    for (const { mailbox, port } of this.#threads) {
      if (mailbox.hasMessage) mailbox.send(STOP, 0, []);
      port.close();
    }
    await this.#pool.destroy();
  }
}
