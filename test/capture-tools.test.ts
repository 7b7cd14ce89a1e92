// Captures as the usual tools write and read them: what tshark prints of a file is what the reader gives, and what the writer
// writes every tool reads.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { CaptureReader } from "../src/port/capture-reader.ts";
import { CaptureWriter } from "../src/port/capture-writer.ts";

const dir = mkdtempSync(join(tmpdir(), "megaflow-tools-"));
after(() => rmSync(dir, { recursive: true }));

const installed = ["tshark", "editcap", "tcpdump"].every((tool) => !spawnSync(tool, ["--version"]).error);
const skip = installed ? false : "skipped: tshark, editcap or tcpdump is not installed";

function run(tool: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(tool, args, { encoding: "utf8" });
  assert.equal(status, 0, `${tool} ${args.join(" ")}: ${stderr}`);
  return stdout;
}

/** `time captured original` of every frame, as tshark and as the reader see them. */
const byTshark = (path: string) =>
  run(
    "tshark",
    "-r",
    path,
    "-T",
    "fields",
    "-e",
    "frame.time_epoch",
    "-e",
    "frame.cap_len",
    "-e",
    "frame.len",
  )
    .trimEnd()
    .split("\n")
    .map((line) => line.replaceAll("\t", " "));

async function byReader(path: string): Promise<string[]> {
  const reader = await CaptureReader.open(path);
  const lines: string[] = [];
  for (let batch = await reader.next(); batch !== null; batch = await reader.next()) {
    for (let i = 0; i < batch.count; i++) {
      const time = `${batch.sec[i]}.${String(batch.nsec[i]).padStart(9, "0")}`;
      lines.push(`${time} ${batch.length[i]} ${batch.wireLength[i]}`);
    }
  }
  reader.close();
  return lines;
}

/** 500 frames of growing size over three seconds, some cut, written by CaptureWriter. */
function written(): string {
  const path = join(dir, "written.pcap");
  const writer = CaptureWriter.open(path);
  const frame = new Uint8Array(1600).map((_, i) => i * 7);
  for (let n = 0; n < 500; n++) {
    const size = 14 + n * 3;
    writer.write(
      1_587_638_000 + Math.floor(n / 200),
      (n * 4_999_999) % 1e9,
      frame,
      n,
      size,
      n % 5 ? size : size + n,
    );
  }
  writer.close();
  return path;
}

test("what the writer writes, tshark and tcpdump read", { skip }, async () => {
  const path = written();
  const lines = byTshark(path);
  assert.equal(lines.length, 500);
  assert.deepEqual(await byReader(path), lines);
  assert.equal(run("tcpdump", "--count", "-r", path), "500 packets\n");
});

for (const format of ["pcap", "nsecpcap", "pcapng"]) {
  test(`what editcap writes as ${format} reads as tshark reads it`, { skip }, async () => {
    const path = join(dir, `editcap.${format}`);
    run("editcap", "-F", format, written(), path);
    assert.deepEqual(await byReader(path), byTshark(path));
  });
}

test("what tcpdump writes reads as tshark reads it", { skip }, async () => {
  const path = join(dir, "tcpdump.pcap");
  run("tcpdump", "-r", written(), "-s", "100", "-w", path);
  const lines = await byReader(path);
  assert.equal(lines.length, 500);
  assert.deepEqual(lines, byTshark(path));
});
