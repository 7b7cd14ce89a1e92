// FTP and TFTP helpers through a whole switch, where no OVS is needed to know what is right.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Bridge } from "../src/bridge/bridge.ts";
import { connectionLines } from "../src/bridge/dump.ts";
import { parseFlowFile } from "../src/control/openflow/flow-file.ts";
import { CTC_EXPECT_DROP } from "../src/datapath/abi.ts";
import { ctStateText } from "../src/datapath/conntrack-rig.ts";
import { tcpFrame, udpFrame } from "../src/packet/frame.ts";
import { TCP_ACK, TCP_PSH, TCP_SYN } from "../src/packet/tcp.ts";
import { PortTable } from "../src/pipeline/port-table.ts";

const CLIENT = "10.0.0.1";
const SERVER = "203.0.113.2";
const OUTSIDE = "198.51.100.123";

const FLOWS = `
table=0,ip actions=ct(table=1,zone=1,nat)
table=1,priority=20,ct_state=+new-rel,tcp,tp_dst=21 actions=ct(commit,zone=1,alg=ftp,nat(src=${OUTSIDE}),exec(set_field:0x7->ct_mark),table=2)
table=1,priority=20,ct_state=+new-rel,udp,tp_dst=69 actions=ct(commit,zone=1,alg=tftp,table=2)
table=1,priority=20,ct_state=+new+rel,ip actions=ct(commit,zone=1,nat,exec(set_field:0x9->ct_mark),table=2)
table=1,priority=1 actions=resubmit(,2)
table=2 actions=move:NXM_NX_CT_STATE[0..7]->NXM_OF_ETH_SRC[0..7],move:NXM_NX_CT_MARK[0..7]->NXM_OF_ETH_SRC[8..15],output:2
`;

/** What came out: the connection's state and mark, addresses, sequence numbers, and the payload as text. */
interface Seen {
  readonly state: string;
  readonly mark: number;
  readonly src: string;
  readonly dst: string;
  readonly seq: number;
  readonly ack: number;
  readonly payload: string;
}

class Gateway {
  readonly bridge: Bridge;

  constructor() {
    const ports = new PortTable([1, 2].map((no) => ({ no, name: `p${no}` })));
    this.bridge = new Bridge({ ports, failMode: "secure", connectionsMax: 1000, megaflowsMax: 1000 });
    this.bridge.advance(1000);
    this.bridge.addFlows(parseFlowFile(FLOWS), 1000);
  }

  /** `present`: how much of the frame a capture has kept. */
  send(frame: Uint8Array, present = frame.length): Seen {
    const sent: Uint8Array[] = [];
    this.bridge.datapath.stage(frame, 0, present, frame.length, 1, 1000);
    this.bridge.run({
      port: (_port, memory, offset, length) => void sent.push(memory.slice(offset, offset + length)),
      userspace: () => {},
      verdict: () => {},
    });
    assert.equal(sent.length, 1);
    const view = new DataView(sent[0]!.buffer);
    return {
      state: ctStateText(sent[0]![11]!),
      mark: sent[0]![10]!,
      src: sent[0]!.subarray(26, 30).join("."),
      dst: sent[0]!.subarray(30, 34).join("."),
      seq: view.getUint32(38),
      ack: view.getUint32(42),
      payload: Buffer.from(sent[0]!.subarray(54)).toString("latin1"),
    };
  }

  counter(which: number): number {
    return Number(this.bridge.datapath.kernel.exports.conntrackCounter(which));
  }
}

const bytes = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));

function fromClient(flags: number, seq: number, ack: number, payload = ""): Uint8Array {
  return tcpFrame({
    src: CLIENT,
    dst: SERVER,
    srcPort: 40000,
    dstPort: 21,
    flags,
    seq,
    ack,
    payload: bytes(payload),
  });
}

function fromServer(flags: number, seq: number, ack: number, payload = ""): Uint8Array {
  return tcpFrame({
    src: SERVER,
    dst: OUTSIDE,
    srcPort: 21,
    dstPort: 40000,
    flags,
    seq,
    ack,
    payload: bytes(payload),
  });
}

function opened(): Gateway {
  const gateway = new Gateway();
  gateway.send(fromClient(TCP_SYN, 1000, 0));
  gateway.send(fromServer(TCP_SYN | TCP_ACK, 5000, 1001));
  gateway.send(fromClient(TCP_ACK, 1001, 5001));
  return gateway;
}

const DATA = TCP_ACK | TCP_PSH;
const PORT = "PORT 10,0,0,1,4,210\r\n";

