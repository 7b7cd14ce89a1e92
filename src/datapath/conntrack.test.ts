import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  CS_INVALID,
  CS_TRACKED,
  O_CT_MARK,
  O_CT_NW_DST,
  O_CT_NW_PROTO,
  O_CT_NW_SRC,
  O_CT_STATE,
  O_CT_TP_DST,
  O_CT_TP_SRC,
  O_CT_ZONE,
} from "../flow/layout.ts";
import { icmpFrame, ipFrame, tcpFrame, udpFrame } from "../packet/frame.ts";
import { TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN } from "../packet/tcp.ts";
import {
  CTC_CONNECTIONS,
  CTC_EARLY_DROP,
  CTC_FULL,
  CTC_IP_CSUM,
  CTC_L4_CSUM,
  CTC_NAT_EXHAUSTED,
} from "./abi.ts";
import { formatConnection } from "./conntrack-dump.ts";
import { ConntrackRig, ctStateText } from "./conntrack-rig.ts";

const A = "10.0.0.1";
const B = "10.0.0.2";
const commit = { commit: true };

/** A TCP segment from A to B, or back. */
function segment(reply: boolean, flags: number, seq: number, ack = 0, size = 0, window = 65535): Uint8Array {
  return tcpFrame({
    src: reply ? B : A,
    dst: reply ? A : B,
    srcPort: reply ? 80 : 40000,
    dstPort: reply ? 40000 : 80,
    flags,
    seq,
    ack,
    window,
    payload: new Uint8Array(size),
  });
}

function handshake(rig: ConntrackRig): void {
  assert.equal(rig.send(segment(false, TCP_SYN, 1000), commit), "new|trk");
  assert.equal(rig.send(segment(true, TCP_SYN | TCP_ACK, 5000, 1001)), "est|rpl|trk");
  assert.equal(rig.send(segment(false, TCP_ACK, 1001, 5001)), "est|trk");
}

const dump = (rig: ConntrackRig): string[] => rig.connections().map((c) => formatConnection(c));

