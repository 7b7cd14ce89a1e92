// Progress of long work: a line on standard error when that is a terminal, rewritten a few times a second, gone at the end.

const INTERVAL_MS = 250;

export class Progress {
  readonly #enabled = process.stderr.isTTY === true;
  readonly #startMs = performance.now();
  #shownMs = 0;
  #shown = false;

  /** `line` is asked only when it will be shown. */
  update(line: (seconds: number) => string): void {
    if (!this.#enabled) return;
    const now = performance.now();
    if (now - this.#shownMs < INTERVAL_MS) return;
    this.#shownMs = now;
    this.#shown = true;
    process.stderr.write(`\r${line((now - this.#startMs) / 1000)}\x1b[K`);
  }

  done(): void {
    if (this.#shown) process.stderr.write("\r\x1b[K");
    this.#shown = false;
  }
}
