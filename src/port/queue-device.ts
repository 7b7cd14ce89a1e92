// A device without a system behind it: frames are put into it from one side and taken by the bridge, and what the bridge sends
// is handed to whoever made it. Tests drive a bridge through it, a patch is two of them, a capture plays into one.
import { DEVICE_FRAMES_MAX, type Device } from "./device.ts";

/** Frames that wait to be read at most; further ones are lost, as in a full ring. */
const QUEUE_MAX = 4096;

interface Waiting {
  readonly frame: Uint8Array;
  readonly segment: number;
}

export class QueueDevice implements Device {
  readonly name: string;
  readonly segmenting: boolean;
  /** Frames that came when the queue was full. */
  lost = 0;
  readonly #waiting: Waiting[] = [];
  readonly #send: (frame: Uint8Array, segment: number) => void;
  #callback: (() => void) | null = null;
  #scheduled: NodeJS.Immediate | null = null;

  /**
   * `send` is given a copy of each frame that the bridge sends; where it is `segmenting`, of those too that stand for several, with
   * the payload of a segment.
   */
  constructor(name: string, send: (frame: Uint8Array, segment: number) => void, segmenting = false) {
    this.name = name;
    this.segmenting = segmenting;
    this.#send = send;
  }

  /** Frames that have not been read yet. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** A frame arrives. It is the device's own from now on. */
  put(frame: Uint8Array, segment = 0): void {
    if (this.#waiting.length >= QUEUE_MAX) {
      this.lost++;
      return;
    }
    this.#waiting.push({ frame, segment });
    this.#schedule();
  }

  read(
    memory: Uint8Array,
    offset: number,
    slotSize: number,
    lengths: Uint32Array,
    segments: Uint32Array,
  ): number {
    const count = Math.min(this.#waiting.length, lengths.length, DEVICE_FRAMES_MAX);
    for (const [i, { frame, segment }] of this.#waiting.splice(0, count).entries()) {
      lengths[i] = Math.min(frame.length, slotSize);
      segments[i] = segment;
      memory.set(frame.subarray(0, slotSize), offset + i * slotSize);
    }
    this.#schedule();
    return count;
  }

  write(
    memory: Uint8Array,
    offsets: Uint32Array,
    lengths: Uint32Array,
    count: number,
    segments: Uint32Array,
  ): number {
    for (let i = 0; i < count; i++)
      this.#send(memory.slice(offsets[i]!, offsets[i]! + lengths[i]!), segments[i]!);
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
    new QueueDevice(first, (frame, segment) => ends[1]!.put(frame, segment), true),
    new QueueDevice(second, (frame, segment) => ends[0]!.put(frame, segment), true),
  );
  return [ends[0]!, ends[1]!];
}