describe("conntrack: TCP", () => {
  it("follows a connection from SYN to its end", () => {
    const rig = new ConntrackRig(100);
    handshake(rig);
    assert.deepEqual(dump(rig), [
      "tcp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=40000,dport=80),reply=(src=10.0.0.2,dst=10.0.0.1,sport=80,dport=40000),protoinfo=(state=ESTABLISHED)",
    ]);
    assert.equal(rig.connections()[0]!.leftMs, 86_400_000);
    assert.equal(rig.send(segment(false, TCP_ACK | TCP_PSH, 1001, 5001, 100)), "est|trk");
    assert.equal(rig.send(segment(true, TCP_ACK | TCP_FIN, 5001, 1101)), "est|rpl|trk");
    assert.match(dump(rig)[0]!, /CLOSING/);
    assert.equal(rig.connections()[0]!.leftMs, 900_000);
    assert.equal(rig.send(segment(false, TCP_ACK | TCP_FIN, 1101, 5002)), "est|trk");
    assert.equal(rig.send(segment(true, TCP_ACK, 5002, 1102)), "est|rpl|trk");
    assert.match(dump(rig)[0]!, /TIME_WAIT/);
    assert.equal(rig.connections()[0]!.leftMs, 30_000);
  });

  it("does not know a connection that was not committed", () => {
    const rig = new ConntrackRig(100);
    assert.equal(rig.send(segment(false, TCP_SYN, 1000)), "new|trk");
    assert.equal(rig.send(segment(false, TCP_SYN, 1000)), "new|trk");
    assert.equal(rig.send(segment(true, TCP_SYN | TCP_ACK, 5000, 1001)), "inv|trk");
    assert.equal(rig.counter(CTC_CONNECTIONS), 0);
  });

  it("refuses segments outside the window, and resets that are not exact", () => {
    const rig = new ConntrackRig(100);
    handshake(rig);
    assert.equal(rig.send(segment(false, TCP_ACK, 1001 + 1_000_000, 5001, 10)), "inv|trk");
    assert.equal(rig.send(segment(false, TCP_RST, 1500)), "inv|trk");
    assert.match(dump(rig)[0]!, /ESTABLISHED/);
    assert.equal(rig.send(segment(false, TCP_RST, 1001)), "est|trk");
    assert.match(dump(rig)[0]!, /TIME_WAIT/);
  });

  it("opens a closed tuple anew", () => {
    const rig = new ConntrackRig(100);
    handshake(rig);
    rig.send(segment(false, TCP_RST, 1001));
    assert.equal(rig.send(segment(false, TCP_SYN, 90000)), "new|trk");
    assert.equal(rig.counter(CTC_CONNECTIONS), 0);
  });

  it("picks up a connection in mid-stream", () => {
    const rig = new ConntrackRig(100);
    assert.equal(rig.send(segment(false, TCP_ACK, 1000, 2000, 10), commit), "new|trk");
    assert.equal(rig.send(segment(true, TCP_ACK, 2000, 1010, 10)), "est|rpl|trk");
    assert.equal(rig.send(segment(false, TCP_ACK, 1010, 2010, 10)), "est|trk");
    assert.match(dump(rig)[0]!, /ESTABLISHED/);
  });

  it("scales windows when both sides do", () => {
    const rig = new ConntrackRig(100);
    const options = Uint8Array.of(1, 3, 3, 7);
    const syn = { src: A, dst: B, srcPort: 40000, dstPort: 80, options };
    assert.equal(rig.send(tcpFrame({ ...syn, flags: TCP_SYN, seq: 1000 }), commit), "new|trk");
    const back = { src: B, dst: A, srcPort: 80, dstPort: 40000, options };
    assert.equal(
      rig.send(tcpFrame({ ...back, flags: TCP_SYN | TCP_ACK, seq: 5000, ack: 1001 })),
      "est|rpl|trk",
    );
    assert.equal(rig.send(segment(false, TCP_ACK, 1001, 5001, 0, 1000)), "est|trk");
    assert.equal(rig.send(segment(true, TCP_ACK, 5001, 1001, 0, 1000)), "est|rpl|trk");
    // 1,000 << 7 = 128,000 bytes may be on their way.
    assert.equal(rig.send(segment(false, TCP_ACK, 1001 + 127_000, 5001, 1000)), "est|trk");
    assert.equal(rig.send(segment(false, TCP_ACK, 1001 + 128_000, 5001, 1000)), "inv|trk");
  });

  it("finds flags that no TCP sends invalid", () => {
    const rig = new ConntrackRig(100);
    for (const flags of [0, TCP_SYN | TCP_FIN, TCP_SYN | TCP_RST, TCP_FIN, TCP_PSH, TCP_SYN | TCP_ACK]) {
      assert.equal(rig.send(segment(false, flags, 1), commit), "inv|trk");
    }
    assert.equal(rig.counter(CTC_CONNECTIONS), 0);
  });
});