describe("the FTP helper under NAT", () => {
  it("exchanges the address, and keeps both sides' sequence numbers in line from then on", () => {
    const gateway = opened();
    const port = gateway.send(fromClient(DATA, 1001, 5001, PORT));
    assert.equal(port.payload, "PORT 198,51,100,123,4,210\r\n");
    assert.deepEqual([port.state, port.src, port.seq, port.ack], ["est|trk|snat", OUTSIDE, 1001, 5001]);
    const grown = 6;
    // The server acknowledges what it got; the client hears of what it sent.
    const okay = gateway.send(fromServer(DATA, 5001, 1001 + PORT.length + grown, "200 ok\r\n"));
    assert.deepEqual([okay.state, okay.seq, okay.ack], ["est|rpl|trk|dnat", 5001, 1001 + PORT.length]);
    const list = gateway.send(fromClient(DATA, 1001 + PORT.length, 5009, "LIST\r\n"));
    assert.deepEqual([list.state, list.seq, list.ack], ["est|trk|snat", 1001 + PORT.length + grown, 5009]);
  });

  it("lets the announced connection in as related, with its parent's mark", () => {
    const gateway = opened();
    gateway.send(fromClient(DATA, 1001, 5001, PORT));
    const data = { src: SERVER, dst: OUTSIDE, srcPort: 20, dstPort: 1234, flags: TCP_SYN, seq: 77 };
    const syn = gateway.send(tcpFrame(data));
    assert.deepEqual([syn.state, syn.mark, syn.dst], ["new|rel|trk|dnat", 7, CLIENT]);
    const back = { src: CLIENT, dst: SERVER, srcPort: 1234, dstPort: 20, flags: TCP_SYN | TCP_ACK, ack: 78 };
    const answer = gateway.send(tcpFrame(back));
    assert.deepEqual([answer.state, answer.mark, answer.src], ["est|rel|rpl|trk|snat", 7, OUTSIDE]);
    assert.equal(gateway.send(tcpFrame({ ...data, dstPort: 1235 })).state, "new|trk");
    assert.deepEqual([...connectionLines(gateway.bridge)].sort(), [
      "tcp,orig=(src=10.0.0.1,dst=203.0.113.2,sport=40000,dport=21),reply=(src=203.0.113.2,dst=198.51.100.123,sport=21,dport=40000),zone=1,mark=7,protoinfo=(state=ESTABLISHED),helper=ftp",
      "tcp,orig=(src=203.0.113.2,dst=198.51.100.123,sport=20,dport=1234),reply=(src=10.0.0.1,dst=203.0.113.2,sport=1234,dport=20),zone=1,mark=7,protoinfo=(state=ESTABLISHED)",
    ]);
  });

  it("takes what cannot be read, or names somebody else, for invalid", () => {
    for (const bad of ["PORT\r\n", "PORT 1,2,3\r\n", "PORT 10,0,0,1,256,1\r\n", "PORT 192,0,2,9,4,210\r\n"]) {
      const seen = opened().send(fromClient(DATA, 1001, 5001, bad));
      assert.equal(seen.state, "est|inv|trk|snat", JSON.stringify(bad));
      assert.equal(seen.payload, bad);
    }
    for (const other of ["", "QUIT\r\n", "x".repeat(900), "\0PORT 1,2,3"]) {
      assert.equal(opened().send(fromClient(DATA, 1001, 5001, other)).state, "est|trk|snat");
    }
  });

  it("does not blame a frame for what its capture has cut", () => {
    const frame = fromClient(DATA, 1001, 5001, PORT);
    for (let present = 54; present <= frame.length; present++) {
      assert.equal(opened().send(frame, present).state, "est|trk|snat", `${present} bytes`);
    }
  });

  it("keeps so many announcements of a connection, and forgets its oldest for more", () => {
    const gateway = opened();
    let seq = 1001;
    for (let port = 2000; port < 2600; port++) {
      const line = `PORT 10,0,0,1,${port >> 8},${port & 255}\r\n`;
      gateway.send(fromClient(DATA, seq, 5001, line));
      seq += line.length;
    }
    assert.equal(gateway.counter(CTC_EXPECT_DROP), 88);
    const to = (dstPort: number) =>
      gateway.send(tcpFrame({ src: SERVER, dst: OUTSIDE, srcPort: 20, dstPort, flags: TCP_SYN })).state;
    assert.equal(to(2087), "new|trk");
    assert.equal(to(2088), "new|rel|trk|dnat");
    assert.equal(to(2599), "new|rel|trk|dnat");
  });
});

describe("the TFTP helper", () => {
  it("expects the server's answer from another port", () => {
    const gateway = new Gateway();
    const request = {
      src: CLIENT,
      dst: SERVER,
      srcPort: 3333,
      dstPort: 69,
      payload: bytes("\0\x01f\0octet\0"),
    };
    assert.equal(gateway.send(udpFrame(request)).state, "new|trk");
    const answer = udpFrame({
      src: SERVER,
      dst: CLIENT,
      srcPort: 5555,
      dstPort: 3333,
      payload: bytes("\0\x03\0\x01data"),
    });
    assert.equal(gateway.send(answer).state, "new|rel|trk|dnat");
    const next = udpFrame({
      src: CLIENT,
      dst: SERVER,
      srcPort: 3333,
      dstPort: 5555,
      payload: bytes("\0\x04\0\x01"),
    });
    assert.equal(gateway.send(next).state, "est|rel|rpl|trk|snat");
  });
});
