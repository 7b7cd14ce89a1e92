// A capture as a device: its frames arrive as they were recorded, or faster. What the bridge sends there goes nowhere.
import { setTimeout as sleep } from "node:timers/promises";
import { CaptureReader } from "./capture-reader.ts";
import { QueueDevice } from "./queue-device.ts";

/** Frames that may wait: the player stays that far ahead of the bridge when there is no time between frames. */
const AHEAD_MAX = 1024;

export class CapturePlayer extends QueueDevice {
  readonly #path: string;
  readonly #speed: number;
  #closed = false;

  constructor(name: string, path: string, speed: number) {
    super(name, () => {});
    this.#path = path;
    this.#speed = speed;
  }

  /** Plays the capture to its end, or until the device is closed. Rejects with MegaflowError when it cannot be read. */
  async play(): Promise<void> {
    const reader = await CaptureReader.open(this.#path);
    try {
      const startMs = performance.now();
      let firstMs: number | null = null;
      for (let batch = await reader.next(); batch !== null; batch = await reader.next()) {
        for (let i = 0; i < batch.count; i++) {
          const ms = batch.sec[i]! * 1000 + batch.nsec[i]! / 1e6;
          firstMs ??= ms;
          const dueMs = (ms - firstMs) / this.#speed - (performance.now() - startMs);
          if (dueMs >= 1) await sleep(dueMs);
          while (this.waiting >= AHEAD_MAX && !this.#closed) await sleep(1);
          if (this.#closed) return;
          this.put(batch.data.slice(batch.offset[i]!, batch.offset[i]! + batch.length[i]!));
        }
      }
    } finally {
      reader.close();
    }
  }

  override close(): void {
    this.#closed = true;
    super.close();
  }
}
