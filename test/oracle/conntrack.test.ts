// The connection tracker against OVS's: random conversations through ct actions; after every frame the ct_state, zone,
// mark and original tuple that the pipeline sees, and after every few frames dpctl/dump-conntrack, must be the same.
//
// OVS's pipeline writes what it sees into the frame's Ethernet addresses and sends it out. (It reads no
// original tuple of an invalid frame, nor of one that is related only.)
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatConnection } from "../../src/datapath/conntrack-dump.ts";
import { ConntrackRig, ctStateText } from "../../src/datapath/conntrack-rig.ts";
import {
  CS_ESTABLISHED,
  CS_NEW,
  CS_REPLY_DIR,
  O_CT_IPV6_SRC,
  O_CT_MARK,
  O_CT_NW_SRC,
  O_CT_STATE,
  O_CT_TP_SRC,
  O_CT_ZONE,
  O_DL_TYPE,
} from "../../src/flow/layout.ts";
import { Conversations, randomFrom } from "./conversations.ts";
import { type Ovs, ovsSkip } from "./ovs.ts";
import { withTwoPorts } from "./two-ports.ts";

const FRAMES = Number(process.env.CONNTRACK_FRAMES ?? 1500);
const SEED = Number(process.env.CONNTRACK_SEED ?? 20);
const BATCH = 24;

/** What to do with a frame, chosen by the last byte of its destination address; the flows say the same to OVS. */
const REPORT =
  "move:NXM_NX_CT_STATE[0..7]->NXM_OF_ETH_SRC[0..7],move:NXM_NX_CT_ZONE[]->NXM_OF_ETH_SRC[8..23],move:NXM_NX_CT_MARK[0..23]->NXM_OF_ETH_SRC[24..47]";

const TEMPLATE = `
table=0,priority=10,IP,dl_dst=02:00:00:00:00:01 actions=ct(table=1,zone=5)
table=0,priority=10,IP,dl_dst=02:00:00:00:00:02 actions=ct(table=9,zone=5)
table=0,priority=10,IP,dl_dst=02:00:00:00:00:03 actions=ct(table=3,zone=5)
table=0,priority=10,IP,dl_dst=02:00:00:00:00:04 actions=ct(force,commit,table=9,zone=5)
table=0,priority=10,IP,dl_dst=02:00:00:00:00:05 actions=ct(commit,table=5,zone=5,exec(set_field:0x30/0xf0->ct_mark,set_field:0x500000000000000000000000000000ff/0xf00000000000000000000000000000ff->ct_label))
table=0,priority=10,IP,dl_dst=02:00:00:00:00:06 actions=ct(table=6,zone=5)
table=1,priority=10,IP,ct_state=+new actions=ct(commit,table=9,zone=5,exec(set_field:0x1->ct_mark))
table=1,priority=0,IP actions=resubmit(,9)
table=3,priority=0,IP actions=ct(commit,table=9,zone=6)
table=5,priority=0,IP actions=ct(table=9,zone=5)
table=6,priority=0,IP actions=ct_clear,ct(table=9,zone=0)
table=9,priority=10,IP,ct_state=+new+trk actions=REPORT,move:CT_SRC->NXM_OF_ETH_DST[0..31],move:NXM_NX_CT_TP_SRC[]->NXM_OF_ETH_DST[32..47],output:2
table=9,priority=10,IP,ct_state=+est+trk actions=REPORT,move:CT_SRC->NXM_OF_ETH_DST[0..31],move:NXM_NX_CT_TP_SRC[]->NXM_OF_ETH_DST[32..47],output:2
table=9,priority=10,IP,ct_state=+rel+trk actions=REPORT,move:CT_SRC->NXM_OF_ETH_DST[0..31],move:NXM_NX_CT_TP_SRC[]->NXM_OF_ETH_DST[32..47],output:2
table=9,priority=0,IP actions=REPORT,output:2
`;

const FLOWS = ["ip", "ipv6"]
  .map((ip) =>
    TEMPLATE.replaceAll("IP", ip)
      .replaceAll("REPORT", REPORT)
      .replaceAll("CT_SRC", ip === "ip" ? "NXM_NX_CT_NW_SRC[]" : "NXM_NX_CT_IPV6_SRC[0..31]"),
  )
  .join("");

const LABEL = Uint8Array.of(0x50, ...new Array<number>(14).fill(0), 0xff);
const LABEL_MASK = Uint8Array.of(0xf0, ...new Array<number>(14).fill(0), 0xff);

