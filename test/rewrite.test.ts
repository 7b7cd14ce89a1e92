// Header rewriting on frames whose right answer is built from scratch, checksums and all; real Open vSwitch's answers are
// compared in test/oracle/rewrite.test.ts.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DatapathAction, SetHeader } from "../src/datapath/action.ts";
import * as L from "../src/flow/layout.ts";
import { Prng } from "../src/lib/prng.ts";
import { parseIp, parseMac } from "../src/packet/address.ts";
import {
  arpFrame,
  ethernetFrame,
  icmpFrame,
  neighbourFrame,
  sctpFrame,
  tcpFrame,
  udpFrame,
} from "../src/packet/frame.ts";
import { buildMpls } from "../src/packet/mpls.ts";
import { randomCase } from "./support/rewrite-cases.ts";
import { Rewriter, rewriteAndSend } from "./support/rewriter.ts";

type FieldBytes = readonly [offset: number, value: ArrayLike<number>, mask?: ArrayLike<number>];

function set(header: SetHeader, ...fields: FieldBytes[]): DatapathAction {
  const value = new Uint8Array(L.KEY_SIZE);
  const mask = new Uint8Array(L.KEY_SIZE);
  for (const [offset, bytes, bits] of fields) {
    value.set(bytes, offset);
    mask.set(bits ?? Array.from(bytes, () => 0xff), offset);
  }
  return { type: "set", header, value, mask };
}

const rewriter = new Rewriter();
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

function assertRewritten(frame: Uint8Array, actions: readonly DatapathAction[], expected: Uint8Array): void {
  rewriter.load(frame);
  for (const action of actions) rewriter.execute(action);
  assert.equal(hex(rewriter.frame()), hex(expected));
}

const port = (n: number) => [n >> 8, n & 0xff];
const payload = Uint8Array.of(1, 2, 3, 4, 5, 6, 7);
const A4 = { src: "10.0.0.1", dst: "10.0.0.2" };
const B4 = { src: "172.16.9.1", dst: "255.255.0.3" };
const A6 = { src: "fd00::1", dst: "fd00::2" };
const B6 = { src: "2001:db8::5", dst: "ff02::1:ff00:2" };
const setA4 = set("ipv4", [L.O_NW_SRC, parseIp(B4.src)], [L.O_NW_DST, parseIp(B4.dst)]);
const setA6 = set("ipv6", [L.O_IPV6_SRC, parseIp(B6.src)], [L.O_IPV6_DST, parseIp(B6.dst)]);
const setPorts = (header: SetHeader) => set(header, [L.O_TP_SRC, port(53)], [L.O_TP_DST, port(8080)]);
const from = { srcPort: 40000, dstPort: 80 };
const to = { srcPort: 53, dstPort: 8080 };

test("addresses and ports, IPv4 and IPv6", () => {
  assertRewritten(
    tcpFrame({ ...A4, ...from, payload }),
    [setA4, setPorts("tcp")],
    tcpFrame({ ...B4, ...to, payload }),
  );
  assertRewritten(
    udpFrame({ ...A4, ...from, payload }),
    [setA4, setPorts("udp")],
    udpFrame({ ...B4, ...to, payload }),
  );
  assertRewritten(
    sctpFrame({ ...A4, ...from, payload }),
    [setA4, setPorts("sctp")],
    sctpFrame({ ...B4, ...to, payload }),
  );
  assertRewritten(
    tcpFrame({ ...A6, ...from, payload }),
    [setA6, setPorts("tcp")],
    tcpFrame({ ...B6, ...to, payload }),
  );
  assertRewritten(
    udpFrame({ ...A6, ...from, payload }),
    [setA6, setPorts("udp")],
    udpFrame({ ...B6, ...to, payload }),
  );
  assertRewritten(icmpFrame({ ...A6, payload }), [setA6], icmpFrame({ ...B6, payload }));
});

test("tos, ttl, traffic class, hop limit and flow label", () => {
  const tosTtl: FieldBytes[] = [
    [L.O_NW_TOS, [0xb8], [0xfc]],
    [L.O_NW_TTL, [9]],
  ];
  assertRewritten(
    tcpFrame({ ...A4, tos: 3, ttl: 64 }),
    [set("ipv4", ...tosTtl)],
    tcpFrame({ ...A4, tos: 0xbb, ttl: 9 }),
  );
  const label: FieldBytes = [L.O_IPV6_LABEL, [0, 0x0a, 0xbc, 0xde], [0, 0x0f, 0xff, 0xff]];
  assertRewritten(
    tcpFrame({ ...A6, tos: 3, ttl: 64, ipv6: { label: 0x12345 } }),
    [set("ipv6", ...tosTtl, label)],
    tcpFrame({ ...A6, tos: 0xbb, ttl: 9, ipv6: { label: 0xabcde } }),
  );
});

