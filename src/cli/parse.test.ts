import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { text } from "node:stream/consumers";
import test from "node:test";
import { arpFrame, tcpFrame } from "../packet/frame.ts";
import { CaptureWriter } from "../port/capture-writer.ts";
import { parseCaptures } from "./parse.ts";

const dir = mkdtempSync(join(tmpdir(), "megaflow-cli-parse-"));
test.after(() => rmSync(dir, { recursive: true }));

function capture(name: string, frames: readonly Uint8Array[]): string {
  const path = join(dir, name);
  const writer = CaptureWriter.open(path);
  for (const frame of frames) writer.write(1, 0, frame, 0, frame.length, frame.length);
  writer.close();
  return path;
}

async function run(...paths: string[]): Promise<{ status: number; out: string; errors: string }> {
  const out = new PassThrough();
  const errors = new PassThrough();
  const texts = Promise.all([text(out), text(errors)]);
  const status = await parseCaptures(paths, out, errors);
  out.end();
  errors.end();
  const [printed, complaints] = await texts;
  return { status, out: printed, errors: complaints.replaceAll(dir, "DIR") };
}

const TCP =
  "tcp,in_port=ANY,dl_vlan=5,dl_vlan_pcp=0,vlan_tci1=0x0000,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02," +
  "nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_tos=0,nw_ecn=0,nw_ttl=64,nw_frag=no,tp_src=40000,tp_dst=80,tcp_flags=ack\n";
const ARP =
  "arp,in_port=ANY,vlan_tci=0x0000,dl_src=02:00:00:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff,arp_spa=10.0.0.1,arp_tpa=10.0.0.2," +
  "arp_op=1,arp_sha=02:00:00:00:00:01,arp_tha=00:00:00:00:00:00\n";
const tcp = tcpFrame({ srcPort: 40000, dstPort: 80, vlans: [{ vid: 5 }] });
const arp = arpFrame({ spa: "10.0.0.1", tpa: "10.0.0.2" });

test("a line for each frame of each capture", async () => {
  const one = capture("one.pcap", [tcp, arp]);
  const two = capture("two.pcap", [arp]);
  assert.deepEqual(await run(one, two), { status: 0, out: TCP + ARP + ARP, errors: "" });
});

test("a truncated capture: what is complete is printed, the error names file and byte, the next capture follows", async () => {
  const whole = capture("whole.pcap", [tcp, arp]);
  const cut = join(dir, "cut.pcap");
  writeFileSync(cut, readFileSync(whole).subarray(0, -1));
  const at = 24 + 16 + tcp.length;
  assert.deepEqual(await run(cut, whole), {
    status: 1,
    out: TCP + TCP + ARP,
    errors: `megaflow parse: DIR/cut.pcap: byte ${at}: a record of 58 bytes begins here, but the capture ends after 57 of them (frames printed: 1)\n`,
  });
});

test("a file that is not there", async () => {
  const missing = join(dir, "missing.pcap");
  assert.deepEqual(await run(missing), {
    status: 2,
    out: "",
    errors: "megaflow parse: DIR/missing.pcap: no such file or directory\n",
  });
});

test("a frame of no bytes has a line too", async () => {
  const { status, out } = await run(capture("empty.pcap", [new Uint8Array(0), arp]));
  assert.equal(status, 0);
  assert.match(out, /^in_port=ANY,.*dl_type=0x0000\narp,/);
});

test("a reader that has had enough ends it quietly", async () => {
  const path = capture("long.pcap", new Array<Uint8Array>(5000).fill(tcp));
  const closed = new Writable({
    highWaterMark: 1,
    write(_chunk, _encoding, done) {
      done(Object.assign(new Error("write EPIPE"), { code: "EPIPE" }));
    },
  });
  assert.equal(await parseCaptures([path, path], closed, new PassThrough()), 0);
});
