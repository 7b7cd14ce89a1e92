import assert from "node:assert/strict";
import test from "node:test";
import { Flow } from "../flow/flow.ts";
import * as layout from "../flow/layout.ts";
import { bytesToHex, concatBytes, hexToBytes } from "../packet/bytes.ts";
import {
  arpFrame,
  ethernetFrame,
  icmpFrame,
  igmpFrame,
  ipFrame,
  neighbourFrame,
  tcpFrame,
  udpFrame,
} from "../packet/frame.ts";
import { buildIpv6Fragment } from "../packet/ipv6-extension.ts";
import { buildLlcSnap } from "../packet/llc-snap.ts";
import { buildMpls } from "../packet/mpls.ts";
import { buildNsh } from "../packet/nsh.ts";
import { Extractor } from "./extract.ts";
import { loadKernel } from "./kernel.ts";

const extractor = new Extractor();

function extract(frame: Uint8Array, inPort = 1): Flow {
  const flow = new Flow();
  extractor.extract(frame, frame.length, inPort, flow);
  return flow;
}

/** The blocks that are not zero, as hexadecimal digits. */
function blocks(flow: Flow): Record<number, string> {
  const out: Record<number, string> = {};
  for (let b = 0; b < layout.FLOW_BLOCKS; b++) {
    const bytes = flow.bytes.subarray(b * layout.BLOCK_SIZE, (b + 1) * layout.BLOCK_SIZE);
    if (bytes.some((byte) => byte !== 0)) out[b] = bytesToHex(bytes);
  }
  return out;
}

const IN_PORT_1 = "00000001000000000000000000000000";

test("a TCP frame fills in_port, Ethernet and IPv4 blocks and nothing else", () => {
  const frame = tcpFrame({ srcPort: 40000, dstPort: 80, flags: 0xa12, tos: 0xb9, ttl: 63, minSize: 60 });
  assert.deepEqual(blocks(extract(frame)), {
    0: IN_PORT_1,
    1: "020000000002020000000001" + "0800" + "06" + "00",
    2: "0a000001" + "0a000002" + "9c40" + "0050" + "b9" + "3f" + "0a12",
  });
});

test("a frame shorter than an Ethernet header has no field", () => {
  for (let size = 0; size < 14; size++) {
    assert.deepEqual(blocks(extract(tcpFrame({}).subarray(0, size))), { 0: IN_PORT_1 }, `${size} bytes`);
  }
});

test("nothing of the frame before stays", () => {
  const plain = blocks(extract(udpFrame({ srcPort: 1 })));
  const others = [
    neighbourFrame({ target: "fe80::2", options: [{ type: 1, mac: "02:00:00:00:00:09" }] }),
    arpFrame({ spa: "10.0.0.1", vlans: [{ vid: 1 }, { vid: 2 }] }),
    ethernetFrame({}, 0x8847, concatBytes(...[1, 2, 3].map((label) => buildMpls({ label, bottom: false })))),
    ethernetFrame({}, 0x894f, buildNsh({ context: new Uint8Array(16).fill(7) })),
    igmpFrame({ type: 0x16, group: "224.0.0.9" }),
  ];
  for (const other of others) {
    assert.notDeepEqual(Object.keys(blocks(extract(other))), Object.keys(plain));
    assert.deepEqual(blocks(extract(udpFrame({ srcPort: 1 }))), plain);
    extract(other);
    assert.deepEqual(blocks(extract(other.subarray(0, 5))), { 0: IN_PORT_1 });
  }
});

test("up to two tags are read, with the present bit set; a third is an EtherType", () => {
  const vlans = [{ tpid: 0x88a8, vid: 7, pcp: 1 }, { vid: 8 }, { vid: 9 }];
  const two = extract(udpFrame({ srcPort: 5, dstPort: 6, vlans: vlans.slice(0, 2) }));
  assert.equal(blocks(two)[layout.B_VLAN], "88a83007" + "81001008" + "0".repeat(16));
  assert.equal(two.get16(layout.O_TP_DST), 6);
  const three = extract(udpFrame({ vlans }));
  assert.equal(three.get16(layout.O_DL_TYPE), 0x8100);
  assert.equal(three.get32(layout.O_NW_SRC), 0);
});

test("the number of tags read can be limited", () => {
  const frame = udpFrame({ vlans: [{ vid: 7 }, { vid: 8 }] });
  const types = [0, 1, 2].map((limit) => {
    const flow = new Flow();
    new Extractor(limit).extract(frame, frame.length, 1, flow);
    return [flow.get16(layout.O_VLAN0_TCI), flow.get16(layout.O_VLAN1_TCI), flow.get16(layout.O_DL_TYPE)];
  });
  assert.deepEqual(types, [
    [0, 0, 0x8100],
    [0x1007, 0, 0x8100],
    [0x1007, 0x1008, 0x0800],
  ]);
});

