// What ports on interfaces of the system have in common: frames go in and out of memory that the caller owns, through native-shim.
import { closeSync, existsSync } from "node:fs";
import { MegaflowError } from "../lib/errors.ts";
import type { Device, Link } from "./device.ts";
import { loadNativeShim, type NativeShim, type Opened, type Watch } from "./native-shim.ts";
import { QueueSorter } from "./queue-sorter.ts";

/** The path of a network namespace: a name of `ip netns`, or a path already. */
export function netnsPath(netns: string): string {
  return netns.includes("/") ? netns : `/var/run/netns/${netns}`;
}

export abstract class SystemDevice implements Device {
  /** The interface's name in its namespace. */
  readonly name: string;
  readonly segmenting = true;
  protected readonly shim: NativeShim;
  /** The first queue. */
  protected readonly opened: Opened;
  readonly #queues: readonly Opened[];
  readonly #watches: Watch[] = [];
  /** The queue that is read first next time. */
  #turn = 0;
  readonly #read: NativeShim["readFrames"];
  readonly #write: NativeShim["writeFrames"];
  readonly #sorter: QueueSorter | null;

  /** `queues`: as often as the interface was opened; `read` and `write` are the shim's functions for this kind of descriptor. */
  protected constructor(
    shim: NativeShim,
    queues: readonly Opened[],
    read: NativeShim["readFrames"],
    write: NativeShim["writeFrames"],
  ) {
    this.shim = shim;
    this.opened = queues[0]!;
    this.#queues = queues;
    this.#sorter = queues.length > 1 ? new QueueSorter(queues.length) : null;
    this.name = this.opened.name;
    this.#read = read;
    this.#write = write;
  }

  abstract link(): Link | null;

  /** A frame longer than a slot is cut. */
  read(
    memory: Uint8Array,
    offset: number,
    slotSize: number,
    lengths: Uint32Array,
    segments: Uint32Array,
  ): number {
    if (this.#sorter !== null) return this.#readQueues(memory, offset, slotSize, lengths, segments);
    try {
      return this.#read(this.opened.fd, memory, offset, slotSize, lengths, segments);
    } catch (error) {
      return this.failed(error);
    }
  }

  #readQueues(
    memory: Uint8Array,
    offset: number,
    slotSize: number,
    lengths: Uint32Array,
    segments: Uint32Array,
  ): number {
    let count = 0;
    this.#turn = (this.#turn + 1) % this.#queues.length;
    try {
      for (let i = 0; i < this.#queues.length && count < lengths.length; i++) {
        const queue = (this.#turn + i) % this.#queues.length;
        const at = offset + count * slotSize;
        const sizes = lengths.subarray(count);
        const { fd } = this.#queues[queue]!;
        const got = this.#read(fd, memory, at, slotSize, sizes, segments.subarray(count));
        this.#sorter!.received(queue, memory, at, slotSize, sizes, got);
        count += got;
      }
    } catch (error) {
      return count > 0 ? count : this.failed(error);
    }
    return count;
  }

  write(
    memory: Uint8Array,
    offsets: Uint32Array,
    lengths: Uint32Array,
    count: number,
    segments: Uint32Array,
  ): number {
    try {
      if (this.#sorter === null)
        return this.#write(this.opened.fd, memory, offsets, lengths, segments, count);
      return this.#sorter.write(memory, offsets, lengths, segments, count, (queue, some) =>
        this.#write(this.#queues[queue]!.fd, memory, some.offsets, some.lengths, some.segments, some.count),
      );
    } catch (error) {
      return this.failed(error);
    }
  }

  /** What reading or writing threw: throws what the port ends with, or gives 0 when it may go on. */
  protected failed(error: unknown): 0 {
    throw deviceError(error);
  }

  /** Calls back whenever frames wait. One callback for a port; it keeps the process alive until close(). */
  onReadable(callback: () => void): void {
    this.#unwatch();
    for (const { fd } of this.#queues) this.#watches.push(this.shim.watch(fd, callback));
  }

  close(): void {
    this.#unwatch();
    for (const { fd, control } of this.#queues) {
      closeSync(fd);
      if (control !== fd) closeSync(control);
    }
  }

  #unwatch(): void {
    for (const watch of this.#watches.splice(0)) this.shim.unwatch(watch);
  }
}

/** What opens a device: the shim's function, and what is said when the system refuses. */
export interface Opening {
  readonly what: "TAP device" | "interface";
  readonly name: string;
  readonly netns: string | undefined;
  /** "" or the capability that the system asks for. */
  readonly capability: "CAP_NET_ADMIN" | "CAP_NET_RAW";
}

/** Opens it. Throws MegaflowError EFILE with what is missing and what helps. */
export function openDevice(
  { what, name, netns, capability }: Opening,
  open: (shim: NativeShim, netns: string | null) => Opened,
): readonly [NativeShim, Opened] {
  const shim = loadNativeShim();
  const path = netns === undefined ? null : netnsPath(netns);
  const fail = (words: string): never => {
    throw new MegaflowError(
      "EFILE",
      `${what} ${name}${netns === undefined ? "" : ` in network namespace ${netns}`}: ${words}`,
    );
  };
  if (path !== null && !existsSync(path)) {
    const hint = netns!.includes("/") ? "" : ` (ip netns add ${netns})`;
    fail(`there is no such network namespace${hint}`);
  }
  if (what === "TAP device" && !existsSync("/dev/net/tun")) {
    fail("there is no /dev/net/tun (modprobe tun; in a container: --device /dev/net/tun)");
  }
  try {
    return [shim, open(shim, path)];
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : "";
    if (code === "EPERM" || code === "EACCES") {
      const wanted = path === null ? capability : `CAP_SYS_ADMIN and ${capability}`;
      fail(
        `not permitted: run as root, or: setcap ${capability.toLowerCase()}+ep $(readlink -f $(which node)); wants ${wanted}`,
      );
    }
    if (code === "ENODEV") {
      const where = netns === undefined || netns.includes("/") ? "ip" : `ip -n ${netns}`;
      fail(`there is no such interface (${where} link add ${name} type veth peer name ...)`);
    }
    if (code === "EBUSY") fail("another process has it open");
    throw deviceError(error);
  }
}

/** The shim's errors as ours; anything else is a bug and stays what it is. */
export function deviceError(error: unknown): unknown {
  // EBADFD, what a deleted interface gives, has no name in libuv.
  const isSystems =
    error instanceof Error &&
    "code" in error &&
    typeof error.code === "string" &&
    /^(E[A-Z]|Unknown system error)/.test(error.code);
  return isSystems ? new MegaflowError("EFILE", error.message) : error;
}
