// Ctrl-C in the middle of a long replay: what was done till then is still written. A second one ends the program at once, as ever.
import { setImmediate } from "node:timers/promises";

const SIGNALS = ["SIGINT", "SIGTERM"] as const;
/** A signal is only heard when the program's work pauses: so often it does. */
const PAUSE_INTERVAL_MS = 50;

export class Interruption {
  /** The signal that asked for an end, or null. */
  signal: NodeJS.Signals | null = null;
  readonly #came: Promise<null>;
  readonly #listener: (signal: NodeJS.Signals) => void;
  #pausedMs = performance.now();

  /** Listens from now on. */
  constructor() {
    let come: (value: null) => void = () => {};
    this.#came = new Promise((resolve) => {
      come = resolve;
    });
    this.#listener = (signal) => {
      this.signal = signal;
      this.close();
      come(null);
    };
    for (const signal of SIGNALS) process.on(signal, this.#listener);
  }

  /** What is waited for, or null when the signal comes first or has come. Work between two calls may take long. */
  async unlessCome<T>(waited: Promise<T | null>): Promise<T | null> {
    const now = performance.now();
    if (now - this.#pausedMs >= PAUSE_INTERVAL_MS) {
      this.#pausedMs = now;
      await setImmediate();
    }
    if (this.signal === null) return Promise.race([waited, this.#came]);
    // Nobody asks any more how that went.
    waited.catch(() => {});
    return null;
  }

  close(): void {
    for (const signal of SIGNALS) process.off(signal, this.#listener);
  }
}
