// Sessions of real programs (pcap-fixtures/sessions: HTTP, FTP active and passive, TFTP, DNS, a transfer with losses, a scan)
// through our switch and OVS, by the flows that they were recorded with: plainly, and with either address translated. Compared
// after every frame: what is sent, whole, with its ct_state and ct_mark, and dump-conntrack -m -s.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { CaptureReader } from "../../src/port/capture-reader.ts";
import { FIXTURES } from "../antrea-story.ts";
import { OurSwitch, type Sent } from "./our-switch.ts";
import { type Ovs, ovsSkip, requireOvs } from "./ovs.ts";

const SESSIONS = join(FIXTURES, "sessions");
const WAYS = ["plain", "snat", "dnat"];
/** The last byte of the client's MAC. */
const CLIENT = 1;

interface Recorded {
  readonly ms: number;
  readonly port: number;
  readonly frame: Uint8Array;
}

async function recorded(path: string): Promise<Recorded[]> {
  const frames: Recorded[] = [];
  const reader = await CaptureReader.open(path);
  for (let batch = await reader.next(); batch !== null; batch = await reader.next()) {
    for (let i = 0; i < batch.count; i++) {
      const at = batch.offset[i]!;
      const frame = batch.data.slice(at, at + batch.length[i]!);
      const ms = batch.sec[i]! * 1000 + Math.floor(batch.nsec[i]! / 1e6);
      frames.push({ ms, port: frame[11] === CLIENT ? 1 : 2, frame });
    }
  }
  reader.close();
  return frames;
}

/** The flows of the recording, and what they forward shows its connection's state in its source address. */
function flowsOf(way: string): string {
  const moves =
    "move:NXM_NX_CT_STATE[0..7]->NXM_OF_ETH_SRC[0..7],move:NXM_NX_CT_MARK[0..15]->NXM_OF_ETH_SRC[8..23]";
  return readFileSync(join(SESSIONS, `${way}.flows`), "utf8").replaceAll(
    "actions=output:",
    `actions=${moves},output:`,
  );
}

const show = (all: readonly Sent[]) => all.map((s) => `${s.port} ${Buffer.from(s.frame).toString("hex")}`);

async function compare(ovs: Ovs, way: string, name: string): Promise<{ frames: number; forwarded: number }> {
  const frames = await recorded(join(SESSIONS, way, name));
  const ours = new OurSwitch(flowsOf(way));
  await ovs.appctl("dpctl/flush-conntrack");
  let forwarded = 0;
  let ms = frames[0]!.ms;
  for (const [i, { ms: at, port, frame }] of frames.entries()) {
    if (at > ms) {
      await ovs.warp(at - ms, 500);
      ours.nowMs += at - ms;
      ms = at;
    }
    const mine = ours.send(frame, port);
    await ovs.receive(`p${port}`, frame);
    const theirs = [1, 2].flatMap((no) => ovs.takeSent(`p${no}`).map((f) => ({ port: no, frame: f })));
    const what = `${way}/${name}, frame ${i + 1} at port ${port}: ${Buffer.from(frame).toString("hex")}`;
    assert.deepEqual(show(mine), show(theirs), what);
    assert.deepEqual(ours.dump().sort(), (await ovs.dumpConntrack("-m", "-s")).sort(), what);
    forwarded += mine.length;
  }
  return { frames: frames.length, forwarded };
}

for (const way of WAYS) {
  test(`sessions of real programs are tracked as in OVS: ${way}`, { skip: ovsSkip }, async () => {
    const names = readdirSync(join(SESSIONS, way)).sort();
    assert.equal(names.length, 7);
    const ovs = await requireOvs();
    try {
      await ovs.addBridge("br0", { ports: [{ no: 1 }, { no: 2 }] });
      await ovs.ofctl(["add-flows", "br0", "-"], { input: flowsOf(way) });
      await ovs.stopClock();
      for (const name of names) {
        const { frames, forwarded } = await compare(ovs, way, name);
        console.log(`# ${way}/${name}: ${frames} frames, ${forwarded} forwarded`);
        assert.ok(forwarded > frames * 0.6, `${forwarded} of ${frames} frames of ${name} were forwarded`);
      }
    } finally {
      await ovs.stop();
    }
  });
}
