// Time going by: flows with timeouts, learned ones too, kept alive by frames that hit the caches and gone when none came; MACs
// that age and move; connections that end. Frames come at even seconds (a little later each), timeouts are odd, because OVS
// looks for flows to expire twice a second only.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { arpFrame, icmpFrame, tcpFrame, udpFrame } from "../../src/packet/frame.ts";
import { TCP_ACK, TCP_FIN, TCP_SYN } from "../../src/packet/tcp.ts";
import { CaptureWriter } from "../../src/port/capture-writer.ts";
import { megaflowSkip } from "../megaflow.ts";
import { randomFrom } from "./conversations.ts";
import { ovsSkip, requireOvs } from "./ovs.ts";
import { assertSameOutcome, playMegaflow, playOvs, type Scenario } from "./scenario.ts";

const SEED = Number(process.env.SEED ?? 1);
const FRAMES = Number(process.env.FRAMES ?? 60);

const FLOWS = `
table=0,priority=30,udp,tp_dst=1001,idle_timeout=5 actions=output:2
table=0,priority=30,udp,tp_dst=1002,idle_timeout=9,hard_timeout=61 actions=output:2
table=0,priority=30,udp,tp_dst=1003 actions=learn(table=1,idle_timeout=7,priority=5,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),resubmit(,1)
table=0,priority=30,udp,tp_dst=1004 actions=learn(table=1,hard_timeout=41,priority=6,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:0x7->NXM_NX_REG0[],output:NXM_OF_IN_PORT[]),resubmit(,1)
table=0,priority=30,udp,tp_dst=1005 actions=ct(zone=2,table=2)
table=0,priority=20,tcp actions=ct(zone=1,table=2)
table=0,priority=20,arp actions=NORMAL
table=0,priority=20,icmp actions=NORMAL
table=0,priority=10,udp,tp_dst=1006,idle_timeout=3 actions=resubmit(,1)
table=0,priority=0 actions=output:3
table=1,priority=0,idle_timeout=31 actions=output:3
table=2,priority=10,ct_state=+new,udp actions=ct(commit,zone=2),output:2
table=2,priority=10,ct_state=+new,tcp actions=ct(commit,zone=1),output:2
table=2,priority=10,ct_state=+est-rpl actions=output:2
table=2,priority=10,ct_state=+rpl actions=output:1
table=2,priority=0 actions=output:3
`;

/** Of a policy that comes in between. */
const LATER = `
add table=0,priority=30,udp,tp_dst=1001,idle_timeout=11 actions=output:3
add table=0,priority=30,udp,tp_dst=1002,hard_timeout=25 actions=output:1,output:2
delete table=1,reg0=0
`;

function makeFrame(random: (n: number) => number, port: number): Uint8Array {
  const host = random(8) === 0 ? 1 + random(3) : port;
  const peer = 1 + random(3);
  const link = { ethSrc: `02:00:00:00:00:0${host}`, ethDst: `02:00:00:00:00:0${peer}` };
  const ip = { ...link, src: `10.0.0.${host}`, dst: `10.0.0.${peer}` };
  switch (random(5)) {
    case 0:
      return icmpFrame({ ...ip, rest: random(4) });
    case 1:
      return arpFrame({ ethSrc: link.ethSrc, op: 1, spa: ip.src, tpa: ip.dst });
    case 2: {
      const flags = [TCP_SYN, TCP_SYN | TCP_ACK, TCP_ACK, TCP_ACK, TCP_ACK | TCP_FIN][random(5)]!;
      const ports = port === 1 ? { srcPort: 4000, dstPort: 80 } : { srcPort: 80, dstPort: 4000 };
      const numbers = { seq: flags & TCP_SYN ? 99 : 100, ack: flags & TCP_ACK ? 100 : 0, window: 1000 };
      return tcpFrame({
        ...link,
        src: "10.0.0.1",
        dst: "10.0.0.2",
        ...swap(port),
        ...ports,
        ...numbers,
        flags,
      });
    }
    default:
      return udpFrame({ ...ip, srcPort: 1005, dstPort: 1001 + random(6) });
  }
}

const swap = (port: number) => (port === 1 ? {} : { src: "10.0.0.2", dst: "10.0.0.1" });

test("time goes by as in OVS", { skip: ovsSkip || megaflowSkip }, async () => {
  const dir = mkdtempSync(join(tmpdir(), "megaflow-pauses-"));
  after(() => rmSync(dir, { recursive: true }));
  const flows = join(dir, "pauses.flows");
  writeFileSync(flows, FLOWS);
  const later = join(dir, "later.flows");
  writeFileSync(later, LATER);
  const random = randomFrom(SEED);
  const captures = [1, 2, 3].map((port) => ({ port, capture: join(dir, `in-${port}.pcap`) }));
  const writers = captures.map(({ capture }) => CaptureWriter.open(capture));
  let ms = 1_000_000;
  for (let i = 0; i < FRAMES; i++) {
    const port = 1 + random(3);
    const frame = makeFrame(random, port);
    writers[port - 1]!.write(Math.floor(ms / 1000), (ms % 1000) * 1e6, frame, 0, frame.length, frame.length);
    // Many in a row, so that the caches answer; now and then a pause.
    ms += random(3) > 0 ? 1 : 2001 * [1, 1, 1, 1, 1, 2, 2, 2, 3, 5, 8, 17, 33, 80][random(14)]!;
  }
  for (const writer of writers) writer.close();
  const scenario: Scenario = {
    flows,
    ports: [1, 2, 3].map((no) => ({ no, name: `p${no}` })),
    failMode: "secure",
    inputs: captures,
    at: [{ seconds: "30.9", file: later }],
  };
  const ours = await playMegaflow(scenario, join(dir, "out"));
  const plain = await playMegaflow(scenario, join(dir, "plain"), ["--no-cache"]);
  assertSameOutcome(ours, plain, `seed ${SEED}, cached and not`);
  const ovs = await requireOvs();
  try {
    assertSameOutcome(ours, await playOvs(ovs, scenario), `seed ${SEED}`);
  } finally {
    await ovs.stop();
  }
});
