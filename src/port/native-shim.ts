// The native part of live ports (native-shim/), loaded when the first one is opened: replay, trace and parse run without it.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { MegaflowError } from "../lib/errors.ts";
import type { Link } from "./device.ts";

/** A watch on a file descriptor. */
export type Watch = object & { readonly __watch: unique symbol };

/** Frames one call of a read or write function moves at most. */
export const SHIM_FRAMES_MAX = 64;

// Flags of openUdp().
export const UDP_V6 = 1;
export const UDP_DF = 2;
export const UDP_CHECKSUM = 4;
export const UDP_SEND_ONLY = 8;

/** What is said of a datagram: source 16 | destination 16 | the peer's port 16 | TOS 8 | TTL 8; a source or TTL of 0 is the system's choice. */
export const OUTER_SIZE = 36;

/** Reads waiting frames, frame i to `offset + i * slotSize`, its length to `lengths[i]`, its segments' size to `segments[i]`; how many. Never waits. */
type Read = (
  fd: number,
  memory: Uint8Array,
  offset: number,
  slotSize: number,
  lengths: Uint32Array,
  segments: Uint32Array,
) => number;

/** Sends frames; how many the device took. Never waits. */
type Write = (
  fd: number,
  memory: Uint8Array,
  offsets: Uint32Array,
  lengths: Uint32Array,
  segments: Uint32Array,
  count: number,
) => number;

/** An open device. */
export interface Opened {
  readonly fd: number;
  /** The descriptor that link() and setMtu() ask: `fd` itself for a packet socket. */
  readonly control: number;
  /** The interface's number; 0 of a TAP device. */
  readonly index: number;
  readonly name: string;
}

/** What native-shim/shim.h declares. Errors carry the system's `code` ("EPERM"). */
export interface NativeShim {
  /**
   * Makes or opens a TAP device, "" for a name of the kernel's choice, in the namespace at the path `netns` or in our own. With `many`
   * it has a queue for each time that it is opened so.
   */
  openTap(name: string, netns: string | null, many: boolean): Opened;
  /** A packet socket on an interface. */
  openPacket(name: string, netns: string | null): Opened;
  /** Null when there is no interface of that name. */
  link(control: number, name: string): (Link & { readonly index: number }) | null;
  setMtu(control: number, name: string, mtu: number): void;
  readonly readFrames: Read;
  readonly writeFrames: Write;
  readonly readPackets: Read;
  readonly writePackets: Write;
  /** A UDP socket bound to an address of 16 bytes (IPv4 mapped) and a port; `flags` are UDP_*. */
  openUdp(address: Uint8Array, port: number, flags: number): number;
  /** Receives waiting datagrams, number i to `i * slotSize`, what is said of it to `i * OUTER_SIZE` of `outer`. Never waits. */
  receiveDatagrams(
    fd: number,
    memory: Uint8Array,
    slotSize: number,
    lengths: Uint32Array,
    outer: Uint8Array,
  ): number;
  /** Sends a datagram; false when the system does not take it. Never waits. */
  sendDatagram(fd: number, payload: Uint8Array, outer: Uint8Array): boolean;
  /** Calls back whenever there is something to read. */
  watch(fd: number, callback: () => void): Watch;
  /** Before the descriptor is closed. */
  unwatch(watch: Watch): void;
}

const FOLDER = new URL("../../../native-shim/", import.meta.url); // from dist/src/port, where this file runs
/** Built here, because no prebuilt one fitted or the sources were changed; or prebuilt. scripts/build-native.mjs leaves one that is right. */
const PLACES = ["build/Release/shim.node", `prebuilds/${process.platform}-${process.arch}/shim.node`];

let loaded: NativeShim | null = null;

/** Throws MegaflowError EUNSUPPORTED when there is none that fits. */
export function loadNativeShim(): NativeShim {
  if (loaded !== null) return loaded;
  const paths = PLACES.map((place) => fileURLToPath(new URL(place, FOLDER))).filter((path) =>
    existsSync(path),
  );
  let why = `there is none for ${process.platform} on ${process.arch}`;
  for (const path of paths) {
    try {
      loaded = createRequire(import.meta.url)(path) as NativeShim;
      return loaded;
    } catch (error) {
      why = error instanceof Error ? error.message.split("\n")[0]! : String(error);
    }
  }
  throw new MegaflowError(
    "EUNSUPPORTED",
    `live ports need native-shim, which cannot be loaded (${why}); install make, g++ and python3 and run npm ci again`,
  );
}

/** For a test's `skip`: false when it can be loaded. */
export function nativeShimSkip(): string | false {
  try {
    loadNativeShim();
    return false;
  } catch {
    return "skipped: native-shim is not built";
  }
}
