// Scenes of services: balancing, affinity, address translation, hairpins, errors about translated packets.
import { arpFrame, icmpFrame, ipFrame, tcpFrame, udpFrame } from "../../src/packet/frame.ts";
import { TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN } from "../../src/packet/tcp.ts";
import { evenly, type SceneFrame, scene } from "./scene.ts";

const text = (s: string): Uint8Array => Buffer.from(s);

/** One side of a TCP conversation, as a program's socket behaves. */
interface Peer {
  readonly port: number;
  readonly mac: string;
  readonly addr: string;
  readonly tcp: number;
}

/** A whole conversation: hands shaken, a question, an answer, closed. What each side sees of the other may differ (NAT). */
export function talk(
  from: number,
  step: number,
  client: Peer,
  server: Peer,
  seen: {
    readonly vip?: string;
    readonly vport?: number;
    readonly snat?: string;
    readonly sport?: number;
  } = {},
  question = "GET / HTTP/1.0\r\n\r\n",
  answer = "HTTP/1.0 200 OK\r\n\r\nhello",
): SceneFrame[] {
  const q = question.length;
  const a = answer.length;
  const up = (seq: number, ack: number, flags: number, payload = ""): readonly [number, Uint8Array] => [
    client.port,
    tcpFrame({
      ethSrc: client.mac,
      ethDst: server.mac,
      src: client.addr,
      dst: seen.vip ?? server.addr,
      srcPort: client.tcp,
      dstPort: seen.vport ?? server.tcp,
      seq: 1000 + seq,
      ack: (flags & TCP_ACK) !== 0 ? 5000 + ack : 0,
      flags,
      window: 65535,
      payload: text(payload),
    }),
  ];
  const down = (seq: number, ack: number, flags: number, payload = ""): [number, Uint8Array] => [
    server.port,
    tcpFrame({
      ethSrc: server.mac,
      ethDst: client.mac,
      src: server.addr,
      dst: seen.snat ?? client.addr,
      srcPort: server.tcp,
      dstPort: seen.sport ?? client.tcp,
      seq: 5000 + seq,
      ack: 1000 + ack,
      flags,
      window: 65535,
      payload: text(payload),
    }),
  ];
  return evenly(
    from,
    step,
    up(0, 0, TCP_SYN),
    down(0, 1, TCP_SYN | TCP_ACK),
    up(1, 1, TCP_ACK),
    up(1, 1, TCP_ACK | TCP_PSH, question),
    down(1, 1 + q, TCP_ACK),
    down(1, 1 + q, TCP_ACK | TCP_PSH, answer),
    up(1 + q, 1 + a, TCP_ACK),
    up(1 + q, 1 + a, TCP_ACK | TCP_FIN),
    down(1 + a, 2 + q, TCP_ACK | TCP_FIN),
    up(2 + q, 2 + a, TCP_ACK),
  );
}

const CLIENT: Peer = { port: 1, mac: "02:00:00:00:00:01", addr: "10.0.0.1", tcp: 40001 };
const web = (n: number): Peer => ({ port: n, mac: `02:00:00:00:00:0${n}`, addr: `10.0.1.${n}`, tcp: 8080 });

/** The packet that errors quote: the client's, as the server saw it. */
const synQuoted = (ttl: number): Uint8Array =>
  tcpFrame({
    src: "10.0.0.1",
    dst: "10.0.1.2",
    srcPort: 40002,
    dstPort: 8080,
    flags: TCP_SYN,
    seq: 7,
    ttl,
  }).subarray(14);

