import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { MegaflowError } from "../lib/errors.ts";
import { CaptureReader } from "./capture-reader.ts";

const dir = mkdtempSync(join(tmpdir(), "megaflow-reader-"));
after(() => rmSync(dir, { recursive: true }));
let files = 0;

interface Frame {
  readonly time: string;
  readonly bytes: string;
  readonly wireLength: number;
}

/** All frames of a capture with these bytes, and the words of the error that ended it. */
async function readAll(bytes: Uint8Array): Promise<{ frames: Frame[]; error: string | null }> {
  const path = join(dir, `${files++}.pcap`);
  writeFileSync(path, bytes);
  const frames: Frame[] = [];
  let reader: CaptureReader | null = null;
  try {
    reader = await CaptureReader.open(path);
    for (let batch = await reader.next(); batch !== null; batch = await reader.next()) {
      assert.ok(batch.count > 0);
      for (let i = 0; i < batch.count; i++) {
        const at = batch.offset[i];
        frames.push({
          time: `${batch.sec[i]}.${String(batch.nsec[i]).padStart(9, "0")}`,
          bytes: Buffer.from(batch.data.subarray(at, at + batch.length[i])).toString("hex"),
          wireLength: batch.wireLength[i],
        });
      }
    }
  } catch (error) {
    assert.ok(error instanceof MegaflowError, String(error));
    assert.equal(error.code, "ECAPTURE");
    assert.equal(error.place.file, path);
    return { frames, error: error.message };
  } finally {
    reader?.close();
  }
  return { frames, error: null };
}

/** Spaces are for the reader of the test. */
const hex = (text: string) => Buffer.from(text.replace(/\s/g, ""), "hex");

// Two frames, 3 and 5 bytes, the second cut from 64; times 1.000002003 (1.000002 in µs) and 0x5ea00000.999999 s.
const MICRO_LITTLE = hex(`d4c3b2a1 0200 0400 00000000 00000000 ffff0000 01000000
  01000000 02000000 03000000 03000000 aabbcc
  0000a05e 3f420f00 05000000 40000000 0102030405`);
const MICRO_BIG = hex(`a1b2c3d4 0002 0004 00000000 00000000 0000ffff 00000001
  00000001 00000002 00000003 00000003 aabbcc
  5ea00000 000f423f 00000005 00000040 0102030405`);
const NANO_LITTLE = hex(`4d3cb2a1 0200 0400 00000000 00000000 ffff0000 01000000
  01000000 d3070000 03000000 03000000 aabbcc
  0000a05e ffc99a3b 05000000 40000000 0102030405`);
const NANO_BIG = hex(`a1b23c4d 0002 0004 00000000 00000000 0000ffff 00000001
  00000001 000007d3 00000003 00000003 aabbcc
  5ea00000 3b9ac9ff 00000005 00000040 0102030405`);
const MICRO_FRAMES = [
  { time: "1.000002000", bytes: "aabbcc", wireLength: 3 },
  { time: "1587544064.999999000", bytes: "0102030405", wireLength: 64 },
];
const NANO_FRAMES = [
  { time: "1.000002003", bytes: "aabbcc", wireLength: 3 },
  { time: "1587544064.999999999", bytes: "0102030405", wireLength: 64 },
];

test("classic pcap is read in both byte orders and both resolutions", async () => {
  assert.deepEqual(await readAll(MICRO_LITTLE), { frames: MICRO_FRAMES, error: null });
  assert.deepEqual(await readAll(MICRO_BIG), { frames: MICRO_FRAMES, error: null });
  assert.deepEqual(await readAll(NANO_LITTLE), { frames: NANO_FRAMES, error: null });
  assert.deepEqual(await readAll(NANO_BIG), { frames: NANO_FRAMES, error: null });
});

test("a capture without frames is empty, whatever its snaplen says", async () => {
  const header = Buffer.from(MICRO_LITTLE.subarray(0, 24));
  assert.deepEqual(await readAll(header), { frames: [], error: null });
  header.writeUInt32LE(0xffffffff, 16);
  assert.deepEqual(await readAll(header), { frames: [], error: null });
});

test("a fraction of a second or more is carried, an original length below the captured one is raised", async () => {
  const bytes = Buffer.from(NANO_LITTLE);
  bytes.writeUInt32LE(2_000_000_001, 24 + 4);
  bytes.writeUInt32LE(1, 24 + 12);
  const { frames } = await readAll(bytes);
  assert.deepEqual(frames[0], { time: "3.000000001", bytes: "aabbcc", wireLength: 3 });
});

