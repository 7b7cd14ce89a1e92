// NAT against OVS's: random conversations through ct(nat(...)), with answers to the translated frames. Compared are every
// frame as it leaves, its ct_state, and dump-conntrack. Only NAT whose choices are not by hash: one address, one port.
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatConnection } from "../../src/datapath/conntrack-dump.ts";
import { ConntrackRig, type CtAction, ctStateText } from "../../src/datapath/conntrack-rig.ts";
import { CS_NEW, CS_RELATED, O_CT_STATE } from "../../src/flow/layout.ts";
import { answer, Conversations, closes, isDeadly, randomFrom } from "./conversations.ts";
import { type Ovs, ovsSkip } from "./ovs.ts";
import { withTwoPorts } from "./two-ports.ts";

const FRAMES = Number(process.env.CONNTRACK_FRAMES ?? 1000);
const SEED = Number(process.env.CONNTRACK_SEED ?? 7);
const BATCH = 16;

/** What to do with a frame, chosen by the last byte of its destination address: a ct, then another if it is new. */
interface Way {
  readonly first: CtAction;
  readonly ifNew: CtAction | null;
}

function ways(six: boolean): readonly Way[] {
  const [outside, inside] = six ? ["2001:db8::1", "fd00::2"] : ["192.0.2.1", "10.0.0.2"];
  const undo = { zone: 5, nat: { kind: "undo" } } as const;
  const commit = { zone: 5, commit: true };
  return [
    { first: undo, ifNew: { ...commit, nat: { kind: "src", min: outside } } },
    { first: undo, ifNew: { ...commit, nat: { kind: "dst", min: inside, minPort: 8080 } } },
    { first: undo, ifNew: { ...commit, nat: { kind: "src", min: outside, minPort: 6000 } } },
    { first: undo, ifNew: { ...commit, nat: { kind: "undo" } } },
    { first: { zone: 5 }, ifNew: null },
    { first: { zone: 5 }, ifNew: { ...commit, nat: { kind: "dst", min: inside } } },
    { first: { zone: 5, commit: true, nat: { kind: "src", min: outside } }, ifNew: null },
    {
      first: { zone: 6, nat: { kind: "undo" } },
      ifNew: { ...commit, zone: 6, nat: { kind: "src", min: outside } },
    },
  ];
}

function ctText(action: CtAction, table: number): string {
  let text = `zone=${action.zone},table=${table}`;
  if (action.commit) text += ",commit";
  const { nat } = action;
  if (nat?.kind === "undo") text += ",nat";
  else if (nat !== undefined) {
    const address = nat.minPort !== undefined && nat.min!.includes(":") ? `[${nat.min}]` : nat.min;
    text += `,nat(${nat.kind}=${address}${nat.minPort !== undefined ? `:${nat.minPort}` : ""})`;
  }
  return `ct(${text})`;
}

function flows(): string {
  const lines: string[] = [];
  for (const ip of ["ip", "ipv6"]) {
    ways(ip === "ipv6").forEach((way, i) => {
      const match = `${ip},dl_dst=02:00:00:00:00:0${i + 1}`;
      lines.push(`table=0,${match} actions=${ctText(way.first, way.ifNew === null ? 9 : 1)}`);
      if (way.ifNew !== null) {
        lines.push(`table=1,priority=10,ct_state=+new,${match} actions=${ctText(way.ifNew, 9)}`);
      }
    });
    lines.push(`table=1,priority=1,${ip} actions=resubmit(,9)`);
    lines.push(`table=9,${ip} actions=move:NXM_NX_CT_STATE[0..7]->NXM_OF_ETH_SRC[0..7],output:2`);
  }
  return lines.join("\n");
}

async function compare(ovs: Ovs, seed: number): Promise<void> {
  const random = randomFrom(seed);
  const conversations = new Conversations(random);
  const rig = new ConntrackRig(10_000, BigInt(seed));
  const answers: { frame: Uint8Array; way: number }[] = [];
  const states = new Map<string, number>();
  for (let done = 0; done < FRAMES; done += BATCH) {
    const frames: Uint8Array[] = [];
    const ours: Uint8Array<ArrayBufferLike>[] = [];
    for (let i = 0; i < BATCH; i++) {
      let frame: Uint8Array = conversations.next().slice();
      let way = random(3) === 0 ? random(8) : 0;
      if (answers.length > 0 && random(2) === 0) {
        ({ frame, way } = answers.splice(random(answers.length), 1)[0]!);
        frame = frame.slice();
      }
      if (closes(frame) || isDeadly(frame)) {
        i--;
        continue;
      }
      frame[5] = way + 1;
      frames.push(frame);
      const { first, ifNew } = ways(frame[12] === 0x86)[way]!;
      rig.receive(frame);
      let state = rig.ct(first);
      if (ifNew !== null && (state & CS_NEW) !== 0) state = rig.ct(ifNew);
      const out: Uint8Array = rig.frame();
      out[11] = rig.key().get8(O_CT_STATE);
      ours.push(out);
      const back = answer(out, random);
      if (back !== null) answers.push({ frame: back, way });
      if (answers.length > 30) answers.shift();
    }
    await Promise.all(
      frames.map((frame) => ovs.appctl("netdev-dummy/receive", "p1", Buffer.from(frame).toString("hex"))),
    );
    let theirs: Uint8Array[] = [];
    for (let i = 0; i < 50 && theirs.length < frames.length; i++) {
      await ovs.round();
      theirs = [...theirs, ...ovs.takeSent("p2")];
    }
    for (let i = 0; i < frames.length; i++) {
      const way = ways(frames[i]![12] === 0x86)[frames[i]![5]! - 1];
      const what = `seed ${seed}, frame ${done + i}, ${JSON.stringify(way)}: ${Buffer.from(frames[i]!).toString("hex")}`;
      const show = (f: Uint8Array | undefined): string => {
        if (f === undefined) return "none";
        // OVS takes the ICMPv6 message for the transport header of the packet that it quotes and damages what it quotes.
        const damaged = f[12] === 0x86 && (f[11]! & CS_RELATED) !== 0;
        return `${ctStateText(f[11]!)} ${Buffer.from(f.subarray(14, damaged ? 54 : f.length)).toString("hex")}`;
      };
      assert.equal(show(ours[i]), show(theirs[i]), what);
      const state = ctStateText(ours[i]![11]!);
      states.set(state, (states.get(state) ?? 0) + 1);
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
    // Not so long that connections expire: OVS may keep an expired one's reply tuple taken until it sweeps.
    const ms = random(3) * 100;
    rig.nowMs += ms;
    rig.expire();
    if (ms > 0) await ovs.warp(ms);
  }
  console.log(`# seed ${seed}: ${FRAMES} frames, ${JSON.stringify(Object.fromEntries(states))}`);
}

test("random conversations are translated as OVS does", { skip: ovsSkip }, () =>
  withTwoPorts(flows(), (ovs) => compare(ovs, SEED)),
);