test("a tag without a type after it is an EtherType", () => {
  const frame = udpFrame({ vlans: [{ vid: 7 }] });
  assert.equal(extract(frame.subarray(0, 17)).get32(layout.O_VLAN0), 0);
  assert.equal(extract(frame.subarray(0, 17)).get16(layout.O_DL_TYPE), 0x8100);
  assert.equal(extract(frame.subarray(0, 18)).get32(layout.O_VLAN0), 0x81001007);
  assert.equal(extract(frame.subarray(0, 18)).get16(layout.O_DL_TYPE), 0x0800);
});

test("802.3 without SNAP over Ethernet has dl_type 0x05ff", () => {
  const ethernet = { src: "02:00:00:00:00:01", dst: "02:00:00:00:00:02" };
  const payload = udpFrame({ dstPort: 4 }).subarray(14);
  const type = (frame: Uint8Array) => extract(frame).get16(layout.O_DL_TYPE);
  const snap = buildLlcSnap(ethernet, { type: 0x0800 }, payload);
  assert.equal(type(snap), 0x0800);
  assert.equal(extract(snap).get16(layout.O_TP_DST), 4);
  assert.equal(type(snap.subarray(0, 21)), 0x05ff);
  assert.equal(type(buildLlcSnap(ethernet, { type: 0x05dc }, payload)), 0x05ff);
  assert.equal(type(buildLlcSnap(ethernet, { dsap: 0x42, type: 0x0800 }, payload)), 0x05ff);
  assert.equal(type(buildLlcSnap(ethernet, { organisation: 0xf8, type: 0x0800 }, payload)), 0x05ff);
});

test("ARP of another kind or with a large opcode", () => {
  const op = (arp: object) => extract(arpFrame({ spa: "10.0.0.1", ...arp })).get8(layout.O_NW_PROTO);
  const spa = (arp: object) => extract(arpFrame({ spa: "10.0.0.1", ...arp })).get32(layout.O_NW_SRC);
  assert.deepEqual([op({ op: 255 }), spa({ op: 255 })], [255, 0x0a000001]);
  assert.deepEqual([op({ op: 256 }), spa({ op: 256 })], [0, 0x0a000001]);
  for (const wrong of [{ hardware: 6 }, { protocol: 0x86dd }, { hardwareSize: 8 }, { protocolSize: 16 }]) {
    assert.deepEqual([op(wrong), spa(wrong)], [0, 0], JSON.stringify(wrong));
  }
  assert.equal(extract(arpFrame({ spa: "10.0.0.1" }).subarray(0, 41)).get32(layout.O_NW_SRC), 0);
});

test("an IPv4 header whose lengths do not fit leaves all of it zero", () => {
  const frame = (ipv4: object) => extract(udpFrame({ dstPort: 9, ipv4 }));
  assert.equal(frame({ totalSize: 28 }).get16(layout.O_TP_DST), 9);
  assert.equal(frame({ totalSize: 29 }).get32(layout.O_NW_SRC), 0); // more than there is
  assert.equal(frame({ totalSize: 19 }).get32(layout.O_NW_SRC), 0); // less than the header
  assert.equal(frame({ totalSize: 27 }).get32(layout.O_NW_SRC), 0x0a000001); // the UDP header is cut
  assert.equal(frame({ totalSize: 27 }).get16(layout.O_TP_DST), 0);
  const short = udpFrame({});
  short[14] = 0x44;
  assert.equal(extract(short).get32(layout.O_NW_SRC), 0);
});

test("a later fragment has no ports", () => {
  const first = extract(udpFrame({ dstPort: 9, ipv4: { moreFragments: true } }));
  assert.deepEqual([first.get8(layout.O_NW_FRAG), first.get16(layout.O_TP_DST)], [1, 9]);
  const later = extract(udpFrame({ dstPort: 9, ipv4: { fragmentOffset: 8 } }));
  assert.deepEqual([later.get8(layout.O_NW_FRAG), later.get16(layout.O_TP_DST)], [3, 0]);
  const six = { src: "fd00::1", dst: "fd00::2" };
  const later6 = extract(
    ipFrame(six, 44, buildIpv6Fragment({ nextHeader: 17, offset: 8 }, new Uint8Array(8))),
  );
  assert.deepEqual([later6.get8(layout.O_NW_FRAG), later6.get8(layout.O_NW_PROTO)], [3, 44]);
  const first6 = extract(
    ipFrame(six, 44, buildIpv6Fragment({ nextHeader: 17, more: true }, new Uint8Array(8).fill(1))),
  );
  assert.deepEqual(
    [first6.get8(layout.O_NW_FRAG), first6.get8(layout.O_NW_PROTO), first6.get16(layout.O_TP_SRC)],
    [1, 17, 0x101],
  );
});

test("a TCP header whose data offset does not fit has no ports", () => {
  for (const [offset, port] of [
    [4, 0],
    [5, 80],
    [6, 80],
    [7, 0],
  ]) {
    const frame = tcpFrame({ dstPort: 80, payload: new Uint8Array(4) });
    frame[14 + 20 + 12] = offset! << 4;
    assert.equal(extract(frame).get16(layout.O_TP_DST), port, `data offset ${offset}`);
  }
});

