// Fragments through ct with NAT against real Open vSwitch: whole datagrams in pieces of many sizes, out of order, twice,
// overlapping, tiny, missing some. Timeouts are left out: what OVS does with what waited in vain depends on its next packet.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { icmpFrame, udpFrame } from "../../src/packet/frame.ts";
import { buildIpv4, readIpv4 } from "../../src/packet/ipv4.ts";
import { CaptureWriter } from "../../src/port/capture-writer.ts";
import { megaflowSkip } from "../megaflow.ts";
import { randomFrom } from "./conversations.ts";
import { ovsSkip, requireOvs } from "./ovs.ts";
import { assertSameOutcome, playMegaflow, playOvs, type Scenario } from "./scenario.ts";

const SEED = Number(process.env.SEED ?? 3);
const DATAGRAMS = Number(process.env.DATAGRAMS ?? 80);

const FLOWS = `
table=0,priority=10,ip,in_port=1 actions=ct(table=1,zone=1,nat)
table=0,priority=10,ipv6,in_port=1 actions=ct(table=1,zone=1,nat)
table=1,priority=20,ct_state=+new+trk,ip actions=ct(commit,table=2,zone=1,nat(src=192.0.2.1),exec(set_field:0x7->ct_mark))
table=1,priority=20,ct_state=+new+trk,ipv6 actions=ct(commit,zone=1,nat(dst=2001:db8::99)),output:2
table=1,priority=10,ct_state=+inv+trk actions=output:3
table=1,priority=5 actions=resubmit(,2)
table=2,priority=20,ip,nw_frag=later actions=output:2
table=2,priority=20,ct_mark=7,ip actions=dec_ttl,output:2,ct(table=3,zone=9)
table=2,priority=10 actions=output:2
table=3,priority=10,ct_state=+new+trk actions=output:3
table=3,priority=0 actions=drop
`;

/** The frame of one fragment: payload bytes from `start` up to `end`. */
function piece(frame: Uint8Array, start: number, end: number, more: boolean, id: number): Uint8Array {
  if (frame[12] === 0x86) {
    const out = new Uint8Array(54 + 8 + end - start);
    out.set(frame.subarray(0, 54));
    out.set([frame[20]!, 0, start >> 8, (start & 0xf8) | (more ? 1 : 0), 0, 0, id >> 8, id & 255], 54);
    out.set(frame.subarray(54 + start, 54 + end), 62);
    out[20] = 44;
    out[18] = (8 + end - start) >> 8;
    out[19] = (8 + end - start) & 255;
    return out;
  }
  const { src, dst, proto, ttl } = readIpv4(frame, 14)!;
  const header = { src, dst, proto, ttl, id, moreFragments: more, fragmentOffset: start };
  const packet = buildIpv4(header, frame.slice(34 + start, 34 + end));
  const out = new Uint8Array(14 + packet.length);
  out.set(frame.subarray(0, 14));
  out.set(packet, 14);
  return out;
}

function makeFragments(random: (n: number) => number): Uint8Array[] {
  const all: Uint8Array[] = [];
  for (let id = 1; id <= DATAGRAMS; id++) {
    const payload = new Uint8Array(1300 + random(6000)).map((_, i) => (i * 7 + id) & 255);
    const [src, dst] =
      random(3) === 0 ? ["2001:db8::1", "2001:db8::2"] : ["10.0.0.1", `10.0.0.${2 + random(2)}`];
    const frame =
      random(2) === 0
        ? udpFrame({ src, dst, srcPort: 1000 + random(3), dstPort: 53, payload })
        : icmpFrame({ src, dst, rest: 0x10000 + random(3), payload });
    const size = frame.length - (src.includes(":") ? 54 : 34);
    const step = 8 * (random(12) === 0 ? 20 + random(100) : 160 + random(20));
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < size; at += step) {
      pieces.push(piece(frame, at, Math.min(at + step, size), at + step < size, id));
    }
    if (random(4) === 0) pieces.sort(() => random(3) - 1);
    if (random(6) === 0) pieces.splice(random(pieces.length), 0, pieces[random(pieces.length)]!);
    if (random(12) === 0) pieces.splice(random(pieces.length), 1);
    if (random(12) === 0) pieces.push(piece(frame, 8 * random(40), size, random(2) === 0, id));
    if (random(12) === 0) pieces.splice(random(2), 0, piece(frame, 8, Math.min(8 + 1400, size), true, id));
    all.push(...pieces);
    if (random(4) === 0) all.push(frame);
  }
  // Datagrams between one another.
  for (let i = 1; i < all.length; i++) {
    if (random(5) === 0) [all[i - 1], all[i]] = [all[i]!, all[i - 1]!];
  }
  return all;
}

test("random fragments go through ct as in OVS", { skip: ovsSkip || megaflowSkip }, async () => {
  const dir = mkdtempSync(join(tmpdir(), "megaflow-fragments-"));
  after(() => rmSync(dir, { recursive: true }));
  const flows = join(dir, "ct.flows");
  writeFileSync(flows, FLOWS);
  const capture = join(dir, "in.pcap");
  const writer = CaptureWriter.open(capture);
  const frames = makeFragments(randomFrom(SEED));
  frames.forEach((frame, i) => {
    writer.write(1000, i * 1e6, frame, 0, frame.length, frame.length);
  });
  writer.close();
  const scenario: Scenario = {
    flows,
    ports: [1, 2, 3].map((no) => ({ no, name: `p${no}` })),
    failMode: "secure",
    inputs: [{ port: 1, capture }],
    at: [],
  };
  const ours = await playMegaflow(scenario, join(dir, "out"));
  const plain = await playMegaflow(scenario, join(dir, "plain"), ["--no-cache"]);
  const ovs = await requireOvs();
  try {
    const theirs = await playOvs(ovs, scenario);
    assertSameOutcome(ours, theirs, `seed ${SEED}`);
    assertSameOutcome(plain, theirs, `seed ${SEED}, --no-cache`);
    console.log(
      `# seed ${SEED}: ${frames.length} frames, ${theirs.sent.get(2)!.length} sent, ${theirs.connections.length} connections`,
    );
  } finally {
    await ovs.stop();
  }
});
