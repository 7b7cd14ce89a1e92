// Scenes of sessions: transfers with helpers behind address translation, datagrams in pieces, states that run out.
import { concatBytes } from "../../src/packet/bytes.ts";
import { icmpFrame, ipFrame, sctpFrame, tcpFrame, udpFrame } from "../../src/packet/frame.ts";
import { TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN } from "../../src/packet/tcp.ts";
import { evenly, scene } from "./scene.ts";

const text = (s: string): Uint8Array => Buffer.from(s);
type Sent = readonly [port: number, bytes: Uint8Array];

const GATEWAY = `
table=0,priority=10,in_port=1,ip actions=ct(table=1,zone=9,nat)
table=0,priority=10,in_port=2,ip actions=ct(table=2,zone=9,nat)
table=1,priority=20,ct_state=+new+trk,tcp,tp_dst=21 actions=ct(commit,table=3,zone=9,alg=ftp,nat(src=198.51.100.1),exec(set_field:0x21->ct_mark))
table=1,priority=20,ct_state=+new+trk,udp,tp_dst=69 actions=ct(commit,table=3,zone=9,alg=tftp,nat(src=198.51.100.1))
table=1,priority=15,ct_state=+new+rel+trk,ip actions=ct(commit,table=3,zone=9,nat)
table=1,priority=10,ct_state=+new-rel+trk,ip actions=ct(commit,table=3,zone=9,nat(src=198.51.100.1))
table=1,priority=5,ct_state=+est+trk,ip actions=resubmit(,3)
table=2,priority=20,ct_state=+new+rel+trk,ip actions=ct(commit,table=4,zone=9,nat)
table=2,priority=10,ct_state=-new+trk-inv,ip actions=resubmit(,4)
table=3 actions=set_field:02:00:00:00:00:fe->eth_src,output:2
table=4 actions=set_field:02:00:00:00:00:01->eth_dst,output:1
`;

/** Address and port. */
type End = readonly [string, number];

interface Ends {
  readonly client: End;
  readonly server: End;
  /** What the server takes the client for. */
  readonly seen: End;
}

/** Segments between a client at port 1 and a server at port 2, seen through the gateway. */
function talk(e: Ends): {
  up(flags: number, seq: number, ack: number, payload?: string): Sent;
  down(flags: number, seq: number, ack: number, payload?: string): Sent;
} {
  const segment =
    (port: number, from: End, to: End) =>
    (flags: number, seq: number, ack: number, payload = ""): Sent => [
      port,
      tcpFrame({
        src: from[0],
        dst: to[0],
        srcPort: from[1],
        dstPort: to[1],
        flags,
        seq,
        ack,
        window: 30000,
        payload: text(payload),
      }),
    ];
  return { up: segment(1, e.client, e.server), down: segment(2, e.server, e.seen) };
}

