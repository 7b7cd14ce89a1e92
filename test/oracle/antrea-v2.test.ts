// Today's Antrea pipeline (AntreaProxy: select groups, NAT, learn, meters, controller) with conversations: played into real
// Open vSwitch with endpoints that answer, recorded as what each port received, and replayed. All must be the same: frames,
// which endpoint the groups chose, flows (learned ones too) with their counters, groups, meters, connections.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ARP_REQUEST } from "../../src/packet/arp.ts";
import { arpFrame, icmpFrame, tcpFrame, udpFrame } from "../../src/packet/frame.ts";
import { TCP_ACK, TCP_RST, TCP_SYN } from "../../src/packet/tcp.ts";
import { CaptureWriter } from "../../src/port/capture-writer.ts";
import { megaflowSkip } from "../megaflow.ts";
import { answers, ENDPOINTS, endpoint, GATEWAY, routed, TUNNEL } from "./antrea-v2-endpoints.ts";
import { type Ovs, ovsSkip, requireOvs } from "./ovs.ts";
import { assertSameOutcome, type Outcome, OvsPlayer, playMegaflow, type Scenario } from "./scenario.ts";

const NGINX_SERVICE = { dst: "100.70.238.176", dstPort: 80 };
const API_SERVICE = { dst: "100.64.0.1", dstPort: 443 };
const AFFINITY_SERVICE = { dst: "100.66.10.10", dstPort: 80 };
const EMPTY_SERVICE = { dst: "100.67.7.7", dstPort: 80 };

const dir = mkdtempSync(join(tmpdir(), "megaflow-v2-"));
after(() => rmSync(dir, { recursive: true }));

const fixture = (kind: string): string =>
  fileURLToPath(new URL(`../../../test/fixtures/antrea/antrea-v2-node1.${kind}`, import.meta.url));

/** The real switch with the endpoints around it; everything that goes in is recorded. */
class Story {
  nowMs = 1_700_000_000_000;
  received = 0;
  readonly #player: OvsPlayer;
  readonly #captures: ReadonlyMap<number, CaptureWriter>;

  constructor(player: OvsPlayer, captures: ReadonlyMap<number, CaptureWriter>) {
    this.#player = player;
    this.#captures = captures;
  }

  /** Sends a frame and then all that it gives rise to, a millisecond apart. */
  async send(port: number, frame: Uint8Array): Promise<void> {
    const queue = [{ port, frame }];
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      this.nowMs++;
      const sec = Math.floor(this.nowMs / 1000);
      const { length } = next.frame;
      this.#captures.get(next.port)!.write(sec, (this.nowMs % 1000) * 1e6, next.frame, 0, length, length);
      await this.#player.receive(next.port, this.nowMs, next.frame);
      for (const { no } of ENDPOINTS) {
        for (const delivered of this.#player.take(no)) {
          this.received++;
          for (const answer of answers(no, delivered)) queue.push({ port: no, frame: answer });
        }
      }
    }
  }

  connect(port: number, to: { dst: string; dstPort: number }, srcPort: number): Promise<void> {
    return this.send(port, tcpFrame({ ...routed(port), ...to, srcPort, flags: TCP_SYN, seq: 1000 }));
  }
}