scene("a service of one endpoint by DNAT, and its errors", () => ({
  ports: [1, 2, 3],
  megaflows: true,
  flows: `
# classify
table=0,priority=100,ip actions=ct(table=1,zone=10,nat)
table=0,priority=90,arp actions=NORMAL
table=1,priority=200,ct_state=+inv+trk actions=drop
table=1,priority=190,ct_state=+new+trk,tcp,nw_dst=10.96.0.10,tp_dst=80 actions=ct(commit,table=2,zone=10,nat(dst=10.0.1.2:8080),exec(set_field:0x1->ct_mark))
table=1,priority=180,ct_state=+new+trk,ip actions=ct(commit,table=2,zone=10)
table=1,priority=170,ct_state=+trk,ip actions=resubmit(,2)
table=2,priority=10,ip,nw_dst=10.0.0.1 actions=set_field:02:00:00:00:00:01->eth_dst,dec_ttl,output:1
table=2,priority=10,ip,nw_dst=10.0.1.2 actions=set_field:02:00:00:00:00:02->eth_dst,dec_ttl,output:2
table=2,priority=9,ct_state=+rel,icmp actions=output:3
table=2,priority=0 actions=drop
`,
  frames: [
    ...talk(0, 0.01, CLIENT, web(2), { vip: "10.96.0.10", vport: 80 }),
    // The server sends port unreachable about a later packet of the client (as the server saw it).
    ...evenly(
      1,
      0.1,
      [
        1,
        tcpFrame({ src: "10.0.0.1", dst: "10.96.0.10", srcPort: 40002, dstPort: 80, flags: TCP_SYN, seq: 7 }),
      ],
      [
        2,
        icmpFrame({
          ethSrc: "02:00:00:00:00:02",
          ethDst: "02:00:00:00:00:01",
          src: "10.0.1.2",
          dst: "10.0.0.1",
          type: 3,
          code: 3,
          rest: 0,
          payload: synQuoted(63),
        }),
      ],
      // A router on the way, time exceeded.
      [
        3,
        icmpFrame({
          ethSrc: "02:00:00:00:00:03",
          src: "10.0.9.9",
          dst: "10.0.0.1",
          type: 11,
          code: 0,
          rest: 0,
          payload: synQuoted(1).subarray(0, 28),
        }),
      ],
      [1, icmpFrame({ src: "10.0.0.1", dst: "10.0.1.2", rest: 0x00010001, payload: text("abcdefgh") })],
      [
        2,
        icmpFrame({ src: "10.0.1.2", dst: "10.0.0.1", type: 0, rest: 0x00010001, payload: text("abcdefgh") }),
      ],
      [1, tcpFrame({ src: "10.0.0.1", dst: "10.96.0.10", srcPort: 40003, dstPort: 81, flags: TCP_SYN })],
      [
        2,
        tcpFrame({
          src: "10.0.1.2",
          dst: "10.0.0.1",
          srcPort: 8080,
          dstPort: 40002,
          flags: TCP_RST | TCP_ACK,
          ack: 8,
        }),
      ],
    ),
  ],
  traces: [
    ["in_port=1,tcp,nw_src=10.0.0.1,nw_dst=10.96.0.10,nw_ttl=64,tp_src=1000,tp_dst=80"],
    [
      "in_port=1,tcp,nw_src=10.0.0.1,nw_dst=10.96.0.10,nw_ttl=64,tp_src=1000,tp_dst=80",
      "--ct-next",
      "trk,est",
    ],
    [
      "in_port=1,tcp,nw_src=10.0.0.1,nw_dst=10.96.0.10,nw_ttl=64,tp_src=1000,tp_dst=80",
      "--ct-next",
      "trk,inv",
    ],
    [
      "in_port=1",
      Buffer.from(
        tcpFrame({ src: "10.0.0.1", dst: "10.96.0.10", srcPort: 40003, dstPort: 80, flags: TCP_SYN }),
      ).toString("hex"),
      "--ct-next",
      "trk,new",
      "--ct-next",
      "trk,est,rpl",
    ],
    [
      "in_port=2,icmp,nw_src=10.0.1.2,nw_dst=10.0.0.1,nw_ttl=64,icmp_type=3,icmp_code=3",
      "--ct-next",
      "trk,rel,rpl",
    ],
    ["in_port=1,tcp,nw_src=10.0.0.1,nw_dst=10.0.1.2,nw_ttl=1", "--ct-next", "trk,est"],
  ],
}));

const VIP_FLOWS = `
table=0,priority=100,ip actions=ct(table=10,zone=65520,nat)
table=10,priority=200,ct_state=+inv+trk actions=drop
table=10,priority=190,ct_state=-new+est+trk,ip actions=resubmit(,50)
table=10,priority=100,ip actions=set_field:0/0x70000->reg4,resubmit(,40),resubmit(,41)
table=10,priority=0 actions=drop
table=41,priority=200,tcp,reg4=0x10000/0x70000,nw_dst=10.96.0.20,tp_dst=80 actions=set_field:0x20000/0x70000->reg4,group:1
table=41,priority=190,tcp,reg4=0/0x70000,nw_dst=10.96.0.20,tp_dst=80 actions=set_field:0x30000/0x70000->reg4,group:1
table=41,priority=0 actions=resubmit(,42)
table=42,priority=200,tcp,reg4=0x30000/0x70000 actions=learn(table=40,hard_timeout=300,priority=192,delete_learned,cookie=0x2040000000001,eth_type=0x800,nw_proto=6,NXM_OF_TCP_DST[],NXM_OF_IP_DST[],NXM_OF_IP_SRC[],load:NXM_NX_REG4[0..15]->NXM_NX_REG4[0..15],load:0x2->NXM_NX_REG4[16..18],load:NXM_NX_REG3[]->NXM_NX_REG3[]),set_field:0x20000/0x70000->reg4,resubmit(,42)
table=42,priority=190,tcp,reg4=0x20000/0x70000,reg3=0xa000102 actions=ct(commit,table=50,zone=65520,nat(dst=10.0.1.2:8080),exec(set_field:0x10->ct_mark))
table=42,priority=190,tcp,reg4=0x20000/0x70000,reg3=0xa000103 actions=ct(commit,table=50,zone=65520,nat(dst=10.0.1.3:8080),exec(set_field:0x10->ct_mark))
table=42,priority=10,ip actions=ct(commit,table=50,zone=65520)
table=50,priority=100,ip,nw_dst=10.0.0.0/24 actions=set_field:02:00:00:00:00:01->eth_dst,output:1
table=50,priority=100,ip,nw_dst=10.0.1.2 actions=output:2
table=50,priority=100,ip,nw_dst=10.0.1.3 actions=output:3
`;
// One bucket each, so that neither switch has to guess the other's hash.
const VIP_GROUPS = `
group_id=1,type=select,bucket=bucket_id:0,weight:100,actions=set_field:0xa000103->reg3,resubmit(,42)
`;

