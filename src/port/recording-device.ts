// Captures of what passes a live port: frames that come and frames that are sent, as they pass.
import { CaptureWriter } from "./capture-writer.ts";
import type { Device, Link } from "./device.ts";

/** How often what was gathered reaches the file. */
const FLUSH_MS = 200;

/** A capture file that frames are written to, with the time they pass. */
export class Recorder {
  readonly #writer: CaptureWriter;
  readonly #flusher: NodeJS.Timeout;
  readonly #now: () => number;

  /** The file is emptied. Throws MegaflowError EFILE when it cannot be written. */
  constructor(path: string, now: () => number = Date.now) {
    this.#now = now;
    this.#writer = CaptureWriter.open(path);
    this.#flusher = setInterval(() => this.#writer.flush(), FLUSH_MS);
    this.#flusher.unref();
  }

  record(memory: Uint8Array, offset: number, length: number): void {
    const ms = this.#now();
    const sec = Math.floor(ms / 1000);
    this.#writer.write(sec, Math.floor((ms - sec * 1000) * 1e6), memory, offset, length, length);
  }

  close(): void {
    clearInterval(this.#flusher);
    this.#writer.close();
  }
}

/** A device whose frames are also recorded. */
export class RecordingDevice implements Device {
  readonly name: string;
  readonly #device: Device;
  readonly #recorder: Recorder;

  /** Throws what Recorder throws. */
  constructor(device: Device, path: string, now: () => number = Date.now) {
    this.name = device.name;
    this.#device = device;
    this.#recorder = new Recorder(path, now);
  }

  get segmenting(): boolean {
    return this.#device.segmenting === true;
  }

  read(
    memory: Uint8Array,
    offset: number,
    slotSize: number,
    lengths: Uint32Array,
    segments: Uint32Array,
  ): number {
    const count = this.#device.read(memory, offset, slotSize, lengths, segments);
    for (let i = 0; i < count; i++) this.#recorder.record(memory, offset + i * slotSize, lengths[i]!);
    return count;
  }

  write(
    memory: Uint8Array,
    offsets: Uint32Array,
    lengths: Uint32Array,
    count: number,
    segments: Uint32Array,
  ): number {
    const sent = this.#device.write(memory, offsets, lengths, count, segments);
    for (let i = 0; i < sent; i++) this.#recorder.record(memory, offsets[i]!, lengths[i]!);
    return sent;
  }

  link(): Link | null {
    return this.#device.link?.() ?? null;
  }

  onReadable(callback: () => void): void {
    this.#device.onReadable(callback);
  }

  close(): void {
    this.#device.close();
    this.#recorder.close();
  }
}
