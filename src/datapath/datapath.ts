// The datapath's outside: one kernel with its memory, the megaflows installed in it, and the upcalls it makes.
//
// The host stages frames, calls receive(), and takes the outputs and the verdicts; see kernel/receive.ts for the inside.
import { Flow, KEY_WORDS } from "../flow/flow.ts";
import * as L from "../flow/layout.ts";
import { KEY_SIZE, O_TCP_FLAGS } from "../flow/layout.ts";
import { assert } from "../lib/assert.ts";
import * as abi from "./abi.ts";
import type { Userspace } from "./action.ts";
import { Answers } from "./answer.ts";
import type { Kernel, KernelLoader } from "./kernel.ts";
import { KernelMiss } from "./kernel-miss.ts";
import { isNarrower, MaskLimit } from "./mask-limit.ts";
import type { Megaflow } from "./megaflow.ts";
import { MegaflowTable } from "./megaflow-table.ts";
import { ProgramEncoder } from "./program.ts";
import { type Stale, StaleFilter } from "./stale.ts";
import { ARENA_BYTES, MEGAFLOWS_MAX, startKernel } from "./start-kernel.ts";
import type { Twins } from "./twins.ts";
import type { DropInfo, FlowStats, Translation, UpcallHandler } from "./upcall.ts";

/** Puts frames into `memory`, frame i at `offset + i * slotSize` with its length in `lengths[i]`; gives their number. */
export type ReadFrames = (
  memory: Uint8Array,
  offset: number,
  slotSize: number,
  lengths: Uint32Array,
) => number;

export interface DatapathOptions {
  /** False sends every lookup to the pipeline. */
  readonly cache?: boolean;
  /** False sends every frame through the general parser. */
  readonly fastParse?: boolean;
  /** Of the hashes and of sampling. */
  readonly seed?: bigint;
  /** A power of two; 0 for no exact-match cache. */
  readonly exactEntries?: number;
  /** Of the insertions that would replace a live entry of the exact-match cache, one in this many does. */
  readonly exactInverse?: number;
  readonly megaflowsMax?: number;
  /** Masks that the megaflows of one input port may have before new ones are narrowed (mask-limit.ts). */
  readonly masksPerPortMax?: number;
  readonly connectionsMax?: number;
  /** Room for staged frames, beyond what a batch needs: for a caller that lays frames out in the arena itself. */
  readonly arenaBytes?: number;
  /** VLAN tags that are read, 0 to 2; further ones are payload (OVS: other_config:vlan-limit). Default 1, as in OVS. */
  readonly vlanLimit?: number;
  /** Frames of a batch at most. */
  readonly batchMax?: number;
  /** Loads the kernel: loadKernel when not given. */
  readonly load?: KernelLoader;
  /** Of several datapaths with the same pipeline: what is one megaflow to those who look. */
  readonly twins?: Twins;
}

/** Receives what the kernel sends; the bytes are valid during the call only. */
export interface OutputSink {
  /** `frame` is the frame's index in the batch. */
  port(
    port: number,
    memory: Uint8Array,
    offset: number,
    length: number,
    wireLength: number,
    frame: number,
    /** The key of a frame that is to go out in a tunnel: its tunnel fields say how. Null for all others. */
    tunnel: Flow | null,
  ): void;
  userspace(
    userspace: Userspace,
    memory: Uint8Array,
    offset: number,
    length: number,
    wireLength: number,
    frame: number,
    key: Flow,
  ): void;
  /** What was given to port() and userspace() since the last call is about to be overwritten. */
  taken?(): void;
}

/** What became of a frame. */
export class Verdict {
  outputs = 0;
  userspace = 0;
  /** A DROP_ number, DROP_NONE when it went somewhere. */
  drop: number = abi.DROP_NONE;
  /** Said by the pipeline of a frame that ends where this one did; null when it never got there. */
  info: DropInfo | null = null;
}

/** How lookups were answered. */
export interface CacheCounters {
  readonly exact: number;
  readonly megaflow: number;
  readonly upcall: number;
}