scene("affinity by learn behind a select group", () => ({
  ports: [1, 2, 3],
  flows: VIP_FLOWS,
  groups: VIP_GROUPS,
  frames: [
    ...talk(0, 0.01, CLIENT, web(3), { vip: "10.96.0.20", vport: 80 }),
    ...talk(10, 0.01, { ...CLIENT, tcp: 40002 }, web(3), { vip: "10.96.0.20", vport: 80 }),
    ...talk(20, 0.01, { ...CLIENT, addr: "10.0.0.77" }, web(3), { vip: "10.96.0.20", vport: 80 }),
    ...talk(299, 0.01, { ...CLIENT, tcp: 40009 }, web(3), { vip: "10.96.0.20", vport: 80 }),
    ...talk(340, 0.01, { ...CLIENT, tcp: 40010 }, web(3), { vip: "10.96.0.20", vport: 80 }),
    ...talk(700, 0.01, { ...CLIENT, tcp: 40011 }, web(3), { vip: "10.96.0.20", vport: 80 }),
  ],
  traces: [
    ["in_port=1,tcp,nw_src=10.0.0.1,nw_dst=10.96.0.20,nw_ttl=64,tp_src=1000,tp_dst=80"],
    ["in_port=1,tcp,nw_src=10.0.0.1,nw_dst=10.96.0.20,nw_ttl=64,tp_src=1000,tp_dst=80,dp_hash=1"],
    ["in_port=1,tcp,nw_src=10.0.0.1,nw_dst=10.96.0.20,nw_ttl=64,tp_src=1000,tp_dst=80,reg4=0x10000"],
  ],
}));

scene("a hairpin: a pod speaks to itself by its service", () => ({
  ports: [1, 2],
  flows: `
table=0,priority=200,ip,nw_src=169.254.0.253 actions=drop
table=0,priority=100,ip actions=ct(table=1,zone=1,nat)
table=1,ct_state=+new+trk,tcp,nw_dst=10.96.0.30 actions=ct(commit,table=2,zone=1,nat(dst=10.0.1.2:8080))
table=1,priority=1,ip actions=resubmit(,2)
table=2,priority=100,ct_state=+trk,ip,nw_src=10.0.1.2,nw_dst=10.0.1.2 actions=ct(commit,table=3,zone=2,nat(src=169.254.0.253),exec(set_field:0x1/0x1->ct_label))
table=2,priority=90,ip,nw_dst=169.254.0.253 actions=ct(table=3,zone=2,nat)
table=2,priority=0 actions=output:2
table=3,priority=2,ip,nw_src=169.254.0.253 actions=IN_PORT
table=3,priority=2,ip,nw_dst=10.0.1.2 actions=IN_PORT
table=3,priority=1,ip actions=ct(table=4,zone=1,nat)
table=4 actions=IN_PORT
`,
  frames: talk(
    0,
    0.05,
    { port: 2, mac: "02:00:00:00:00:02", addr: "10.0.1.2", tcp: 40001 },
    { port: 2, mac: "02:00:00:00:00:02", addr: "10.0.1.2", tcp: 8080 },
    { vip: "10.96.0.30", vport: 80, snat: "169.254.0.253" },
  ),
  megaflows: true,
}));

