// The frame parser and the flow text against `ovs-ofctl parse-pcap`, line by line, on frames of every kind and on broken
// ones. MEGAFLOW_ORACLE_FRAMES and MEGAFLOW_SEED set how many and which.
//
// parse-pcap's quirks: in_port is ANY; two VLAN tags are read; an empty record ends the file, so that there is none here.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { parseCaptures } from "../../src/cli/parse.ts";
import { Extractor } from "../../src/datapath/extract.ts";
import { Flow } from "../../src/flow/flow.ts";
import { formatFlow } from "../../src/flow/flow-text.ts";
import * as layout from "../../src/flow/layout.ts";
import { Prng } from "../../src/lib/prng.ts";
import { bytesToHex, hexDump } from "../../src/packet/bytes.ts";
import { CaptureWriter } from "../../src/port/capture-writer.ts";
import { FRAMES, mutatedFrame } from "../support/frames.ts";
import { ovsSkip, requireOvs } from "./ovs.ts";

const COUNT = Number(process.env.MEGAFLOW_ORACLE_FRAMES ?? 100_000);
const SEED = Number(process.env.MEGAFLOW_SEED ?? 1);
const FIXTURES = fileURLToPath(new URL("../../../pcap-fixtures", import.meta.url));
const PORT_ANY = 0xffff;
const SHOWN_MAX = 5;

