// Standard input in its kinds, and memory: each in a process of its own.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { CaptureWriter } from "./capture-writer.ts";

const dir = mkdtempSync(join(tmpdir(), "megaflow-source-"));
after(() => rmSync(dir, { recursive: true }));

/** Reads standard input and prints what it held: frames, bytes, the error, and the memory it took. */
const READER = `
import { CaptureReader } from ${JSON.stringify(new URL("./capture-reader.js", import.meta.url).href)};
let frames = 0, bytes = 0, error = null;
try {
  const reader = await CaptureReader.open("-");
  for (let batch = await reader.next(); batch !== null; batch = await reader.next()) {
    frames += batch.count;
    for (let i = 0; i < batch.count; i++) bytes += batch.length[i];
  }
  reader.close();
} catch (e) {
  error = e.describe();
}
console.log(JSON.stringify({ frames, bytes, error, mib: Math.round(process.resourceUsage().maxRSS / 1024) }));
`;
const ARGS = ["--input-type=module", "-e", READER];

function capture(frames: number): string {
  const path = join(dir, `${frames}.pcap`);
  const writer = CaptureWriter.open(path);
  for (let n = 0; n < frames; n++) writer.write(n, 0, new Uint8Array(1000), 0, 1000, 1000);
  writer.close();
  return path;
}

test("standard input is read from a pipe, from a file, and through gzip", () => {
  const path = capture(5000);
  const bytes = readFileSync(path);
  const seen = (output: string) => ({ ...JSON.parse(output), mib: 0 });
  const whole = { frames: 5000, bytes: 5_000_000, error: null, mib: 0 };
  assert.deepEqual(seen(spawnSync(process.execPath, ARGS, { input: bytes, encoding: "utf8" }).stdout), whole);
  const zipped = spawnSync(process.execPath, ARGS, { input: gzipSync(bytes), encoding: "utf8" });
  assert.deepEqual(seen(zipped.stdout), whole);
  const fd = openSync(path, "r");
  const fromFile = spawnSync(process.execPath, ARGS, { stdio: [fd, "pipe", "inherit"], encoding: "utf8" });
  closeSync(fd);
  assert.deepEqual(seen(fromFile.stdout), whole);
  const cut = spawnSync(process.execPath, ARGS, { input: bytes.subarray(0, -7), encoding: "utf8" });
  const at = bytes.length - 1016;
  assert.deepEqual(seen(cut.stdout), {
    frames: 4999,
    bytes: 4_999_000,
    error: `-: byte ${at}: a record of 1016 bytes begins here, but the capture ends after 1009 of them`,
    mib: 0,
  });
});

test("a gigabyte through a pipe takes under 300 MiB", async () => {
  const file = readFileSync(capture(5000));
  const records = file.subarray(24);
  const times = Math.ceil(2 ** 30 / records.length);
  const child = spawn(process.execPath, ARGS, { stdio: ["pipe", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (chunk) => {
    output += chunk;
  });
  const closed = new Promise((resolve) => child.once("close", resolve));
  child.stdin.write(file.subarray(0, 24));
  for (let i = 0; i < times; i++) {
    if (!child.stdin.write(records)) await new Promise((resolve) => child.stdin.once("drain", resolve));
  }
  child.stdin.end();
  await closed;
  const { frames, error, mib } = JSON.parse(output);
  assert.deepEqual({ frames, error }, { frames: 5000 * times, error: null });
  assert.ok(mib < 300, `${mib} MiB`);
});