scene("a NAT router: traceroute, a ping out, answers to nothing", () => ({
  ports: [1, 2],
  megaflows: true,
  flows: `
table=0,priority=100,in_port=1,ip,nw_ttl=1 actions=controller(reason=invalid_ttl,max_len=128)
table=0,priority=100,in_port=1,ip actions=dec_ttl,ct(table=1,zone=5,nat)
table=0,priority=100,in_port=2,ip actions=ct(table=2,zone=5,nat)
table=0,priority=1,arp,arp_op=1,arp_tpa=192.0.2.1 actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:02:00:00:00:00:fe->eth_src,set_field:2->arp_op,move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],set_field:02:00:00:00:00:fe->arp_sha,move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],set_field:192.0.2.1->arp_spa,IN_PORT
table=1,ct_state=+new+trk,ip actions=ct(commit,table=3,zone=5,nat(src=192.0.2.1:2000-2000))
table=1,ct_state=+est+trk,ip actions=resubmit(,3)
table=2,ct_state=+inv+trk,ip actions=drop
table=2,ct_state=+new+trk,ip actions=drop
table=2,ct_state=+trk,ip actions=set_field:02:00:00:00:00:01->eth_dst,output:1
table=3,ip actions=set_field:02:00:00:00:00:fe->eth_src,output:2
`,
  frames: [
    ...evenly(
      0,
      0.5,
      // traceroute: udp to high ports, ttl 1, 2, 3
      [
        1,
        udpFrame({
          src: "10.0.0.1",
          dst: "198.51.100.9",
          srcPort: 33000,
          dstPort: 33434,
          ttl: 1,
          payload: text("0123456789"),
        }),
      ],
      [
        1,
        udpFrame({
          src: "10.0.0.1",
          dst: "198.51.100.9",
          srcPort: 33000,
          dstPort: 33435,
          ttl: 2,
          payload: text("0123456789"),
        }),
      ],
      [
        2,
        icmpFrame({
          src: "198.51.100.1",
          dst: "192.0.2.1",
          type: 11,
          code: 0,
          rest: 0,
          payload: udpFrame({
            src: "192.0.2.1",
            dst: "198.51.100.9",
            srcPort: 2000,
            dstPort: 33435,
            ttl: 1,
            payload: text("0123456789"),
          }).subarray(14),
        }),
      ],
      [
        1,
        udpFrame({
          src: "10.0.0.1",
          dst: "198.51.100.9",
          srcPort: 33000,
          dstPort: 33436,
          ttl: 3,
          payload: text("0123456789"),
        }),
      ],
      [
        2,
        icmpFrame({
          src: "198.51.100.9",
          dst: "192.0.2.1",
          type: 3,
          code: 3,
          rest: 0,
          payload: udpFrame({
            src: "192.0.2.1",
            dst: "198.51.100.9",
            srcPort: 2000,
            dstPort: 33436,
            ttl: 1,
            payload: text("0123456789"),
          }).subarray(14),
        }),
      ],
      // An error about something never sent.
      [
        2,
        icmpFrame({
          src: "198.51.100.9",
          dst: "192.0.2.1",
          type: 3,
          code: 1,
          rest: 0,
          payload: udpFrame({ src: "192.0.2.1", dst: "198.51.100.9", srcPort: 2001, dstPort: 9 }).subarray(
            14,
          ),
        }),
      ],
      // ping
      [1, icmpFrame({ src: "10.0.0.1", dst: "198.51.100.9", rest: 0x12340001, payload: text("ping") })],
      [
        2,
        icmpFrame({
          src: "198.51.100.9",
          dst: "192.0.2.1",
          type: 0,
          rest: 0x12340001,
          payload: text("ping"),
        }),
      ],
      [
        2,
        icmpFrame({
          src: "198.51.100.9",
          dst: "192.0.2.1",
          type: 0,
          rest: 0x43210001,
          payload: text("ping"),
        }),
      ],
      // Unasked.
      [2, udpFrame({ src: "198.51.100.9", dst: "192.0.2.1", srcPort: 53, dstPort: 2000 })],
      [2, ipFrame({ src: "198.51.100.9", dst: "192.0.2.1" }, 47, text("\0\0\x08\0abcdefgh"))],
      [1, arpFrame({ op: 1, spa: "10.0.0.1", tpa: "192.0.2.1", minSize: 60 })],
      [1, arpFrame({ op: 1, spa: "10.0.0.1", tpa: "192.0.2.2" })],
    ),
  ],
  traces: [
    ["in_port=1,udp,nw_src=10.0.0.1,nw_dst=198.51.100.9,nw_ttl=1,tp_dst=33434"],
    ["in_port=1,udp,nw_src=10.0.0.1,nw_dst=198.51.100.9,nw_ttl=2,tp_src=33000,tp_dst=33434"],
    ["in_port=2,icmp,nw_src=198.51.100.9,nw_dst=192.0.2.1,icmp_type=11", "--ct-next", "trk,rel,rpl"],
    [
      "in_port=1,arp,arp_op=1,arp_spa=10.0.0.1,arp_tpa=192.0.2.1,dl_src=02:00:00:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff",
    ],
  ],
}));
