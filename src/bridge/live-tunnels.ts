// The tunnel ports of bridges at work. Ports of one type and UDP port share an underlay, over all bridges; a frame that comes goes to the
// first bridge with a port for it, and what the outer header said goes into the bridge as the frame's tunnel fields.
import { Flow } from "../flow/flow.ts";
import { decapsulate, encapsulate } from "../flow/tunnel-header.ts";
import { completeChecksum } from "../packet/partial-checksum.ts";
import { hashSymmetricL4 } from "../pipeline/hash-fields.ts";
import type { Port } from "../pipeline/port-table.ts";
import type { TunnelOptions, TunnelType } from "../pipeline/tunnel-options.ts";
import { TunnelPorts } from "../pipeline/tunnel-ports.ts";
import { SEGMENT_UNKNOWN } from "../port/device.ts";
import type { Underlay } from "../port/underlay.ts";
import type { LiveBridge } from "./live-bridge.ts";
import { newCounters, type PortCounters } from "./port-counters.ts";

/** Opens the underlay for the tunnels of one type and UDP port. Throws MegaflowError when it cannot be. */
export type OpenUnderlay = (type: TunnelType, dstPort: number, tunnels: readonly TunnelOptions[]) => Underlay;

/** Told of each frame that passes a tunnel port. */
export type TunnelTap = (memory: Uint8Array, offset: number, length: number) => void;

/** A tunnel port of a bridge. */
interface Tunnel {
  readonly port: Port;
  readonly options: TunnelOptions;
  readonly underlay: Underlay;
  readonly counters: PortCounters;
  readonly tap: TunnelTap | null;
  readonly lost: () => void;
}

/** Of one bridge. */
export class LiveTunnels {
  readonly #live: LiveBridge;
  readonly #receiver: TunnelPorts;
  readonly #tunnels = new Map<number, Tunnel>();
  readonly #key = new Flow();

  constructor(live: LiveBridge) {
    this.#live = live;
    this.#receiver = new TunnelPorts(live.bridge.pipeline.ports);
  }

  add(port: Port, options: TunnelOptions, underlay: Underlay, tap: TunnelTap | null): void {
    const counters = { ...newCounters(port.no, port.name), attached: true, up: true };
    const lost = () => {
      counters.txFrames--;
      counters.txDropped++;
    };
    this.#tunnels.set(port.no, { port, options, underlay, counters, tap, lost });
  }

  counters(): PortCounters[] {
    return [...this.#tunnels.values()].map((tunnel) => tunnel.counters);
  }

  /** Sends a frame by a tunnel port, as the tunnel fields of its key say. */
  send(no: number, memory: Uint8Array, offset: number, length: number, key: Flow): void {
    const tunnel = this.#tunnels.get(no);
    if (tunnel === undefined) return;
    const frame = memory.subarray(offset, offset + length);
    const payload = encapsulate(tunnel.options.type, key, this.#live.bridge.pipeline.tlvMap, frame);
    tunnel.counters.txFrames++;
    tunnel.counters.txBytes += length;
    tunnel.tap?.(memory, offset, length);
    tunnel.underlay.send(payload, key, hashSymmetricL4(key, 0), tunnel.lost);
  }

  /** Takes what came on an underlay if one of the bridge's ports is meant; null then, else why not. */
  receive(type: TunnelType, dstPort: number, payload: Uint8Array, outer: Flow): string | null {
    const { bridge } = this.#live;
    const key = this.#key.copyFrom(outer);
    const start = decapsulate(type, payload, bridge.pipeline.tlvMap, key);
    if (typeof start === "string") return start;
    const tunnel = this.#tunnels.get(this.#receiver.receive(type, dstPort, key)?.no ?? 0);
    if (tunnel === undefined) return "no port";
    const length = payload.length - start;
    // Of a node that is another namespace of this machine, which leaves it to us to cut large segments too.
    const segment = completeChecksum(payload.subarray(start)) ? SEGMENT_UNKNOWN : 0;
    tunnel.counters.rxFrames++;
    tunnel.counters.rxBytes += length;
    tunnel.tap?.(payload, start, length);
    this.#live.stage(payload, start, length, tunnel.port.no, key, segment);
    return null;
  }
}

/** Of all bridges of a process. */
export class Underlays {
  /** Frames that came and were given to no bridge, by the reason. */
  readonly refused: Record<string, number> = {};
  readonly #open: Underlay[] = [];

  /** Gives the tunnel ports of the bridges what carries them. Throws MegaflowError, and nothing is left open then. */
  attach(
    lives: readonly LiveBridge[],
    open: OpenUnderlay,
    tapOf: (live: LiveBridge, port: Port) => TunnelTap | null,
  ): void {
    const all = lives.flatMap((live) =>
      live.bridge.pipeline.ports.list.flatMap((port) =>
        port.tunnel === null ? [] : [{ live, port, options: port.tunnel }],
      ),
    );
    const kinds = new Map<string, typeof all>();
    for (const one of all) {
      const kind = `${one.options.type} ${one.options.dstPort}`;
      kinds.set(kind, [...(kinds.get(kind) ?? []), one]);
    }
    try {
      for (const ports of kinds.values()) {
        const { type, dstPort } = ports[0]!.options;
        const underlay = open(
          type,
          dstPort,
          ports.map(({ options }) => options),
        );
        this.#open.push(underlay);
        for (const { live, port, options } of ports)
          live.tunnels.add(port, options, underlay, tapOf(live, port));
        this.#start(underlay, type, dstPort, [...new Set(ports.map(({ live }) => live))]);
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #start(underlay: Underlay, type: TunnelType, dstPort: number, lives: readonly LiveBridge[]): void {
    underlay.start(
      (payload, outer) => {
        let why: string | null = null;
        for (const live of lives) {
          why = live.tunnels.receive(type, dstPort, payload, outer);
          if (why === null) return;
        }
        if (why !== null) this.refused[why] = (this.refused[why] ?? 0) + 1;
      },
      () => {
        for (const live of lives) live.runStaged();
      },
    );
  }

  close(): void {
    for (const underlay of this.#open.splice(0)) underlay.close();
  }
}
