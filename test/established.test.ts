// The short way of established connections (src/kernel/established.ts) against its plain twin, a switch without caches: random
// TCP conversations with and without NAT, among them segments out of window, wrong checksums, cut frames, changed marks and
// labels, closes and reopenings, ended and expired connections.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Bridge } from "../src/bridge/bridge.ts";
import { connectionLines, flowLines } from "../src/bridge/dump.ts";
import { parseFlowFile } from "../src/control/openflow/flow-file.ts";
import { Prng } from "../src/lib/prng.ts";
import { tcpFrame } from "../src/packet/frame.ts";
import { TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN } from "../src/packet/tcp.ts";
import { PortTable } from "../src/pipeline/port-table.ts";

const SEED = Number(process.env.SEED ?? 4_711);
const FRAMES = 12_000;

/** Where frames of the middle table go, by mark and label; two values of nw_tos write them. */
const FLOWS = (ct: string, commit: string) => `
table=0, priority=10, tcp actions=${ct}
table=1, priority=20, ct_state=+new+trk, tcp, in_port=1 actions=ct(commit,zone=7${commit}),output:2
table=1, priority=20, ct_state=+inv+trk, tcp actions=output:6
table=1, priority=18, ct_state=+est+trk, tcp, nw_tos=32 actions=ct(commit,zone=7,exec(set_field:1->ct_mark,set_field:0->ct_label)),output:3
table=1, priority=18, ct_state=+est+trk, tcp, nw_tos=64 actions=ct(commit,zone=7,exec(set_field:0->ct_mark,set_field:5->ct_label)),output:3
table=1, priority=18, ct_state=+est+trk, tcp, nw_tos=96 actions=ct(commit,zone=7,exec(set_field:6->ct_label)),output:3
table=1, priority=15, ct_state=+est+trk, ct_mark=1, tcp actions=output:4
table=1, priority=14, ct_state=+est+trk, ct_label=5, tcp actions=output:5
table=1, priority=14, ct_state=+est+trk, ct_label=6, tcp actions=output:6
table=1, priority=10, ct_state=+est+rpl+trk, tcp actions=output:1
table=1, priority=9, ct_state=+est+trk, tcp actions=output:2
`;

const PIPELINES: Readonly<Record<string, string>> = {
  "without NAT": FLOWS("ct(table=1,zone=7)", ""),
  "with the source translated": FLOWS(
    "ct(table=1,zone=7,nat)",
    ",nat(src=198.51.100.1-198.51.100.2:2000-2030)",
  ),
  "with the destination translated": FLOWS("ct(table=1,zone=7,nat)", ",nat(dst=10.2.0.1:8080)"),
  "with NAT that does not translate": FLOWS("ct(table=1,zone=7)", ",nat(src=198.51.100.1)"),
};

interface Peer {
  address: string;
  port: number;
  seq: number;
}

interface Sent {
  readonly frame: Uint8Array;
  readonly wireLength: number;
  readonly inPort: number;
  readonly timeMs: number;
}

/** The next segments of random conversations; what the server sees of one is learned from what came out (`seen`). */
class Talk {
  readonly #rng: Prng;
  readonly #clients: Peer[];
  readonly #servers: Peer[];
  /** By client: the tuple that replies are sent to and from. */
  readonly seen: (readonly [src: Uint8Array, dst: Uint8Array, ports: Uint8Array] | undefined)[] = [];
  #nowMs = 1_000_000;

