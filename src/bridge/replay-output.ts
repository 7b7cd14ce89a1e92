// The folder a replay writes (DESIGN section 6): what each port sent, a verdict a line, and at the end the dumps.
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { DROP_PIPELINE } from "../datapath/abi.ts";
import type { Verdict } from "../datapath/datapath.ts";
import { dropReason } from "../datapath/drop.ts";
import { MegaflowError } from "../lib/errors.ts";
import { fileError } from "../port/byte-source.ts";
import { CaptureWriter } from "../port/capture-writer.ts";

/** Text gathered before a write. */
const TEXT_SIZE = 1 << 16;

/** The name and the place of a drop, as `verdicts.jsonl` gives them; null for a frame that went somewhere. */
export interface DropNote {
  readonly reason: string;
  /** The table that decided; null when the frame never reached one. */
  readonly table: number | null;
  /** The cookie of the flow that decided, as `0x...`; null when no flow matched. */
  readonly cookie: string | null;
}

/** What verdicts and the summary say of a frame that was sent nowhere. */
export function dropNote(verdict: Verdict): DropNote | null {
  if (verdict.outputs > 0 || verdict.userspace > 0) return null;
  const { info } = verdict;
  const byPipeline = verdict.drop === DROP_PIPELINE ? info?.reason : null;
  const reason = byPipeline ?? dropReason(verdict.drop).name;
  const cookie = info === null || info.cookie === null ? null : `0x${info.cookie.toString(16)}`;
  return { reason, table: info?.table ?? null, cookie };
}

/** Names of the files that a replay writes. */
const WRITTEN =
  /^(port-\d+\.pcap|verdicts\.jsonl|summary\.json|conntrack\.json|(flows|flow-removed|groups|group-stats|meters|meter-stats|megaflows|conntrack)\.txt)$/;

/** Throws EARGS when one of `inputs` (paths) is a file that a replay into `dir` would write over. */
export function checkInputsSurvive(dir: string, inputs: readonly string[]): void {
  if (!existsSync(dir)) return;
  const folder = realpathSync(dir);
  for (const path of inputs) {
    if (!existsSync(path)) continue;
    const file = realpathSync(path);
    if (dirname(file) === folder && WRITTEN.test(basename(file))) {
      throw new MegaflowError("EARGS", "is read, and would be written over: choose another --out-dir", {
        file: path,
      });
    }
  }
}

/** A file written in pieces; its errors are MegaflowError EFILE. */
class TextFile {
  readonly #path: string;
  readonly #fd: number;
  #text = "";

  constructor(path: string) {
    this.#path = path;
    try {
      this.#fd = openSync(path, "w");
    } catch (error) {
      throw fileError(path, error);
    }
  }

  /** Adds text, all of it ASCII. */
  write(text: string): void {
    this.#text += text;
    if (this.#text.length >= TEXT_SIZE) this.#flush();
  }

  close(): void {
    try {
      this.#flush();
    } finally {
      closeSync(this.#fd);
    }
  }

  #flush(): void {
    const text = this.#text;
    this.#text = "";
    try {
      for (let done = 0; done < text.length; ) done += writeSync(this.#fd, text.slice(done), null, "latin1");
    } catch (error) {
      throw fileError(this.#path, error);
    }
  }
}

export class ReplayOutput {
  readonly dir: string;
  readonly #ports = new Map<number, CaptureWriter>();
  readonly #verdicts: TextFile;
  readonly #removed: TextFile;

  /**
   * Makes the folder (its parents too) and a capture for each of `ports`. The port captures of an earlier run there go: one of a
   * port that now sends nothing would pass for this run's. Throws MegaflowError EFILE.
   */
  constructor(dir: string, ports: Iterable<number>) {
    this.dir = dir;
    makeFolder(resolve(dir), dir);
    for (const name of readdirSync(dir)) if (/^port-\d+\.pcap$/.test(name)) rmSync(join(dir, name));
    this.#verdicts = new TextFile(join(dir, "verdicts.jsonl"));
    this.#removed = new TextFile(join(dir, "flow-removed.txt"));
    for (const no of ports) this.#writer(no);
  }

  /** Adds a frame that was sent on a port. */
  frame(
    port: number,
    sec: number,
    nsec: number,
    data: Uint8Array,
    offset: number,
    length: number,
    wireLength: number,
  ): void {
    this.#writer(port).write(sec, nsec, data, offset, length, wireLength);
  }

  /** Adds the line of a frame; `packet` counts from 1, `outputs` are ports in the order sent. */
  verdict(
    packet: number,
    sec: number,
    nsec: number,
    inPort: number,
    outputs: readonly number[],
    controller: number,
    drop: DropNote | null,
  ): void {
    const time = `${sec}.${String(nsec).padStart(9, "0")}`;
    this.#verdicts.write(
      `{"packet":${packet},"time":"${time}","in_port":${inPort},"outputs":[${outputs.join(",")}],` +
        `"drop":${drop === null ? "null" : JSON.stringify(drop)},"controller":${controller}}\n`,
    );
  }

  /** Adds the line of a flow that is gone. */
  flowRemoved(line: string): void {
    this.#removed.write(`${line}\n`);
  }

  /** Writes a whole file into the folder, line by line as `lines` gives them: a dump may be longer than memory is to hold. */
  file(name: string, lines: Iterable<string>): void {
    const file = new TextFile(join(this.dir, name));
    try {
      for (const line of lines) file.write(`${line}\n`);
    } finally {
      file.close();
    }
  }

  close(): void {
    this.#verdicts.close();
    this.#removed.close();
    for (const writer of this.#ports.values()) writer.close();
  }

  #writer(port: number): CaptureWriter {
    let writer = this.#ports.get(port);
    if (writer === undefined) {
      writer = CaptureWriter.open(join(this.dir, `port-${port}.pcap`));
      this.#ports.set(port, writer);
    }
    return writer;
  }
}

/** Makes a folder and those above it; `name` is for errors. Node's own `recursive` never returns where the system lies (/proc). */
function makeFolder(path: string, name: string): void {
  try {
    if (existsSync(path) && statSync(path).isDirectory()) return;
    if (!existsSync(dirname(path))) makeFolder(dirname(path), name);
    mkdirSync(path);
  } catch (error) {
    throw error instanceof MegaflowError ? error : fileError(name, error);
  }
}
