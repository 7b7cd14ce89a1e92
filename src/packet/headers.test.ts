// Every header on real bytes: taken apart, put together again, and cut short.
import assert from "node:assert/strict";
import test from "node:test";
import { buildArp, readArp } from "./arp.ts";
import { bytesToHex, hexToBytes } from "./bytes.ts";
import { buildEthernet, readEthernet } from "./ethernet.ts";
import { buildIcmp, buildIcmpv6, buildIgmp, readIcmp } from "./icmp.ts";
import { buildIpv4, readIpv4 } from "./ipv4.ts";
import { buildIpv6, readIpv6 } from "./ipv6.ts";
import { buildIpv6Extension, buildIpv6Fragment, readIpv6Fragment } from "./ipv6-extension.ts";
import { buildLlcSnap, readLlcSnap } from "./llc-snap.ts";
import { buildMpls, readMpls } from "./mpls.ts";
import { buildNeighbour, readNeighbour } from "./neighbour.ts";
import { buildNsh, readNsh } from "./nsh.ts";
import { buildSctp, readSctp } from "./sctp.ts";
import { buildTcp, readTcp } from "./tcp.ts";
import { buildUdp, readUdp } from "./udp.ts";
import { pushVlan, readVlan } from "./vlan.ts";

const NONE = new Uint8Array(0);
const V4 = ["100.96.1.3", "100.96.1.5"] as const;
const V6 = ["2001:db8::1", "2001:db8::2"] as const;

/** Real bytes of a header, what they say, and the way back. */
function check<T>(
  name: string,
  hex: string,
  read: (bytes: Uint8Array) => T | null,
  header: T,
  build: (header: T) => Uint8Array,
): void {
  test(name, () => {
    const bytes = hexToBytes(hex);
    assert.deepEqual(read(bytes), header);
    assert.equal(bytesToHex(build(header)), bytesToHex(bytes));
    assert.equal(read(bytes.subarray(0, bytes.length - 1)), null);
    assert.equal(read(NONE), null);
  });
}

check(
  "Ethernet",
  "0e5a10600105 0e5a10600103 0800",
  readEthernet,
  { dst: "0e:5a:10:60:01:05", src: "0e:5a:10:60:01:03", type: 0x0800 },
  (h) => buildEthernet(h, NONE),
);

check(
  "VLAN tag",
  "000000000000 000000000000 88a8 f064",
  readVlan,
  { tpid: 0x88a8, vid: 100, pcp: 7, dei: true },
  (h) => pushVlan(new Uint8Array(12), h),
);

check(
  "LLC and SNAP",
  "aaaa03 0000f8 0800",
  readLlcSnap,
  { dsap: 0xaa, ssap: 0xaa, control: 3, organisation: 0xf8, type: 0x0800 },
  (h) => buildLlcSnap({ src: "02:00:00:00:00:01", dst: "02:00:00:00:00:02" }, h, NONE).subarray(14),
);

check("MPLS", "fffffb40", readMpls, { label: 0xfffff, tc: 5, bottom: true, ttl: 64 }, buildMpls);

check(
  "NSH",
  "23c60103 010203ff 000102030405060708090a0b0c0d0e0f",
  readNsh,
  {
    version: 0,
    flags: 2,
    ttl: 15,
    mdType: 1,
    nextProto: 3,
    spi: 0x010203,
    si: 255,
    context: hexToBytes("000102030405060708090a0b0c0d0e0f"),
  },
  buildNsh,
);

check(
  "ARP",
  "0001 0800 06 04 0002 0e5a10600103 64600103 0e5a10600105 64600105",
  readArp,
  {
    hardware: 1,
    protocol: 0x0800,
    hardwareSize: 6,
    protocolSize: 4,
    op: 2,
    sha: "0e:5a:10:60:01:03",
    spa: "100.96.1.3",
    tha: "0e:5a:10:60:01:05",
    tpa: "100.96.1.5",
  },
  buildArp,
);

check(
  "IPv4 with an option",
  "46b90018 1234 60b9 4011 fde7 64600103 64600105 94040000",
  readIpv4,
  {
    tos: 0xb9,
    totalSize: 24,
    id: 0x1234,
    dontFragment: true,
    moreFragments: true,
    fragmentOffset: 0xb9 * 8,
    ttl: 64,
    proto: 17,
    checksum: 0xfde7,
    src: V4[0],
    dst: V4[1],
    options: hexToBytes("94040000"),
  },
  (h) => buildIpv4(h, NONE),
);

