// The folder a replay writes (DESIGN section 6): what each port sent, a verdict a line, and at the end the dumps.
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DROP_PIPELINE } from "../datapath/abi.ts";
import type { Verdict } from "../datapath/datapath.ts";
import { dropReason } from "../datapath/drop.ts";
import { MegaflowError } from "../lib/errors.ts";
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

export class ReplayOutput {
  readonly dir: string;
  readonly #ports = new Map<number, CaptureWriter>();
  readonly #verdicts: number;
  #text = "";

  /** Makes the folder (its parents too) and a capture for each of `ports`. Throws MegaflowError EFILE. */
  constructor(dir: string, ports: Iterable<number>) {
    this.dir = dir;
    try {
      mkdirSync(dir, { recursive: true });
      this.#verdicts = openSync(join(dir, "verdicts.jsonl"), "w");
    } catch (error) {
      throw new MegaflowError("EFILE", `cannot write there: ${(error as Error).message}`, { file: dir });
    }
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
    this.#text +=
      `{"packet":${packet},"time":"${time}","in_port":${inPort},"outputs":[${outputs.join(",")}],` +
      `"drop":${drop === null ? "null" : JSON.stringify(drop)},"controller":${controller}}\n`;
    if (this.#text.length >= TEXT_SIZE) this.#flush();
  }

  /** Writes a whole file into the folder. */
  file(name: string, text: string): void {
    writeFileSync(join(this.dir, name), text);
  }

  close(): void {
    this.#flush();
    closeSync(this.#verdicts);
    for (const writer of this.#ports.values()) writer.close();
  }

  #flush(): void {
    writeSync(this.#verdicts, this.#text, null, "latin1"); // it is all ASCII
    this.#text = "";
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