describe("conntrack: UDP, ICMP and others", () => {
  it("tells one-way from two-way UDP", () => {
    const rig = new ConntrackRig(100);
    const there = udpFrame({ src: A, dst: B, srcPort: 5353, dstPort: 53 });
    const back = udpFrame({ src: B, dst: A, srcPort: 53, dstPort: 5353 });
    assert.equal(rig.send(there, commit), "new|trk");
    assert.equal(rig.connections()[0]!.leftMs, 60_000);
    assert.equal(rig.send(there), "new|trk");
    assert.equal(rig.send(there), "new|trk");
    assert.equal(rig.send(back), "est|rpl|trk");
    assert.equal(rig.send(there), "est|trk");
    assert.equal(rig.connections()[0]!.leftMs, 30_000);
    assert.deepEqual(dump(rig), [
      "udp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=5353,dport=53),reply=(src=10.0.0.2,dst=10.0.0.1,sport=53,dport=5353)",
    ]);
  });

  it("tracks pings by id, and refuses a reply to nothing", () => {
    const rig = new ConntrackRig(100);
    const ping = icmpFrame({ src: A, dst: B, rest: 0x12340001 });
    const pong = icmpFrame({ src: B, dst: A, type: 0, rest: 0x12340001 });
    assert.equal(rig.send(pong, commit), "inv|trk");
    assert.equal(rig.send(ping, commit), "new|trk");
    assert.equal(rig.send(pong), "est|rpl|trk");
    assert.equal(rig.send(icmpFrame({ src: B, dst: A, type: 0, rest: 0x12350001 })), "inv|trk");
    assert.deepEqual(dump(rig), [
      "icmp,orig=(src=10.0.0.1,dst=10.0.0.2,id=4660,type=8,code=0),reply=(src=10.0.0.2,dst=10.0.0.1,id=4660,type=0,code=0)",
    ]);
  });

  it("tracks pings over IPv6", () => {
    const rig = new ConntrackRig(100);
    const ping = icmpFrame({ src: "fd00::1", dst: "fd00::2", rest: 0x00070001 });
    const pong = icmpFrame({ src: "fd00::2", dst: "fd00::1", type: 129, rest: 0x00070001 });
    assert.equal(rig.send(ping, commit), "new|trk");
    assert.equal(rig.send(pong), "est|rpl|trk");
    assert.deepEqual(dump(rig), [
      "icmpv6,orig=(src=fd00::1,dst=fd00::2,id=7,type=128,code=0),reply=(src=fd00::2,dst=fd00::1,id=7,type=129,code=0)",
    ]);
  });

  it("relates ICMP errors to the connection they quote", () => {
    const rig = new ConntrackRig(100);
    const there = udpFrame({ src: A, dst: B, srcPort: 5353, dstPort: 53 });
    rig.send(there, commit);
    const error = icmpFrame({ src: "10.0.0.9", dst: A, type: 3, code: 3, payload: there.slice(14) });
    assert.equal(rig.send(error), "rel|rpl|trk");
    const key = rig.key();
    assert.equal(key.get32(O_CT_NW_SRC), 0x0a000001);
    assert.equal(key.get32(O_CT_NW_DST), 0x0a000002);
    assert.equal(key.get16(O_CT_TP_SRC), 5353);
    assert.equal(key.get16(O_CT_TP_DST), 53);
    assert.equal(key.get8(O_CT_NW_PROTO), 17);
    const stranger = udpFrame({ src: A, dst: B, srcPort: 5354, dstPort: 53 });
    const other = icmpFrame({ src: B, dst: A, type: 3, code: 3, payload: stranger.slice(14) });
    assert.equal(rig.send(other), "inv|trk");
  });

  it("tracks a protocol without ports by its addresses", () => {
    const rig = new ConntrackRig(100);
    assert.equal(rig.send(ipFrame({ src: A, dst: B }, 47, new Uint8Array(8)), commit), "new|trk");
    assert.equal(rig.send(ipFrame({ src: B, dst: A }, 47, new Uint8Array(8))), "est|rpl|trk");
    assert.match(dump(rig)[0]!, /^47,orig=\(src=10.0.0.1,dst=10.0.0.2,sport=0,dport=0\)/);
  });
});

