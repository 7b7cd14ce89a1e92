// A device without a system behind it: frames are put into it from one side and taken by the bridge, and what the bridge sends
// is handed to whoever made it. Tests drive a bridge through it, a patch is two of them, a capture plays into one.
import { DEVICE_FRAMES_MAX, type Device } from "./device.ts";

/** Frames that wait to be read at most; further ones are lost, as in a full ring. */
const QUEUE_MAX = 4096;

export class QueueDevice implements Device {
  readonly name: string;
  /** Frames that came when the queue was full. */
  lost = 0;
  readonly #waiting: Uint8Array[] = [];
  readonly #send: (frame: Uint8Array) => void;
  #callback: (() => void) | null = null;
  #scheduled: NodeJS.Immediate | null = null;

  /** `send` is given a copy of each frame that the bridge sends. */
  constructor(name: string, send: (frame: Uint8Array) => void) {
    this.name = name;
    this.#send = send;
  }

  /** Frames that have not been read yet. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** A frame arrives. It is the device's own from now on. */
  put(frame: Uint8Array): void {
    if (this.#waiting.length >= QUEUE_MAX) {
      this.lost++;
      return;
    }
    this.#waiting.push(frame);
    this.#schedule();
  }

  read(memory: Uint8Array, offset: number, slotSize: number, lengths: Uint32Array): number {
    const count = Math.min(this.#waiting.length, lengths.length, DEVICE_FRAMES_MAX);
    for (const [i, frame] of this.#waiting.splice(0, count).entries()) {
      lengths[i] = Math.min(frame.length, slotSize);
      memory.set(frame.subarray(0, slotSize), offset + i * slotSize);
    }
    this.#schedule();
    return count;
  }

  write(memory: Uint8Array, offsets: Uint32Array, lengths: Uint32Array, count: number): number {
    for (let i = 0; i < count; i++) this.#send(memory.slice(offsets[i]!, offsets[i]! + lengths[i]!));
    return count;
  }

  onReadable(callback: () => void): void {
    this.#callback = callback;
    this.#schedule();
  }

  close(): void {
    if (this.#scheduled !== null) clearImmediate(this.#scheduled);
    this.#scheduled = null;
    this.#callback = null;
    this.#waiting.length = 0;
  }

  #schedule(): void {
    if (this.#scheduled !== null || this.#callback === null || this.#waiting.length === 0) return;
    this.#scheduled = setImmediate(() => {
      this.#scheduled = null;
      this.#callback?.();
    });
  }
}

/** The two ends of a patch: what one bridge sends into its end arrives at the other's. */
export function patchPair(names: readonly [string, string]): readonly [QueueDevice, QueueDevice] {
  const ends: QueueDevice[] = [];
  const [first, second] = names;
  ends.push(
    new QueueDevice(first, (frame) => ends[1]!.put(frame)),
    new QueueDevice(second, (frame) => ends[0]!.put(frame)),
  );
  return [ends[0]!, ends[1]!];
}
