// IP below GRE, by the optional package `raw-socket`: it hands over whole IPv4 packets and sends those that we build, so that addresses,
// TOS, TTL and DF are as asked. Packets that came in fragments are put together by the system; it makes none of what we send.
import { createRequire } from "node:module";
import { Flow } from "../flow/flow.ts";
import * as L from "../flow/layout.ts";
import { MegaflowError } from "../lib/errors.ts";
import { formatIpv4, parseIpv4 } from "../packet/address.ts";
import { buildIpv4, IPV4_SIZE, readIpv4 } from "../packet/ipv4.ts";
import { isIpv4Tunnel, type Underlay, type UnderlayTaker } from "./underlay.ts";

const PROTO_GRE = 47;
/** Longest IP packet. */
const BUFFER_SIZE = 65535;
/** Packets that wait to be sent at most; further ones are lost. */
const QUEUE_MAX = 4096;

/** Of the package. */
interface RawSocket {
  on(event: "message", listener: (packet: Uint8Array, source: string) => void): void;
  on(event: "error", listener: (error: Error) => void): void;
  setOption(level: number, option: number, value: number): void;
  send(
    packet: Buffer,
    offset: number,
    length: number,
    address: string,
    done: (error: Error | null) => void,
  ): void;
  pauseRecv(): void;
  resumeRecv(): void;
  close(): void;
}

interface RawSocketModule {
  createSocket(options: { readonly protocol: number; readonly bufferSize: number }): RawSocket;
  readonly SocketLevel: { readonly IPPROTO_IP: number };
  readonly SocketOption: { readonly IP_HDRINCL: number };
}

export class GreUnderlay implements Underlay {
  readonly #socket: RawSocket;
  readonly #key = new Flow();
  #waiting = 0;

  /** Throws MegaflowError: EUNSUPPORTED without the package, EFILE without the right to open such a socket. */
  constructor() {
    const raw = loadRawSocket();
    try {
      this.#socket = raw.createSocket({ protocol: PROTO_GRE, bufferSize: BUFFER_SIZE });
      this.#socket.setOption(raw.SocketLevel.IPPROTO_IP, raw.SocketOption.IP_HDRINCL, 1);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new MegaflowError("EFILE", `GRE needs a raw socket (CAP_NET_RAW, so run as root): ${why}`);
    }
    // An error of one packet, as the system reports it later.
    this.#socket.on("error", () => {});
    this.#socket.pauseRecv();
  }

  start(take: UnderlayTaker, done: () => void): void {
    this.#socket.on("message", (packet) => {
      const key = this.#key.clear();
      const payload = takeOuter(packet, key);
      if (payload === null) return;
      take(payload, key);
      done();
    });
    this.#socket.resumeRecv();
  }

  send(payload: Uint8Array, key: Flow, _hash: number, lost: () => void): void {
    if (!isIpv4Tunnel(key) || this.#waiting >= QUEUE_MAX) {
      lost();
      return;
    }
    const dst = formatIpv4(key.bytes, L.O_TUN_DST);
    const packet = Buffer.from(greIpv4(payload, key, dst));
    this.#waiting++;
    this.#socket.send(packet, 0, packet.length, dst, (error) => {
      this.#waiting--;
      if (error !== null) lost();
    });
  }

  close(): void {
    this.#socket.close();
  }
}

/** The packet around a GRE header and frame; a source of 0.0.0.0 is filled in by the system, with identification and checksum. */
function greIpv4(payload: Uint8Array, key: Flow, dst: string): Uint8Array {
  return buildIpv4(
    {
      src: formatIpv4(key.bytes, L.O_TUN_SRC),
      dst,
      proto: PROTO_GRE,
      tos: key.get8(L.O_TUN_TOS),
      ttl: key.get8(L.O_TUN_TTL),
      dontFragment: (key.get16(L.O_TUN_FLAGS) & L.TUN_FLAG_DF) !== 0,
    },
    payload,
  );
}

/** Puts the outer header into the key; what follows it, or null. */
function takeOuter(packet: Uint8Array, key: Flow): Uint8Array | null {
  const header = readIpv4(packet);
  if (header === null) return null;
  key.bytes.set(parseIpv4(header.src), L.O_TUN_SRC);
  key.bytes.set(parseIpv4(header.dst), L.O_TUN_DST);
  key.set8(L.O_TUN_TOS, header.tos);
  key.set8(L.O_TUN_TTL, header.ttl);
  if (header.dontFragment) key.set16(L.O_TUN_FLAGS, L.TUN_FLAG_DF);
  return packet.subarray(IPV4_SIZE + header.options.length);
}

function loadRawSocket(): RawSocketModule {
  try {
    return createRequire(import.meta.url)("raw-socket") as RawSocketModule;
  } catch (error) {
    const why = error instanceof Error ? error.message.split("\n")[0] : String(error);
    throw new MegaflowError(
      "EUNSUPPORTED",
      `GRE needs the package raw-socket, which cannot be loaded (${why}): npm install raw-socket`,
    );
  }
}
