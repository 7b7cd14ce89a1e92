// The whole program: `megaflow replay` as its own process, from a capture file to the files of --out-dir.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { assert } from "../src/lib/assert.ts";
import { Prng } from "../src/lib/prng.ts";
import { CaptureWriter } from "../src/port/capture-writer.ts";
import { ACL_FLOWS, aclConnections } from "./acl.ts";
import { type BenchContext, type BenchResult, hashOf } from "./harness.ts";
import { established, LINK, Segments } from "./traffic.ts";

export const name = "end-to-end";
export const question =
  "How fast does `megaflow replay` get a capture file of 60-byte frames through, output files and all?";

const FRAMES = 5_000_000;
const SMOKE_FRAMES = 2_000;
const CONNECTIONS = 1_000;
const RUNS = 3;
const MEGAFLOW = fileURLToPath(new URL("../src/cli/main.js", import.meta.url));
/** Says on descriptor 3, when the process ends, how much memory it had at most (kilobytes). */
const WATCH = `data:text/javascript,import{writeSync}from"node:fs";process.on("exit",()=>writeSync(3,String(process.resourceUsage().maxRSS)))`;

export function run(context: BenchContext): BenchResult {
  const count = context.smoke ? SMOKE_FRAMES : FRAMES;
  const dir = mkdtempSync(join(tmpdir(), "megaflow-bench-"));
  try {
    const flows = join(dir, "acl.flows");
    const capture = join(dir, "in.pcap");
    const out = join(dir, "out");
    writeFileSync(flows, ACL_FLOWS);
    writeCapture(capture, count, new Prng(context.seed));
    const args = ["replay", "--flows", flows, "--in", `1=${capture}`, "--out-dir", out, "--json"];
    const nsPerUnit: number[] = [];
    let note = "";
    for (let run = 0; run < (context.smoke ? 1 : RUNS); run++) {
      const begin = process.hrtime.bigint();
      const child = spawnSync(process.execPath, ["--import", WATCH, MEGAFLOW, ...args], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "pipe", "pipe"],
      });
      const ns = Number(process.hrtime.bigint() - begin);
      assert(child.status === 0, `megaflow replay: ${child.stderr}`);
      nsPerUnit.push(ns / count);
      const peakMb = Number(child.output[3]) / 1024;
      note = `${count} frames in ${(ns / 1e9).toFixed(2)} s, ${peakMb.toFixed(0)} MB at most`;
    }
    const hash = hashOf(readFileSync(join(out, "port-2.pcap")), readFileSync(join(out, "verdicts.jsonl")));
    return { unit: "frame", nsPerUnit, count: nsPerUnit.length * count, hash, note };
  } finally {
    rmSync(dir, { recursive: true });
  }
}

/** A frame a microsecond. */
function writeCapture(path: string, count: number, rng: Prng): void {
  const segments = new Segments(LINK);
  const frames = aclConnections(CONNECTIONS, rng).map((connection) => established(segments, connection));
  const writer = CaptureWriter.open(path);
  for (let i = 0; i < count; i++) {
    const frame = frames[i % frames.length]!;
    writer.write(1_587_638_000 + Math.floor(i / 1e6), (i % 1e6) * 1000, frame, 0, 60, 60);
  }
  writer.close();
}