/** The same with our tracker. */
function run(rig: ConntrackRig, frame: Uint8Array): void {
  rig.receive(frame);
  switch (frame[5]) {
    case 1:
      if ((rig.ct({ zone: 5 }) & CS_NEW) !== 0) rig.ct({ zone: 5, commit: true, mark: { value: 1 } });
      break;
    case 2:
      rig.ct({ zone: 5 });
      break;
    case 3:
      rig.ct({ zone: 5 });
      rig.ct({ zone: 6, commit: true });
      break;
    case 4:
      rig.ct({ zone: 5, force: true });
      break;
    case 5:
      rig.ct({
        zone: 5,
        commit: true,
        mark: { value: 0x30, mask: 0xf0 },
        label: { value: LABEL, mask: LABEL_MASK },
      });
      rig.ct({ zone: 5 });
      break;
    case 6:
      rig.ct({ zone: 5 });
      rig.clear();
      rig.ct({ zone: 0 });
      break;
  }
}

interface Seen {
  readonly state: string;
  readonly zone: number;
  readonly mark: number;
  readonly src: number;
  readonly sport: number;
}

/** OVS's actions read the original tuple only beside one of these bits. */
function hidesTuple(state: number): boolean {
  return (state & (CS_NEW | CS_ESTABLISHED | CS_REPLY_DIR)) === 0;
}

function oursSeen(rig: ConntrackRig): Seen {
  const key = rig.key();
  const state = key.get8(O_CT_STATE);
  const hidden = hidesTuple(state);
  return {
    state: ctStateText(state),
    zone: key.get16(O_CT_ZONE),
    mark: key.get32(O_CT_MARK) & 0xffffff,
    src: hidden
      ? 0
      : key.get16(O_DL_TYPE) === 0x86dd
        ? key.get32(O_CT_IPV6_SRC + 12)
        : key.get32(O_CT_NW_SRC),
    sport: hidden ? 0 : key.get16(O_CT_TP_SRC),
  };
}

function theirsSeen(frame: Uint8Array): Seen {
  const number = (at: number, length: number): number =>
    frame.slice(at, at + length).reduce((n, byte) => n * 256 + byte, 0);
  const hidden = hidesTuple(frame[11]!);
  return {
    state: ctStateText(frame[11]!),
    zone: number(9, 2),
    mark: number(6, 3),
    src: hidden ? 0 : number(2, 4),
    sport: hidden ? 0 : number(0, 2),
  };
}

async function compare(ovs: Ovs, seed: number): Promise<void> {
  const random = randomFrom(seed);
  const conversations = new Conversations(random);
  const rig = new ConntrackRig(10_000, BigInt(seed));
  const states = new Map<string, number>();
  for (let done = 0; done < FRAMES; done += BATCH) {
    const frames: Uint8Array[] = [];
    const ours: Seen[] = [];
    for (let i = 0; i < BATCH; i++) {
      const frame = conversations.next().slice();
      // Most frames commit what is new.
      frame[5] = random(4) !== 0 ? 1 : 1 + random(6);
      frames.push(frame);
      run(rig, frame);
      ours.push(oursSeen(rig));
    }
    await Promise.all(
      frames.map((frame) => ovs.appctl("netdev-dummy/receive", "p1", Buffer.from(frame).toString("hex"))),
    );
    await ovs.round();
    let theirs = ovs.takeSent("p2");
    for (let i = 0; i < 50 && theirs.length < frames.length; i++) {
      await ovs.round();
      theirs = [...theirs, ...ovs.takeSent("p2")];
    }
    assert.equal(theirs.length, frames.length, `seed ${seed}, frames from ${done}: all come out`);
    for (let i = 0; i < frames.length; i++) {
      const what = `seed ${seed}, frame ${done + i} at ${rig.nowMs}: ${Buffer.from(frames[i]!).toString("hex")}`;
      assert.deepEqual(ours[i], theirsSeen(theirs[i]!), what);
      states.set(ours[i]!.state, (states.get(ours[i]!.state) ?? 0) + 1);
    }
    const dump = rig
      .connections()
      .map((c) => formatConnection(c, { more: true, statistics: true }))
      .sort();
    assert.deepEqual(
      dump,
      (await ovs.dumpConntrack("-m", "-s")).sort(),
      `seed ${seed}, after frame ${done + BATCH}`,
    );
    const ms = [0, 1, 500, 5_000, 29_000, 31_000, 100_000][random(7)]!;
    rig.nowMs += ms;
    rig.expire();
    if (ms > 0) await ovs.warp(ms);
  }
  console.log(`# seed ${seed}: ${FRAMES} frames, ${JSON.stringify(Object.fromEntries(states))}`);
}

test("random conversations get OVS's verdicts", { skip: ovsSkip }, () =>
  withTwoPorts(FLOWS, (ovs) => compare(ovs, SEED)),
);
