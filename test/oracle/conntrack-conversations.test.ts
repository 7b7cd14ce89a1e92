// Random conversations through a whole switch against OVS: two zones one after the other, translated at the source or at the
// destination in the second, the other way round for what comes back; lost, late and repeated frames, stray segments, ICMP
// errors, fragments. Compared after every frame: what is sent, whole, with its ct_state, and dump-conntrack -m -s.
//
// Some 20 frames are a conversation. 2,000 of them by hand:
//   CONVERSATIONS=2000 SEED=5 npm test -- conntrack-conversations
import assert from "node:assert/strict";
import { test } from "node:test";
import { icmpFrame, udpFrame } from "../../src/packet/frame.ts";
import { buildIpv4, readIpv4 } from "../../src/packet/ipv4.ts";
import { answer, Conversations, closes, isDeadly, randomFrom } from "./conversations.ts";
import { OurSwitch, type Sent } from "./our-switch.ts";
import { type Ovs, ovsSkip } from "./ovs.ts";
import { withTwoPorts } from "./two-ports.ts";

const FRAMES = Number(process.env.CONVERSATIONS ?? 30) * 20;
const SEED = Number(process.env.SEED ?? 2);

/** By the last byte of the destination MAC: 0 and 1 are translated at the source, 2 and 3 at the destination, 4 not at all. */
const WAYS = ["src=192.0.2.1", "src=192.0.2.1:7000", "dst=10.0.0.2", "dst=10.0.0.2:8080", ""] as const;
const WAYS6 = ["src=2001:db8::1", "src=[2001:db8::1]:7000", "dst=fd00::2", "dst=[fd00::2]:8080", ""] as const;

function flows(): string {
  const lines: string[] = [];
  for (const [ip, ways] of [
    ["ip", WAYS],
    ["ipv6", WAYS6],
  ] as const) {
    ways.forEach((nat, i) => {
      const way = `${ip},dl_dst=02:00:00:00:00:0${i}`;
      const commit = nat === "" ? "" : `,nat(${nat})`;
      const undo = nat === "" ? "" : ",nat";
      // What is not translated may be closed: OVS then keeps a translated reply tuple taken until it sweeps.
      const [one, two] = nat === "" ? [3, 4] : [1, 2];
      lines.push(
        `table=0,in_port=1,${way} actions=ct(table=1,zone=${one})`,
        `table=1,priority=9,ct_state=+new,${way} actions=ct(commit,zone=${one},exec(set_field:0x${i + 1}->ct_mark)),ct(table=2,zone=${two}${undo})`,
        `table=1,priority=1,${way} actions=ct(table=2,zone=${two}${undo})`,
        `table=2,priority=9,ct_state=+new,${way} actions=ct(commit,table=3,zone=${two}${commit},exec(set_field:0x7->ct_label))`,
        `table=2,priority=1,${way} actions=resubmit(,3)`,
        `table=0,in_port=2,${way} actions=ct(table=4,zone=${two}${undo})`,
        `table=4,${way} actions=ct(table=3,zone=${one})`,
        `table=3,${way} actions=move:NXM_NX_CT_STATE[0..7]->NXM_OF_ETH_SRC[0..7],move:NXM_NX_CT_MARK[0..7]->NXM_OF_ETH_SRC[8..15],resubmit(,5)`,
      );
    });
  }
  lines.push("table=5,in_port=1 actions=output:2", "table=5,in_port=2 actions=output:1");
  return lines.join("\n");
}

/** A datagram in pieces that OVS takes, sometimes out of order. */
function fragments(random: (n: number) => number, id: number): Uint8Array[] {
  const hosts = ["10.0.0.1", "10.0.0.2", "192.168.7.9"];
  const from = random(3);
  const src = hosts[from]!;
  const dst = hosts[(from + 1 + random(2)) % 3]!;
  const payload = new Uint8Array(1300 + random(3000)).map((_, i) => (i * 5 + id) & 255);
  const whole =
    random(2) === 0
      ? udpFrame({ src, dst, srcPort: 5000 + random(3), dstPort: 53, payload })
      : icmpFrame({ src, dst, rest: 0x10000 + random(3), payload });
  const { proto, ttl } = readIpv4(whole, 14)!;
  const pieces: Uint8Array[] = [];
  const size = whole.length - 34;
  for (let at = 0; at < size; at += 1400) {
    const end = Math.min(at + 1400, size);
    const header = { src, dst, proto, ttl, id, moreFragments: end < size, fragmentOffset: at };
    const packet = buildIpv4(header, whole.slice(34 + at, 34 + end));
    const frame = new Uint8Array(14 + packet.length);
    frame.set(whole.subarray(0, 14));
    frame.set(packet, 14);
    pieces.push(frame);
  }
  return random(3) === 0 ? pieces.reverse() : pieces;
}

async function compare(ovs: Ovs, seed: number): Promise<void> {
  const random = randomFrom(seed);
  const conversations = new Conversations(random);
  const ours = new OurSwitch(flows());
  const waiting: Sent[] = [];
  const answers: { readonly port: number; readonly frame: Uint8Array }[] = [];
  let sent = 0;
  for (let i = 0; i < FRAMES; i++) {
    let port = 1;
    let frame: Uint8Array;
    if (waiting.length > 0) {
      ({ port, frame } = waiting.shift()!);
    } else if (answers.length > 0 && random(2) === 0) {
      ({ port, frame } = answers.splice(random(answers.length), 1)[0]!);
      frame = frame.slice();
    } else if (random(15) === 0) {
      const way = random(WAYS.length);
      for (const piece of fragments(random, i & 0xffff)) {
        piece[5] = way;
        waiting.push({ port: 1, frame: piece });
      }
      continue;
    } else {
      frame = conversations.next().slice();
      frame[5] = random(3) === 0 ? random(WAYS.length) : 0;
    }
    // OVS damages what an ICMPv6 error under NAT quotes (differences.md).
    const isDamaged = frame[12] === 0x86 && frame[20] === 58 && frame[54]! < 128;
    if (isDeadly(frame) || ((closes(frame) || isDamaged) && frame[5] !== 4)) continue;
    const mine = ours.send(frame, port);
    await ovs.receive(`p${port}`, frame);
    const theirs = [1, 2].flatMap((no) => ovs.takeSent(`p${no}`).map((f) => ({ port: no, frame: f })));
    const show = (all: readonly Sent[]) =>
      all.map((s) => `${s.port} ${Buffer.from(s.frame).toString("hex")}`);
    const what = `seed ${seed}, frame ${i} at port ${port}: ${Buffer.from(frame).toString("hex")}`;
    assert.deepEqual(show(mine), show(theirs), what);
    assert.deepEqual(ours.dump().sort(), (await ovs.dumpConntrack("-m", "-s")).sort(), what);
    sent += mine.length;
    for (const s of mine) {
      const back = answer(s.frame, random);
      if (back === null) continue;
      back[5] = frame[5]!;
      answers.push({ port: s.port, frame: back });
      if (answers.length > 30) answers.shift();
    }
    if (random(20) === 0) {
      // Not so long that connections expire: OVS may keep an expired one's reply tuple taken until it sweeps.
      const ms = [1, 2, 8][random(3)]!;
      ours.nowMs += ms;
      await ovs.warp(ms);
    }
  }
  console.log(`# seed ${seed}: ${FRAMES} frames, ${sent} sent, ${ours.dump().length} connections`);
}

test("random conversations go through two zones as in OVS", { skip: ovsSkip }, () =>
  withTwoPorts(flows(), (ovs) => compare(ovs, SEED)),
);
