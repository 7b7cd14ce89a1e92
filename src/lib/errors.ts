// Operating errors: bad input, bad arguments, a file that cannot be read. A bad frame is data and never becomes one of these.

/** Stable codes, one list. */
export type ErrorCode =
  | "EARGS" // bad command-line arguments
  | "ETEXT" // bad flow, group, meter or key text
  | "ECAPTURE" // a capture that cannot be read further
  | "EFILE" // a file or device that cannot be opened
  | "ECONFIG" // a bad configuration file
  | "ELIMIT" // a named limit is reached
  | "ESHARD" // a shard's thread that failed
  | "ESIGNAL" // ended by a signal
  | "EUNSUPPORTED"; // understood, but not supported here

/** Where in a text the trouble is; line and column count from 1. */
export interface Place {
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
}

/** An error the user can act on. `message` is OVS's wording where OVS has one. */
export class MegaflowError extends Error {
  override readonly name = "MegaflowError";
  readonly code: ErrorCode;
  readonly place: Place;

  constructor(code: ErrorCode, message: string, place: Place = {}) {
    super(message);
    this.code = code;
    this.place = place;
  }

  /** `file:line:column: message`, leaving out what is not known; `column 7: message` of a text that is no file's. */
  describe(): string {
    const { file, line, column } = this.place;
    if (file === undefined && line === undefined) {
      return column === undefined ? this.message : `column ${column}: ${this.message}`;
    }
    const where = [file, line, column].filter((x) => x !== undefined).join(":");
    return `${where}: ${this.message}`;
  }

  /** The same error at a place known further out. */
  at(place: Place): MegaflowError {
    return new MegaflowError(this.code, this.message, { ...place, ...this.place });
  }
}

/** Whether an error is the operating system's (a full disk, a missing file): nobody's bug. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "syscall" in error && "code" in error;
}

/** The operating system's error in its own words: Node's "EISDIR: illegal operation on a directory, read" without code and call. */
export function systemWords(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return /^[A-Z0-9]+: ([^,]*)/.exec(text)?.[1] ?? text;
}