test("a pcap cut anywhere gives its whole frames, then an error with the record's offset", async () => {
  for (let size = 24; size < MICRO_LITTLE.length; size++) {
    const { frames, error } = await readAll(MICRO_LITTLE.subarray(0, size));
    const whole = size >= 43 ? 1 : 0;
    assert.deepEqual(frames, MICRO_FRAMES.slice(0, whole), `size ${size}`);
    const begin = whole === 1 ? 43 : 24;
    if (size === begin) assert.equal(error, null);
    else if (size - begin < 16) {
      assert.equal(
        error,
        `byte ${begin}: a record header of 16 bytes begins here, but the capture ends after ${size - begin} of them`,
      );
    } else {
      const total = 16 + (whole === 1 ? 5 : 3);
      assert.equal(
        error,
        `byte ${begin}: a record of ${total} bytes begins here, but the capture ends after ${size - begin} of them`,
      );
    }
  }
});

test("a file too short for a header says so", async () => {
  assert.deepEqual(await readAll(new Uint8Array(0)), {
    frames: [],
    error: "byte 0: 0 bytes are no capture: wanted a pcap or pcapng header",
  });
  assert.deepEqual(await readAll(MICRO_LITTLE.subarray(0, 10)), {
    frames: [],
    error: "byte 0: the pcap file header of 24 bytes begins here, but the capture ends after 10 of them",
  });
});

test("bad magic, version, link type and record length are refused with their offsets", async () => {
  assert.equal(
    (await readAll(Buffer.from("GET / HTTP/1.0"))).error,
    "byte 0: bad magic 0x47455420: wanted pcap, pcapng, or either in gzip",
  );
  const version = Buffer.from(MICRO_LITTLE);
  version[4] = 3;
  assert.equal((await readAll(version)).error, "byte 4: pcap version 3.4, but wanted 2.4");
  const cooked = Buffer.from(MICRO_LITTLE);
  cooked.writeUInt32LE(113, 20);
  assert.match((await readAll(cooked)).error!, /^byte 20: link type 113 \(Linux cooked.*only Ethernet/);
  const long = Buffer.from(MICRO_LITTLE);
  long.writeUInt32LE(0x7fffffff, 43 + 8);
  assert.deepEqual(await readAll(long), {
    frames: MICRO_FRAMES.slice(0, 1),
    error: "byte 51: a record of 2147483647 bytes, but at most 262144 make sense",
  });
  const fcs = Buffer.from(MICRO_LITTLE);
  fcs.writeUInt32LE(0x44000001, 20);
  assert.deepEqual(await readAll(fcs), { frames: MICRO_FRAMES, error: null });
});

test("a file that is not there is EFILE with the system's words", async () => {
  await assert.rejects(CaptureReader.open(join(dir, "none")), (error: MegaflowError) => {
    assert.equal(error.code, "EFILE");
    assert.equal(error.describe(), `${join(dir, "none")}: no such file or directory`);
    return true;
  });
  await assert.rejects(CaptureReader.open(dir), (error: MegaflowError) => error.code === "EFILE");
});

test("gzip is read, in several members too", async () => {
  assert.deepEqual(await readAll(gzipSync(MICRO_LITTLE)), { frames: MICRO_FRAMES, error: null });
  const members = Buffer.concat([
    gzipSync(MICRO_LITTLE.subarray(0, 30)),
    gzipSync(MICRO_LITTLE.subarray(30)),
  ]);
  assert.deepEqual(await readAll(members), { frames: MICRO_FRAMES, error: null });
});

test("a cut or damaged gzip stream gives what was inflated, then an error", async () => {
  // Bytes that do not compress, so that frames come out before the stream ends.
  const record = Buffer.alloc(16 + 1000);
  record.writeUInt32LE(1000, 8);
  record.writeUInt32LE(1000, 12);
  const parts = [MICRO_LITTLE.subarray(0, 24)];
  let x = 1;
  for (let n = 0; n < 200; n++) {
    const one = Buffer.from(record);
    for (let i = 16; i < one.length; i++) one[i] = (x = Math.imul(x, 1664525) + 1013904223) >>> 24;
    parts.push(one);
  }
  const whole = Buffer.concat(parts);
  const packed = gzipSync(whole);
  const cut = await readAll(packed.subarray(0, packed.length - 100_000));
  assert.ok(cut.frames.length > 50 && cut.frames.length < 150, `${cut.frames.length} frames`);
  assert.match(cut.error!, /^byte \d+: the gzip stream ends before its end mark$/);
  const noTrailer = await readAll(packed.subarray(0, packed.length - 4));
  assert.equal(noTrailer.frames.length, 200);
  assert.equal(noTrailer.error, `byte ${whole.length}: the gzip stream ends before its end mark`);
  const damaged = Buffer.from(packed);
  damaged[damaged.length - 6] ^= 0xff;
  const bad = await readAll(damaged);
  // zlib withholds the piece (up to 16 KiB) in which it found the damage.
  assert.ok(bad.frames.length >= 180, `${bad.frames.length} frames`);
  assert.match(bad.error!, /^byte \d+: the gzip stream is damaged \(incorrect data check\)$/);
});

/** A pcapng block with its two lengths, in either byte order. */
function block(little: boolean, type: number, body: Buffer): Buffer {
  const padded = Buffer.concat([body, Buffer.alloc(-body.length & 3)]);
  const total = padded.length + 12;
  const words = u32s(little, type, total);
  return Buffer.concat([words, padded, words.subarray(4)]);
}

function u32s(little: boolean, ...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, i) => {
    if (little) bytes.writeUInt32LE(value, i * 4);
    else bytes.writeUInt32BE(value, i * 4);
  });
  return bytes;
}