  constructor(rng: Prng) {
    this.#rng = rng;
    this.#clients = Array.from({ length: 6 }, (_, i) => ({
      address: `10.0.0.${1 + i}`,
      port: 4000 + i,
      seq: 1000,
    }));
    this.#servers = Array.from({ length: 6 }, () => ({ address: "10.1.0.1", port: 80, seq: 5000 }));
  }

  next(): { sent: Sent; who: number; reply: boolean } {
    const rng = this.#rng;
    const who = rng.below(6);
    const reply = rng.below(2) === 0;
    const [from, to] = reply
      ? [this.#servers[who]!, this.#clients[who]!]
      : [this.#clients[who]!, this.#servers[who]!];
    this.#nowMs += rng.below(200) === 0 ? 90_000_000 : rng.below(50) === 0 ? 40_000 : rng.below(3);
    const kind = rng.below(100);
    let flags = TCP_ACK;
    if (kind < 3) flags = reply ? TCP_SYN | TCP_ACK : TCP_SYN;
    else if (kind < 5) flags = TCP_ACK | TCP_FIN;
    else if (kind < 6) flags = TCP_RST | TCP_ACK;
    else if (kind < 20) flags = TCP_ACK | TCP_PSH;
    else if (kind < 21) flags = rng.below(256);
    const payload = new Uint8Array(rng.below(3) === 0 ? rng.below(200) : 0).map(() => rng.below(256));
    const stray = rng.below(25) === 0 ? rng.below(200_000) - 100_000 : 0;
    const frame = tcpFrame({
      src: from.address,
      dst: to.address,
      srcPort: from.port,
      dstPort: to.port,
      flags,
      tos: rng.below(12) === 0 ? 32 * (1 + rng.below(3)) : 0,
      seq: (from.seq + stray) >>> 0,
      ack: (to.seq + (rng.below(30) === 0 ? 70_000 : 0)) >>> 0,
      window: rng.below(20) === 0 ? rng.below(65_536) : 8_000,
      payload,
      minSize: 60,
    });
    if (stray === 0)
      from.seq = (from.seq + payload.length + ((flags & (TCP_SYN | TCP_FIN)) !== 0 ? 1 : 0)) >>> 0;
    const seen = this.seen[who];
    if (reply && seen !== undefined) answer(frame, seen);
    if (rng.below(40) === 0) frame[14 + rng.below(frame.length - 14)]! ^= 1 << rng.below(8);
    const cut = rng.below(40) === 0 ? rng.below(20) : 0;
    const sent = {
      frame: frame.slice(0, frame.length - cut),
      wireLength: frame.length,
      inPort: reply ? 2 : 1,
      timeMs: this.#nowMs,
    };
    return { sent, who, reply };
  }
}

/** Addresses the frame to and from whom the server knows, its checksums updated (RFC 1624). */
function answer(frame: Uint8Array, [src, dst, ports]: readonly [Uint8Array, Uint8Array, Uint8Array]): void {
  const view = new DataView(frame.buffer);
  const words = [...src, ...dst, ...ports];
  const update = (at: number, was: number, now: number) => {
    let sum = (~view.getUint16(at) & 0xffff) + (~was & 0xffff) + now;
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    view.setUint16(at, ~sum & 0xffff);
  };
  for (let i = 0; i < 12; i += 2) {
    const was = view.getUint16(26 + i);
    const now = (words[i]! << 8) | words[i + 1]!;
    if (i < 8) update(24, was, now);
    update(50, was, now);
    view.setUint16(26 + i, now);
  }
}

class Switch {
  readonly bridge: Bridge;
  readonly lines: string[] = [];
  /** The last frame that port 2 was sent. */
  toServer: Uint8Array | null = null;

  constructor(flows: string, cache: boolean) {
    const ports = new PortTable(
      [1, 2, 3, 4, 5, 6].map((no) => ({ no, name: `p${no}` })),
      { anyNumber: true },
    );
    this.bridge = new Bridge({ ports, failMode: "secure", cache, seed: 1, connectionsMax: 100 });
    this.bridge.addFlows(parseFlowFile(flows), 0);
  }

  send({ frame, wireLength, inPort, timeMs }: Sent): void {
    const { bridge, lines } = this;
    this.toServer = null;
    assert.ok(bridge.datapath.stage(frame, 0, frame.length, wireLength, inPort, timeMs));
    bridge.run({
      port: (port, memory, offset, length, wire) => {
        const bytes = new Uint8Array(memory.buffer, offset, length);
        if (port === 2) this.toServer = bytes.slice();
        lines.push(`${port} ${wire} ${Buffer.from(bytes).toString("hex")}`);
      },
      userspace: () => assert.fail("nothing goes to userspace here"),
      verdict: (_, verdict) => lines.push(`${verdict.outputs} ${verdict.drop}`),
    });
  }
}

for (const [name, flows] of Object.entries(PIPELINES)) {
  test(`established connections ${name} go the short way as the long one (seed ${SEED})`, () => {
    const talk = new Talk(new Prng(SEED));
    const [cached, plain] = [new Switch(flows, true), new Switch(flows, false)];
    for (let i = 0; i < FRAMES; i++) {
      const { sent, who, reply } = talk.next();
      cached.send(sent);
      plain.send(sent);
      assert.deepEqual(cached.lines, plain.lines, `frame ${i}`);
      const out = cached.toServer;
      if (!reply && out !== null && out.length >= 38) {
        const ports = Uint8Array.of(out[36]!, out[37]!, out[34]!, out[35]!);
        talk.seen[who] = [out.slice(30, 34), out.slice(26, 30), ports];
      }
      cached.lines.length = 0;
      plain.lines.length = 0;
      if (i % 500 !== 0) continue;
      assert.deepEqual([...connectionLines(cached.bridge)], [...connectionLines(plain.bridge)], `frame ${i}`);
    }
    assert.deepEqual([...flowLines(cached.bridge)], [...flowLines(plain.bridge)]);
    const { exact } = cached.bridge.datapath.cacheCounters();
    assert.ok(exact > FRAMES / 2, `${exact} lookups were answered by the exact-match cache`);
  });
}
