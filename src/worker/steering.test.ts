import assert from "node:assert/strict";
import { test } from "node:test";
import { ethernetFrame, icmpFrame, ipFrame, sctpFrame, tcpFrame, udpFrame } from "../packet/frame.ts";
import { pairOfAddresses, Steering } from "./steering.ts";

const A = "10.0.0.1";
const B = "192.168.7.200";
const A6 = "2001:db8::1";
const B6 = "fe80::99:7";

function look(frame: Uint8Array): { isIp: boolean; isFragment: boolean; pair: number; tuple: number } {
  const steering = new Steering();
  // Where it lies does not matter, nor what lies behind it.
  const memory = new Uint8Array(frame.length + 80).fill(0xa5);
  memory.set(frame, 7);
  steering.look(memory, 7, frame.length);
  const { isIp, isFragment, pair, tuple } = steering;
  return { isIp, isFragment, pair, tuple };
}

for (const [src, dst] of [
  [A, B],
  [A6, B6],
] as const) {
  const six = src === A6;
  test(`both directions of a connection are steered alike, others apart: ${src}`, () => {
    const there = look(tcpFrame({ src, dst, srcPort: 40000, dstPort: 80 }));
    const back = look(
      tcpFrame({ src: dst, dst: src, srcPort: 80, dstPort: 40000, vlans: [{ vid: 5 }, { vid: 6 }] }),
    );
    assert.deepEqual(back, there);
    assert.equal(there.isIp, true);
    for (const other of [
      tcpFrame({ src, dst, srcPort: 40001, dstPort: 80 }),
      tcpFrame({ src, dst, srcPort: 80, dstPort: 80 }),
      udpFrame({ src, dst, srcPort: 40000, dstPort: 80 }),
    ]) {
      assert.equal(look(other).pair, there.pair);
      assert.notEqual(look(other).tuple, there.tuple);
    }
    assert.notEqual(look(tcpFrame({ src, dst: src, srcPort: 40000, dstPort: 80 })).pair, there.pair);
  });

  test(`an ICMP error goes with what it quotes: ${src}`, () => {
    const quoted = tcpFrame({ src, dst, srcPort: 40000, dstPort: 80 });
    const error = icmpFrame({
      src: six ? "2001:db8::ff" : "10.9.9.9",
      dst: src,
      type: six ? 1 : 3,
      payload: quoted.slice(14),
    });
    assert.equal(look(error).tuple, look(quoted).tuple);
    assert.equal(look(error).pair, look(quoted).pair);
  });

  test(`the pair of a connection's addresses is that of its frames: ${src}`, () => {
    const frame = ipFrame({ src, dst }, 47, new Uint8Array(4));
    const [at, size] = six ? [22, 16] : [26, 4];
    const [a, b] = [frame.slice(at, at + size), frame.slice(at + size, at + 2 * size)];
    assert.equal(pairOfAddresses(a, b), look(frame).pair);
    assert.equal(pairOfAddresses(b, a), look(frame).pair);
  });
}

test("the fragments of a datagram go by their addresses", () => {
  const first = ipFrame({ src: A, dst: B }, 17, new Uint8Array(16).fill(1));
  first[20] = 0x20;
  const later = ipFrame({ src: A, dst: B }, 17, new Uint8Array(16).fill(2));
  later[21] = 2;
  assert.equal(look(first).isFragment, true);
  assert.deepEqual(look(later), look(first));
});

test("SCTP goes by its addresses and protocol, as connection tracking knows no ports of it", () => {
  const a = look(sctpFrame({ src: A, dst: B, srcPort: 1, dstPort: 2 }));
  assert.equal(look(sctpFrame({ src: B, dst: A, srcPort: 5, dstPort: 9 })).tuple, a.tuple);
});

test("an IPv6 fragment header in front of a whole packet says nothing", () => {
  const udp = udpFrame({ src: A6, dst: B6, srcPort: 5, dstPort: 6 });
  const header = Uint8Array.of(17, 0, 0, 0, 1, 2, 3, 4);
  const atomic = new Uint8Array([...udp.slice(0, 54), ...header, ...udp.slice(54)]);
  atomic[20] = 44;
  assert.deepEqual(look(atomic), look(udp));
  atomic[57] = 1; // more fragments
  assert.equal(look(atomic).isFragment, true);
});

test("labels and SNAP are looked through", () => {
  const ip = tcpFrame({ src: A, dst: B, srcPort: 1, dstPort: 2 }).slice(14);
  const plain = look(ethernetFrame({}, 0x0800, ip)).tuple;
  const labelled = new Uint8Array([0, 0, 0x10, 64, 0, 0, 0x21, 64, ...ip]);
  assert.equal(look(ethernetFrame({}, 0x8847, labelled)).tuple, plain);
  const snap = new Uint8Array([0xaa, 0xaa, 3, 0, 0, 0, 8, 0, ...ip]);
  assert.equal(look(ethernetFrame({}, snap.length, snap)).tuple, plain);
});

test("other frames go by their Ethernet addresses, either way round", () => {
  const [ethSrc, ethDst] = ["02:00:00:00:00:01", "02:00:00:00:00:09"];
  const there = look(ethernetFrame({ ethSrc, ethDst }, 0x88cc, new Uint8Array(9)));
  assert.equal(there.isIp, false);
  assert.deepEqual(look(ethernetFrame({ ethSrc: ethDst, ethDst: ethSrc }, 0x88cc, new Uint8Array(2))), there);
});

test("no frame is too short or too broken", () => {
  const whole = tcpFrame({ src: A6, dst: B6, srcPort: 1, dstPort: 2, vlans: [{ vid: 3 }] });
  for (let length = 0; length <= whole.length; length++) look(whole.slice(0, length));
});

test("connections are spread evenly", () => {
  const counts = new Array<number>(4).fill(0);
  for (let port = 32768; port < 34768; port++) {
    counts[look(tcpFrame({ src: A, dst: B, srcPort: port, dstPort: 80 })).tuple % 4]!++;
  }
  for (const count of counts) assert.ok(count > 400 && count < 600, counts.join());
});