/** Everything a node does in a day; `later`: and after a pause. */
async function play(story: Story, later: boolean): Promise<void> {
  const pod = (no: number) => ({ ...routed(no), ethDst: endpoint(4).mac, dst: endpoint(4).ip });
  // ARP: for the gateway (NORMAL), for another node's gateway (the responder), of a pod's neighbour; a spoofed one.
  for (const tpa of ["100.96.1.1", "100.96.2.1", "100.96.1.5"]) {
    await story.send(2, arpFrame({ ethSrc: endpoint(2).mac, op: ARP_REQUEST, spa: "100.96.1.3", tpa }));
  }
  await story.send(
    3,
    arpFrame({ ethSrc: endpoint(3).mac, op: ARP_REQUEST, spa: "100.96.1.3", tpa: "100.96.1.1" }),
  );
  // Services: the groups choose; nginx reaches itself through its Service (hairpin).
  for (let i = 0; i < 12; i++) await story.connect(2, NGINX_SERVICE, 40_000 + i);
  for (let i = 0; i < 4; i++) await story.connect(3, API_SERVICE, 41_000 + i);
  for (let i = 0; i < 8; i++) await story.connect(4, NGINX_SERVICE, 42_000 + i);
  for (let i = 0; i < 6; i++) await story.connect(GATEWAY, NGINX_SERVICE, 43_000 + i);
  for (let i = 0; i < 4; i++) await story.connect(2, AFFINITY_SERVICE, 44_000 + i);
  for (let i = 0; i < 4; i++) await story.connect(3, AFFINITY_SERVICE, 44_100 + i);
  for (let i = 0; i < 2; i++) await story.connect(3, EMPTY_SERVICE, 45_000 + i);
  // From outside the node: by the gateway with another address, and by the tunnel.
  const outside = { ...routed(GATEWAY), src: "192.168.100.77" };
  for (let i = 0; i < 4; i++) {
    await story.send(
      GATEWAY,
      tcpFrame({ ...outside, ...NGINX_SERVICE, srcPort: 46_000 + i, flags: TCP_SYN, seq: 7, ttl: 60 }),
    );
  }
  for (const src of ["100.96.2.5", "100.96.3.5", "100.96.2.3"]) {
    const to = { dst: "100.96.1.5", dstPort: 80, srcPort: 47_000, flags: TCP_SYN };
    await story.send(TUNNEL, tcpFrame({ ...routed(TUNNEL), src, ...to }));
  }
  // Pod to pod on the node; denied by the NetworkPolicy; denied and logged.
  await story.send(
    4,
    icmpFrame({ ...routed(4), ethDst: endpoint(2).mac, dst: endpoint(2).ip, rest: 0x10001 }),
  );
  await story.send(2, icmpFrame({ ...pod(2), rest: 0x20001 }));
  await story.send(3, tcpFrame({ ...pod(3), srcPort: 48_000, dstPort: 80, flags: TCP_SYN }));
  for (let i = 0; i < 3; i++) {
    const to = { ethDst: endpoint(1).mac, dst: endpoint(1).ip, dstPort: 9153, flags: TCP_SYN };
    await story.send(2, tcpFrame({ ...routed(2), ...to, srcPort: 48_100 + i }));
  }
  const dns = { ethDst: endpoint(1).mac, dst: endpoint(1).ip };
  await story.send(
    2,
    udpFrame({ ...routed(2), ...dns, srcPort: 50_000, dstPort: 53, payload: new Uint8Array(30) }),
  );
  await story.send(
    3,
    udpFrame({ ...routed(3), ...dns, srcPort: 50_001, dstPort: 9999, payload: new Uint8Array(30) }),
  );
  // To another node's pod, its answer included; the node's probe; out of the cluster.
  await story.connect(2, { dst: "100.96.2.5", dstPort: 80 }, 51_000);
  await story.send(2, udpFrame({ ...routed(2), dst: "100.96.3.9", srcPort: 51_001, dstPort: 9999 }));
  await story.connect(GATEWAY, { dst: "100.96.1.5", dstPort: 80 }, 52_000);
  await story.connect(2, { dst: "198.51.100.9", dstPort: 443 }, 53_000);
  await story.connect(2, { dst: "192.168.100.12", dstPort: 22 }, 53_001);
  // What is wrong: a spoofed source, a reset and an answer of nobody's connection, a bad checksum, a dying TTL, no IP.
  const stray = { srcPort: 54_000, dstPort: 80 };
  await story.send(2, tcpFrame({ ...pod(2), src: "100.96.1.9", ...stray, flags: TCP_SYN }));
  await story.send(2, tcpFrame({ ...pod(2), ...stray, flags: TCP_RST }));
  await story.send(2, tcpFrame({ ...pod(2), ...stray, flags: TCP_SYN | TCP_ACK }));
  await story.send(2, tcpFrame({ ...routed(2), ...NGINX_SERVICE, srcPort: 54_001, flags: TCP_ACK }));
  await story.send(
    2,
    tcpFrame({ ...routed(2), ...NGINX_SERVICE, srcPort: 54_002, flags: TCP_SYN, checksum: 1 }),
  );
  await story.send(2, icmpFrame({ ...routed(2), dst: "100.96.2.5", ttl: 1 }));
  const noIp = arpFrame({ ethSrc: endpoint(2).mac });
  noIp[12] = 0x12;
  await story.send(2, noIp);
  if (!later) return;
  // Connections age, affinity stays: the same client goes where it went.
  story.nowMs += 40_000;
  await story.connect(2, AFFINITY_SERVICE, 55_000);
  await story.connect(2, NGINX_SERVICE, 40_000);
}

async function record(ovs: Ovs, scenario: Scenario, later: boolean): Promise<Outcome> {
  const player = await OvsPlayer.start(ovs, scenario);
  const captures = new Map(
    scenario.inputs.map(({ port, capture }) => [port, CaptureWriter.open(capture)] as const),
  );
  const story = new Story(player, captures);
  await play(story, later);
  for (const writer of captures.values()) writer.close();
  console.log(`# ${story.received} frames delivered`);
  return player.finish();
}

for (const later of [false, true]) {
  test(`today's Antrea pipeline forwards as in OVS${later ? ", connections aged" : ""}`, {
    skip: ovsSkip || megaflowSkip,
  }, async () => {
    const run = mkdtempSync(join(dir, "run-"));
    const scenario: Scenario = {
      flows: fixture("flows"),
      groups: fixture("groups"),
      meters: fixture("meters"),
      ports: ENDPOINTS.map(({ no }) => ({ no, name: `p${no}` })),
      failMode: "secure",
      inputs: ENDPOINTS.map(({ no }) => ({ port: no, capture: join(run, `in-${no}.pcap`) })),
      at: [],
    };
    const ovs = await requireOvs();
    try {
      const theirs = await record(ovs, scenario, later);
      assertSameOutcome(await playMegaflow(scenario, join(run, "out")), theirs, "cached");
      assertSameOutcome(
        await playMegaflow(scenario, join(run, "plain"), ["--no-cache"]),
        theirs,
        "--no-cache",
      );
      // The story is worth it when most flows were used.
      const unused = theirs.flows.filter((flow) => flow.includes("n_packets=0,"));
      assert.ok(unused.length < 50, `${unused.length} flows unused:\n${unused.join("\n")}`);
    } finally {
      await ovs.stop();
    }
  });
}
