// Classic pcap: a 24-byte header, then records of 16 bytes and the frame (draft-ietf-opsawg-pcap).
//
//   file header   magic u32 | major u16 | minor u16 | reserved 8 | snaplen u32 | link type u32 (low 26 bits; FCS length above)
//   record        seconds u32 | fraction u32 (µs or ns, by the magic) | captured length u32 | original length u32 | frame
//
// The header's snaplen is not believed, as libpcap does not believe it: many writers leave 0 or nonsense there.
import {
  type CaptureDecoder,
  captureError,
  LINKTYPE_ETHERNET,
  linktypeMessage,
  RECORD_SIZE_MAX,
  type Wanted,
  type Window,
} from "./capture-decoder.ts";
import { COOKED_EXCESS, LINKTYPE_COOKED, uncook } from "./cooked.ts";
import type { FrameBatch } from "./frame-batch.ts";

/** Magic numbers, read little-endian. */
export const PCAP_MAGIC_MICRO = 0xa1b2c3d4;
export const PCAP_MAGIC_NANO = 0xa1b23c4d;
const MAGIC_MICRO_SWAPPED = 0xd4c3b2a1;
const MAGIC_NANO_SWAPPED = 0x4d3cb2a1;

export const PCAP_HEADER_SIZE = 24;
export const PCAP_RECORD_SIZE = 16;

const NANOSECONDS = 1_000_000_000;

/** True when a stream that begins with `magic` (read little-endian) is classic pcap. */
export function isPcapMagic(magic: number): boolean {
  return (
    magic === PCAP_MAGIC_MICRO ||
    magic === PCAP_MAGIC_NANO ||
    magic === MAGIC_MICRO_SWAPPED ||
    magic === MAGIC_NANO_SWAPPED
  );
}

export class PcapDecoder implements CaptureDecoder {
  readonly wanted: Wanted = { bytes: PCAP_HEADER_SIZE, what: "the pcap file header" };
  readonly #little: boolean;
  /** Nanoseconds in one unit of a record's fraction. */
  readonly #scale: number;
  readonly #takesCooked: boolean;
  #isCooked = false;
  #headerRead = false;

  /** `magic`: the first four bytes, read little-endian; isPcapMagic() holds. */
  constructor(magic: number, takesCooked = false) {
    this.#takesCooked = takesCooked;
    this.#little = magic === PCAP_MAGIC_MICRO || magic === PCAP_MAGIC_NANO;
    this.#scale = magic === PCAP_MAGIC_MICRO || magic === MAGIC_MICRO_SWAPPED ? 1000 : 1;
  }

  decode(window: Window, batch: FrameBatch): void {
    if (!this.#headerRead) {
      if (window.end - window.start < PCAP_HEADER_SIZE) return;
      this.#readHeader(window);
    }
    this.#readRecords(window, batch);
  }

  #readHeader(window: Window): void {
    const { view, start } = window;
    const at = window.origin + start;
    const major = view.getUint16(start + 4, this.#little);
    const minor = view.getUint16(start + 6, this.#little);
    if (major !== 2 || minor < 4)
      throw captureError(at + 4, `pcap version ${major}.${minor}, but wanted 2.4`);
    const linktype = view.getUint32(start + 20, this.#little) & 0x03ff_ffff;
    this.#isCooked = this.#takesCooked && linktype === LINKTYPE_COOKED;
    if (linktype !== LINKTYPE_ETHERNET && !this.#isCooked)
      throw captureError(at + 20, linktypeMessage(linktype));
    window.start = start + PCAP_HEADER_SIZE;
    this.#headerRead = true;
  }

  #readRecords(window: Window, batch: FrameBatch): void {
    const view = window.view;
    const little = this.#little;
    const scale = this.#scale;
    const end = window.end;
    const { offset, length, wireLength, sec, nsec } = batch;
    const room = offset.length;
    let count = batch.count;
    let at = window.start;
    let wantedBytes = 0;
    let wantedWhat = "";
    const cooked = this.#isCooked ? COOKED_EXCESS : 0;
    while (count < room && at < end) {
      if (end - at < PCAP_RECORD_SIZE) {
        wantedBytes = PCAP_RECORD_SIZE;
        wantedWhat = "a record header";
        break;
      }
      const captured = view.getUint32(at + 8, little);
      if (captured > RECORD_SIZE_MAX) {
        if (count > 0) break;
        throw captureError(
          window.origin + at + 8,
          `a record of ${captured} bytes, but at most ${RECORD_SIZE_MAX} make sense`,
        );
      }
      if (end - at - PCAP_RECORD_SIZE < captured) {
        wantedBytes = PCAP_RECORD_SIZE + captured;
        wantedWhat = "a record";
        break;
      }
      const original = view.getUint32(at + 12, little);
      let seconds = view.getUint32(at, little);
      let nanoseconds = view.getUint32(at + 4, little) * scale;
      if (nanoseconds >= NANOSECONDS) {
        seconds += Math.floor(nanoseconds / NANOSECONDS);
        nanoseconds %= NANOSECONDS;
      }
      if (cooked > 0) {
        const wrong = uncook(window.data, at + PCAP_RECORD_SIZE, captured);
        if (wrong !== null) {
          if (count > 0) break;
          throw captureError(window.origin + at + PCAP_RECORD_SIZE, wrong);
        }
      }
      offset[count] = at + PCAP_RECORD_SIZE + cooked;
      length[count] = captured - cooked;
      wireLength[count] = Math.max(original, captured) - cooked;
      sec[count] = seconds;
      nsec[count] = nanoseconds;
      count++;
      at += PCAP_RECORD_SIZE + captured;
    }
    window.start = at;
    batch.count = count;
    this.wanted.bytes = wantedBytes;
    this.wanted.what = wantedWhat;
  }
}
