// What the two capture formats have in common: a window of bytes that a decoder eats frames from, and the errors it reports.
import { MegaflowError } from "../lib/errors.ts";
import type { FrameBatch } from "./frame-batch.ts";

/** The link type of Ethernet in both formats (LINKTYPE_ETHERNET). */
export const LINKTYPE_ETHERNET = 1;

/** The longest record taken: what libpcap calls MAXIMUM_SNAPLEN. A longer one is taken for a damaged length field. */
export const RECORD_SIZE_MAX = 262_144;

/** The read buffer, and so the longest piece of a capture that must lie in memory at once. */
export const WINDOW_SIZE = 1 << 20;

/**
 * The part of the (uncompressed) stream that is in memory.
 *
 *   stream  0 ........ origin ................ origin + size
 *   data               | eaten | start..end | free |
 */
export interface Window {
  readonly data: Uint8Array;
  readonly view: DataView;
  /** The first byte not yet eaten. */
  start: number;
  /** After the last byte read. */
  end: number;
  /** The stream offset of `data[0]`. */
  origin: number;
}

/** A capture format. Its state moves only past what it has eaten, so that a call can be repeated with more bytes. */
export interface CaptureDecoder {
  /** What the decoder waits for when it has eaten all it could: bytes counted from `window.start`, and their name. */
  readonly wanted: Wanted;
  /**
   * Eats whole records from the window and adds their frames to `batch`, till the bytes or the room run out.
   * Throws MegaflowError ECAPTURE at a bad record, but only when the batch is empty: frames before it are delivered first.
   */
  decode(window: Window, batch: FrameBatch): void;
}

/** `bytes` is 0 between records, where a capture may end. */
export interface Wanted {
  bytes: number;
  what: string;
}

/** The error for byte `offset` of the uncompressed stream; the reader adds the file's name. */
export function captureError(offset: number, message: string): MegaflowError {
  return new MegaflowError("ECAPTURE", `byte ${offset}: ${message}`);
}

/** Names for the link types that people do meet, for the error message. From the registry at tcpdump.org/linktypes.html. */
const LINKTYPE_NAMES: Readonly<Record<number, string>> = {
  0: "BSD loopback",
  9: "PPP",
  12: "raw IP",
  101: "raw IP",
  105: "IEEE 802.11",
  108: "OpenBSD loopback",
  113: "Linux cooked capture v1, as `tcpdump -i any` writes",
  127: "IEEE 802.11 radiotap",
  189: "USB",
  228: "raw IPv4",
  229: "raw IPv6",
  249: "USBPcap",
  276: "Linux cooked capture v2, as `tcpdump -i any` writes",
};

/** The words for a link type that is not Ethernet. */
export function linktypeMessage(linktype: number): string {
  const name = LINKTYPE_NAMES[linktype];
  return `link type ${linktype}${name === undefined ? "" : ` (${name})`}, but only Ethernet (1) can be replayed`;
}