describe("conntrack: what cannot be tracked", () => {
  it("wants right checksums", () => {
    const rig = new ConntrackRig(100);
    const good = tcpFrame({
      src: A,
      dst: B,
      srcPort: 1,
      dstPort: 2,
      flags: TCP_SYN,
      payload: new Uint8Array(77),
    });
    assert.equal(rig.send(good, commit), "new|trk");
    for (let i = 14; i < good.length; i++) {
      const bad = good.slice();
      bad[i]! ^= 0x40;
      rig.receive(bad);
      rig.ct();
      assert.equal(rig.key().get8(O_CT_STATE), CS_INVALID | CS_TRACKED, `byte ${i}`);
    }
    assert.ok(rig.counter(CTC_IP_CSUM) > 10);
    assert.ok(rig.counter(CTC_L4_CSUM) > 80);
  });

  it("takes UDP without a checksum over IPv4 only", () => {
    const rig = new ConntrackRig(100);
    assert.equal(rig.send(udpFrame({ src: A, dst: B, srcPort: 1, dstPort: 2, checksum: 0 })), "new|trk");
    assert.equal(
      rig.send(udpFrame({ src: "fd00::1", dst: "fd00::2", srcPort: 1, dstPort: 2, checksum: 0 })),
      "inv|trk",
    );
  });

  it("takes the checksum of a frame that the capture cut for right", () => {
    const rig = new ConntrackRig(100);
    const options = Uint8Array.of(2, 4, 5, 180, 1, 3, 3, 7);
    const syn = { src: A, dst: B, srcPort: 40000, dstPort: 80, flags: TCP_SYN, seq: 1000, options };
    const whole = tcpFrame({ ...syn, payload: new Uint8Array(100) });
    for (const length of [whole.length - 1, 70, 62, 58, 54]) {
      rig.receive(whole.slice(0, length), whole.length);
      assert.equal(ctStateText(rig.ct()), "new|trk", `${length} bytes`);
    }
    rig.receive(whole.slice(0, 53), whole.length);
    assert.equal(ctStateText(rig.ct()), "inv|trk");
    rig.receive(whole.slice(0, 20), whole.length);
    assert.equal(ctStateText(rig.ct()), "inv|trk");
    // The payload that is gone counts in the sequence numbers.
    rig.receive(whole.slice(0, 62), whole.length);
    rig.ct(commit);
    assert.equal(rig.send(segment(true, TCP_SYN | TCP_ACK, 5000, 1101)), "est|rpl|trk");
    rig.receive(segment(false, TCP_ACK, 1101, 5001, 500).slice(0, 60), 554);
    assert.equal(ctStateText(rig.ct()), "est|trk");
    assert.equal(rig.send(segment(true, TCP_ACK, 5001, 1601)), "est|rpl|trk");
  });

  it("finds port 0, fragments and other protocols than IP invalid", () => {
    const rig = new ConntrackRig(100);
    assert.equal(rig.send(udpFrame({ src: A, dst: B, srcPort: 0, dstPort: 2 })), "inv|trk");
    assert.equal(
      rig.send(udpFrame({ src: A, dst: B, srcPort: 1, dstPort: 2, ipv4: { moreFragments: true } })),
      "inv|trk",
    );
    const arp = new Uint8Array(60);
    arp.set([8, 6], 12);
    assert.equal(rig.send(arp, { zone: 9 }), "inv|trk");
    assert.equal(rig.key().get16(O_CT_ZONE), 9);
    assert.equal(rig.key().get8(O_CT_NW_PROTO), 0);
  });
});