test("IPv4: a computed checksum is right, a header length below five words is refused", () => {
  const packet = buildIpv4({ src: V4[0], dst: V4[1], proto: 6, dontFragment: true }, new Uint8Array(24));
  assert.equal(bytesToHex(packet.subarray(0, 20)), "4500002c0000400040067004" + "6460010364600105");
  packet[0] = 0x44;
  assert.equal(readIpv4(packet), null);
});

check(
  "IPv6",
  "6b912345 0014 06 40 20010db8000000000000000000000001 20010db8000000000000000000000002",
  readIpv6,
  {
    trafficClass: 0xb9,
    label: 0x12345,
    payloadSize: 20,
    nextHeader: 6,
    hopLimit: 64,
    src: V6[0],
    dst: V6[1],
  },
  (h) => buildIpv6(h, NONE),
);

check(
  "IPv6 fragment header",
  "11 00 05a9 00000007",
  readIpv6Fragment,
  { nextHeader: 17, offset: 1448, more: true, id: 7 },
  (h) => buildIpv6Fragment(h, NONE),
);

test("IPv6 extension headers say their length in their own way", () => {
  assert.equal(bytesToHex(buildIpv6Extension(0, 6, 16, NONE)), "0601" + "00".repeat(14));
  assert.equal(bytesToHex(buildIpv6Extension(51, 17, 24, NONE)), "1104" + "00".repeat(22));
});

check(
  "TCP with options",
  "c0011f90 00000001 80000002 7a12 ffff 1234 0005 020405b4 01030307",
  readTcp,
  {
    srcPort: 49153,
    dstPort: 8080,
    seq: 1,
    ack: 0x80000002,
    flags: 0xa12,
    window: 65535,
    checksum: 0x1234,
    urgent: 5,
    options: hexToBytes("020405b4 01030307"),
  },
  (h) => buildTcp(h, NONE, ...V4),
);

check(
  "UDP",
  "c00d 0035 0008 abcd",
  readUdp,
  { srcPort: 49165, dstPort: 53, length: 8, checksum: 0xabcd },
  (h) => buildUdp(h, NONE, ...V4),
);

test("UDP: a checksum that comes out as zero is sent as 0xffff", () => {
  // The pseudo header and these eight bytes sum to 0xffff when the payload is this word.
  const bare = readUdp(buildUdp({}, new Uint8Array(2), ...V4))!.checksum;
  const packet = buildUdp({}, Uint8Array.of(bare >>> 8, bare & 0xff), ...V4);
  assert.equal(readUdp(packet)!.checksum, 0xffff);
});

check(
  "SCTP",
  "0b59 0b5a 00000001 78563412",
  readSctp,
  { srcPort: 2905, dstPort: 2906, tag: 1, checksum: 0x12345678 },
  (h) => buildSctp(h, NONE),
);

check("ICMP", "08 00 f7fd 0001 0001", readIcmp, { type: 8, code: 0, checksum: 0xf7fd, rest: 0x10001 }, (h) =>
  buildIcmp(h, NONE),
);

test("ICMP, IGMP and ICMPv6 compute their checksums", () => {
  assert.equal(readIcmp(buildIcmp({ type: 8, rest: 0x10001 }, NONE))!.checksum, 0xf7fd);
  assert.equal(bytesToHex(buildIgmp(0x16, "224.1.2.3")), "160007fb" + "e0010203");
  // An echo request of 8 bytes from ::1 to ::1: the pseudo header adds 2 + 8 + 58.
  assert.equal(
    readIcmp(buildIcmpv6({ type: 128 }, NONE, "::1", "::1"))!.checksum,
    0xffff - 0x8000 - 2 - 8 - 58,
  );
});

test("neighbour discovery", () => {
  const message = {
    type: 136,
    reserved: 0x60000000,
    target: "fe80::2",
    options: [{ type: 2, mac: "0e:5a:10:60:01:05" }],
  };
  const bytes = buildNeighbour(message, "fe80::2", "fe80::1");
  assert.equal(
    bytesToHex(bytes.subarray(4)),
    "60000000" + "fe800000000000000000000000000002" + "02010e5a10600105",
  );
  assert.deepEqual(readNeighbour(bytes), message);
  assert.deepEqual(readNeighbour(bytes.subarray(0, 31)), { ...message, options: [] });
  assert.equal(readNeighbour(bytes.subarray(0, 23)), null);
  bytes[25] = 0; // an option of no length
  assert.deepEqual(readNeighbour(bytes), { ...message, options: [] });
  bytes[0] = 133;
  assert.equal(readNeighbour(bytes), null);
});
