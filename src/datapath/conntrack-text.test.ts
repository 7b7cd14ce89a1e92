import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MegaflowError } from "../lib/errors.ts";
import { icmpFrame, tcpFrame, udpFrame } from "../packet/frame.ts";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "../packet/tcp.ts";
import { type DumpOptions, formatConnection } from "./conntrack-dump.ts";
import { restoreConnections } from "./conntrack-restore.ts";
import { ConntrackRig } from "./conntrack-rig.ts";
import { parseConnections } from "./conntrack-text.ts";

const ALL = { more: true, statistics: true };
const dump = (rig: ConntrackRig, options: DumpOptions = ALL): string[] =>
  rig
    .connections()
    .map((c) => formatConnection(c, options))
    .sort();

function restored(lines: readonly string[]): ConntrackRig {
  const rig = new ConntrackRig(100);
  restoreConnections(rig.kernel, parseConnections(lines.join("\n"), "state.txt"), rig.nowMs);
  return rig;
}

/** Everything a dump of OVS's can hold. */
const LINES = [
  "tcp,orig=(src=10.1.1.1,dst=10.1.1.2,sport=40000,dport=21),reply=(src=10.1.1.2,dst=192.168.100.200,sport=21,dport=40000),id=0,zone=5,status=0,timeout=86400,mark=119,labels=0x1234,protoinfo=(state_orig=ESTABLISHED,state_reply=ESTABLISHED,flags_orig=0,flags_reply=0),helper=ftp",
  "tcp,orig=(src=10.1.1.2,dst=192.168.100.200,sport=20,dport=1234),reply=(src=10.1.1.1,dst=10.1.1.2,sport=1234,dport=20),id=0,zone=5,status=0,timeout=30,mark=119,labels=0x1234,protoinfo=(state_orig=ESTABLISHED,state_reply=SYN_SENT,flags_orig=0,flags_reply=0),parent=(src=10.1.1.1,dst=10.1.1.2,sport=40000,dport=21)",
  "tcp,orig=(src=fd00::1,dst=fd00::2,sport=4000,dport=80),reply=(src=fd00::2,dst=fd00::1,sport=80,dport=4000),id=0,zone=9,status=0,timeout=60,protoinfo=(state_orig=ESTABLISHED,state_reply=ESTABLISHED,wscale_orig=7,wscale_reply=2,flags_orig=WINDOW_SCALE,flags_reply=WINDOW_SCALE)",
  "tcp,orig=(src=10.1.1.1,dst=10.1.1.2,sport=4001,dport=80),reply=(src=10.1.1.2,dst=10.1.1.1,sport=80,dport=4001),id=0,status=0,timeout=5,protoinfo=(state_orig=SYN_SENT,state_reply=CLOSED,flags_orig=BE_LIBERAL,flags_reply=BE_LIBERAL)",
  "udp,orig=(src=10.1.1.1,dst=10.1.1.2,sport=3333,dport=69),reply=(src=10.1.1.2,dst=10.1.1.1,sport=69,dport=3333),id=0,zone=5,status=0,timeout=60,helper=tftp",
  "udp,orig=(src=fd00::1,dst=fd00::9,sport=5,dport=6),reply=(src=fd00::2,dst=fd00::1,sport=66,dport=5),id=0,zone=5,status=0,timeout=30,parent=(src=fd00::1,dst=fd00::2,sport=3333,dport=69)",
  "icmp,orig=(src=10.1.1.1,dst=10.1.1.2,id=1,type=8,code=0),reply=(src=10.1.1.2,dst=10.1.1.1,id=1,type=0,code=0),id=0,zone=6,status=0,timeout=60",
  "icmpv6,orig=(src=fd00::1,dst=fd00::2,id=7,type=128,code=0),reply=(src=fd00::2,dst=2001:db8::1,id=7,type=129,code=0),id=0,status=0,timeout=12",
  "47,orig=(src=10.1.1.1,dst=10.1.1.2,sport=0,dport=0),reply=(src=10.1.1.2,dst=10.1.1.1,sport=0,dport=0),id=0,status=0,timeout=9",
].sort();