describe("conntrack: the ct action", () => {
  it("keeps zones apart, and starts anew in each", () => {
    const rig = new ConntrackRig(100);
    rig.send(segment(false, TCP_SYN, 1000), { zone: 1, commit: true });
    assert.equal(rig.send(segment(true, TCP_SYN | TCP_ACK, 5000, 1001), { zone: 1 }), "est|rpl|trk");
    assert.equal(rig.send(segment(true, TCP_SYN | TCP_ACK, 5000, 1001), { zone: 1 }, { zone: 2 }), "inv|trk");
    assert.match(dump(rig)[0]!, /,zone=1,/);
  });

  it("judges a frame once in a zone", () => {
    const rig = new ConntrackRig(100);
    const there = udpFrame({ src: A, dst: B, srcPort: 1, dstPort: 2 });
    assert.equal(rig.send(there, commit, commit, {}), "new|trk");
    // The second ct() of the SYN+ACK, does not judge it again.
    const tcp = new ConntrackRig(100);
    tcp.send(segment(false, TCP_SYN, 1000), commit);
    tcp.receive(segment(true, TCP_SYN | TCP_ACK, 5000, 1001));
    assert.equal(ctStateText(tcp.ct()), "est|rpl|trk");
    const before = tcp.connections()[0]!.leftMs;
    assert.equal(ctStateText(tcp.ct({ commit: true, mark: { value: 3 } })), "est|rpl|trk");
    assert.equal(tcp.connections()[0]!.leftMs, before);
    assert.equal(tcp.connections()[0]!.mark, 3);
  });

  it("forgets the connection on ct_clear, and between frames", () => {
    const rig = new ConntrackRig(100);
    const there = udpFrame({ src: A, dst: B, srcPort: 1, dstPort: 2 });
    rig.send(there, { commit: true, mark: { value: 9 } });
    rig.clear();
    assert.equal(rig.key().get8(O_CT_STATE), 0);
    assert.equal(rig.key().get32(O_CT_MARK), 0);
    assert.equal(rig.send(udpFrame({ src: A, dst: B, srcPort: 1, dstPort: 3 })), "new|trk");
    assert.equal(rig.key().get32(O_CT_MARK), 0);
  });

  it("sets mark and label under their masks, and reads them back", () => {
    const rig = new ConntrackRig(100);
    const label = { value: new Uint8Array(16).fill(0x11), mask: new Uint8Array(16).fill(0xf1) };
    rig.send(segment(false, TCP_SYN, 1000), { commit: true, mark: { value: 0x20 }, label });
    assert.equal(rig.key().get32(O_CT_MARK), 0x20);
    rig.send(segment(true, TCP_SYN | TCP_ACK, 5000, 1001));
    assert.equal(rig.key().get32(O_CT_MARK), 0x20);
    assert.deepEqual(rig.key().bytes.slice(96, 112), label.value);
    assert.match(dump(rig)[0]!, /,mark=32,labels=0x11111111111111111111111111111111,/);
    rig.send(segment(false, TCP_ACK, 1001, 5001), {}, { commit: true, mark: { value: 0x400, mask: 0xff00 } });
    assert.equal(rig.connections()[0]!.mark, 0x420);
  });

  it("gives a frame without a connection neither mark nor label", () => {
    const rig = new ConntrackRig(100);
    rig.send(segment(false, TCP_SYN, 1000), { mark: { value: 7 } });
    assert.equal(rig.key().get32(O_CT_MARK), 0);
    assert.equal(rig.key().get32(O_CT_NW_SRC), 0x0a000001);
    assert.equal(rig.key().get16(O_CT_TP_DST), 80);
  });

  it("turns a connection round by force", () => {
    const rig = new ConntrackRig(100);
    handshake(rig);
    assert.equal(rig.send(segment(true, TCP_ACK, 5001, 1001), { force: true }), "new|trk");
    assert.match(dump(rig)[0]!, /^tcp,orig=\(src=10.0.0.2/);
    assert.equal(rig.counter(CTC_CONNECTIONS), 1);
  });

  it("makes room for new connections where none has answered, the oldest first", () => {
    const rig = new ConntrackRig(3);
    const ping = (port: number, reply = false) =>
      reply
        ? udpFrame({ src: B, dst: A, srcPort: 9, dstPort: port })
        : udpFrame({ src: A, dst: B, srcPort: port, dstPort: 9 });
    for (let port = 1; port <= 5; port++) {
      assert.equal(rig.send(ping(port), commit), "new|trk");
      if (port === 2) assert.equal(rig.send(ping(2, true)), "est|rpl|trk");
      rig.nowMs += 10;
    }
    assert.equal(rig.counter(CTC_CONNECTIONS), 3);
    assert.equal(rig.counter(CTC_EARLY_DROP), 2);
    assert.equal(rig.counter(CTC_FULL), 0);
    const ports = rig.connections().map((c) => c.orig.sport);
    assert.deepEqual(ports.sort(), [2, 4, 5]);
  });

  it("commits nothing into a table full of answered connections, and says how often", () => {
    const rig = new ConntrackRig(2);
    for (let port = 1; port <= 4; port++) {
      const there = udpFrame({ src: A, dst: B, srcPort: port, dstPort: 9 });
      assert.equal(rig.send(there, commit), "new|trk");
      if (port < 3) rig.send(udpFrame({ src: B, dst: A, srcPort: 9, dstPort: port }));
    }
    assert.equal(rig.counter(CTC_CONNECTIONS), 2);
    assert.equal(rig.counter(CTC_FULL), 2);
    assert.equal(rig.counter(CTC_EARLY_DROP), 0);
    rig.nowMs += 70_000;
    assert.equal(rig.send(udpFrame({ src: A, dst: B, srcPort: 5, dstPort: 9 }), commit), "new|trk");
    assert.equal(rig.connections().length, 1);
  });
});

describe("conntrack: NAT", () => {
  const outside = "192.0.2.1";
  const commitSource = { commit: true, nat: { kind: "src", min: outside } } as const;
  const undo = { nat: { kind: "undo" } } as const;

  it("translates a source, and undoes it on the replies", () => {
    const rig = new ConntrackRig(100);
    assert.equal(rig.send(segment(false, TCP_SYN, 1000), commitSource), "new|trk|snat");
    const syn = { srcPort: 40000, dstPort: 80, flags: TCP_SYN, seq: 1000 };
    assert.deepEqual(rig.frame(), tcpFrame({ ...syn, src: outside, dst: B }));
    const answer = { srcPort: 80, dstPort: 40000, flags: TCP_SYN | TCP_ACK, seq: 5000, ack: 1001 };
    assert.equal(rig.send(tcpFrame({ ...answer, src: B, dst: outside }), undo), "est|rpl|trk|dnat");
    assert.deepEqual(rig.frame(), tcpFrame({ ...answer, src: B, dst: A }));
    assert.equal(rig.send(segment(false, TCP_ACK, 1001, 5001), undo), "est|trk|snat");
    assert.match(dump(rig)[0]!, /reply=\(src=10.0.0.2,dst=192.0.2.1,sport=80,dport=40000\)/);
  });

  it("takes another port when the sender's is taken", () => {
    const rig = new ConntrackRig(100);
    for (const [src, port] of [
      ["10.0.0.1", 700],
      ["10.0.0.3", 701],
      ["10.0.0.4", 702],
    ] as const) {
      rig.send(udpFrame({ src, dst: B, srcPort: 700, dstPort: 53 }), commitSource);
      assert.deepEqual(rig.frame(), udpFrame({ src: outside, dst: B, srcPort: port, dstPort: 53 }));
    }
  });

  it("stays inside the ranges it is given, the same with the same seed", () => {
    const chosen = (seed: bigint): string[] => {
      const rig = new ConntrackRig(100, seed);
      const nat = { kind: "dst", min: "10.1.0.0", max: "10.1.0.3", minPort: 8000, maxPort: 8003 } as const;
      for (let i = 0; i < 50; i++) {
        const frame = udpFrame({ src: A, dst: B, srcPort: 2000 + i, dstPort: 53 });
        assert.equal(rig.send(frame, { commit: true, nat }), "new|trk|dnat");
      }
      return rig.connections().map((c) => `${c.reply.src.join(".")}:${c.reply.sport}`);
    };
    const first = chosen(1n);
    for (const each of first) assert.match(each, /^10\.1\.0\.[0-3]:800[0-3]$/);
    assert.ok(new Set(first).size > 2);
    assert.deepEqual(chosen(1n), first);
    assert.notDeepEqual(chosen(2n), first);
  });

  it("says when no tuple is free, and commits nothing", () => {
    const rig = new ConntrackRig(100);
    const nat = { kind: "src", min: outside, minPort: 6000 } as const;
    const from = (src: string): Uint8Array => udpFrame({ src, dst: B, srcPort: 7, dstPort: 53 });
    assert.equal(rig.send(from("10.0.0.1"), { commit: true, nat }), "new|trk|snat");
    assert.equal(rig.send(from("10.0.0.3"), { commit: true, nat }), "new|trk");
    assert.deepEqual(rig.frame(), from("10.0.0.3"));
    assert.equal(rig.counter(CTC_NAT_EXHAUSTED), 1);
    assert.equal(rig.counter(CTC_CONNECTIONS), 1);
  });

  it("translates IPv6, and what an ICMPv6 error quotes", () => {
    const rig = new ConntrackRig(100);
    const there = { dst: "fd00::2", srcPort: 7, dstPort: 53 };
    const nat = { kind: "src", min: "2001:db8::1" } as const;
    rig.send(udpFrame({ ...there, src: "fd00::1" }), { commit: true, nat });
    const outer = udpFrame({ ...there, src: "2001:db8::1" });
    assert.deepEqual(rig.frame(), outer);
    const error = { src: "fd00::9", type: 1, code: 4 };
    const about = icmpFrame({ ...error, dst: "2001:db8::1", payload: outer.slice(14) });
    assert.equal(rig.send(about, undo), "rel|rpl|trk|dnat");
    const inner = udpFrame({ ...there, src: "fd00::1" });
    assert.deepEqual(rig.frame(), icmpFrame({ ...error, dst: "fd00::1", payload: inner.slice(14) }));
  });

  it("frees both tuples at the end", () => {
    const rig = new ConntrackRig(100);
    const there = udpFrame({ src: A, dst: B, srcPort: 7, dstPort: 53 });
    for (let i = 0; i < 300; i++) {
      assert.equal(rig.send(there, commitSource), "new|trk|snat");
      assert.match(dump(rig)[0]!, /sport=53,dport=7\)/);
      rig.nowMs += 100_000;
      if (i % 2 === 0) while (rig.expire());
    }
  });
});

