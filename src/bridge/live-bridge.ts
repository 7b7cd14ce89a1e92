// A bridge at work: devices are its ports, their frames go through it as they come, on the system's clock, and what it sends goes out at
// once. A device that fails is let go and opened again when it is back; the others do not notice.
import { MAX_FRAME } from "../datapath/abi.ts";
import type { OutputSink, Verdict } from "../datapath/datapath.ts";
import type { Flow } from "../flow/flow.ts";
import { MegaflowError } from "../lib/errors.ts";
import { DEVICE_FRAMES_MAX, type Device } from "../port/device.ts";
import type { Bridge, FrameSink } from "./bridge.ts";
import { LiveTunnels } from "./live-tunnels.ts";
import { dropNote } from "./replay-output.ts";

/** What a port has moved. */
export interface PortCounters {
  readonly no: number;
  readonly name: string;
  attached: boolean;
  rxFrames: number;
  rxBytes: number;
  txFrames: number;
  txBytes: number;
  /** Not sent: the device was gone, or its queue full. */
  txDropped: number;
}

/** A port, and how its device is opened: at once, and again whenever it has gone. */
export interface LivePort {
  readonly no: number;
  readonly name: string;
  /** Throws MegaflowError when it cannot be. */
  open(): Device;
}

/** Called when a port loses its device, or has it again (`error` is null). */
export type PortListener = (port: LivePort, error: MegaflowError | null) => void;

/** How often a device that is gone is tried again. */
const REOPEN_MS = 200;
/** How often timers are looked at while no frames come. */
const TICK_MS = 100;
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
    this.#open(new Attached(port));
  }

  /** Frames are moved from now on. */
  start(): void {
    this.#running = true;
    for (const attached of this.#ports.values()) this.#listen(attached);
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

  /** Takes a frame that came by a tunnel; it moves with runStaged() at the latest. */
  stage(data: Uint8Array, offset: number, length: number, inPort: number, tunnel: Flow): void {
    const { datapath } = this.bridge;
    const stage = () => datapath.stage(data, offset, length, length, inPort, this.#now(), tunnel);
    if (stage()) return;
    this.runStaged();
    stage();
  }

  runStaged(): void {
    if (this.bridge.datapath.staged > 0) this.bridge.run(this);
  }

  #open(attached: Attached): void {
    attached.device = attached.port.open();
    attached.counters.attached = true;
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
  }

  /** Takes what waits at a port, a few reads at most, through the bridge. */
  #receive(attached: Attached): void {
    for (let read = 0; read < READS_A_TURN && attached.device !== null; read++) {
      const count = this.#read(attached);
      if (count > 0) this.bridge.run(this);
      if (count < DEVICE_FRAMES_MAX) return;
    }
  }

  #read(attached: Attached): number {
    const { port, counters } = attached;
    const device = attached.device!;
    try {
      const count = this.bridge.datapath.stageFrom(
        (memory, offset, slotSize, lengths) => device.read(memory, offset, slotSize, lengths),
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
    const { device, counters, count, offsets, lengths } = attached;
    attached.count = 0;
    let sent = 0;
    try {
      sent = device?.write(attached.memory, offsets, lengths, count) ?? 0;
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
    _frame: number,
    tunnel: Flow | null,
  ): void {
    if (tunnel !== null) {
      this.tunnels.send(no, memory, offset, length, tunnel);
      return;
    }
    const attached = this.#ports.get(no);
    if (attached === undefined) return;
    attached.memory = memory;
    attached.offsets[attached.count] = offset;
    attached.lengths[attached.count] = length;
    attached.count++;
    if (attached.count === DEVICE_FRAMES_MAX) this.#send(attached);
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

/** A port, its device while it has one, and what waits to be sent there: frames in the kernel's memory. */
class Attached {
  readonly port: LivePort;
  readonly counters: PortCounters;
  device: Device | null = null;
  reopenMs = 0;
  memory: Uint8Array = new Uint8Array(0);
  count = 0;
  readonly offsets = new Uint32Array(DEVICE_FRAMES_MAX);
  readonly lengths = new Uint32Array(DEVICE_FRAMES_MAX);

  constructor(port: LivePort) {
    this.port = port;
    const { no, name } = port;
    this.counters = {
      no,
      name,
      attached: false,
      rxFrames: 0,
      rxBytes: 0,
      txFrames: 0,
      txBytes: 0,
      txDropped: 0,
    };
  }

  close(): void {
    this.device?.close();
    this.device = null;
    this.counters.attached = false;
  }
}
