// pcapng: blocks, each `type u32 | total length u32 | body | total length u32` (draft-ietf-opsawg-pcapng).
//
// A section header (SHB) sets the byte order and starts the numbering of interfaces afresh. An interface description (IDB) gives a
// link type and the unit and offset of time stamps. Frames stand in enhanced (EPB), simple (SPB) and, from before 2009, plain packet
// blocks. Every other block is skipped, however long.
//
// A simple packet block has no time stamp: its frame gets the time of the frame before it (0 for the first).
import {
  type CaptureDecoder,
  captureError,
  LINKTYPE_ETHERNET,
  linktypeMessage,
  RECORD_SIZE_MAX,
  type Wanted,
  WINDOW_SIZE,
  type Window,
} from "./capture-decoder.ts";
import { COOKED_EXCESS, LINKTYPE_COOKED, uncook } from "./cooked.ts";
import type { FrameBatch } from "./frame-batch.ts";
import { TimestampUnit } from "./timestamp-unit.ts";

export const BLOCK_SECTION = 0x0a0d0d0a;
export const BLOCK_INTERFACE = 1;
export const BLOCK_PACKET_OBSOLETE = 2;
export const BLOCK_SIMPLE_PACKET = 3;
export const BLOCK_ENHANCED_PACKET = 6;

const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const BYTE_ORDER_MAGIC_SWAPPED = 0x4d3c2b1a;

const OPTION_END = 0;
const OPTION_IF_TSRESOL = 9;
const OPTION_IF_TSOFFSET = 14;

/** The shortest total length each block may state. */
const BLOCK_SIZE_MIN: Readonly<Record<number, number>> = {
  [BLOCK_SECTION]: 28,
  [BLOCK_INTERFACE]: 20,
  [BLOCK_PACKET_OBSOLETE]: 32,
  [BLOCK_SIMPLE_PACKET]: 16,
  [BLOCK_ENHANCED_PACKET]: 32,
};
const BLOCK_NAMES: Readonly<Record<number, string>> = {
  [BLOCK_SECTION]: "a section header block",
  [BLOCK_INTERFACE]: "an interface description block",
  [BLOCK_PACKET_OBSOLETE]: "a packet block",
  [BLOCK_SIMPLE_PACKET]: "a simple packet block",
  [BLOCK_ENHANCED_PACKET]: "an enhanced packet block",
};

interface Interface {
  readonly linktype: number;
  readonly snaplen: number;
  readonly unit: TimestampUnit;
}

export class PcapngDecoder implements CaptureDecoder {
  readonly wanted: Wanted = { bytes: 12, what: BLOCK_NAMES[BLOCK_SECTION] };
  #little = true;
  #interfaces: Interface[] = [];
  #sectionSeen = false;
  /** Bytes of a skipped block still to come, without its trailing length; then that length, which must come next. */
  #skip = 0;
  #trailer = 0;
  #lastSec = 0;
  #lastNsec = 0;
  readonly #takesCooked: boolean;

  constructor(takesCooked = false) {
    this.#takesCooked = takesCooked;
  }

