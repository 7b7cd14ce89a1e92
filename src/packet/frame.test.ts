import assert from "node:assert/strict";
import test from "node:test";
import { parseIp } from "./address.ts";
import { bytesToHex, hexDump } from "./bytes.ts";
import { internetChecksum, pseudoHeaderSum } from "./checksum.ts";
import { arpFrame, icmpFrame, neighbourFrame, tcpFrame, udpFrame } from "./frame.ts";
import { readIpv4 } from "./ipv4.ts";
import { readTcp, TCP_SYN } from "./tcp.ts";

test("a TCP frame, whole", () => {
  const frame = tcpFrame({ srcPort: 40000, dstPort: 80, flags: TCP_SYN, minSize: 60 });
  assert.equal(frame.length, 60);
  const ip = readIpv4(frame, 14)!;
  assert.equal(ip.totalSize, 40);
  assert.equal(internetChecksum(frame.subarray(14, 34)), 0);
  const tcp = readTcp(frame, 34)!;
  assert.deepEqual([tcp.srcPort, tcp.dstPort, tcp.flags], [40000, 80, TCP_SYN]);
  const seed = pseudoHeaderSum(parseIp(ip.src), parseIp(ip.dst), 6, 20);
  assert.equal(internetChecksum(frame.subarray(34, 54), seed), 0);
});

test("transport checksums over IPv6", () => {
  const src = "2001:db8::1";
  const dst = "2001:db8::2";
  for (const [frame, proto] of [
    [udpFrame({ src, dst, payload: Uint8Array.of(1, 2, 3) }), 17],
    [icmpFrame({ src, dst, payload: Uint8Array.of(1) }), 58],
    [neighbourFrame({ src, dst, target: src }), 58],
  ] as const) {
    const body = frame.subarray(54);
    assert.equal(frame[20], proto);
    assert.equal(internetChecksum(body, pseudoHeaderSum(parseIp(src), parseIp(dst), proto, body.length)), 0);
  }
});

test("tags stand outermost first", () => {
  const frame = arpFrame({ vlans: [{ tpid: 0x88a8, vid: 1 }, { vid: 2 }] });
  assert.equal(bytesToHex(frame.subarray(12, 24)), "88a80001" + "81000002" + "0806" + "0001");
});

test("one address of IPv6 makes the other one of IPv6 too", () => {
  assert.equal(tcpFrame({ dst: "2001:db8::2" }).length, 74);
});

test("a dump shows offset, bytes and text", () => {
  const dump = hexDump(Uint8Array.from({ length: 18 }, (_, i) => 0x40 + i));
  assert.equal(
    dump,
    "0000  40 41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f  @ABCDEFGHIJKLMNO\n0010  50 51" +
      " ".repeat(42) +
      "  PQ",
  );
});