describe("a dump that is read", () => {
  it("gives the same dump again", () => {
    assert.deepEqual(dump(restored(LINES)), LINES);
  });

  it("may be without -m or -s: states stay, and timeouts are those of the states", () => {
    const plain = dump(restored(LINES), {});
    const again = restored(plain);
    assert.deepEqual(dump(again, {}), plain);
    const left = again.connections().map((c) => c.leftMs / 1000);
    assert.ok(left.includes(86400) && left.every((s) => s === 86400 || s === 30 || s === 60));
  });

  it("lets its TCP connections go on, translated, whatever their sequence numbers are", () => {
    const rig = restored(LINES);
    const undo = { zone: 5, nat: { kind: "undo" } } as const;
    const there = (flags: number, seq: number, ack: number, size = 0) =>
      rig.send(
        tcpFrame({
          src: "10.1.1.1",
          dst: "10.1.1.2",
          srcPort: 40000,
          dstPort: 21,
          flags,
          seq,
          ack,
          payload: new Uint8Array(size),
        }),
        undo,
      );
    const back = (flags: number, seq: number, ack: number, size = 0) =>
      rig.send(
        tcpFrame({
          src: "10.1.1.2",
          dst: "192.168.100.200",
          srcPort: 21,
          dstPort: 40000,
          flags,
          seq,
          ack,
          payload: new Uint8Array(size),
        }),
        undo,
      );
    assert.equal(there(TCP_ACK, 3_000_000_000, 77, 100), "est|trk|snat");
    assert.equal(there(TCP_ACK, 3_000_000_100, 77), "est|trk|snat");
    assert.equal(back(TCP_ACK, 77, 3_000_000_100), "est|rpl|trk|dnat");
    // From here on they count.
    assert.equal(there(TCP_RST, 1_000_000_000, 0), "inv|trk|snat");
    assert.equal(back(TCP_ACK, 77 + 5_000_000, 3_000_000_100, 10), "inv|trk|dnat");
    assert.equal(there(TCP_ACK | TCP_FIN, 3_000_000_100, 77), "est|trk|snat");
    assert.match(dump(rig).join(), /state_orig=CLOSING/);
  });

  it("opens what was opening, and tells answered connections from others", () => {
    const rig = restored(LINES);
    const answer = tcpFrame({
      src: "10.1.1.2",
      dst: "10.1.1.1",
      srcPort: 80,
      dstPort: 4001,
      flags: TCP_SYN | TCP_ACK,
      seq: 9,
      ack: 5,
    });
    assert.equal(rig.send(answer), "est|rpl|trk");
    const ping = (type: number, zone: number) =>
      rig.send(icmpFrame({ src: "10.1.1.1", dst: "10.1.1.2", type, rest: 0x10000 }), { zone });
    assert.equal(ping(8, 6), "new|trk");
    const request = udpFrame({ src: "10.1.1.1", dst: "10.1.1.2", srcPort: 3333, dstPort: 69 });
    assert.equal(rig.send(request, { zone: 5 }), "new|trk");
    const related = udpFrame({ src: "fd00::1", dst: "fd00::9", srcPort: 5, dstPort: 6 });
    assert.equal(rig.send(related, { zone: 5 }), "est|rel|trk");
  });

  it("takes what Linux prints", () => {
    const rig = restored([
      "# conntrack of a node",
      "",
      "tcp,orig=(src=10.1.1.1,dst=10.1.1.2,sport=1,dport=80,packets=5,bytes=300),reply=(src=10.1.1.2,dst=10.1.1.1,sport=80,dport=1,packets=4,bytes=200),start=2020-04-23T10:26:40,id=77,zone=1,status=SEEN_REPLY|ASSURED|CONFIRMED,timeout=431999,protoinfo=(state=CLOSE_WAIT)",
      "udp,orig=(src=10.1.1.1,dst=10.1.1.2,sport=1,dport=53),reply=(src=10.1.1.2,dst=10.1.1.1,sport=53,dport=1),status=CONFIRMED\r",
    ]);
    assert.deepEqual(
      rig.connections().map((c) => [c.zone, c.leftMs]),
      [
        [1, 431_999_000],
        [0, 60_000],
      ],
    );
  });

  it("is refused where a line is wrong, with its place", () => {
    const good =
      "udp,orig=(src=1.1.1.1,dst=2.2.2.2,sport=1,dport=2),reply=(src=2.2.2.2,dst=1.1.1.1,sport=2,dport=1)";
    const tcp = good.replace("udp", "tcp");
    // What is read, what is to blame in it (the end for none), and the message.
    const cases: [string, string | null, string][] = [
      ["hello", "hello", '"hello" is no protocol that a dump names'],
      ["udpp,orig=()", "udpp", '"udpp" is no protocol that a dump names'],
      ["udp,orig=(src=1.1.1.1,dst=2.2.2.2)", null, "reply=(...) is wanted"],
      ["udp,orig=(src=1.1.1.1,dst=2.2.2.2", "(", "( is not closed"],
      [good.replace("1.1.1.1", "1.1.1"), "1.1.1", '"1.1.1" is no address'],
      [good.replace("sport=1", "sport=70000"), "70000", '"70000" is no number up to 65535'],
      [
        good.replace("reply=(src=2.2.2.2", "reply=(src=::2"),
        "src=::2",
        "one address is IPv4, the other IPv6",
      ],
      [`${good},zone=x`, "x", '"x" is no number up to 65535'],
      [`${good},labels=12z`, "12z", '"12z" is no label, such as 0x1f'],
      [`${good},colour=1`, "colour", '"colour" is not one of orig, reply'],
      [`${good},helper=sip`, "sip", 'there is no helper "sip"'],
      [tcp, null, "protoinfo=(...) is wanted"],
      [`${tcp},protoinfo=(state=OPEN)`, "OPEN", 'there is no state "OPEN"'],
      [
        good.replace("dst=1.1.1.1,sport=2", "dst=3.3.3.3,sport=9"),
        "src=2.2.2.2",
        "source and destination are both translated",
      ],
      [`${good},zone=1,zone=2`, "zone=2", "zone is given twice"],
    ];
    const check = (text: string, wanted: string): void => {
      assert.throws(
        () => parseConnections(text, "state.txt"),
        (error) => {
          assert.ok(error instanceof MegaflowError);
          assert.ok(error.describe().startsWith(`state.txt:${wanted}`), `${error.describe()} not ${wanted}`);
          return true;
        },
      );
    };
    for (const [text, blamed, message] of cases) {
      const column = (blamed === null ? text.length : text.indexOf(blamed)) + 1;
      check(`\n${text}`, `2:${column}: ${message}`);
    }
    check(`${good}\n${good}`, "2: its tuple is that of the connection in line 1");
  });

  it("is refused when it does not fit", () => {
    const rig = new ConntrackRig(5);
    const dumped = parseConnections(LINES.join("\n"), "state.txt");
    assert.throws(() => restoreConnections(rig.kernel, dumped, rig.nowMs), /there is no room/);
  });
});
