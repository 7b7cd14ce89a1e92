// Which of an interface's queues a frame goes out by: that by which the other direction of its connection comes in. The system has a
// connection's frames come by the queue on which it last got one of them, so that another would make them change queues under
// way, and overtake each other.
import { get16 } from "../packet/bytes.ts";
import { DEVICE_FRAMES_MAX } from "./device.ts";

const IPV4_SIZE = 20;
const IPV6_SIZE = 40;
const ETHER_TYPE = 12;
const TAG = 4;
const IPV4 = 0x0800;
const IPV6 = 0x86dd;
const TAGS = [0x8100, 0x88a8];
const PROTO_TCP = 6;
const PROTO_UDP = 17;
/** Knuth's multiplier, 2^32 divided by the golden ratio. */
const GOLDEN = 0x9e3779b1;
/** What is remembered: connections that share a place come to share a queue. */
const PLACES = 4096;

/** Frames that leave by one queue. */
export interface QueueFrames {
  readonly offsets: Uint32Array;
  readonly lengths: Uint32Array;
  readonly segments: Uint32Array;
  count: number;
}

export class QueueSorter {
  readonly #queues: readonly QueueFrames[];
  /** By a connection's hash: the queue by which it came last. */
  readonly #queueOf: Uint8Array;

  constructor(count: number) {
    this.#queueOf = Uint8Array.from({ length: PLACES }, (_, place) => place % count);
    this.#queues = Array.from({ length: count }, () => ({
      offsets: new Uint32Array(DEVICE_FRAMES_MAX),
      lengths: new Uint32Array(DEVICE_FRAMES_MAX),
      segments: new Uint32Array(DEVICE_FRAMES_MAX),
      count: 0,
    }));
  }

  /** Frames have come by a queue: frame i lies at `offset + i * slotSize`. */
  received(
    queue: number,
    memory: Uint8Array,
    offset: number,
    slotSize: number,
    lengths: Uint32Array,
    count: number,
  ): void {
    for (let i = 0; i < count; i++)
      this.#queueOf[connectionHash(memory, offset + i * slotSize, lengths[i]!) % PLACES] = queue;
  }

  /** Calls `send` once for each queue that has frames; gives the sum of what it gives. At most DEVICE_FRAMES_MAX frames. */
  write(
    memory: Uint8Array,
    offsets: Uint32Array,
    lengths: Uint32Array,
    segments: Uint32Array,
    count: number,
    send: (queue: number, frames: QueueFrames) => number,
  ): number {
    for (const queue of this.#queues) queue.count = 0;
    for (let i = 0; i < count; i++) {
      const place = connectionHash(memory, offsets[i]!, lengths[i]!) % PLACES;
      const queue = this.#queues[this.#queueOf[place]!]!;
      queue.offsets[queue.count] = offsets[i]!;
      queue.lengths[queue.count] = lengths[i]!;
      queue.segments[queue.count] = segments[i]!;
      queue.count++;
    }
    let sent = 0;
    for (const [i, queue] of this.#queues.entries()) if (queue.count > 0) sent += send(i, queue);
    return sent;
  }
}

/** Equal for all frames of a connection, in both directions: by addresses, and ports where the frame is no fragment; 0 where there are none. */
export function connectionHash(memory: Uint8Array, offset: number, length: number): number {
  const end = offset + length;
  let at = offset + ETHER_TYPE;
  while (at + TAG < end && TAGS.includes(get16(memory, at))) at += TAG;
  const type = get16(memory, at);
  at += 2;
  const size = type === IPV4 ? IPV4_SIZE : type === IPV6 ? IPV6_SIZE : 0;
  if (size === 0 || at + size > end) return 0;
  const address = type === IPV4 ? 4 : 16;
  const addresses = at + size - 2 * address;
  const proto = memory[at + (type === IPV4 ? 9 : 6)]!;
  const isWhole = type === IPV6 || (get16(memory, at + 6) & 0x3fff) === 0;
  const ports = at + (type === IPV4 ? (memory[at]! & 15) * 4 : IPV6_SIZE);
  const hasPorts = isWhole && (proto === PROTO_TCP || proto === PROTO_UDP) && ports + 4 <= end;
  let hash = 0;
  for (let i = 0; i < 2; i++) {
    let side = hasPorts ? get16(memory, ports + 2 * i) : 0;
    for (let k = 0; k < address; k += 2)
      side = Math.imul(side ^ get16(memory, addresses + i * address + k), GOLDEN);
    hash = (hash + Math.imul(side ^ (side >>> 15), GOLDEN)) | 0;
  }
  return hash >>> 12;
}
