// The recorded captures tell the story that pcap-fixtures/README.md tells, and read as tshark reads them.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { CaptureReader } from "../src/port/capture-reader.ts";
import { FIXTURES, framesOf, policyAt, recordedFlows, storyFrames, switchedCapture } from "./antrea-story.ts";

const captures = readdirSync(FIXTURES, { recursive: true })
  .map(String)
  .filter((name) => /\.pcap(ng)?(\.gz)?$/.test(name))
  .sort();

const skip = spawnSync("tshark", ["--version"]).error ? "skipped: tshark is not installed" : false;

test("every capture reads as tshark reads it", { skip }, async () => {
  assert.ok(captures.length >= 23, `${captures.length} captures`);
  for (const name of captures) {
    const path = join(FIXTURES, name);
    const fields = ["frame.time_epoch", "frame.cap_len", "frame.len", "eth.dst"];
    const args = ["-r", path, "-T", "fields", ...fields.flatMap((field) => ["-e", field])];
    const { stdout, status } = spawnSync("tshark", args, { encoding: "utf8" });
    assert.equal(status, 0);
    const lines: string[] = [];
    const reader = await CaptureReader.open(path);
    for (let batch = await reader.next(); batch !== null; batch = await reader.next()) {
      for (let i = 0; i < batch.count; i++) {
        const at = batch.offset[i];
        const to = Buffer.from(batch.data.subarray(at, at + 6))
          .toString("hex")
          .match(/../g)!
          .join(":");
        const time = `${batch.sec[i]}.${String(batch.nsec[i]).padStart(9, "0")}`;
        lines.push(`${time}\t${batch.length[i]}\t${batch.wireLength[i]}\t${to}\n`);
      }
    }
    reader.close();
    assert.equal(lines.join(""), stdout, name);
  }
});

test("gzip and microseconds change nothing but what they must", async () => {
  assert.deepEqual(
    await framesOf(join(FIXTURES, "http.pcapng.gz")),
    await framesOf(join(FIXTURES, "http.pcapng")),
  );
  assert.deepEqual(
    await framesOf(join(FIXTURES, "fragments-micro.pcap.gz")),
    await framesOf(join(FIXTURES, "fragments.pcap")),
  );
});

/** TCP SYNs (no ACK) of these frames, as the milliseconds at which they came. */
const isSyn = (bytes: Uint8Array) =>
  bytes[12] === 8 && bytes[13] === 0 && bytes[23] === 6 && (bytes[14 + 20 + 13] & 0x12) === 0x02;

test("after the policy three SYNs of one connection come, and none reaches nginx", async () => {
  const policyNs = policyAt() * 1e9;
  const frames = await storyFrames("policy");
  const syns = frames.filter(({ port, timeNs, bytes }) => port === 4 && timeNs > policyNs && isSyn(bytes));
  assert.equal(syns.length, 3);
  const gaps = [syns[1].timeNs - syns[0].timeNs, syns[2].timeNs - syns[1].timeNs];
  assert.deepEqual(
    gaps.map((gap) => Math.round(gap / 1e9)),
    [1, 2],
  );
  const sourcePort = Buffer.from(syns[0].bytes).subarray(34, 36).toString("hex");
  const atNginx = await framesOf(switchedCapture("policy", 6));
  assert.equal(atNginx.filter((frame) => frame.slice(68, 72) === sourcePort).length, 0);
  assert.ok(
    atNginx.some((frame) => isSyn(Buffer.from(frame, "hex"))),
    "earlier ones did",
  );
});

test("after the policy the established download goes on", async () => {
  const policyNs = policyAt() * 1e9;
  const download = (await storyFrames("policy")).filter(
    ({ port, timeNs, bytes }) => port === 6 && timeNs > policyNs && bytes.length > 600,
  );
  assert.ok(download.length >= 14, `${download.length} long frames of nginx after the policy`);
  const drop = recordedFlows("policy").find(({ flow }) => /table=100, priority=200,ip,reg1=0x6/.test(flow));
  assert.equal(drop?.packets, 4);
});