test("no UDP checksum stays none; one that becomes zero is sent as ones", () => {
  assertRewritten(
    udpFrame({ ...A4, ...from, checksum: 0 }),
    [setA4, setPorts("udp")],
    udpFrame({ ...B4, ...to, checksum: 0 }),
  );
  // A source port that makes the sum zero: 16 bits are enough to hit any checksum.
  let hits = 0;
  for (let i = 0; i < 0x10000 && hits === 0; i++) {
    const frame = udpFrame({ ...A4, srcPort: i, dstPort: 80 });
    if (frame[40] !== 0xff || frame[41] !== 0xff) continue;
    hits++;
    assertRewritten(udpFrame({ ...A4, ...from }), [set("udp", [L.O_TP_SRC, port(i)])], frame);
  }
  assert.equal(hits, 1);
});

test("a wrong checksum stays wrong by as much", () => {
  const right = tcpFrame({ ...A4, ...from });
  const wrong = right.slice();
  wrong[50] = right[50]! ^ 0x55;
  const [sent] = rewriteAndSend(rewriter, wrong, [setPorts("tcp"), { type: "output", port: 1 }]);
  const sum = (b: Uint8Array) => (b[50]! << 8) | b[51]!;
  const expected = tcpFrame({ ...A4, ...to });
  const error = (sum(wrong) - sum(right) + 0xffff) % 0xffff;
  assert.equal((sum(sent!.frame) - sum(expected) + 0xffff) % 0xffff, error);
});

test("ICMP, neighbour discovery and ARP", () => {
  const typeCode = (type: number, code: number): FieldBytes[] => [
    [L.O_TP_SRC, port(type)],
    [L.O_TP_DST, port(code)],
  ];
  assertRewritten(
    icmpFrame({ ...A4, payload }),
    [set("icmp", ...typeCode(3, 1))],
    icmpFrame({ ...A4, type: 3, code: 1, payload }),
  );
  assertRewritten(
    icmpFrame({ ...A6, payload }),
    [set("icmpv6", ...typeCode(1, 4))],
    icmpFrame({ ...A6, type: 1, code: 4, payload }),
  );
  const ask = (target: string, mac: string) => neighbourFrame({ ...A6, target, options: [{ type: 1, mac }] });
  assertRewritten(
    ask("fd00::2", "02:00:00:00:00:01"),
    [set("nd", [L.O_ND_TARGET, parseIp("fd00::77")], [L.O_ARP_SHA, parseMac("0e:5a:10:60:01:05")])],
    ask("fd00::77", "0e:5a:10:60:01:05"),
  );
  const ethDst = "02:00:00:00:00:09";
  assertRewritten(
    arpFrame({ ethDst, op: 1, spa: "1.1.1.1", tpa: "1.1.1.2" }),
    [set("arp", [L.O_NW_PROTO, [2]], [L.O_NW_SRC, parseIp("9.9.9.9")], [L.O_ARP_THA, parseMac(ethDst)])],
    arpFrame({ ethDst, op: 2, spa: "9.9.9.9", tpa: "1.1.1.2", tha: ethDst }),
  );
});

test("link addresses under a mask", () => {
  assertRewritten(
    tcpFrame({ ...A4, ethSrc: "02:00:00:00:00:01", ethDst: "02:aa:bb:cc:dd:ee" }),
    [set("eth", [L.O_DL_DST, parseMac("0e:00:00:00:00:05"), parseMac("ff:00:00:00:00:0f")])],
    tcpFrame({ ...A4, ethSrc: "02:00:00:00:00:01", ethDst: "0e:aa:bb:cc:dd:e5" }),
  );
});

