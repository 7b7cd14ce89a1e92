// A megaflow, for those who ask about one; what there is to know of it stands in columns (megaflow-table.ts) and in the kernel: its key,
// mask, program and counters (abi.ts, megaflow record).
import type { Flow } from "../flow/flow.ts";
import * as abi from "./abi.ts";
import type { DatapathAction } from "./action.ts";
import type { Answer } from "./answer.ts";
import type { Kernel } from "./kernel.ts";
import type { MegaflowTable } from "./megaflow-table.ts";
import type { FlowStats, MegaflowOwner } from "./upcall.ts";

/** Good for as long as the megaflow is installed. There may be several of one megaflow: its `slot` tells whether it is the same. */
export class Megaflow {
  readonly #table: MegaflowTable;
  readonly slot: number;

  constructor(table: MegaflowTable, slot: number) {
    this.#table = table;
    this.slot = slot;
  }

  /** The record's address in the kernel: its handle. */
  get at(): number {
    return this.#table.at[this.slot]!;
  }

  get createdMs(): number {
    return this.#table.createdMs[this.slot]!;
  }

  /** Its mask has more bits than the translation looked at (mask-limit.ts). */
  get narrowed(): boolean {
    return this.#table.narrowed[this.slot] !== 0;
  }

  get answer(): Answer {
    return this.#table.answers[this.slot]!;
  }

  set answer(answer: Answer) {
    this.#table.answers[this.slot] = answer;
  }

  get actions(): readonly DatapathAction[] {
    return this.answer.actions;
  }

  get owner(): MegaflowOwner {
    return this.answer.owner;
  }

  get dependencies(): readonly string[] | null {
    return this.answer.dependencies;
  }

  /** All it has counted. `usedMs` is 0 when it was never used. */
  stats(kernel: Kernel): FlowStats {
    return readStats(kernel, this.at);
  }

  /** When a frame last hit it, or when it was made. */
  lastUsedMs(): number {
    return this.#table.lastUsedMs(this.slot);
  }

  /** Counts a frame that its owner knows of already. */
  count(kernel: Kernel, { packets, bytes, usedMs, tcpFlags }: FlowStats): void {
    const { view, at } = { view: kernel.view, at: this.at };
    view.setBigUint64(
      at + abi.MF_PACKETS,
      view.getBigUint64(at + abi.MF_PACKETS, true) + BigInt(packets),
      true,
    );
    view.setBigUint64(at + abi.MF_BYTES, view.getBigUint64(at + abi.MF_BYTES, true) + BigInt(bytes), true);
    view.setBigUint64(at + abi.MF_USED, BigInt(usedMs), true);
    const flags = ((tcpFlags & 0xff) << 8) | (tcpFlags >>> 8);
    view.setUint32(at + abi.MF_TCP_FLAGS, view.getUint32(at + abi.MF_TCP_FLAGS, true) | flags, true);
    this.#table.pushedPackets[this.slot]! += packets;
    this.#table.pushedBytes[this.slot]! += bytes;
  }

  /** Gives its owner what it counted since the last time. */
  pushStats(): void {
    this.#table.pushStats(this.slot);
  }

  /** Reads the masked key and the mask out of the kernel. */
  read(kernel: Kernel, key: Flow, mask: Flow): void {
    this.#read(kernel, this.at + abi.MF_KEY, key, mask);
  }

  /** Reads the mask, and of the frame that the megaflow was made for the blocks that the mask touches, unmasked. */
  readFirst(kernel: Kernel, key: Flow, mask: Flow): void {
    const program = kernel.words[(this.at + abi.MF_PROGRAM) >>> 2]!;
    const words = kernel.words[(this.at + abi.MF_PROGRAM_WORDS) >>> 2]!;
    this.#read(kernel, program + words * 4, key, mask);
  }

  #read(kernel: Kernel, keyAt: number, key: Flow, mask: Flow): void {
    key.clear();
    mask.clear();
    const { words, bytes } = kernel;
    const subtable = words[(this.at + abi.MF_SUBTABLE) >>> 2]!;
    const blocks = words[(subtable + abi.ST_BLOCKS) >>> 2]!;
    // Word by word: a view of each block took longer than what is copied through it.
    for (let i = 0; i < blocks; i++) {
      const to = bytes[subtable + abi.ST_BLOCK_NUMBERS + i]! * 4;
      const keyFrom = (keyAt >>> 2) + i * 4;
      const maskFrom = ((subtable + abi.ST_MASKS) >>> 2) + i * 4;
      for (let w = 0; w < 4; w++) {
        key.words[to + w] = words[keyFrom + w]!;
        mask.words[to + w] = words[maskFrom + w]!;
      }
    }
  }
}

/** What the record at `at` has counted. */
export function readStats({ words }: Kernel, at: number): FlowStats {
  const record = at >>> 2;
  const wide = (offset: number) =>
    words[record + (offset >> 2)]! + words[record + (offset >> 2) + 1]! * 0x100000000;
  const flags = words[record + (abi.MF_TCP_FLAGS >> 2)]!;
  return {
    packets: wide(abi.MF_PACKETS),
    bytes: wide(abi.MF_BYTES),
    usedMs: wide(abi.MF_USED),
    tcpFlags: ((flags & 0xff) << 8) | (flags >>> 8),
  };
}
