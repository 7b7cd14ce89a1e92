// Reads a capture of any format, compressed or not, in batches: finds out what it is, keeps the window filled, and turns the end
// of the stream into either the end of the capture or an error.
import { isSystemError, MegaflowError } from "../lib/errors.ts";
import { type ByteSource, fileError, GunzipSource, GzipError, openByteSource } from "./byte-source.ts";
import { type CaptureDecoder, captureError, WINDOW_SIZE, type Window } from "./capture-decoder.ts";
import { createFrameBatch, type FrameBatch } from "./frame-batch.ts";
import { isPcapMagic, PcapDecoder } from "./pcap.ts";
import { BLOCK_SECTION, PcapngDecoder } from "./pcapng.ts";

/** Begin of every gzip member (RFC 1952 section 2.3.1). */
const GZIP_ID1 = 0x1f;
const GZIP_ID2 = 0x8b;

export interface CaptureReaderOptions {
  /** Linux cooked captures are taken too (cooked.ts); as a rule only Ethernet is. */
  readonly takesCooked?: boolean;
}

/**
 * A capture being read. Memory: the window (1 MiB), the batch's arrays (under 300 KiB) and, for gzip, what zlib holds.
 *
 * Errors are MegaflowError: EFILE when the file cannot be opened or read, ECAPTURE for a capture that cannot be read further, its
 * message naming the byte offset in the uncompressed stream. Every frame before that place is delivered first.
 */
export class CaptureReader {
  /** The path as given; "-" is standard input. */
  readonly path: string;
  #source: ByteSource;
  #decoder: CaptureDecoder | null = null;
  readonly #window: Window;
  readonly #batch: FrameBatch;
  #ended = false;
  /** The gzip stream's trouble, reported once all before it has been delivered. */
  #gzipError: GzipError | null = null;

  readonly #takesCooked: boolean;

  private constructor(path: string, source: ByteSource, { takesCooked = false }: CaptureReaderOptions) {
    this.path = path;
    this.#takesCooked = takesCooked;
    this.#source = source;
    const data = new Uint8Array(WINDOW_SIZE);
    this.#window = { data, view: new DataView(data.buffer), start: 0, end: 0, origin: 0 };
    this.#batch = createFrameBatch(data);
  }

  /** Opens the capture and reads far enough to know its format. */
  static async open(path: string, options: CaptureReaderOptions = {}): Promise<CaptureReader> {
    return CaptureReader.over(openByteSource(path), path, options);
  }

  /** As open(), over bytes from anywhere; `path` names them in errors. */
  static async over(
    source: ByteSource,
    path: string,
    options: CaptureReaderOptions = {},
  ): Promise<CaptureReader> {
    const reader = new CaptureReader(path, source, options);
    try {
      await reader.#detect();
    } catch (error) {
      reader.close();
      throw reader.#named(error);
    }
    return reader;
  }

  /** The next frames, at least one, or null at the end of the capture. The batch is overwritten by the next call. */
  async next(): Promise<FrameBatch | null> {
    try {
      return await this.#next();
    } catch (error) {
      throw this.#named(error);
    }
  }

  close(): void {
    this.#source.close();
  }

  async #next(): Promise<FrameBatch | null> {
    const window = this.#window;
    const batch = this.#batch;
    const decoder = this.#decoder!;
    batch.count = 0;
    for (;;) {
      decoder.decode(window, batch);
      if (batch.count > 0) return batch;
      if (this.#ended) return this.#finish(decoder);
      await this.#fill();
    }
  }

  /** The stream has ended and no whole record is left. */
  #finish(decoder: CaptureDecoder): null {
    const { start, end, origin } = this.#window;
    if (this.#gzipError !== null) throw captureError(origin + end, this.#gzipError.message);
    const { bytes, what } = decoder.wanted;
    if (bytes > 0) {
      throw captureError(
        origin + start,
        `${what} of ${bytes} bytes begins here, but the capture ends after ${end - start} of them`,
      );
    }
    return null;
  }

  /** Moves what is left to the front of the window and reads as much as the source gives. */
  async #fill(): Promise<void> {
    const window = this.#window;
    if (window.start > 0) {
      window.data.copyWithin(0, window.start, window.end);
      window.origin += window.start;
      window.end -= window.start;
      window.start = 0;
    }
    let size = 0;
    try {
      const read = this.#source.read(window.data, window.end, WINDOW_SIZE - window.end);
      size = typeof read === "number" ? read : await read;
    } catch (error) {
      if (!(error instanceof GzipError)) throw error;
      this.#gzipError = error;
    }
    window.end += size;
    this.#ended = size === 0;
  }

  async #detect(): Promise<void> {
    const window = this.#window;
    await this.#fillTo(4);
    if (window.data[0] === GZIP_ID1 && window.data[1] === GZIP_ID2) {
      this.#source = new GunzipSource(this.#source, window.data.slice(0, window.end));
      window.end = 0;
      this.#ended = false;
      await this.#fillTo(4);
    }
    if (window.end < 4) {
      if (this.#gzipError !== null) throw captureError(window.end, this.#gzipError.message);
      throw captureError(0, `${window.end} bytes are no capture: wanted a pcap or pcapng header`);
    }
    const magic = window.view.getUint32(0, true);
    if (isPcapMagic(magic)) this.#decoder = new PcapDecoder(magic, this.#takesCooked);
    else if (magic === BLOCK_SECTION) this.#decoder = new PcapngDecoder(this.#takesCooked);
    else {
      const seen = window.view.getUint32(0, false).toString(16).padStart(8, "0");
      throw captureError(0, `bad magic 0x${seen}: wanted pcap, pcapng, or either in gzip`);
    }
  }

  async #fillTo(size: number): Promise<void> {
    while (this.#window.end < size && !this.#ended) await this.#fill();
  }

  /** Adds the path to an error; an error of the operating system while reading becomes EFILE. */
  #named(error: unknown): unknown {
    if (error instanceof MegaflowError) return error.at({ file: this.path });
    return isSystemError(error) ? fileError(this.path, error) : error;
  }
}