scene("FTP, active and passive, and TFTP, behind a gateway", () => {
  const server = "203.0.113.2";
  const control = talk({ client: ["10.0.0.1", 40000], server: [server, 21], seen: ["198.51.100.1", 40000] });
  const port = "PORT 10,0,0,1,156,65\r\n"; // 40001
  const portSeen = "PORT 198,51,100,1,156,65\r\n";
  const grown = portSeen.length - port.length;
  const pasv = `227 Entering Passive Mode (203,0,113,2,195,80)\r\n`; // 50000
  const passive = talk({
    client: ["10.0.0.1", 40002],
    server: [server, 50000],
    seen: ["198.51.100.1", 40002],
  });
  const A = TCP_ACK;
  const P = TCP_ACK | TCP_PSH;
  return {
    ports: [1, 2],
    flows: GATEWAY,
    frames: evenly(
      0,
      0.05,
      control.up(TCP_SYN, 100, 0),
      control.down(TCP_SYN | A, 500, 101),
      control.up(A, 101, 501),
      control.down(P, 501, 101, "220 hello\r\n"),
      control.up(A, 101, 512),
      control.up(P, 101, 512, port),
      control.down(P, 512, 101 + port.length + grown, "200 PORT ok\r\n"),
      control.up(A, 101 + port.length, 525),
      // The server calls the client.
      [
        2,
        tcpFrame({
          src: server,
          dst: "198.51.100.1",
          srcPort: 20,
          dstPort: 40001,
          flags: TCP_SYN,
          seq: 9000,
        }),
      ],
      [
        1,
        tcpFrame({
          src: "10.0.0.1",
          dst: server,
          srcPort: 40001,
          dstPort: 20,
          flags: TCP_SYN | A,
          seq: 70,
          ack: 9001,
        }),
      ],
      [
        2,
        tcpFrame({
          src: server,
          dst: "198.51.100.1",
          srcPort: 20,
          dstPort: 40001,
          flags: P,
          seq: 9001,
          ack: 71,
          payload: text("data"),
        }),
      ],
      control.up(P, 101 + port.length, 525, "PASV\r\n"),
      control.down(P, 525, 101 + port.length + grown + 6, pasv),
      passive.up(TCP_SYN, 1, 0),
      passive.down(TCP_SYN | A, 1, 2),
      passive.up(A, 2, 2),
      passive.down(P, 2, 2, "more data"),
      passive.down(TCP_FIN | A, 11, 2),
      passive.up(TCP_FIN | A, 2, 12),
      passive.down(A, 12, 3),
      [
        1,
        udpFrame({
          src: "10.0.0.1",
          dst: server,
          srcPort: 3000,
          dstPort: 69,
          payload: text("\0\x01file\0octet\0"),
        }),
      ],
      [
        2,
        udpFrame({
          src: server,
          dst: "198.51.100.1",
          srcPort: 4567,
          dstPort: 3000,
          payload: text("\0\x03\0\x01block"),
        }),
      ],
      [
        1,
        udpFrame({
          src: "10.0.0.1",
          dst: server,
          srcPort: 3000,
          dstPort: 4567,
          payload: text("\0\x04\0\x01"),
        }),
      ],
      // Nobody asked for these.
      [
        2,
        udpFrame({
          src: server,
          dst: "198.51.100.1",
          srcPort: 4568,
          dstPort: 3001,
          payload: text("\0\x03\0\x01block"),
        }),
      ],
      [
        2,
        tcpFrame({
          src: server,
          dst: "198.51.100.1",
          srcPort: 20,
          dstPort: 40005,
          flags: TCP_SYN,
          seq: 9000,
        }),
      ],
      control.up(TCP_FIN | A, 101 + port.length + 6, 525 + pasv.length),
      control.down(TCP_RST | A, 525 + pasv.length, 0),
    ),
  };
});

/** An IPv4 datagram in pieces of `size` bytes. */
function pieces(frame: Uint8Array, size: number, id: number): Uint8Array[] {
  const payload = frame.subarray(34);
  const src = [...frame.subarray(26, 30)].join(".");
  const dst = [...frame.subarray(30, 34)].join(".");
  const out: Uint8Array[] = [];
  for (let at = 0; at < payload.length; at += size) {
    const more = at + size < payload.length;
    const piece = ipFrame({ src, dst, ipv4: { id } }, frame[23]!, payload.slice(at, at + size));
    const word = (more ? 0x2000 : 0) | (at / 8);
    piece[20] = word >> 8;
    piece[21] = word & 0xff;
    // The checksum of the header, anew.
    piece[24] = 0;
    piece[25] = 0;
    let sum = 0;
    for (let i = 14; i < 34; i += 2) sum += (piece[i]! << 8) | piece[i + 1]!;
    sum = (sum & 0xffff) + (sum >>> 16);
    sum = ~((sum & 0xffff) + (sum >>> 16)) & 0xffff;
    piece[24] = sum >> 8;
    piece[25] = sum & 0xff;
    out.push(piece);
  }
  return out;
}

const numbers = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => (i * 7) & 0xff);