describe("conntrack: time", () => {
  it("never finds an expired connection, swept or not", () => {
    const rig = new ConntrackRig(100);
    const there = udpFrame({ src: A, dst: B, srcPort: 1, dstPort: 2 });
    rig.send(there, commit);
    rig.nowMs += 59_999;
    assert.equal(rig.connections().length, 1);
    rig.nowMs += 1;
    assert.equal(rig.connections().length, 0);
    assert.equal(rig.send(there), "new|trk");
    assert.equal(rig.send(there), "new|trk");
    assert.equal(rig.send(there), "new|trk");
  });

  it("sweeps what expired and keeps what lives, over hours", () => {
    const rig = new ConntrackRig(5000);
    const flow = (i: number, reply: boolean): Uint8Array =>
      udpFrame({
        src: reply ? B : A,
        dst: reply ? A : B,
        srcPort: reply ? 7 : i,
        dstPort: reply ? i : 7,
      });
    for (let i = 1; i <= 4000; i++) {
      rig.send(flow(i, false), commit);
      rig.nowMs += 5;
    }
    // A hundred of them go on talking, with pauses just short of the timeout.
    for (let round = 0; round < 300; round++) {
      for (let i = 1; i <= 100; i++) assert.match(rig.send(flow(i, round % 2 === 0)), /est|trk/);
      rig.nowMs += 29_000;
      for (let n = 0; n < 20; n++) rig.expire();
    }
    assert.equal(rig.counter(CTC_CONNECTIONS), 100);
    rig.nowMs += 3_600_000;
    while (rig.expire());
    assert.equal(rig.counter(CTC_CONNECTIONS), 0);
  });

  it("frees an established connection soon after it is reset", () => {
    const rig = new ConntrackRig(100);
    handshake(rig);
    rig.nowMs += 7_200_000;
    while (rig.expire());
    assert.equal(rig.counter(CTC_CONNECTIONS), 1);
    rig.send(segment(false, TCP_RST, 1001));
    rig.nowMs += 33_000;
    while (rig.expire());
    assert.equal(rig.counter(CTC_CONNECTIONS), 0);
  });
});
