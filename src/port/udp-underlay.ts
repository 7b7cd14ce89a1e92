// UDP below VXLAN and Geneve. One socket of a family receives; the frames are sent from a few others, as a socket has one source port: that
// differs between connections (RFC 7348 section 5, RFC 8926 section 3.3), from a pool instead of from all the 16,384 ports there are.
// DF and the checksum are properties of a socket too, so that there is a pool for each combination that is in use.
import { closeSync } from "node:fs";
import { Flow } from "../flow/flow.ts";
import * as L from "../flow/layout.ts";
import { entropyPort } from "../flow/tunnel-header.ts";
import { MegaflowError } from "../lib/errors.ts";
import {
  loadNativeShim,
  type NativeShim,
  OUTER_SIZE,
  UDP_CHECKSUM,
  UDP_DF,
  UDP_SEND_ONLY,
  UDP_V6,
  type Watch,
} from "./native-shim.ts";
import {
  addressBytes,
  isIpv4Tunnel,
  putAddresses,
  takeAddresses,
  type Underlay,
  type UnderlayTaker,
} from "./underlay.ts";

/** Source ports for the frames of one kind; a socket each, opened when it is first used. */
const SOURCE_PORTS = 256;
/** Datagrams of one read. */
const BATCH = 32;
/** Reads before others have their turn. */
const READS_A_TURN = 4;
const SLOT_SIZE = 65536;
const PORT = 32;
const TOS = 34;
const TTL = 35;

export interface UdpUnderlayOptions {
  readonly port: number;
  /** The address that is listened on; null: all. */
  readonly localIp: Uint8Array | null;
  readonly families: readonly (4 | 6)[];
}

export class UdpUnderlay implements Underlay {
  readonly #shim: NativeShim;
  readonly #port: number;
  readonly #receivers: number[] = [];
  readonly #watches: Watch[] = [];
  /** By flags and place in the pool. */
  readonly #senders = new Map<number, number>();
  readonly #memory = new Uint8Array(BATCH * SLOT_SIZE);
  readonly #lengths = new Uint32Array(BATCH);
  readonly #outer = new Uint8Array(BATCH * OUTER_SIZE);
  readonly #outerOut = new Uint8Array(OUTER_SIZE);
  readonly #key = new Flow();

  /** Throws MegaflowError: EFILE when a port is in use, EUNSUPPORTED when native-shim is not built. */
  constructor({ port, localIp, families }: UdpUnderlayOptions) {
    this.#shim = loadNativeShim();
    this.#port = port;
    try {
      for (const family of families) {
        this.#receivers.push(this.#shim.openUdp(addressBytes(localIp), port, family === 6 ? UDP_V6 : 0));
      }
    } catch (error) {
      this.close();
      const why = error instanceof Error ? error.message : String(error);
      throw new MegaflowError("EFILE", `UDP port ${port} for tunnels cannot be opened: ${why}`);
    }
  }

  start(take: UnderlayTaker, done: () => void): void {
    for (const fd of this.#receivers) {
      this.#watches.push(
        this.#shim.watch(fd, () => {
          for (let read = 0; read < READS_A_TURN; read++) {
            const count = this.#read(fd, take);
            if (count > 0) done();
            if (count < BATCH) return;
          }
        }),
      );
    }
  }

  #read(fd: number, take: UnderlayTaker): number {
    const outer = this.#outer;
    const count = this.#shim.receiveDatagrams(fd, this.#memory, SLOT_SIZE, this.#lengths, outer);
    for (let i = 0; i < count; i++) {
      const at = i * OUTER_SIZE;
      const key = this.#key.clear();
      takeAddresses(outer, at, key);
      key.bytes.set(outer.subarray(at + PORT, at + PORT + 2), L.O_TUN_TP_SRC);
      key.set16(L.O_TUN_TP_DST, this.#port);
      key.set8(L.O_TUN_TOS, outer[at + TOS]!);
      key.set8(L.O_TUN_TTL, outer[at + TTL]!);
      take(this.#memory.subarray(i * SLOT_SIZE, i * SLOT_SIZE + this.#lengths[i]!), key);
    }
    return count;
  }

  send(payload: Uint8Array, key: Flow, hash: number, lost: () => void): void {
    const outer = this.#outerOut;
    putAddresses(key, outer);
    outer.set(key.bytes.subarray(L.O_TUN_TP_DST, L.O_TUN_TP_DST + 2), PORT);
    outer[TOS] = key.get8(L.O_TUN_TOS);
    outer[TTL] = key.get8(L.O_TUN_TTL);
    const flags = key.get16(L.O_TUN_FLAGS);
    const kind =
      UDP_SEND_ONLY |
      (isIpv4Tunnel(key) ? 0 : UDP_V6) |
      ((flags & L.TUN_FLAG_DF) === 0 ? 0 : UDP_DF) |
      ((flags & L.TUN_FLAG_CSUM) === 0 ? 0 : UDP_CHECKSUM);
    const sender = this.#sender(kind, entropyPort(hash));
    if (sender === null || !this.#shim.sendDatagram(sender, payload, outer)) lost();
  }

  /** The socket that sends frames of a kind from a port; when another program has that, from one of the system's choice. */
  #sender(kind: number, port: number): number | null {
    const id = kind * SOURCE_PORTS + (port % SOURCE_PORTS);
    const known = this.#senders.get(id);
    if (known !== undefined) return known;
    for (const source of [port, 0]) {
      try {
        const fd = this.#shim.openUdp(addressBytes(null), source, kind);
        this.#senders.set(id, fd);
        return fd;
      } catch {
        // in use, or there is no IPv6 here
      }
    }
    return null;
  }

  close(): void {
    for (const watch of this.#watches.splice(0)) this.#shim.unwatch(watch);
    for (const fd of this.#receivers.splice(0)) closeSync(fd);
    for (const fd of this.#senders.values()) closeSync(fd);
    this.#senders.clear();
  }
}