scene("datagrams in pieces behind a gateway", () => {
  const question = udpFrame({
    src: "10.0.0.1",
    dst: "203.0.113.9",
    srcPort: 5000,
    dstPort: 53,
    payload: numbers(120),
  });
  const answer = udpFrame({
    src: "203.0.113.9",
    dst: "198.51.100.1",
    srcPort: 53,
    dstPort: 5000,
    payload: numbers(1000),
  });
  const ping = icmpFrame({ src: "10.0.0.1", dst: "203.0.113.9", rest: 0x70001, payload: numbers(200) });
  const sent = (port: number, frames: readonly Uint8Array[]): Sent[] => frames.map((f) => [port, f]);
  const late = pieces(answer, 400, 12);
  return {
    ports: [1, 2],
    flows: GATEWAY,
    frames: [
      ...evenly(0, 0.01, ...sent(1, pieces(question, 64, 7))),
      ...evenly(1, 0.01, ...sent(2, pieces(answer, 400, 8))),
      ...evenly(2, 0.01, ...sent(1, pieces(ping, 104, 9))),
      // Out of order, one twice, the rest after a second.
      ...evenly(3, 0.01, [2, late[1]!], [2, late[1]!], [2, late[0]!]),
      ...evenly(4, 0.01, [2, late[2]!]),
      ...evenly(5, 0.01, [1, question]),
    ],
  };
});

scene("connections of every protocol until they are forgotten", () => {
  const A = TCP_ACK;
  const one = talk({ client: ["10.0.0.1", 1111], server: ["203.0.113.1", 80], seen: ["198.51.100.1", 1111] });
  const reset = talk({
    client: ["10.0.0.1", 1112],
    server: ["203.0.113.1", 80],
    seen: ["198.51.100.1", 1112],
  });
  const half = talk({
    client: ["10.0.0.1", 1113],
    server: ["203.0.113.1", 80],
    seen: ["198.51.100.1", 1113],
  });
  const dns = (n: number): Sent => [
    1,
    udpFrame({ src: "10.0.0.1", dst: "203.0.113.1", srcPort: 1200 + n, dstPort: 53 }),
  ];
  const sctp = (port: number): Sent =>
    port === 1
      ? [
          1,
          sctpFrame({
            src: "10.0.0.1",
            dst: "203.0.113.1",
            srcPort: 7,
            dstPort: 8,
            payload: concatBytes(text("\x01\0\0\x14"), numbers(16)),
          }),
        ]
      : [
          2,
          sctpFrame({
            src: "203.0.113.1",
            dst: "198.51.100.1",
            srcPort: 8,
            dstPort: 7,
            payload: concatBytes(text("\x02\0\0\x14"), numbers(16)),
          }),
        ];
  return {
    ports: [1, 2],
    flows: GATEWAY,
    frames: [
      ...evenly(0, 0.01, one.up(TCP_SYN, 1, 0), one.down(TCP_SYN | A, 1, 2), one.up(A, 2, 2)),
      ...evenly(
        1,
        0.01,
        reset.up(TCP_SYN, 1, 0),
        reset.down(TCP_SYN | A, 1, 2),
        reset.up(A, 2, 2),
        reset.down(TCP_RST, 2, 0),
      ),
      ...evenly(2, 0.01, half.up(TCP_SYN, 1, 0)),
      ...evenly(
        3,
        0.01,
        dns(0),
        dns(1),
        [2, udpFrame({ src: "203.0.113.1", dst: "198.51.100.1", srcPort: 53, dstPort: 1200 })],
        dns(0),
      ),
      ...evenly(4, 0.01, [1, icmpFrame({ src: "10.0.0.1", dst: "203.0.113.1", rest: 5 })]),
      ...evenly(
        5,
        0.01,
        [1, ipFrame({ src: "10.0.0.1", dst: "203.0.113.1" }, 47, text("\0\0\x08\0x"))],
        [2, ipFrame({ src: "203.0.113.1", dst: "198.51.100.1" }, 47, text("\0\0\x08\0y"))],
      ),
      ...evenly(6, 0.01, sctp(1), sctp(2), sctp(1)),
      // 30 s: the half-open one has gone; 31: the unanswered datagram; 60: the echo.
      ...evenly(31, 0.5, half.up(TCP_SYN, 1, 0), dns(2), half.down(TCP_SYN | A, 1, 2)),
      ...evenly(45, 0.5, one.up(A, 2, 2), reset.down(A, 2, 2), [
        2,
        udpFrame({ src: "203.0.113.1", dst: "198.51.100.1", srcPort: 53, dstPort: 1201 }),
      ]),
      ...evenly(70, 0.5, [2, icmpFrame({ src: "203.0.113.1", dst: "198.51.100.1", type: 0, rest: 5 })]),
    ],
  };
});