test("tags and labels, pushed and popped, with the offsets moved along", () => {
  const plain = tcpFrame({ ...A4, ...from, payload });
  const vlans = [{ tpid: 0x88a8, vid: 7, pcp: 3 }];
  const push: DatapathAction = { type: "push_vlan", tpid: 0x88a8, tci: 0x7007 };
  assertRewritten(plain, [push], tcpFrame({ ...A4, ...from, payload, vlans }));
  assertRewritten(plain, [push, { type: "pop_vlan" }], plain);
  assertRewritten(plain, [{ type: "pop_vlan" }], plain);
  // Offsets: a set after a push finds its header.
  assertRewritten(plain, [push, setA4, setPorts("tcp")], tcpFrame({ ...B4, ...to, payload, vlans }));

  const label = { label: 100, tc: 3, ttl: 64, bottom: true };
  const lse = (100 << 12) | (3 << 9) | 0x100 | 64;
  const mpls = ethernetFrame({}, 0x8847, Uint8Array.from([...buildMpls(label), ...plain.subarray(14)]));
  const pushLabel: DatapathAction = { type: "push_mpls", lse, ethertype: 0x8847 };
  const popLabel: DatapathAction = { type: "pop_mpls", ethertype: 0x800 };
  assertRewritten(plain, [pushLabel], mpls);
  assertRewritten(plain, [pushLabel, popLabel], plain);
  assertRewritten(plain, [popLabel], plain);
  assertRewritten(
    mpls,
    [set("mpls", [L.O_MPLS_LSE0, [0, 0, 1, 9]])],
    (() => {
      const out = mpls.slice();
      out.set([0, 0, 1, 9], 14);
      return out;
    })(),
  );
});

test("metadata goes to the key", () => {
  rewriter.load(tcpFrame({ ...A4 }));
  rewriter.execute(set("skb_mark", [L.O_PKT_MARK, [1, 2, 3, 4], [0xff, 0xff, 0, 0]]));
  rewriter.execute(set("skb_priority", [L.O_SKB_PRIORITY, [0, 0, 0, 5]]));
  rewriter.execute(set("tunnel", [L.O_TUN_DST, [1, 1, 1, 1]], [L.O_TUN_TTL, [64]]));
  assert.deepEqual([...rewriter.key(L.O_PKT_MARK, 8)], [1, 2, 0, 0, 0, 0, 0, 5]);
  assert.deepEqual([...rewriter.key(L.O_TUN_DST, 4)], [1, 1, 1, 1]);
  assert.equal(rewriter.key(L.O_TUN_TTL, 1)[0], 64);
  assert.equal(hex(rewriter.frame()), hex(tcpFrame({ ...A4 })));
});

test("a frame cut behind its transport header is rewritten as the whole one is", () => {
  const long = new Uint8Array(500).fill(0xa5);
  const wholes: [Uint8Array, DatapathAction[]][] = [
    [tcpFrame({ ...A4, ...from, payload: long }), [setA4, setPorts("tcp")]],
    [udpFrame({ ...A6, ...from, payload: long }), [setA6, setPorts("udp")]],
    [sctpFrame({ ...A4, ...from, payload: long }), [setA4, setPorts("sctp")]],
    [icmpFrame({ ...A4, payload: long }), [setA4, set("icmp", [L.O_TP_SRC, port(3)], [L.O_TP_DST, port(1)])]],
  ];
  for (const [whole, actions] of wholes) {
    rewriter.load(whole);
    for (const action of actions) rewriter.execute(action);
    const expected = rewriter.frame().subarray(0, 96);
    rewriter.load(whole.subarray(0, 96), 0, whole.length);
    for (const action of actions) rewriter.execute(action);
    assert.equal(hex(rewriter.frame()), hex(expected));
  }
});

test("nothing is written behind a frame, wherever it is cut", (t) => {
  const seed = Number(process.env.SEED ?? 1);
  t.diagnostic(`seed ${seed}`);
  const rng = new Prng(seed);
  const ones = new Uint8Array(L.KEY_SIZE).fill(0xff);
  const headers: SetHeader[] = [
    "eth",
    "ipv4",
    "ipv6",
    "tcp",
    "udp",
    "sctp",
    "icmp",
    "icmpv6",
    "arp",
    "nd",
    "nd_ext",
    "mpls",
  ];
  const actions: DatapathAction[] = headers.map((header) => ({
    type: "set",
    header,
    value: rng.bytes(L.KEY_SIZE),
    mask: ones,
  }));
  actions.push({ type: "pop_vlan" }, { type: "pop_mpls", ethertype: 0x800 });
  actions.push({ type: "push_vlan", tpid: 0x8100, tci: 5 }, { type: "push_mpls", lse: 5, ethertype: 0x8847 });
  const clean = hex(new Uint8Array(64).fill(0x5a));
  for (let i = 0; i < 300; i++) {
    const { frame, kind } = randomCase(rng, "02:00:00:00:00:01");
    const cut = frame.subarray(0, rng.below(frame.length + 1));
    for (const action of actions) {
      rewriter.load(cut, 0x5a, rng.below(2) === 0 ? cut.length : frame.length);
      rewriter.execute(action);
      const name = action.type === "set" ? action.header : action.type;
      assert.equal(hex(rewriter.after(64)), clean, `${name} on ${kind} ${hex(cut)}`);
    }
  }
});
