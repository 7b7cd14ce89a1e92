import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { MegaflowError } from "../lib/errors.ts";
import { CaptureReader } from "./capture-reader.ts";
import { CaptureWriter } from "./capture-writer.ts";

const dir = mkdtempSync(join(tmpdir(), "megaflow-writer-"));
after(() => rmSync(dir, { recursive: true }));

test("the file is nanosecond little-endian pcap, to the byte", () => {
  const path = join(dir, "two.pcap");
  const writer = CaptureWriter.open(path);
  const data = Buffer.from("00aabbcc0102030405", "hex");
  writer.write(1, 2003, data, 1, 3, 3);
  writer.write(0x5ea00000, 999_999_999, data, 4, 5, 64);
  writer.close();
  assert.equal(
    readFileSync(path).toString("hex"),
    "4d3cb2a1020004000000000000000000" +
      "0000040001000000" +
      "01000000d30700000300000003000000aabbcc" +
      "0000a05effc99a3b05000000400000000102030405",
  );
});

test("frames of every size come back as they were written", async () => {
  const path = join(dir, "sizes.pcap");
  const data = new Uint8Array(300_000);
  for (let i = 0; i < data.length; i++) data[i] = (i * 31) >> 3;
  const sizes = [0, 1, 60, 96, 97, 1514, 65_535, 262_128 - 16, 262_127, 262_128, 262_144, 14];
  const writer = CaptureWriter.open(path);
  sizes.forEach((size, n) => {
    writer.write(n, n * 1000, data, n, size, size + n);
  });
  writer.close();
  const reader = await CaptureReader.open(path);
  let n = 0;
  for (let batch = await reader.next(); batch !== null; batch = await reader.next()) {
    for (let i = 0; i < batch.count; i++, n++) {
      assert.deepEqual(
        [batch.sec[i], batch.nsec[i], batch.length[i], batch.wireLength[i]],
        [n, n * 1000, sizes[n], sizes[n] + n],
      );
      const at = batch.offset[i];
      assert.ok(Buffer.from(batch.data.subarray(at, at + sizes[n])).equals(data.subarray(n, n + sizes[n])));
    }
  }
  reader.close();
  assert.equal(n, sizes.length);
});

test("a file that cannot be made or written is EFILE", () => {
  assert.throws(
    () => CaptureWriter.open(join(dir, "none", "x.pcap")),
    (error: MegaflowError) => error instanceof MegaflowError && error.code === "EFILE",
  );
  const full = CaptureWriter.open("/dev/full");
  full.write(0, 0, new Uint8Array(60), 0, 60, 60);
  assert.throws(
    () => full.close(),
    (error: MegaflowError) => error.describe() === "/dev/full: no space left on device",
  );
});