  decode(window: Window, batch: FrameBatch): void {
    this.wanted.bytes = 0;
    const room = batch.offset.length;
    while (batch.count < room && (window.start < window.end || this.#trailer !== 0)) {
      if (this.#trailer !== 0) {
        if (!this.#finishSkipping(window, batch)) return;
      } else if (!this.#readBlock(window, batch)) {
        return;
      }
    }
  }

  /** Reads one block; false when more bytes are needed or an error must wait until the frames before it are delivered. */
  #readBlock(window: Window, batch: FrameBatch): boolean {
    const { view, start } = window;
    const available = window.end - start;
    if (available < 12) return this.#want(12, "a block header");
    // The section header's type reads the same in both byte orders; the byte order is known only after it.
    let type = view.getUint32(start, this.#little);
    if (type === BLOCK_SECTION) {
      const order = view.getUint32(start + 8, true);
      if (order !== BYTE_ORDER_MAGIC && order !== BYTE_ORDER_MAGIC_SWAPPED) {
        return this.#fail(batch, window.origin + start + 8, "bad byte-order magic in a section header block");
      }
      // Kept even when the rest of the block is not there yet: the same bytes will be read again.
      this.#little = order === BYTE_ORDER_MAGIC;
    } else if (!this.#sectionSeen) {
      return this.#fail(
        batch,
        window.origin + start,
        "a pcapng capture must begin with a section header block",
      );
    }
    type = view.getUint32(start, this.#little);
    const total = view.getUint32(start + 4, this.#little);
    const name = BLOCK_NAMES[type] ?? `a block of type ${type}`;
    const sizeMin = BLOCK_SIZE_MIN[type] ?? 12;
    if (total < sizeMin || total % 4 !== 0) {
      return this.#fail(
        batch,
        window.origin + start + 4,
        `${name} of ${total} bytes, but wanted a multiple of 4, at least ${sizeMin}`,
      );
    }
    if (BLOCK_NAMES[type] === undefined) {
      this.#skip = total - 4;
      this.#trailer = total;
      return true;
    }
    if (total > WINDOW_SIZE) {
      return this.#fail(
        batch,
        window.origin + start + 4,
        `${name} of ${total} bytes, but at most ${WINDOW_SIZE} make sense`,
      );
    }
    if (available < total) return this.#want(total, name);
    if (view.getUint32(start + total - 4, this.#little) !== total) {
      return this.#fail(batch, window.origin + start + total - 4, trailerMessage(name, total));
    }
    if (!this.#takeBlock(type, total, window, batch)) return false;
    window.start = start + total;
    return true;
  }

  /** A whole block of a known type lies at window.start. */
  #takeBlock(type: number, total: number, window: Window, batch: FrameBatch): boolean {
    switch (type) {
      case BLOCK_ENHANCED_PACKET:
        return this.#takePacket(4, total, window, batch);
      case BLOCK_SIMPLE_PACKET:
        return this.#takeSimple(total, window, batch);
      case BLOCK_PACKET_OBSOLETE:
        return this.#takePacket(2, total, window, batch);
      case BLOCK_INTERFACE:
        return this.#takeInterface(total, window, batch);
      default:
        return this.#takeSection(window, batch);
    }
  }

  #takeSection(window: Window, batch: FrameBatch): boolean {
    const major = window.view.getUint16(window.start + 12, this.#little);
    if (major !== 1) {
      return this.#fail(batch, window.origin + window.start + 12, `pcapng version ${major}, but wanted 1`);
    }
    this.#interfaces = [];
    this.#sectionSeen = true;
    return true;
  }

  #takeInterface(total: number, window: Window, batch: FrameBatch): boolean {
    const { view, start } = window;
    const little = this.#little;
    const bodyEnd = start + total - 4;
    let resolution = 6;
    let offsetSec = 0n;
    let at = start + 16;
    while (bodyEnd - at >= 4) {
      const code = view.getUint16(at, little);
      const size = view.getUint16(at + 2, little);
      if (code === OPTION_END) break;
      if (size > bodyEnd - at - 4) {
        return this.#fail(
          batch,
          window.origin + at + 2,
          `an option of ${size} bytes in ${BLOCK_NAMES[BLOCK_INTERFACE]}, but it has ${bodyEnd - at - 4} left`,
        );
      }
      if (code === OPTION_IF_TSRESOL && size >= 1) resolution = view.getUint8(at + 4);
      if (code === OPTION_IF_TSOFFSET && size >= 8) offsetSec = view.getBigInt64(at + 4, little);
      at += 4 + ((size + 3) & ~3);
    }
    this.#interfaces.push({
      linktype: view.getUint16(start + 8, little),
      snaplen: view.getUint32(start + 12, little),
      unit: new TimestampUnit(resolution, offsetSec),
    });
    return true;
  }

  /** An Enhanced Packet Block, or the Packet Block before it: they differ in the width of the interface's number. */
  #takePacket(idSize: 2 | 4, total: number, window: Window, batch: FrameBatch): boolean {
    const { view, start } = window;
    const little = this.#little;
    const id = idSize === 4 ? view.getUint32(start + 8, little) : view.getUint16(start + 8, little);
    const from = this.#interfaceOf(id, start + 8, window, batch);
    if (from === null) return false;
    const captured = view.getUint32(start + 20, little);
    if (!this.#fits(captured, total - 32, start + 20, window, batch)) return false;
    if (!this.#uncook(from, start + 28, captured, window, batch)) return false;
    from.unit.convert(view.getUint32(start + 12, little), view.getUint32(start + 16, little));
    this.#addFrame(
      batch,
      from,
      start + 28,
      captured,
      view.getUint32(start + 24, little),
      from.unit.sec,
      from.unit.nsec,
    );
    return true;
  }

  #takeSimple(total: number, window: Window, batch: FrameBatch): boolean {
    const { view, start } = window;
    const from = this.#interfaceOf(0, start, window, batch);
    if (from === null) return false;
    const original = view.getUint32(start + 8, this.#little);
    const captured = from.snaplen === 0 ? original : Math.min(original, from.snaplen);
    if (!this.#fits(captured, total - 16, start + 8, window, batch)) return false;
    if (!this.#uncook(from, start + 12, captured, window, batch)) return false;
    this.#addFrame(batch, from, start + 12, captured, original, this.#lastSec, this.#lastNsec);
    return true;
  }

  /** The interface of a frame; null (or an error) when it is not described or not Ethernet. `at`: where its number stands. */
  #interfaceOf(id: number, at: number, window: Window, batch: FrameBatch): Interface | null {
    const found = this.#interfaces[id];
    if (found === undefined) {
      this.#fail(
        batch,
        window.origin + at,
        `a frame of interface ${id}, but the section describes ${this.#interfaces.length}`,
      );
      return null;
    }
    const isCooked = this.#takesCooked && found.linktype === LINKTYPE_COOKED;
    if (found.linktype !== LINKTYPE_ETHERNET && !isCooked) {
      this.#fail(batch, window.origin + at, `interface ${id} has ${linktypeMessage(found.linktype)}`);
      return null;
    }
    return found;
  }

  #fits(captured: number, space: number, at: number, window: Window, batch: FrameBatch): boolean {
    if (captured > space) {
      return this.#fail(
        batch,
        window.origin + at,
        `a frame of ${captured} bytes, but its block has room for ${space}`,
      );
    }
    if (captured > RECORD_SIZE_MAX) {
      return this.#fail(
        batch,
        window.origin + at,
        `a frame of ${captured} bytes, but at most ${RECORD_SIZE_MAX} make sense`,
      );
    }
    return true;
  }

  #uncook(from: Interface, at: number, captured: number, window: Window, batch: FrameBatch): boolean {
    if (from.linktype !== LINKTYPE_COOKED) return true;
    const wrong = uncook(window.data, at, captured);
    return wrong === null || this.#fail(batch, window.origin + at, wrong);
  }

  #addFrame(
    batch: FrameBatch,
    from: Interface,
    at: number,
    captured: number,
    original: number,
    sec: number,
    nsec: number,
  ): void {
    const i = batch.count++;
    const cooked = from.linktype === LINKTYPE_COOKED ? COOKED_EXCESS : 0;
    batch.offset[i] = at + cooked;
    batch.length[i] = captured - cooked;
    batch.wireLength[i] = Math.max(original, captured) - cooked;
    batch.sec[i] = sec;
    batch.nsec[i] = nsec;
    this.#lastSec = sec;
    this.#lastNsec = nsec;
  }

  /** Eats what is there of a block that nobody reads, then checks its trailing length. */
  #finishSkipping(window: Window, batch: FrameBatch): boolean {
    const eaten = Math.min(this.#skip, window.end - window.start);
    window.start += eaten;
    this.#skip -= eaten;
    if (this.#skip > 0) return this.#want(this.#skip + 4, "the rest of a block");
    if (window.end - window.start < 4) return this.#want(4, "the rest of a block");
    const trailer = window.view.getUint32(window.start, this.#little);
    if (trailer !== this.#trailer) {
      return this.#fail(batch, window.origin + window.start, trailerMessage("a block", this.#trailer));
    }
    window.start += 4;
    this.#trailer = 0;
    return true;
  }

  #want(bytes: number, what: string): false {
    this.wanted.bytes = bytes;
    this.wanted.what = what;
    return false;
  }

  /** Throws, unless frames before the error wait to be delivered; then the same bytes are read again by the next call. */
  #fail(batch: FrameBatch, offset: number, message: string): false {
    if (batch.count > 0) return false;
    throw captureError(offset, message);
  }
}

function trailerMessage(name: string, total: number): string {
  return `the length at the end of ${name} is not the ${total} at its beginning`;
}
