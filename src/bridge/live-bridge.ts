// A bridge at work: devices are its ports, their frames go through it as they come, on the system's clock, and what it sends goes out at
// once. A device that fails is let go and opened again when it is back; the others do not notice.
import { BATCH_MAX, MAX_FRAME } from "../datapath/abi.ts";
import type { OutputSink, Verdict } from "../datapath/datapath.ts";
import type { Flow } from "../flow/flow.ts";
import { MegaflowError } from "../lib/errors.ts";
import { DEVICE_FRAMES_MAX, type Device, SEGMENT_UNKNOWN } from "../port/device.ts";
import { segments as cutSegments, segmentOf } from "../port/segmentation.ts";
import type { Bridge, FrameSink } from "./bridge.ts";
import { LiveTunnels } from "./live-tunnels.ts";
import { newCounters, type PortCounters } from "./port-counters.ts";
import { dropNote } from "./replay-output.ts";

/** A port, and how its device is opened: at once, and again whenever it has gone. */
export interface LivePort {
  readonly no: number;
  readonly name: string;
  /** Throws MegaflowError when it cannot be. */
  open(): Device;
  /** The longest IP packet that is sent; default: what the interface takes. */
  readonly mtu?: number | undefined;
}

/** Called when a port loses its device, or has it again (`error` is null). */
export type PortListener = (port: LivePort, error: MegaflowError | null) => void;

/** How often a device that is gone is tried again. */
const REOPEN_MS = 200;
/** How often timers are looked at while no frames come. */
const TICK_MS = 100;
/** How soon a port is looked at again while a shard is missing. */
const AGAIN_MS = 2;
const ETHERNET_SIZE = 14;
/** Reads of one port before the others have their turn. */
const READS_A_TURN = 4;

export class LiveBridge implements FrameSink {
  readonly bridge: Bridge;
  /** The tunnel ports, which have no devices of their own. */
  readonly tunnels: LiveTunnels;
  readonly drops: Record<string, number> = {};
  /** Frames handed to controllers: there are none. */
  toController = 0;
  readonly #now: () => number;
  readonly #ports = new Map<number, Attached>();
  readonly #lengths = new Uint32Array(DEVICE_FRAMES_MAX);
  /** By a staged frame's index: the payload of a segment, of frames that stand for several. */
  readonly #segments = new Uint32Array(BATCH_MAX);
  readonly #listener: PortListener;
  #ticker: NodeJS.Timeout | null = null;
  #running = false;

  constructor(bridge: Bridge, listener: PortListener, now: () => number = Date.now) {
    this.bridge = bridge;
    this.tunnels = new LiveTunnels(this);
    this.#listener = listener;
    this.#now = now;
  }

  /** Attaches a port. Throws MegaflowError when its device cannot be opened. */
  attach(port: LivePort): void {
    const attached = new Attached(port);
    attached.isWanted = this.bridge.pipeline.ports.get(port.no)?.live ?? true;
    this.#open(attached);
  }