function parsePcap(frames: readonly Uint8Array[]): string[] {
  const dir = mkdtempSync(join(tmpdir(), "megaflow-parse-"));
  try {
    const path = join(dir, "frames.pcap");
    const writer = CaptureWriter.open(path);
    for (const frame of frames) writer.write(1, 0, frame, 0, frame.length, frame.length);
    writer.close();
    const out = execFileSync("ovs-ofctl", ["parse-pcap", path], { encoding: "utf8", maxBuffer: 1 << 30 });
    return out.split("\n").slice(0, -1);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

test(`${COUNT} mutated frames print as parse-pcap prints them (seed ${SEED})`, { skip: ovsSkip }, () => {
  const random = new Prng(SEED);
  const frames = [...FRAMES.values()];
  while (frames.length < FRAMES.size + COUNT) {
    const frame = mutatedFrame(random);
    if (frame.length > 0) frames.push(frame);
  }
  const lines = parsePcap(frames);
  assert.equal(lines.length, frames.length);
  const extractor = new Extractor();
  const flow = new Flow();
  const wrong: string[] = [];
  frames.forEach((frame, i) => {
    extractor.extract(frame, frame.length, PORT_ANY, flow);
    const line = formatFlow(flow);
    if (line !== lines[i]) wrong.push(`frame ${i}\n${hexDump(frame)}\nours ${line}\novs  ${lines[i]}`);
  });
  assert.equal(wrong.length, 0, `${wrong.length} lines differ\n${wrong.slice(0, SHOWN_MAX).join("\n\n")}`);
});

test("megaflow parse prints the fixtures byte for byte as parse-pcap does", { skip: ovsSkip }, async () => {
  const captures = readdirSync(FIXTURES, { recursive: true })
    .map(String)
    .filter((name) => name.endsWith(".pcap"));
  assert.ok(captures.length > 0);
  for (const name of captures) {
    const path = join(FIXTURES, name);
    const out = new PassThrough();
    const printed = text(out);
    assert.equal(await parseCaptures([path], out, new PassThrough()), 0);
    out.end();
    const expected = execFileSync("ovs-ofctl", ["parse-pcap", path], {
      encoding: "utf8",
      maxBuffer: 1 << 30,
    });
    assert.equal(await printed, expected, name);
  }
});

test("the neighbour discovery fields that no text shows", { skip: ovsSkip }, async () => {
  const ovs = await requireOvs();
  try {
    await ovs.addBridge("br0", { ports: [{ no: 1 }] });
    // Looked at by a move, a field's value stands in the megaflow; the value moved is another (0, a fault of OVS 3.1).
    const moves = [
      "move:ERICOXM_OF_ICMPV6_ND_RESERVED[]->NXM_NX_REG0[]",
      "move:ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE[]->NXM_NX_REG1[0..7]",
    ].join(",");
    for (const type of [135, 136]) {
      await ovs.ofctl(["add-flow", "br0", `icmp6,icmp_type=${type},icmp_code=0 actions=${moves}`]);
    }
    const extractor = new Extractor(1);
    const flow = new Flow();
    const random = new Prng(SEED);
    const seeds = [...FRAMES]
      .filter(([name]) => /solicitation|advertisement/.test(name))
      .map(([, frame]) => frame);
    const frames = [...seeds, ...Array.from({ length: 300 }, () => mutatedFrame(random, seeds))];
    let compared = 0;
    for (const frame of frames) {
      extractor.extract(frame, frame.length, 1, flow);
      const type = flow.get16(layout.O_TP_SRC);
      const isNd = flow.get16(layout.O_DL_TYPE) === 0x86dd && flow.get8(layout.O_NW_PROTO) === 58;
      if (!isNd || (type !== 135 && type !== 136) || flow.get16(layout.O_TP_DST) !== 0) continue;
      const trace = await ovs.trace("br0", "in_port=1", bytesToHex(frame));
      const megaflow = trace.split("\n").find((line) => line.startsWith("Megaflow:")) ?? "";
      const looked = (name: string) =>
        Number(megaflow.match(new RegExp(`\\b${name}=(0x[0-9a-f]+|\\d+)`))?.[1]);
      const ours = [flow.get32(layout.O_IGMP_GROUP), flow.get16(layout.O_TCP_FLAGS)];
      assert.deepEqual(
        [looked("nd_reserved"), looked("nd_options_type")],
        ours,
        `${hexDump(frame)}\n${trace}`,
      );
      compared++;
    }
    assert.ok(compared > 100, `${compared} compared`);
  } finally {
    await ovs.stop();
  }
});

test("ofproto/trace reads a frame as our parser with one VLAN tag does", { skip: ovsSkip }, async () => {
  const ovs = await requireOvs();
  try {
    await ovs.addBridge("br0", { ports: [{ no: 1 }] });
    const extractor = new Extractor(1);
    const flow = new Flow();
    const random = new Prng(SEED);
    const tagged = [...FRAMES].filter(([name]) => /tag|vlan|qinq|snap/.test(name)).map(([, frame]) => frame);
    const frames = [...FRAMES.values(), ...Array.from({ length: 200 }, () => mutatedFrame(random, tagged))];
    for (const frame of frames) {
      if (frame.length < 14) continue;
      extractor.extract(frame, frame.length, 1, flow);
      const trace = await ovs.trace("br0", "in_port=1", bytesToHex(frame));
      assert.equal(trace.split("\n")[0], `Flow: ${formatFlow(flow)}`, hexDump(frame));
    }
  } finally {
    await ovs.stop();
  }
});

test("Linux cooked captures are read as parse-pcap reads them", { skip: ovsSkip }, async () => {
  const dir = mkdtempSync(join(tmpdir(), "megaflow-parse-"));
  try {
    const records = [...FRAMES.values()]
      .filter((frame) => frame.length >= 14)
      .map((frame, i) => {
        const header = Buffer.from([0, i % 5, 0, 1, 0, 6, ...frame.subarray(6, 12), 0, 0]);
        return Buffer.concat([header, frame.subarray(12)]);
      });
    const parse = async (name: string, more: readonly Buffer[]) => {
      const path = join(dir, name);
      const writer = CaptureWriter.open(path);
      for (const bytes of [...records, ...more]) writer.write(1, 0, bytes, 0, bytes.length, bytes.length);
      writer.close();
      const capture = readFileSync(path);
      capture.writeUInt32LE(113, 20);
      writeFileSync(path, capture);
      const out = new PassThrough();
      const printed = text(out);
      const status = await parseCaptures([path], out, new PassThrough());
      out.end();
      const real = spawnSync("ovs-ofctl", ["parse-pcap", path], { encoding: "utf8" });
      return { status, printed: await printed, real };
    };
    const whole = await parse("cooked.pcap", []);
    assert.equal(whole.status, 0);
    assert.equal(whole.printed, whole.real.stdout);
    // From a device without Ethernet addresses; without a whole header.
    for (const bad of [Buffer.alloc(40), Buffer.alloc(15, 6)]) {
      const cut = await parse("bad.pcap", [bad, ...records]);
      assert.equal(cut.status, 1);
      assert.notEqual(cut.real.status, 0);
      assert.equal(cut.printed, whole.printed);
    }
  } finally {
    rmSync(dir, { recursive: true });
  }
});