function u16s(little: boolean, ...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2);
  values.forEach((value, i) => {
    if (little) bytes.writeUInt16LE(value, i * 2);
    else bytes.writeUInt16BE(value, i * 2);
  });
  return bytes;
}

const section = (little: boolean) =>
  block(
    little,
    0x0a0d0d0a,
    Buffer.concat([u32s(little, 0x1a2b3c4d), u16s(little, 1, 0), u32s(little, 0xffffffff, 0xffffffff)]),
  );

function describeInterface(
  little: boolean,
  linktype: number,
  snaplen: number,
  options: Buffer = Buffer.alloc(0),
): Buffer {
  return block(little, 1, Buffer.concat([u16s(little, linktype, 0), u32s(little, snaplen), options]));
}

function enhanced(
  little: boolean,
  id: number,
  units: bigint,
  frame: Buffer,
  original = frame.length,
): Buffer {
  const high = Number(units >> 32n);
  const low = Number(units & 0xffffffffn);
  const padded = Buffer.concat([frame, Buffer.alloc(-frame.length & 3)]);
  return block(little, 6, Buffer.concat([u32s(little, id, high, low, frame.length, original), padded]));
}

const tsresol = (little: boolean, value: number) =>
  Buffer.concat([u16s(little, 9, 1), Buffer.from([value, 0, 0, 0])]);