  /** Frames are moved from now on. */
  start(): void {
    this.#running = true;
    for (const attached of this.#ports.values()) this.#listen(attached);
    this.#tellLinks();
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
  }

  /** Closes every device. */
  stop(): void {
    this.#running = false;
    if (this.#ticker !== null) clearInterval(this.#ticker);
    this.#ticker = null;
    for (const attached of this.#ports.values()) attached.close();
  }

  /** In number order. */
  counters(): PortCounters[] {
    const attached = [...this.#ports.values()].map((a) => a.counters);
    return [...attached, ...this.tunnels.counters()].sort((a, b) => a.no - b.no);
  }

  /** Takes a frame that came by a tunnel; it moves with runStaged() at the latest. `segment` as in Device.read, or SEGMENT_UNKNOWN. */
  stage(
    data: Uint8Array,
    offset: number,
    length: number,
    inPort: number,
    tunnel: Flow,
    segment: number,
  ): void {
    const { datapath } = this.bridge;
    const stage = () => datapath.stage(data, offset, length, length, inPort, this.#now(), tunnel);
    if (!stage()) {
      this.runStaged();
      stage();
    }
    this.#segments[datapath.staged - 1] = segment;
  }

  runStaged(): void {
    if (this.bridge.staged === 0) return;
    this.bridge.run(this);
    this.#segments.fill(0);
  }

  #open(attached: Attached): void {
    attached.device = attached.port.open();
    attached.counters.attached = true;
    this.#ask(attached);
    this.#ports.set(attached.port.no, attached);
    if (this.#running) this.#listen(attached);
  }

  #listen(attached: Attached): void {
    attached.device?.onReadable(() => this.#receive(attached));
  }

  #tick(): void {
    const nowMs = this.#now();
    this.bridge.advance(nowMs);
    for (const attached of this.#ports.values()) {
      if (attached.device !== null) this.#ask(attached);
      if (attached.device !== null || nowMs < attached.reopenMs) continue;
      attached.reopenMs = nowMs + REOPEN_MS;
      try {
        this.#open(attached);
      } catch (error) {
        if (!(error instanceof MegaflowError)) throw error;
        continue; // still gone
      }
      this.#listener(attached.port, null);
    }
    this.#tellLinks();
  }

  #tellLinks(): void {
    for (const { port, counters, isWanted } of this.#ports.values())
      this.bridge.setPortLive(port.no, isWanted && counters.attached && counters.up);
  }

  /** Looks after a port's interface: it may have gone without a word, come up, or take other lengths. */
  #ask(attached: Attached): void {
    try {
      const link = attached.device!.link?.() ?? null;
      attached.counters.up = link?.up ?? true;
      attached.frameMax = (attached.port.mtu ?? link?.mtu ?? MAX_FRAME) + ETHERNET_SIZE;
    } catch (error) {
      this.#lose(attached, error);
    }
  }

  /** Takes what waits at a port, a few reads at most, through the bridge. */
  #receive(attached: Attached): void {
    if (this.bridge.spread?.isShort(this.#now()) === true) {
      attached.again ??= setTimeout(() => {
        attached.again = null;
        if (this.#running) this.#receive(attached);
      }, AGAIN_MS);
      return;
    }
    for (let read = 0; read < READS_A_TURN && attached.device !== null; read++) {
      const count = this.#read(attached);
      // Several shards share what several reads give.
      if (this.bridge.spread === null) this.runStaged();
      if (count < DEVICE_FRAMES_MAX) break;
    }
    this.runStaged();
  }

  #read(attached: Attached): number {
    const { port, counters } = attached;
    const device = attached.device!;
    const segments = this.#segments.subarray(this.bridge.staged);
    try {
      const count = this.bridge.stageFrom(
        (memory, offset, slotSize, lengths) => device.read(memory, offset, slotSize, lengths, segments),
        MAX_FRAME,
        this.#lengths,
        port.no,
        this.#now(),
      );
      for (let i = 0; i < count; i++) counters.rxBytes += this.#lengths[i]!;
      counters.rxFrames += count;
      return count;
    } catch (error) {
      this.#lose(attached, error);
      return 0;
    }
  }

  /** The port goes on without its device until that is back. */
  #lose(attached: Attached, error: unknown): void {
    if (!(error instanceof MegaflowError)) throw error;
    attached.close();
    attached.reopenMs = this.#now();
    this.#listener(attached.port, error);
  }

  #send(attached: Attached): void {
    const { device, counters, count, offsets, lengths, segments } = attached;
    attached.count = 0;
    let sent = 0;
    try {
      sent = device?.write(attached.memory, offsets, lengths, count, segments) ?? 0;
    } catch (error) {
      this.#lose(attached, error);
    }
    for (let i = 0; i < sent; i++) counters.txBytes += lengths[i]!;
    counters.txFrames += sent;
    counters.txDropped += count - sent;
  }

  // --- FrameSink: the bridge tells ---

  port(
    no: number,
    memory: Uint8Array,
    offset: number,
    length: number,
    _wireLength: number,
    frame: number,
    tunnel: Flow | null,
  ): void {
    if (tunnel !== null) {
      this.#tunnel(no, memory, offset, length, this.#segments[frame]!, tunnel);
      return;
    }
    const attached = this.#ports.get(no);
    if (attached === undefined) return;
    let segment = this.#segments[frame]!;
    if (segment === SEGMENT_UNKNOWN)
      segment =
        length > attached.frameMax
          ? segmentOf(memory.subarray(offset, offset + length), attached.frameMax)
          : 0;
    if (length > attached.frameMax && !this.#fits(attached, memory, offset, length, segment)) return;
    this.#queue(attached, memory, offset, length, segment);
  }

  /** A tunnel carries what stands for several as these: the outer headers are made here, and nobody cuts behind them. */
  #tunnel(no: number, memory: Uint8Array, offset: number, length: number, segment: number, key: Flow): void {
    const pieces = segment === 0 ? null : cutSegments(memory.subarray(offset, offset + length), segment);
    if (pieces === null) this.tunnels.send(no, memory, offset, length, key);
    else for (const piece of pieces) this.tunnels.send(no, piece, 0, piece.length, key);
  }

  #queue(attached: Attached, memory: Uint8Array, offset: number, length: number, segment: number): void {
    if (attached.memory !== memory && attached.count > 0) this.#send(attached);
    attached.memory = memory;
    attached.offsets[attached.count] = offset;
    attached.lengths[attached.count] = length;
    attached.segments[attached.count] = segment;
    attached.count++;
    if (attached.count === DEVICE_FRAMES_MAX) this.#send(attached);
  }