scene("zones, marks and labels carried from one to the next", () => ({
  shards: true,
  ports: [1, 2, 3],
  megaflows: true,
  flows: `
table=0,in_port=1,ip actions=set_field:0x7->reg7,ct(table=1,zone=NXM_NX_REG7[0..15])
table=0,in_port=2,ip actions=ct(table=5,zone=7)
table=1,ct_state=+new+trk,udp actions=ct(commit,zone=7,exec(set_field:0x5->ct_mark,set_field:0x1234567890abcdef0000000000000001/0xffffffffffffffff00000000000000ff->ct_label)),ct(table=2,zone=8)
table=1,ct_state=+new+trk,tcp actions=ct(commit,force,zone=7,exec(move:NXM_NX_REG7[0..7]->NXM_NX_CT_MARK[8..15])),ct_clear,resubmit(,3)
table=1,ct_state=+est+trk,ip actions=move:NXM_NX_CT_MARK[]->NXM_NX_REG1[],move:NXM_NX_CT_LABEL[96..127]->NXM_NX_REG2[],ct(table=2,zone=8)
table=2,ct_state=+new+trk,ip actions=ct(commit,zone=8,exec(move:NXM_NX_REG1[]->NXM_NX_CT_MARK[])),output:2
table=2,ct_state=-new+trk,ip actions=output:2
table=3,ct_state=-trk,tcp actions=output:3
table=5,ct_state=+rpl+trk,ct_mark=0x5,ct_label=0x1/0xff,ip actions=output:1
table=5,priority=1,ct_state=+est+trk,ct_zone=7,ct_nw_src=10.0.0.0/8,ct_tp_dst=80,ct_nw_proto=6,ip actions=output:1,ct(commit,zone=7,exec(set_field:0x1/0x1->ct_mark))
`,
  frames: evenly(
    0,
    0.1,
    [1, udpFrame({ src: "10.0.0.1", dst: "10.0.0.2", srcPort: 1, dstPort: 2 })],
    [2, udpFrame({ src: "10.0.0.2", dst: "10.0.0.1", srcPort: 2, dstPort: 1 })],
    [1, udpFrame({ src: "10.0.0.1", dst: "10.0.0.2", srcPort: 1, dstPort: 2 })],
    [1, udpFrame({ src: "10.0.0.1", dst: "10.0.0.2", srcPort: 1, dstPort: 2 })],
    [1, tcpFrame({ src: "10.0.0.1", dst: "10.0.0.2", srcPort: 1, dstPort: 80, flags: TCP_SYN })],
    [
      2,
      tcpFrame({
        src: "10.0.0.2",
        dst: "10.0.0.1",
        srcPort: 80,
        dstPort: 1,
        flags: TCP_SYN | TCP_ACK,
        ack: 1,
      }),
    ],
    [
      1,
      tcpFrame({ src: "10.0.0.1", dst: "10.0.0.2", srcPort: 1, dstPort: 80, flags: TCP_ACK, seq: 1, ack: 1 }),
    ],
    [
      2,
      tcpFrame({ src: "10.0.0.2", dst: "10.0.0.1", srcPort: 80, dstPort: 1, flags: TCP_ACK, seq: 1, ack: 1 }),
    ],
  ),
  traces: [
    ["in_port=1,udp,nw_src=10.0.0.1,nw_dst=10.0.0.2"],
    ["in_port=1,udp,nw_src=10.0.0.1,nw_dst=10.0.0.2", "--ct-next", "trk,est", "--ct-next", "trk,new"],
    ["in_port=1,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2"],
    ["in_port=2,tcp,nw_src=10.0.0.2,nw_dst=10.0.0.1,ct_mark=5", "--ct-next", "trk,est,rpl"],
    [
      "in_port=2,tcp,ct_state=trk|est,ct_zone=7,ct_nw_src=10.1.1.1,ct_nw_proto=6,ct_tp_dst=80",
      "--ct-next",
      "trk,est",
    ],
  ],
}));