for (const little of [true, false]) {
  const order = little ? "little-endian" : "big-endian";

  test(`pcapng, ${order}: every frame block, resolution and offset, other blocks skipped`, async () => {
    const offset = Buffer.concat([u16s(little, 14, 8), Buffer.alloc(8)]);
    if (little) offset.writeBigInt64LE(-3n, 4);
    else offset.writeBigInt64BE(-3n, 4);
    const bytes = Buffer.concat([
      section(little),
      describeInterface(little, 1, 4),
      describeInterface(little, 1, 0, Buffer.concat([tsresol(little, 9), offset, u32s(little, 0)])),
      describeInterface(little, 1, 0, tsresol(little, 0x80 | 20)),
      describeInterface(little, 1, 0, tsresol(little, 12)),
      block(little, 0x0bad, Buffer.alloc(2_500_000)),
      enhanced(little, 0, 1_587_544_064_999_999n, hex("aabbcc")),
      enhanced(little, 1, 1_587_544_064_999_999_999n, hex("0102030405"), 64),
      enhanced(little, 1, 1_587_544_064_000_000_007n, hex("06")),
      enhanced(little, 1, 1_587_544_065_000_000_000n, hex("07")),
      enhanced(little, 1, 1_587_544_063_999_999_999n, hex("08")),
      enhanced(little, 2, (5n << 20n) + (1n << 19n), hex("0b")),
      enhanced(little, 3, 7_000_000_000_123n, hex("0c")),
      block(little, 3, Buffer.concat([u32s(little, 60), hex("11223344")])),
      block(little, 2, Buffer.concat([u16s(little, 0, 9), u32s(little, 0, 5_000_001, 2, 2), hex("dddd")])),
      block(little, 5, Buffer.alloc(12)),
    ]);
    assert.deepEqual(await readAll(bytes), {
      frames: [
        { time: "1587544064.999999000", bytes: "aabbcc", wireLength: 3 },
        { time: "1587544061.999999999", bytes: "0102030405", wireLength: 64 },
        { time: "1587544061.000000007", bytes: "06", wireLength: 1 },
        { time: "1587544062.000000000", bytes: "07", wireLength: 1 },
        { time: "1587544060.999999999", bytes: "08", wireLength: 1 },
        { time: "5.500000000", bytes: "0b", wireLength: 1 },
        { time: "7.000000000", bytes: "0c", wireLength: 1 },
        { time: "7.000000000", bytes: "11223344", wireLength: 60 },
        { time: "5.000001000", bytes: "dddd", wireLength: 2 },
      ],
      error: null,
    });
  });

  test(`pcapng, ${order}: a new section starts over, in its own byte order`, async () => {
    const bytes = Buffer.concat([
      section(little),
      describeInterface(little, 101, 0),
      describeInterface(little, 1, 0),
      enhanced(little, 1, 1_000_000n, hex("01")),
      section(!little),
      describeInterface(!little, 1, 0),
      enhanced(!little, 0, 2_000_000n, hex("02")),
      enhanced(!little, 1, 2_000_000n, hex("03")),
    ]);
    const { frames, error } = await readAll(bytes);
    assert.deepEqual(
      frames.map((f) => f.time),
      ["1.000000000", "2.000000000"],
    );
    const at = bytes.length - 36 + 8;
    assert.equal(error, `byte ${at}: a frame of interface 1, but the section describes 1`);
  });

  test(`pcapng, ${order}: a capture cut anywhere gives its whole frames, then an error`, async () => {
    const head = Buffer.concat([section(little), describeInterface(little, 1, 0)]);
    const frame = enhanced(little, 0, 1n, hex("0102030405"));
    const rest = block(little, 0x0bad, Buffer.alloc(8));
    const bytes = Buffer.concat([head, frame, rest]);
    const ends = [28, head.length, head.length + frame.length, bytes.length];
    for (let size = 4; size < bytes.length; size++) {
      const { frames, error } = await readAll(bytes.subarray(0, size));
      assert.equal(frames.length, size >= head.length + frame.length ? 1 : 0, `size ${size}`);
      if (ends.includes(size)) assert.equal(error, null, `size ${size}`);
      else assert.match(error ?? "", /begins here, but the capture ends after \d+ of them$/, `size ${size}`);
    }
  });

  test(`pcapng, ${order}: malformed blocks are refused with their offsets`, async () => {
    const head = Buffer.concat([section(little), describeInterface(little, 1, 0)]);
    const good = enhanced(little, 0, 1n, hex("0102030405"));
    const at = head.length + good.length;
    const broken = async (...parts: Buffer[]) => {
      const { frames, error } = await readAll(Buffer.concat([head, good, ...parts]));
      assert.equal(frames.length, 1);
      return error;
    };
    const patch = (bytes: Buffer, place: number, value: number) => {
      const copy = Buffer.from(bytes);
      u32s(little, value).copy(copy, place);
      return copy;
    };
    assert.equal(
      await broken(patch(good, 4, 16)),
      `byte ${at + 4}: an enhanced packet block of 16 bytes, but wanted a multiple of 4, at least 32`,
    );
    assert.equal(
      await broken(patch(good, 4, 41)),
      `byte ${at + 4}: an enhanced packet block of 41 bytes, but wanted a multiple of 4, at least 32`,
    );
    assert.equal(
      await broken(patch(good, 4, 0x7ffffffc)),
      `byte ${at + 4}: an enhanced packet block of 2147483644 bytes, but at most 1048576 make sense`,
    );
    assert.equal(
      await broken(patch(good, good.length - 4, 44)),
      `byte ${at + 36}: the length at the end of an enhanced packet block is not the 40 at its beginning`,
    );
    assert.equal(
      await broken(patch(good, 20, 9)),
      `byte ${at + 20}: a frame of 9 bytes, but its block has room for 8`,
    );
    const other = block(little, 0x0bad, Buffer.alloc(4));
    assert.equal(
      await broken(patch(other, 12, 99)),
      `byte ${at + 12}: the length at the end of a block is not the 16 at its beginning`,
    );
    assert.equal(
      await broken(patch(section(little), 8, 0x11111111)),
      `byte ${at + 8}: bad byte-order magic in a section header block`,
    );
    const version = section(little);
    u16s(little, 2).copy(version, 12);
    assert.equal(await broken(version), `byte ${at + 12}: pcapng version 2, but wanted 1`);
    assert.equal(
      await broken(describeInterface(little, 1, 0, u16s(little, 9, 50))),
      `byte ${at + 18}: an option of 50 bytes in an interface description block, but it has 0 left`,
    );
    assert.match(
      (await broken(describeInterface(little, 127, 0), enhanced(little, 1, 1n, hex("01"))))!,
      /interface 1 has link type 127 \(IEEE 802.11 radiotap\), but only Ethernet/,
    );
  });
}