  /** Whether a long frame may go to its port as it is; what may not is cut and sent, or dropped and counted. */
  #fits(attached: Attached, memory: Uint8Array, offset: number, length: number, segment: number): boolean {
    const { device, counters } = attached;
    if (segment !== 0) {
      if (device?.segmenting === true) return true;
      const cut = cutSegments(memory.subarray(offset, offset + length), segment);
      if (cut !== null && cut.length > 1) {
        for (const piece of cut) this.#queue(attached, piece, 0, piece.length, 0);
        return false;
      }
    }
    if (length <= attached.frameMax + tagBytes(memory, offset)) return true;
    counters.txTooLong++;
    counters.txDropped++;
    return false;
  }

  readonly userspace: OutputSink["userspace"] = () => {
    this.toController++;
  };

  taken(): void {
    for (const attached of this.#ports.values()) if (attached.count > 0) this.#send(attached);
  }

  verdict(_index: number, verdict: Verdict): void {
    const drop = dropNote(verdict);
    if (drop !== null) this.drops[drop.reason] = (this.drops[drop.reason] ?? 0) + 1;
  }
}

/** The bytes of a frame's VLAN tags, two at most: they do not count towards the longest packet. */
function tagBytes(memory: Uint8Array, offset: number): number {
  const isTag = (at: number) => {
    const type = (memory[at]! << 8) | memory[at + 1]!;
    return type === 0x8100 || type === 0x88a8;
  };
  if (!isTag(offset + 12)) return 0;
  return isTag(offset + 16) ? 8 : 4;
}

/** A port, its device while it has one, and what waits to be sent there: frames in the kernel's memory. */
class Attached {
  readonly port: LivePort;
  readonly counters: PortCounters;
  device: Device | null = null;
  reopenMs = 0;
  again: NodeJS.Timeout | null = null;
  memory: Uint8Array = new Uint8Array(0);
  count = 0;
  readonly offsets = new Uint32Array(DEVICE_FRAMES_MAX);
  readonly lengths = new Uint32Array(DEVICE_FRAMES_MAX);
  readonly segments = new Uint32Array(DEVICE_FRAMES_MAX);
  /** The configuration does not say that the link is down. */
  isWanted = true;
  /** The longest frame, without tags. */
  frameMax = MAX_FRAME;

  constructor(port: LivePort) {
    this.port = port;
    this.counters = newCounters(port.no, port.name);
  }

  close(): void {
    this.device?.close();
    this.device = null;
    this.counters.attached = false;
  }
}
