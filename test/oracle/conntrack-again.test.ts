// A frame that meets two ct() of the same zone, the second with and without force and NAT, what the first translated and an
// action changed in between included; and its answer, which meets one or two. Each case has a zone of its own. Compared are
// the frames with ct_state, ct_mark and the original tuple written into their source address, and dump-conntrack -m -s.
import assert from "node:assert/strict";
import { test } from "node:test";
import { icmpFrame, tcpFrame, udpFrame } from "../../src/packet/frame.ts";
import { TCP_ACK, TCP_SYN } from "../../src/packet/tcp.ts";
import { OurSwitch } from "./our-switch.ts";
import { ovsSkip } from "./ovs.ts";
import { withTwoPorts } from "./two-ports.ts";

const FIRST = ["", "src=192.0.2.1", "dst=10.0.9.9", "dst=10.0.9.9:8080", "src=10.0.0.1"] as const;
const CHANGES = ["", "set_field:10.0.0.7->nw_src,", "set_field:10.0.0.2->nw_dst,"] as const;
const SECOND = [
  "commit,force,",
  "commit,",
  "",
  "commit,force,nat,",
  "nat,",
  "commit,force,nat(dst=10.0.9.9),",
] as const;
const BEFORE = ["", "ct(zone=Z),", "ct(zone=Z,nat),"] as const;
const KINDS = ["syn", "ack", "udp", "icmp"] as const;

interface Case {
  readonly flows: readonly [string, string];
  readonly nat: string;
}

function cases(): Case[] {
  const all: Case[] = [];
  for (const nat of FIRST) {
    const first = `ct(commit,zone=Z${nat === "" ? "" : `,nat(${nat})`},exec(set_field:5->ct_mark)`;
    for (const second of SECOND) {
      for (const change of CHANGES) {
        all.push({
          flows: [`${first}),${change}ct(${second}zone=Z,table=1)`, "ct(zone=Z,nat,table=1)"],
          nat,
        });
      }
      for (const before of BEFORE) {
        // OVS ends on this one (differences.md, 1).
        if (nat === "src=10.0.0.1" && before.includes("nat") && second.includes("force")) continue;
        all.push({ flows: [`${first},table=1)`, `${before}ct(${second}zone=Z,table=1)`], nat });
      }
    }
  }
  return all;
}

/** A frame of the case, with its number in the last two bytes of the destination MAC: the first or the one that answers it. */
function frameOf(kind: (typeof KINDS)[number], number: number, nat: string, isAnswer: boolean): Uint8Array {
  const there = nat.startsWith("dst=") ? "10.0.9.9" : "10.0.0.2";
  const here = nat.startsWith("src=") ? nat.slice(4) : "10.0.0.1";
  const port = nat.endsWith(":8080") ? 8080 : 443;
  const [src, dst] = isAnswer ? [there, here] : ["10.0.0.1", "10.0.0.2"];
  // A port of its own for each kind: in OVS the answer's tuple of a connection that is ended stays taken for a while.
  const mine = 1001 + KINDS.indexOf(kind);
  const [srcPort, dstPort] = isAnswer ? [port, mine] : [mine, 443];
  const ends = { src, dst, srcPort, dstPort };
  const syn = kind === "syn" ? TCP_SYN : 0;
  const frame =
    kind === "udp"
      ? udpFrame({ ...ends, payload: new Uint8Array(3) })
      : kind === "icmp"
        ? icmpFrame({ src, dst, type: isAnswer ? 0 : 8, rest: 0x10001, payload: new Uint8Array(3) })
        : isAnswer
          ? tcpFrame({ ...ends, flags: TCP_ACK | syn, seq: 500, ack: 1001 })
          : tcpFrame({
              ...ends,
              flags: syn || TCP_ACK,
              seq: 1000,
              ack: syn === 0 ? 500 : 0,
              payload: new Uint8Array(syn === 0 ? 1 : 0),
            });
  frame[4] = number >> 8;
  frame[5] = number;
  return frame;
}

function flows(all: readonly Case[]): string {
  const lines = all.flatMap(({ flows: [first, then] }, i) => {
    const mac = `02:00:00:00:${(i >> 8).toString(16).padStart(2, "0")}:${(i & 255).toString(16).padStart(2, "0")}`;
    return [first, then].map(
      (text, way) =>
        `table=0,in_port=${way + 1},ip,dl_dst=${mac} actions=${text.replaceAll("zone=Z", `zone=${i + 1}`)}`,
    );
  });
  const tuple =
    "move:NXM_NX_CT_NW_SRC[0..15]->NXM_OF_ETH_SRC[16..31],move:NXM_NX_CT_NW_DST[0..15]->NXM_OF_ETH_SRC[32..47]";
  const state =
    "move:NXM_NX_CT_STATE[0..7]->NXM_OF_ETH_SRC[0..7],move:NXM_NX_CT_MARK[0..7]->NXM_OF_ETH_SRC[8..15]";
  lines.push(
    `table=1,priority=2,ct_state=+trk-inv,ip actions=${state},${tuple},output:IN_PORT,output:1,output:2`,
    `table=1,priority=1,ip actions=${state},output:IN_PORT,output:1,output:2`,
  );
  return lines.join("\n");
}

test("a frame that meets ct() again is judged as by OVS", { skip: ovsSkip }, async () => {
  const all = cases();
  const text = flows(all);
  const ours = new OurSwitch(text);
  let frames = 0;
  await withTwoPorts(text, async (ovs) => {
    for (const kind of KINDS) {
      for (const [i, { flows: acts, nat }] of all.entries()) {
        for (const port of [1, 2]) {
          const frame = frameOf(kind, i, nat, port === 2);
          const hex = (f: Uint8Array) => Buffer.from(f).toString("hex");
          const mine = ours.send(frame, port).map((s) => `${s.port} ${hex(s.frame)}`);
          await ovs.receive(`p${port}`, frame);
          const theirs = [1, 2].flatMap((no) => ovs.takeSent(`p${no}`).map((f) => `${no} ${hex(f)}`));
          assert.deepEqual(mine.sort(), theirs.sort(), `${kind}, port ${port}: ${acts.join(" | ")}`);
          frames++;
        }
      }
      assert.deepEqual(ours.dump().sort(), (await ovs.dumpConntrack("-m", "-s")).sort(), kind);
    }
  });
  console.log(`# ${all.length} cases, ${frames} frames`);
});
