// Fragments wait in ct for their datagram: what a user sees of it.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { ipFrame, udpFrame } from "../src/packet/frame.ts";
import { PROTO_UDP } from "../src/packet/ipv4.ts";
import { CaptureWriter } from "../src/port/capture-writer.ts";
import { framesOf } from "./antrea-story.ts";
import { megaflow, megaflowSkip } from "./megaflow.ts";

const FLOWS = `
table=0,ip actions=ct(table=1,zone=1)
table=1,ct_state=+new+trk,ip actions=ct(commit,zone=1),output:2
table=1,ct_state=+inv+trk,ip actions=output:3
`;

const dir = mkdtempSync(join(tmpdir(), "megaflow-fragments-"));
after(() => rmSync(dir, { recursive: true }));

interface Sent {
  readonly valid: string[];
  readonly invalid: string[];
  readonly reasons: (string | null)[];
}

/** Replays frames that come in at the given seconds. */
async function replay(
  name: string,
  frames: readonly (readonly [seconds: number, frame: Uint8Array])[],
): Promise<Sent> {
  const flows = join(dir, `${name}.flows`);
  writeFileSync(flows, FLOWS);
  const capture = join(dir, `${name}.pcap`);
  const writer = CaptureWriter.open(capture);
  for (const [seconds, frame] of frames) writer.write(seconds, 0, frame, 0, frame.length, frame.length);
  writer.close();
  const out = join(dir, name);
  const args = ["--fail-mode", "secure", "--flows", flows, "--in", `1=${capture}`, "--out-dir", out];
  const { status, stderr } = megaflow("replay", ...args);
  assert.equal(status, 0, stderr);
  const verdicts = readFileSync(join(out, "verdicts.jsonl"), "utf8").trim().split("\n");
  return {
    valid: await framesOf(join(out, "port-2.pcap")),
    invalid: await framesOf(join(out, "port-3.pcap")),
    reasons: verdicts.map(
      (line) => (JSON.parse(line) as { drop: { reason: string } | null }).drop?.reason ?? null,
    ),
  };
}

const whole = udpFrame({ srcPort: 1000, dstPort: 2000, payload: new Uint8Array(3000).map((_, i) => i) });

/** Bytes `from` to `to` of the datagram's payload. */
function piece(from: number, to: number, id = 7): Uint8Array {
  const ipv4 = { id, moreFragments: to < 3008, fragmentOffset: from };
  return ipFrame({ ipv4 }, PROTO_UDP, whole.slice(34 + from, 34 + to));
}

const hex = (...frames: Uint8Array[]) => frames.map((frame) => Buffer.from(frame).toString("hex"));
const [a, b, c] = [piece(0, 1480), piece(1480, 2960), piece(2960, 3008)];
const HELD = "ct_fragment_held";

test("fragments go on in order when the last of them is there", { skip: megaflowSkip }, async () => {
  const { valid, invalid, reasons } = await replay("order", [
    [1, c],
    [2, a],
    [3, b],
  ]);
  assert.deepEqual(valid, hex(a, b, c));
  assert.deepEqual(invalid, []);
  assert.deepEqual(reasons, [HELD, HELD, null]);
});

test("a fragment that overlaps, or is too small, is invalid and holds nothing up", {
  skip: megaflowSkip,
}, async () => {
  const small = piece(0, 800, 8);
  const { valid, invalid } = await replay("overlap", [
    [1, a],
    [1, a],
    [2, small],
    [3, b],
    [4, c],
  ]);
  assert.deepEqual(invalid, hex(a, small));
  assert.deepEqual(valid, hex(a, b, c));
});

test("what waits longer than 15 s is forgotten", { skip: megaflowSkip }, async () => {
  const { valid, reasons } = await replay("late", [
    [1, a],
    [2, b],
    [17, c],
    [18, a],
    [19, b],
  ]);
  assert.deepEqual(valid, hex(a, b, c));
  assert.deepEqual(reasons, [HELD, HELD, HELD, HELD, null]);
});

test("a wrong checksum of the datagram makes all its fragments invalid", { skip: megaflowSkip }, async () => {
  const bad = b.slice();
  bad[100]! ^= 1;
  const { valid, invalid } = await replay("checksum", [
    [1, a],
    [2, bad],
    [3, c],
  ]);
  assert.deepEqual(valid, []);
  assert.deepEqual(invalid, hex(a, bad, c));
});