const MASKS_PER_PORT_MAX = 256;
const SLACK = 64;
/** Of a tunnel: the map of its blocks, and the blocks. */
const TUNNEL_BYTES = (1 + L.KEY_BLOCKS - L.B_TUN) * L.BLOCK_SIZE;
/** Frames up to this length are copied word by word. */
const SHORT_FRAME = 80;

export class Datapath {
  readonly kernel: Kernel;
  readonly batchMax: number;
  readonly megaflows: MegaflowTable;
  readonly #answers = new Answers();
  /** The slots of megaflows by what these depend on. */
  readonly #dependents = new Map<string, Set<number>>();
  /** Called while frames are being worked on when descriptors have to be taken, and by takeOutputs(). */
  sink: OutputSink | null = null;
  /** A problem inside an upcall: it must not travel through the kernel, so it waits here until receive() returns. */
  #failure: unknown = null;
  readonly #handler: UpcallHandler;
  readonly #cache: boolean;
  readonly #megaflowsMax: number;
  readonly #masks: MaskLimit;
  readonly #twins: Twins | null;
  readonly #userspace: Userspace[] = [];
  readonly #userspaceIndex = new Map<string, number>();
  readonly #tags: (DropInfo | null)[] = [null];
  #lastTag = 0;
  /** Tags by table, cookie and reason. */
  readonly #tagsByPlace = new Map<
    DropInfo["table"],
    Map<DropInfo["cookie"], Map<DropInfo["reason"], number>>
  >();
  readonly #miss: KernelMiss;
  #mask: Flow | null = null;
  #maskWords: Uint32Array = new Uint32Array(0);
  readonly #keyOut = new Flow();
  readonly #revalidated = new Flow();
  readonly #revalidatedMask = new Flow();
  readonly #at: {
    readonly pkt: number;
    readonly key: number;
    readonly maskIn: number;
    readonly listIn: number;
    readonly frames: number;
    readonly verdicts: number;
    readonly descriptors: number;
    readonly program: number;
    readonly arena: number;
  };
  readonly #programWords: Uint32Array;
  readonly #encoder: ProgramEncoder;
  #staged = 0;
  #arenaUsed = 0;
  #source: Uint8Array | null = null;
  #sourceView: DataView = new DataView(new ArrayBuffer(0));
  /** What the upcall at hand is asked to do after the new megaflow is in place: revalidation, mostly. */
  afterUpcall: (() => void) | null = null;

  constructor(handler: UpcallHandler, options: DatapathOptions = {}) {
    this.#handler = handler;
    this.#cache = options.cache ?? true;
    this.batchMax = options.batchMax ?? abi.BATCH_MAX;
    this.#megaflowsMax = options.megaflowsMax ?? MEGAFLOWS_MAX;
    this.#twins = options.twins ?? null;
    this.kernel = startKernel(options, {
      upcall: () => this.#upcall(),
      flush: () => this.#drain(),
    });
    this.megaflows = new MegaflowTable(this.kernel);
    this.#masks = new MaskLimit(this.kernel, options.masksPerPortMax ?? MASKS_PER_PORT_MAX);
    const x = this.kernel.exports;
    if (options.vlanLimit !== undefined) x.setVlanLimit(options.vlanLimit);
    this.#at = {
      pkt: x.pktAt(),
      key: x.keyAt(),
      maskIn: x.maskInAt(),
      listIn: x.listInAt(),
      frames: x.framesAt(),
      verdicts: x.verdictsAt(),
      descriptors: x.descriptorsAt(),
      program: x.programAt(),
      arena: x.arenaAt(),
    };
    this.#miss = new KernelMiss(this.kernel, this.#at.pkt, this.#at.key);
    this.#programWords = new Uint32Array(this.kernel.memory.buffer, this.#at.program, abi.PROGRAM_WORDS_MAX);
    this.#encoder = new ProgramEncoder(this.#programWords, (userspace) => this.#indexOf(userspace));
  }

  /** Frames staged for the next receive(). */
  get staged(): number {
    return this.#staged;
  }

  /**
   * Stages a frame: copies its bytes into the kernel, and of `tunnel` the tunnel fields of the key, when it arrived in one.
   * False when the batch is full; nothing is staged then.
   */
  stage(
    data: Uint8Array,
    offset: number,
    length: number,
    wireLength: number,
    inPort: number,
    timeMs: number,
    tunnel: Flow | null = null,
  ): boolean {
    if (this.#staged === this.batchMax) return false;
    // A frame too long for the switch is dropped by its length; its bytes are not needed.
    const kept = Math.min(length, abi.MAX_FRAME);
    const tunnelBytes = tunnel === null ? 0 : TUNNEL_BYTES;
    if (this.#arenaUsed + kept + SLACK + tunnelBytes > ARENA_BYTES) return false;
    const at = this.#at.arena + this.#arenaUsed;
    const bytes = this.kernel.bytes;
    if (kept <= SHORT_FRAME) this.#copyShort(data, offset, kept, at);
    else bytes.set(data.subarray(offset, offset + kept), at);
    this.#arenaUsed = (this.#arenaUsed + kept + SLACK) & ~15;
    this.#describe(at, kept, wireLength, inPort, timeMs, tunnel === null ? 0 : this.#copyTunnel(tunnel));
    return true;
  }

  /** Fills in the next descriptor; `tunnelAt` is where the frame's tunnel fields lie, 0 for none. */
  #describe(
    at: number,
    length: number,
    wireLength: number,
    inPort: number,
    timeMs: number,
    tunnelAt: number,
  ): void {
    const words = this.kernel.words;
    const d = (this.#at.frames + this.#staged * abi.FRAME_DESC_SIZE) >>> 2;
    words[d + (abi.FRAME_PTR >> 2)] = at;
    words[d + (abi.FRAME_LEN >> 2)] = length;
    words[d + (abi.FRAME_WIRE_LEN >> 2)] = wireLength;
    words[d + (abi.FRAME_IN_PORT >> 2)] = inPort;
    words[d + (abi.FRAME_TUNNEL >> 2)] = tunnelAt;
    words[d + (abi.FRAME_TIME >> 2)] = timeMs % 0x100000000;
    words[d + (abi.FRAME_TIME >> 2) + 1] = timeMs / 0x100000000;
    this.#staged++;
  }

  /**
   * Lets `read` put frames straight into the kernel's memory, frame i at `offset + i * slotSize` with its length in `lengths[i]`,
   * as many as `lengths` has room for, and stages those it gives the number of.
   */
  stageFrom(
    read: ReadFrames,
    slotSize: number,
    lengths: Uint32Array,
    inPort: number,
    timeMs: number,
  ): number {
    const stride = (slotSize + SLACK) & ~15;
    const room = Math.min(this.batchMax - this.#staged, Math.floor((ARENA_BYTES - this.#arenaUsed) / stride));
    const at = this.#at.arena + this.#arenaUsed;
    const count = read(this.kernel.bytes, at, stride, lengths.subarray(0, Math.min(room, lengths.length)));
    for (let i = 0; i < count; i++)
      this.#describe(at + i * stride, lengths[i]!, lengths[i]!, inPort, timeMs, 0);
    this.#arenaUsed += count * stride;
    return count;
  }

  /** Copies the tunnel's blocks that are not zero (abi.ts, FRAME_TUNNEL); returns where to. */
  #copyTunnel(tunnel: Flow): number {
    const { bytes, words } = this.kernel;
    const start = this.#at.arena + this.#arenaUsed;
    let at = start + L.BLOCK_SIZE;
    let map = 0n;
    for (let block = L.B_TUN; block < L.KEY_BLOCKS; block++) {
      const from = block * L.BLOCK_SIZE;
      const source = tunnel.bytes.subarray(from, from + L.BLOCK_SIZE);
      if (source.every((b) => b === 0)) continue;
      bytes.set(source, at);
      at += L.BLOCK_SIZE;
      map |= 1n << BigInt(block);
    }
    words[start >>> 2] = Number(map & 0xffffffffn);
    words[(start >>> 2) + 1] = Number(map >> 32n);
    this.#arenaUsed += TUNNEL_BYTES;
    return start;
  }

  /** Copies a few words faster than set() begins: 60 bytes took 26 ns, byte by byte or with set() 66. */
  #copyShort(data: Uint8Array, offset: number, length: number, at: number): void {
    // Frames come one after the other out of the same memory.
    if (data !== this.#source) {
      this.#source = data;
      this.#sourceView = new DataView(data.buffer, data.byteOffset, data.byteLength);
    }
    const from = this.#sourceView;
    const to = this.kernel.view;
    let i = 0;
    for (; i + 4 <= length; i += 4) to.setUint32(at + i, from.getUint32(offset + i, true), true);
    for (; i < length; i++) to.setUint8(at + i, from.getUint8(offset + i));
  }

  /**
   * Works on the staged frames from number `from` on, until one's time has reached `deadlineMs`. Returns how many were
   * done. Call takeOutputs() and verdict() for them before the next call, and clear() when all are done.
   */
  receive(from: number, deadlineMs: number): number {
    const deadline = Number.isFinite(deadlineMs) ? BigInt(Math.ceil(deadlineMs)) : 0xffffffffffffffffn;
    const frames = this.#at.frames + from * abi.FRAME_DESC_SIZE;
    const done = this.kernel.exports.receive(frames, this.#staged - from, deadline);
    this.throwFailure();
    return done;
  }

  /** Throws what went wrong in an upcall. */
  throwFailure(): void {
    if (this.#failure === null) return;
    const failure = this.#failure;
    this.#failure = null;
    throw failure;
  }

  /** The time of the n-th staged frame, ms. */
  stagedTimeMs(n: number): number {
    const at = (this.#at.frames + n * abi.FRAME_DESC_SIZE + abi.FRAME_TIME) >>> 2;
    return this.kernel.words[at]! + this.kernel.words[at + 1]! * 0x100000000;
  }

  /** The bytes of the n-th staged frame, as it came in; valid until the next stage(). */
  stagedFrame(n: number): Uint8Array {
    const at = (this.#at.frames + n * abi.FRAME_DESC_SIZE) >>> 2;
    const ptr = this.kernel.words[at]!;
    return this.kernel.bytes.subarray(ptr, ptr + this.kernel.words[at + 1]!);
  }

  /** The index in the receive() of the frame that is worked on. */
  get frameAtWork(): number {
    return this.kernel.words[(this.#at.pkt + 12) >>> 2]!;
  }

  /** Lets connections end whose time has come: bounded work a call. True when there is more to do now. */
  expireConnections(nowMs: number): boolean {
    return this.kernel.exports.conntrackExpire(BigInt(Math.floor(nowMs))) !== 0;
  }

  /** Connections in the table, those included that have ended since they were last swept out: nothing is walked. */
  connectionCount(): number {
    return Number(this.kernel.exports.conntrackCounter(abi.CTC_CONNECTIONS));
  }

  /** Forgets the staged frames. */
  clear(): void {
    this.#staged = 0;
    this.#arenaUsed = 0;
  }

  /** Hands what waits to the sink and frees the output memory. */
  takeOutputs(): void {
    this.#drain();
    this.kernel.exports.outputReset();
  }

  /** The verdict on the n-th frame of the last receive(), read into `verdict`. */
  verdict(n: number, verdict: Verdict = new Verdict()): Verdict {
    const words = this.kernel.words;
    const at = (this.#at.verdicts + n * abi.VERDICT_SIZE) >>> 2;
    verdict.outputs = words[at + (abi.VERDICT_OUTPUTS >> 2)]!;
    verdict.userspace = words[at + (abi.VERDICT_USERSPACE >> 2)]!;
    verdict.drop = words[at + (abi.VERDICT_DROP >> 2)]!;
    verdict.info = this.#tags[words[at + (abi.VERDICT_TAG >> 2)]!] ?? null;
    return verdict;
  }

  /** Of the same verdict the drop reason, DROP_NONE when the frame went somewhere. */
  dropOf(n: number): number {
    return this.kernel.words[(this.#at.verdicts + n * abi.VERDICT_SIZE + abi.VERDICT_DROP) >>> 2]!;
  }

  cacheCounters(): CacheCounters {
    const x = this.kernel.exports;
    if (this.kernel.isLost === true) return { exact: 0, megaflow: 0, upcall: 0 };
    return {
      exact: Number(x.exactHits.value),
      megaflow: Number(x.megaflowHits.value),
      upcall: Number(x.upcalls.value),
    };
  }

  /** Subtables probed by all megaflow lookups. */
  probes(): number {
    return Number(this.kernel.exports.probes.value);
  }

  /** Pushes what the megaflows counted since the last time to whom it belongs. */
  pushStats(): void {
    for (const megaflow of this.megaflows.values()) megaflow.pushStats();
  }

  /** Pushes a megaflow's statistics and takes it out of the cache. */
  remove({ slot, at }: Megaflow): void {
    this.#forget(slot);
    this.kernel.exports.megaflowRemove(at);
  }

  /** What remove() does outside the kernel. */
  #forget(slot: number): void {
    const { megaflows } = this;
    megaflows.pushStats(slot);
    this.#twins?.leave(slot, this);
    const answer = megaflows.answers[slot]!;
    if (answer.dependencies !== null) this.#depend(slot, answer.dependencies, null);
    this.#masks.remove(megaflows.at[slot]!);
    this.#answers.release(answer);
    megaflows.delete(slot);
  }

  /** Of one whose kernel is lost: gives what its megaflows have counted to whom it belongs, and forgets them. */
  abandon(): void {
    for (const { slot } of [...this.megaflows.values()]) this.#forget(slot);
  }

  /** Removes megaflows not used for `idleMs`. */
  expire(nowMs: number, idleMs: number): void {
    for (const megaflow of this.megaflows.values()) {
      if (this.#lastUsedMs(megaflow.slot) + idleMs <= nowMs) this.remove(megaflow);
    }
  }

  #lastUsedMs(slot: number): number {
    return this.#twins?.lastUsedMs(slot, this) ?? this.megaflows.lastUsedMs(slot);
  }

  /**
   * Translates installed megaflows again, those that what is stale may concern, and removes each that would come out differently.
   * `translate` gives null when the megaflow has lost its ground (its recirculation id is gone).
   */
  revalidate(stale: Stale, translate: (key: Flow) => Translation | null): void {
    if (!stale.all && stale.rules.length === 0) {
      for (const megaflow of this.#dependentsOf(stale.facts!)) this.revalidateOne(megaflow, translate);
      return;
    }
    if (this.megaflows.size === 0) return; // as after each flow of a file that is loaded
    const filter = new StaleFilter(stale);
    for (const megaflow of this.megaflows.values())
      if (filter.concerns(megaflow, this.kernel)) this.revalidateOne(megaflow, translate);
  }

  /** The same for one megaflow. */
  revalidateOne(megaflow: Megaflow, translate: (key: Flow) => Translation | null): void {
    const key = this.#revalidated;
    const mask = this.#revalidatedMask;
    megaflow.pushStats();
    megaflow.read(this.kernel, key, mask);
    const again = translate(key);
    if (again === null || !again.cacheable || !isSameMask(megaflow, mask, again.wildcards)) {
      this.remove(megaflow);
      return;
    }
    const count = this.#encode(again);
    if (!this.#isProgram(megaflow, count)) {
      this.remove(megaflow);
    } else {
      const { answer } = megaflow;
      this.#depend(megaflow.slot, answer.dependencies, again.dependencies);
      megaflow.answer = this.#answers.take(again, this.#programWords, count);
      this.#answers.release(answer);
      this.kernel.words[(megaflow.at + abi.MF_TAG) >>> 2] = this.#tag(again.drop);
    }
  }

  /** Notes what the megaflow in a slot depends on, in place of what it depended on before. */
  #depend(slot: number, before: readonly string[] | null, now: readonly string[] | null): void {
    if (before !== null) {
      for (const name of before) {
        const set = this.#dependents.get(name);
        set?.delete(slot);
        if (set?.size === 0) this.#dependents.delete(name);
      }
    }
    if (now === null) return;
    for (const name of now) {
      const set = this.#dependents.get(name);
      if (set === undefined) this.#dependents.set(name, new Set([slot]));
      else set.add(slot);
    }
  }

  #dependentsOf(changed: ReadonlySet<string>): Megaflow[] {
    const found = new Set<number>();
    for (const name of changed) for (const slot of this.#dependents.get(name) ?? []) found.add(slot);
    return Array.from(found, (slot) => this.megaflows.get(slot));
  }

  /** Whether the megaflow's program is that of `count` words which was encoded last. */
  #isProgram(megaflow: Megaflow, count: number): boolean {
    const words = this.kernel.words;
    const at = megaflow.at >>> 2;
    if (words[at + (abi.MF_PROGRAM_WORDS >> 2)] !== count) return false;
    const program = words[at + (abi.MF_PROGRAM >> 2)]! >>> 2;
    for (let i = 0; i < count; i++) if (words[program + i] !== this.#programWords[i]) return false;
    return true;
  }

  #encode(translation: Translation): number {
    return this.#encoder.encode(translation.actions);
  }

  #upcall(): number {
    try {
      return this.#answer();
    } catch (error) {
      this.#failure ??= error;
      return abi.UPCALL_DROP;
    }
  }

  #answer(): number {
    const { kernel } = this;
    const miss = this.#miss;
    miss.read();
    const { nowMs, wireLen } = miss;
    const tcpFlags = miss.flow.get16(O_TCP_FLAGS); // or an ND option's type, as in OVS
    const translation = this.#handler.upcall(miss);
    const first = { packets: 1, bytes: wireLen, usedMs: nowMs, tcpFlags };
    translation.owner.credit(first);
    // The pipeline may have used the flow as its own; the kernel's KEY is untouched.
    const count = this.#encode(translation);
    const tag = this.#tag(translation.drop);
    let record = 0;
    if (this.#cache && translation.cacheable) record = this.#install(translation, count, tag, first);
    if (record === 0) record = kernel.exports.transientMegaflow(this.#at.program, count, tag);
    // This may remove the new megaflow at once; the frame still runs its program.
    this.afterUpcall?.();
    return record;
  }

  /** `first` is what the frame counts that missed. */
  #install(translation: Translation, count: number, tag: number, first: FlowStats): number {
    const nowMs = first.usedMs;
    if (this.megaflows.size >= this.#megaflowsMax) this.#evict(nowMs);
    const { kernel } = this;
    const { program } = this.#at;
    this.#writeMask(translation.wildcards);
    let at: number = kernel.exports.megaflowInsert(program, count);
    if (at === 0) return 0;
    const narrowed = this.#masks.exceeds(at);
    if (narrowed) {
      this.#writeMask(this.#masks.narrowed(at, translation.wildcards));
      kernel.exports.megaflowRemove(at);
      at = kernel.exports.megaflowInsert(program, count);
      if (at === 0) return 0;
    }
    this.#masks.add(at);
    kernel.words[(at + abi.MF_TAG) >>> 2] = tag;
    const answer = this.#answers.take(translation, this.#programWords, count);
    const slot = this.megaflows.add(at, answer, nowMs, narrowed);
    this.#depend(slot, null, translation.dependencies);
    this.#twins?.join(this.megaflows.get(slot), this, first);
    return at;
  }

  /** Leaves the mask of the next megaflow where the kernel looks for it. The view of it is kept: the pipeline has one place for its masks. */
  #writeMask(mask: Flow): void {
    if (mask !== this.#mask) {
      this.#mask = mask;
      this.#maskWords = mask.words.subarray(0, KEY_WORDS);
    }
    this.kernel.words.set(this.#maskWords, this.#at.maskIn >>> 2);
  }

  /** Makes room: a tenth of the megaflows goes, those unused the longest. */
  #evict(nowMs: number): void {
    const count = Math.ceil(this.megaflows.size / 10);
    const slots = this.megaflows.leastUsed(count, (slot) => this.#lastUsedMs(slot));
    for (let from = 0; from < count; from += abi.LIST_IN_MAX)
      this.#removeAll(slots.subarray(from, Math.min(count, from + abi.LIST_IN_MAX)));
    assert(this.megaflows.size < this.#megaflowsMax || nowMs < 0, "eviction makes room");
  }

  /** Removes at most LIST_IN_MAX megaflows: one call into the kernel. */
  #removeAll(slots: Int32Array): void {
    const { words } = this.kernel;
    const list = this.#at.listIn >>> 2;
    for (let i = 0; i < slots.length; i++) {
      words[list + i] = this.megaflows.at[slots[i]!]!;
      this.#forget(slots[i]!);
    }
    this.kernel.exports.megaflowRemoveMany(slots.length);
  }

  #indexOf(userspace: Userspace): number {
    const key = JSON.stringify(userspace, (_, v) =>
      typeof v === "bigint" ? `${v}` : v instanceof Uint8Array ? [...v] : v,
    );
    let index = this.#userspaceIndex.get(key);
    if (index === undefined) {
      index = this.#userspace.push(userspace) - 1;
      this.#userspaceIndex.set(key, index);
    }
    return index;
  }

  #tag(info: DropInfo | null): number {
    if (info === null) return 0;
    const last = this.#tags[this.#lastTag]!;
    if (last?.table === info.table && last.cookie === info.cookie && last.reason === info.reason)
      return this.#lastTag;
    let cookies = this.#tagsByPlace.get(info.table);
    if (cookies === undefined) this.#tagsByPlace.set(info.table, (cookies = new Map()));
    let reasons = cookies.get(info.cookie);
    if (reasons === undefined) cookies.set(info.cookie, (reasons = new Map()));
    let tag = reasons.get(info.reason);
    if (tag === undefined) reasons.set(info.reason, (tag = this.#tags.push(info) - 1));
    this.#lastTag = tag;
    return tag;
  }

  #drain(): void {
    const { kernel, sink } = this;
    const count: number = kernel.exports.outputCount();
    if (sink !== null) {
      for (let i = 0; i < count; i++) this.giveOutput(i, this.outputFrame(i), sink);
      sink.taken?.();
    }
    kernel.exports.outputTaken();
  }

  /** The index in the receive() of the frame that the n-th waiting output came of. */
  outputFrame(n: number): number {
    return this.kernel.words[(this.#at.descriptors + n * abi.OUT_DESC_SIZE + abi.OUT_FRAME) >>> 2]!;
  }

  /** Hands the n-th waiting output to a sink, as one of the frame `frame`. */
  giveOutput(n: number, frame: number, sink: OutputSink): void {
    const { kernel } = this;
    const { words, bytes } = kernel;
    const d = (this.#at.descriptors + n * abi.OUT_DESC_SIZE) >>> 2;
    const ptr = words[d]!;
    const len = words[d + 1]!;
    const wireLen = words[d + 2]!;
    const arg = words[d + 3]!;
    const kind = words[d + 5]!;
    if (kind === abi.OUT_KIND_PORT) {
      sink.port(arg, bytes, ptr, len, wireLen, frame, null);
      return;
    }
    const key = words[d + 6]!;
    this.#keyOut.bytes.set(bytes.subarray(key, key + KEY_SIZE));
    if (kind === abi.OUT_KIND_TUNNEL) sink.port(arg, bytes, ptr, len, wireLen, frame, this.#keyOut);
    else sink.userspace(this.#userspace[arg]!, bytes, ptr, len, wireLen, frame, this.#keyOut);
  }
}

/** Whether the megaflow, whose mask is `mask`, may go on with it when `wanted` is what was looked at. */
function isSameMask(megaflow: Megaflow, mask: Flow, wanted: Flow): boolean {
  if (megaflow.narrowed) return isNarrower(mask, wanted);
  for (let i = 0; i < KEY_WORDS; i++) if (mask.words[i] !== wanted.words[i]) return false;
  return true;
}