test("neighbour discovery: target, options and the reserved word", () => {
  const mac = "02:00:00:00:00:09";
  const fields = (options: { type: number; mac: string }[]) => {
    const flow = extract(neighbourFrame({ reserved: 0x60000000, target: "fe80::2", options }));
    return [
      bytesToHex(flow.bytes.subarray(layout.O_ND_TARGET, layout.O_ND_TARGET + 16)),
      bytesToHex(flow.bytes.subarray(layout.O_ARP_SHA, layout.O_ARP_SHA + 12)),
      flow.get16(layout.O_TCP_FLAGS),
      flow.get32(layout.O_IGMP_GROUP),
    ];
  };
  const target = "fe800000000000000000000000000002";
  const none = "000000000000";
  assert.deepEqual(fields([]), [target, none + none, 0, 0x60000000]);
  assert.deepEqual(fields([{ type: 1, mac }]), [target, `020000000009${none}`, 1, 0x60000000]);
  const both = [
    { type: 2, mac },
    { type: 1, mac },
  ];
  assert.deepEqual(fields(both), [target, "020000000009020000000009", 2, 0x60000000]);
  const twice = [both[0]!, both[0]!];
  assert.deepEqual(fields(twice), ["0".repeat(32), none + none, 2, 0x60000000]);
});

test("other ICMPv6 leaves the neighbour discovery fields zero", () => {
  const flow = extract(
    icmpFrame({ src: "fd00::1", dst: "fd00::2", type: 133, rest: 5, payload: new Uint8Array(24).fill(1) }),
  );
  assert.deepEqual(Object.keys(blocks(flow)).map(Number), [0, 1, 2, 7, 8]);
});

test("a frame longer than any datagram", () => {
  const frame = new Uint8Array(300_000);
  frame.set(udpFrame({ dstPort: 9 }));
  assert.equal(extract(frame).get16(layout.O_DL_TYPE), 0x0800);
  assert.equal(extract(frame).get32(layout.O_NW_SRC), 0); // the padding is longer than OVS allows
  assert.equal(extract(frame.subarray(0, 60_000)).get16(layout.O_TP_DST), 9);
});

test("a frame cut by a capture's snaplen is judged by the length it had", () => {
  const port = (frame: Uint8Array, size: number, wireLen: number) => {
    const flow = new Flow();
    extractor.extract(frame.subarray(0, size), wireLen, 1, flow);
    return [flow.get32(layout.O_NW_DST), flow.get16(layout.O_TP_DST)];
  };
  const tcp = tcpFrame({ dstPort: 80, options: new Uint8Array(8), payload: new Uint8Array(1000) });
  assert.deepEqual(port(tcp, 54, tcp.length), [0x0a000002, 80]);
  assert.deepEqual(port(tcp, 53, tcp.length), [0x0a000002, 0]);
  assert.deepEqual(port(tcp, 54, 54), [0, 0]);
  assert.deepEqual(port(tcp, 54, tcp.length - 1), [0, 0]);
  const options = udpFrame({ dstPort: 9, ipv4: { options: new Uint8Array(8) } });
  assert.deepEqual(port(options, 41, options.length), [0, 0]);
  assert.deepEqual(port(options, 42, options.length), [0x0a000002, 0]);
  const six = udpFrame({ dst: "fd00::2", dstPort: 9, payload: new Uint8Array(100) });
  assert.deepEqual(port(six, 62, six.length)[1], 9);
  assert.deepEqual(port(six, 61, six.length)[1], 0);
});

test("the parser notes where the headers are", () => {
  const PKT = 0x10000;
  const kernel = loadKernel(0x40000, { upcall: () => 0, flush() {} });
  const offsets = (frame: Uint8Array) => {
    kernel.bytes.set(frame, kernel.exports.extractFrame());
    kernel.exports.extractKey(frame.length, 1);
    const [l2_5, l3, l4, type] = [16, 20, 24, 56].map((at) => kernel.view.getInt32(PKT + at, true));
    return { l2_5, l3, l4, type };
  };
  assert.deepEqual(offsets(tcpFrame({})), { l2_5: -1, l3: 14, l4: 34, type: 12 });
  assert.deepEqual(offsets(tcpFrame({ vlans: [{ vid: 1 }, { vid: 2 }] })), {
    l2_5: -1,
    l3: 22,
    l4: 42,
    type: 20,
  });
  assert.deepEqual(offsets(tcpFrame({ ipv4: { options: hexToBytes("01010101") } })).l4, 38);
  assert.deepEqual(offsets(tcpFrame({ src: "fd00::1" })), { l2_5: -1, l3: 14, l4: 54, type: 12 });
  assert.deepEqual(offsets(arpFrame({})), { l2_5: -1, l3: 14, l4: -1, type: 12 });
  const mpls = ethernetFrame(
    {},
    0x8847,
    concatBytes(buildMpls({ bottom: false }), buildMpls({}), new Uint8Array(20)),
  );
  assert.deepEqual(offsets(mpls), { l2_5: 14, l3: 22, l4: -1, type: 12 });
  assert.deepEqual(offsets(new Uint8Array(13)), { l2_5: -1, l3: -1, l4: -1, type: -1 });
});
