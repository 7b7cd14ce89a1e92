// `megaflow parse CAPTURE...`: each frame's flow, a line each, as `ovs-ofctl parse-pcap` prints it.
import { once } from "node:events";
import type { Writable } from "node:stream";
import type { Command } from "commander";
import { Extractor } from "../datapath/extract.ts";
import { Flow } from "../flow/flow.ts";
import { formatFlow } from "../flow/flow-text.ts";
import { MegaflowError } from "../lib/errors.ts";
import { CaptureReader } from "../port/capture-reader.ts";
import type { FrameBatch } from "../port/frame-batch.ts";
import { EXIT_ARGUMENTS, EXIT_UNFINISHED } from "./exit.ts";

/** The in_port of a frame that came from no port, printed as ANY. */
const PORT_ANY = 0xffff;
/** Text is handed over in pieces of about this many characters. */
const CHUNK_LENGTH = 1 << 16;

const HELP = `
The capture may be pcap (microseconds or nanoseconds) or pcapng, plain or gzip; - is standard input. Its frames are
Ethernet's, or a Linux cooked capture's (v1, of tcpdump -i any), which have no destination address. Two VLAN tags are read.
A frame that the capture's snaplen cut is taken for what is there of it, which may be too little for its headers.

Exit status: 0 done; 1 not all was done: a capture could not be read to its end (the frames before that place are printed), or
not at all; 2 nothing could be done.

Examples:
  megaflow parse http.pcapng
  zcat big.pcap.gz | megaflow parse - | grep '^arp'
  tcpdump -i eth0 -w - -U | megaflow parse -
`;

/** Adds the command to the program. */
export function register(program: Command): void {
  program
    .command("parse")
    .summary("print the flow of each frame of a capture")
    .description(
      "Print the flow of each frame of a capture, a line each, as `ovs-ofctl parse-pcap` prints it.",
    )
    .argument("<capture...>", "capture files")
    .addHelpText("after", HELP)
    .action(async (paths: string[]) => {
      process.exitCode = await parseCaptures(paths, process.stdout, process.stderr);
    });
}

/** Prints the flows of the captures in turn; a bad one does not keep the next from being printed. Returns the exit status. */
export async function parseCaptures(
  paths: readonly string[],
  out: Writable,
  errors: Writable,
): Promise<number> {
  const printer = new FlowPrinter(out);
  let status = 0;
  for (const path of paths) {
    const before = printer.count;
    try {
      await printCapture(path, printer);
    } catch (error) {
      if (isClosedPipe(error)) return status;
      if (!(error instanceof MegaflowError)) throw error;
      await printer.flush();
      const frames = printer.count - before;
      errors.write(
        `megaflow parse: ${error.describe()}${frames > 0 ? ` (frames printed: ${frames})` : ""}\n`,
      );
      status = Math.max(status, error.code === "ECAPTURE" ? EXIT_UNFINISHED : EXIT_ARGUMENTS);
    }
  }
  return printer.count > 0 ? Math.min(status, EXIT_UNFINISHED) : status;
}

async function printCapture(path: string, printer: FlowPrinter): Promise<void> {
  const reader = await CaptureReader.open(path, { takesCooked: true });
  try {
    for (let batch = await reader.next(); batch !== null; batch = await reader.next())
      await printer.print(batch);
    await printer.flush();
  } finally {
    reader.close();
  }
}

class FlowPrinter {
  /** Frames printed so far. */
  count = 0;
  readonly #out: Writable;
  readonly #extractor = new Extractor();
  readonly #flow = new Flow();
  #failure: Error | null = null;
  #text = "";

  constructor(out: Writable) {
    this.#out = out;
    out.on("error", (error) => {
      this.#failure = error;
    });
  }

  async print(batch: FrameBatch): Promise<void> {
    const { count, data, offset, length } = batch;
    const flow = this.#flow;
    for (let i = 0; i < count; i++) {
      const start = offset[i]!;
      const size = length[i]!;
      this.#extractor.extract(data.subarray(start, start + size), size, PORT_ANY, flow);
      this.#text += `${formatFlow(flow)}\n`;
      this.count++;
      if (this.#text.length >= CHUNK_LENGTH) await this.flush();
    }
  }

  /** Hands over the text so far; waits when the reader at the other end is slower. */
  async flush(): Promise<void> {
    const text = this.#text;
    this.#text = "";
    if (text !== "" && !this.#out.write(text) && this.#failure === null) await once(this.#out, "drain");
    if (this.#failure !== null) throw this.#failure;
  }
}

/** Whoever read our output has had enough: `megaflow parse big.pcap | head`. */
function isClosedPipe(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EPIPE";
}
