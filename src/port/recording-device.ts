// A device whose frames are also written to a capture file, those that come and those that are sent, as they pass.
import { CaptureWriter } from "./capture-writer.ts";
import type { Device } from "./device.ts";

/** How often what was gathered reaches the file. */
const FLUSH_MS = 200;

export class RecordingDevice implements Device {
  readonly name: string;
  readonly #device: Device;
  readonly #writer: CaptureWriter;
  readonly #flusher: NodeJS.Timeout;
  readonly #now: () => number;

  /** The file is emptied. Throws MegaflowError EFILE when it cannot be written. */
  constructor(device: Device, path: string, now: () => number = Date.now) {
    this.name = device.name;
    this.#device = device;
    this.#now = now;
    this.#writer = CaptureWriter.open(path);
    this.#flusher = setInterval(() => this.#writer.flush(), FLUSH_MS);
    this.#flusher.unref();
  }

  read(memory: Uint8Array, offset: number, slotSize: number, lengths: Uint32Array): number {
    const count = this.#device.read(memory, offset, slotSize, lengths);
    for (let i = 0; i < count; i++) this.#record(memory, offset + i * slotSize, lengths[i]!);
    return count;
  }

  write(memory: Uint8Array, offsets: Uint32Array, lengths: Uint32Array, count: number): number {
    const sent = this.#device.write(memory, offsets, lengths, count);
    for (let i = 0; i < sent; i++) this.#record(memory, offsets[i]!, lengths[i]!);
    return sent;
  }

  onReadable(callback: () => void): void {
    this.#device.onReadable(callback);
  }

  close(): void {
    clearInterval(this.#flusher);
    this.#device.close();
    this.#writer.close();
  }

  #record(memory: Uint8Array, offset: number, length: number): void {
    const ms = this.#now();
    const sec = Math.floor(ms / 1000);
    this.#writer.write(sec, Math.floor((ms - sec * 1000) * 1e6), memory, offset, length, length);
  }
}
