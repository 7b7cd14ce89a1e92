// Where the bytes of a capture come from: a file, standard input, or either of them through gzip. Each gives what it has when
// asked; none holds more than one piece in memory.
//
// Files are read synchronously: nothing else waits for this thread, and a promise for each read would be slower. Standard input
// may be a non-blocking pipe, which cannot be read synchronously, and Node inflates piece by piece only through a stream.
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { createGunzip, type Gunzip } from "node:zlib";
import { MegaflowError, systemWords } from "../lib/errors.ts";

export interface ByteSource {
  /** Puts at least one byte and at most `length` at `into[offset]`; the count, 0 at the end of the stream. */
  read(into: Uint8Array, offset: number, length: number): number | Promise<number>;
  close(): void;
}

/**
 * A gzip stream that ends early or is damaged. All that was inflated before an early end has been read; of a damaged stream zlib
 * withholds the piece (up to 16 KiB) in which it found the damage, which is not to be trusted anyway.
 */
export class GzipError extends Error {
  override readonly name = "GzipError";
}

/** Opens `path`, or standard input for "-". Throws MegaflowError EFILE. */
export function openByteSource(path: string): ByteSource {
  if (path !== "-") {
    try {
      return new FileSource(openSync(path, "r"), true);
    } catch (error) {
      throw fileError(path, error);
    }
  }
  return fstatSync(0).isFile() ? new FileSource(0, false) : new StreamSource(process.stdin);
}

/** The operating system's error as ours, in the system's words. */
export function fileError(path: string, error: unknown): MegaflowError {
  return new MegaflowError("EFILE", systemWords(error), { file: path });
}

class FileSource implements ByteSource {
  readonly #fd: number;
  readonly #owned: boolean;

  constructor(fd: number, owned: boolean) {
    this.#fd = fd;
    this.#owned = owned;
  }

  read(into: Uint8Array, offset: number, length: number): number {
    return readSync(this.#fd, into, offset, length, null);
  }

  close(): void {
    if (this.#owned) closeSync(this.#fd);
  }
}

class StreamSource implements ByteSource {
  readonly #stream: NodeJS.ReadStream;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array(0);

  constructor(stream: NodeJS.ReadStream) {
    this.#stream = stream;
    this.#chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  }

  read(into: Uint8Array, offset: number, length: number): number | Promise<number> {
    return this.#chunk.length > 0 ? this.#take(into, offset, length) : this.#readNext(into, offset, length);
  }

  async #readNext(into: Uint8Array, offset: number, length: number): Promise<number> {
    const next = await this.#chunks.next();
    if (next.done === true) return 0;
    this.#chunk = next.value;
    return this.#take(into, offset, length);
  }

  #take(into: Uint8Array, offset: number, length: number): number {
    const size = Math.min(length, this.#chunk.length);
    into.set(this.#chunk.subarray(0, size), offset);
    this.#chunk = this.#chunk.subarray(size);
    return size;
  }

  close(): void {
    this.#stream.destroy();
  }
}

/**
 * Compressed bytes given to zlib at a time. All they inflate to is held until it is read: at zlib's best ratio, about 1,030 to 1,
 * these are 16 MiB.
 */
const COMPRESSED_SIZE = 16 * 1024;

/**
 * Inflates another source, several gzip members after each other included. zlib's stream drops what it has not handed out yet when
 * it meets an error, so it is never made to wait: it is given one small piece, and all that comes out is collected before the next.
 */
export class GunzipSource implements ByteSource {
  readonly #from: ByteSource;
  readonly #gunzip: Gunzip = createGunzip();
  readonly #compressed: Uint8Array = new Uint8Array(COMPRESSED_SIZE);
  #first: Uint8Array | null;
  #pieces: Uint8Array[] = [];
  #piece = 0;
  #used = 0;
  #error: Error | null = null;
  #ended = false;

  /** `first`: what has already been read of `from`. */
  constructor(from: ByteSource, first: Uint8Array) {
    this.#from = from;
    this.#first = first;
    this.#gunzip.on("data", (piece: Uint8Array) => this.#pieces.push(piece));
    this.#gunzip.on("error", (error) => {
      this.#error = error;
    });
  }

  async read(into: Uint8Array, offset: number, length: number): Promise<number> {
    while (this.#piece === this.#pieces.length) {
      if (this.#error !== null) throw new GzipError(gzipWords(this.#error));
      if (this.#ended) return 0;
      this.#pieces = [];
      this.#piece = 0;
      await this.#inflateMore();
    }
    const piece = this.#pieces[this.#piece];
    const size = Math.min(length, piece.length - this.#used);
    into.set(piece.subarray(this.#used, this.#used + size), offset);
    this.#used += size;
    if (this.#used === piece.length) {
      this.#used = 0;
      this.#piece++;
    }
    return size;
  }

  /** Resolves when zlib has worked through one more piece, or the end, of the compressed stream, or has failed. */
  async #inflateMore(): Promise<void> {
    let input = this.#first;
    this.#first = null;
    if (input === null) {
      const size = await this.#from.read(this.#compressed, 0, COMPRESSED_SIZE);
      input = this.#compressed.subarray(0, size);
    }
    const gunzip = this.#gunzip;
    this.#ended = input.length === 0;
    await new Promise<void>((resolve) => {
      const done = () => {
        gunzip.off("error", done);
        gunzip.off("end", done);
        resolve();
      };
      gunzip.once("error", done);
      if (this.#ended) {
        gunzip.once("end", done);
        gunzip.end();
      } else {
        gunzip.write(input, done);
      }
    });
  }

  close(): void {
    this.#gunzip.destroy();
    this.#from.close();
  }
}

function gzipWords(error: Error): string {
  return error.message === "unexpected end of file"
    ? "the gzip stream ends before its end mark"
    : `the gzip stream is damaged (${error.message})`;
}
