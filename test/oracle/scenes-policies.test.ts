// Scenes of policies: security groups of conjunctions, policies that come and go while connections live, IPv6 and its neighbours.
import { concatBytes } from "../../src/packet/bytes.ts";
import {
  arpFrame,
  icmpFrame,
  ipFrame,
  neighbourFrame,
  sctpFrame,
  tcpFrame,
  udpFrame,
} from "../../src/packet/frame.ts";
import { buildIpv6Extension } from "../../src/packet/ipv6-extension.ts";
import { TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN } from "../../src/packet/tcp.ts";
import { evenly, type SceneFrame, scene } from "./scene.ts";

const hex = (frame: Uint8Array): string => Buffer.from(frame).toString("hex");
const text = (s: string): Uint8Array => Buffer.from(s);
const mac = (n: number): string => `fa:16:3e:00:00:0${n}`;

const SECURITY_GROUPS = `
# OpenStack: ports 1 to 3 are instances, 4 the integration bridge's uplink
table=0,priority=100,in_port=1 actions=set_field:0x1->reg5,set_field:0x1->reg6,resubmit(,71)
table=0,priority=100,in_port=2 actions=set_field:0x2->reg5,set_field:0x1->reg6,resubmit(,71)
table=0,priority=100,in_port=3 actions=set_field:0x3->reg5,set_field:0x2->reg6,resubmit(,71)
table=0,priority=90,dl_dst=fa:16:3e:00:00:01 actions=set_field:0x1->reg5,set_field:0x1->reg6,resubmit(,81)
table=0,priority=90,dl_dst=fa:16:3e:00:00:02 actions=set_field:0x2->reg5,set_field:0x1->reg6,resubmit(,81)
table=0,priority=0 actions=NORMAL
table=71,priority=95,in_port=1,arp,dl_src=fa:16:3e:00:00:01,arp_spa=192.168.1.1 actions=NORMAL
table=71,priority=95,in_port=2,arp,dl_src=fa:16:3e:00:00:02,arp_spa=192.168.1.2 actions=NORMAL
table=71,priority=95,in_port=1,icmp6,icmp_type=135,dl_src=fa:16:3e:00:00:01,nd_target=fd00::1 actions=resubmit(,94)
table=71,priority=80,reg5=0x1,in_port=1,udp,tp_src=68,tp_dst=67 actions=resubmit(,73)
table=71,priority=70,reg5=0x1,in_port=1,udp,tp_src=67,tp_dst=68 actions=drop
table=71,priority=65,ct_state=-trk,ip,reg5=0x1,in_port=1,dl_src=fa:16:3e:00:00:01,nw_src=192.168.1.1 actions=ct(table=72,zone=NXM_NX_REG6[0..15])
table=71,priority=65,ct_state=-trk,ip,reg5=0x2,in_port=2,dl_src=fa:16:3e:00:00:02,nw_src=192.168.1.2 actions=ct(table=72,zone=NXM_NX_REG6[0..15])
table=71,priority=65,ct_state=-trk,ip,reg5=0x3,in_port=3 actions=ct(table=72,zone=NXM_NX_REG6[0..15])
table=71,priority=10,ct_state=-trk actions=drop
table=72,priority=77,ct_state=+est-rel-rpl,tcp,reg5=0x1,tp_dst=22 actions=resubmit(,73)
table=72,priority=77,ct_state=+new-est,tcp,reg5=0x1,tp_dst=22 actions=resubmit(,73)
table=72,priority=75,ct_state=+est-rel-rpl,ip,reg5=0x2 actions=resubmit(,73)
table=72,priority=75,ct_state=+new-est,ip,reg5=0x2 actions=resubmit(,73)
table=72,priority=50,ct_state=+inv+trk actions=drop
table=72,priority=50,ct_mark=0x1,reg5=0x1 actions=drop
table=72,priority=50,ct_state=+est-rel+rpl,ct_zone=1,ct_mark=0,reg5=0x1 actions=resubmit(,94)
table=72,priority=50,ct_state=+est-rel+rpl,ct_zone=1,ct_mark=0,reg5=0x2 actions=resubmit(,94)
table=72,priority=50,ct_state=-new-est+rel-inv,ct_zone=1,ct_mark=0,reg5=0x1 actions=resubmit(,94)
table=72,priority=40,ct_state=-est,reg5=0x1 actions=drop
table=72,priority=40,ct_state=+est,ip,reg5=0x1 actions=ct(commit,zone=NXM_NX_REG6[0..15],exec(set_field:0x1->ct_mark))
table=72,priority=0 actions=drop
table=73,priority=100,dl_dst=fa:16:3e:00:00:01 actions=set_field:0x1->reg5,set_field:0x1->reg6,resubmit(,81)
table=73,priority=100,dl_dst=fa:16:3e:00:00:02 actions=set_field:0x2->reg5,set_field:0x1->reg6,resubmit(,81)
table=73,priority=90,ct_state=+new-est,ip,reg5=0x1 actions=ct(commit,zone=NXM_NX_REG6[0..15]),resubmit(,94)
table=73,priority=80 actions=resubmit(,94)
table=81,priority=100,arp,reg5=0x1 actions=output:1
table=81,priority=100,arp,reg5=0x2 actions=output:2
table=81,priority=95,ct_state=-trk,ip actions=ct(table=82,zone=NXM_NX_REG6[0..15])
table=81,priority=80,ct_state=+trk,reg5=0x1 actions=resubmit(,82)
table=81,priority=80,ct_state=+trk,reg5=0x2 actions=resubmit(,82)
# conjunctions: (10.1.0.0/16 or 192.168.1.0/24) and (tcp 80, 443 or 8000 to 8003)
table=82,priority=71,ct_state=+est-rel-rpl,ip,reg6=0x1,nw_src=10.1.0.0/16 actions=conjunction(16,1/2)
table=82,priority=71,ct_state=+est-rel-rpl,ip,reg6=0x1,nw_src=192.168.1.0/24 actions=conjunction(16,1/2)
table=82,priority=71,ct_state=+new-est,ip,reg6=0x1,nw_src=10.1.0.0/16 actions=conjunction(17,1/2)
table=82,priority=71,ct_state=+new-est,ip,reg6=0x1,nw_src=192.168.1.0/24 actions=conjunction(17,1/2)
table=82,priority=71,ct_state=+est-rel-rpl,tcp,reg5=0x1,tp_dst=80 actions=conjunction(16,2/2)
table=82,priority=71,ct_state=+new-est,tcp,reg5=0x1,tp_dst=80 actions=conjunction(17,2/2)
table=82,priority=71,ct_state=+est-rel-rpl,tcp,reg5=0x1,tp_dst=443 actions=conjunction(16,2/2)
table=82,priority=71,ct_state=+new-est,tcp,reg5=0x1,tp_dst=443 actions=conjunction(17,2/2)
table=82,priority=71,ct_state=+est-rel-rpl,tcp,reg5=0x1,tp_dst=0x1f40/0xfffc actions=conjunction(16,2/2)
table=82,priority=71,ct_state=+new-est,tcp,reg5=0x1,tp_dst=0x1f40/0xfffc actions=conjunction(17,2/2)
table=82,priority=71,conj_id=16,ct_state=+est-rel-rpl,ip,reg5=0x1 actions=output:1
table=82,priority=71,conj_id=17,ct_state=+new-est,ip,reg5=0x1 actions=ct(commit,zone=NXM_NX_REG6[0..15]),output:1,resubmit(,92)
table=82,priority=70,ct_state=+est-rel-rpl,icmp,reg5=0x1 actions=output:1
table=82,priority=70,ct_state=+new-est,icmp,reg5=0x1 actions=ct(commit,zone=NXM_NX_REG6[0..15]),output:1,resubmit(,92)
table=82,priority=50,ct_state=+inv+trk actions=drop
table=82,priority=50,ct_mark=0x1,reg5=0x1 actions=drop
table=82,priority=50,ct_state=+est-rel+rpl,ct_zone=1,ct_mark=0,reg5=0x1 actions=output:1
table=82,priority=50,ct_state=+est-rel+rpl,ct_zone=1,ct_mark=0,reg5=0x2 actions=output:2
table=82,priority=50,ct_state=-new-est+rel-inv,ct_zone=1,ct_mark=0,reg5=0x1 actions=output:1
table=82,priority=40,ct_state=-est,reg5=0x1 actions=drop
table=82,priority=40,ct_state=+est,ip,reg5=0x1 actions=ct(commit,zone=NXM_NX_REG6[0..15],exec(set_field:0x1->ct_mark))
table=82,priority=0 actions=drop
table=92,priority=0 actions=drop
table=94,priority=1 actions=output:4
`;

interface Seg {
  readonly port: number;
  readonly from: number;
  readonly to: number;
  readonly src: string;
  readonly dst: string;
  readonly sport: number;
  readonly dport: number;
}

const seg = (
  s: Seg,
  flags: number,
  seq: number,
  ack: number,
  payload = "",
): readonly [number, Uint8Array] => [
  s.port,
  tcpFrame({
    ethSrc: mac(s.from),
    ethDst: mac(s.to),
    src: s.src,
    dst: s.dst,
    srcPort: s.sport,
    dstPort: s.dport,
    flags,
    seq,
    ack,
    window: 29200,
    payload: text(payload),
    minSize: 60,
  }),
];
const turned = (s: Seg, port: number): Seg => ({
  port,
  from: s.to,
  to: s.from,
  src: s.dst,
  dst: s.src,
  sport: s.dport,
  dport: s.sport,
});

const shake = (s: Seg, serverPort: number): (readonly [number, Uint8Array])[] => [
  seg(s, TCP_SYN, 99, 0),
  seg(turned(s, serverPort), TCP_SYN | TCP_ACK, 299, 100),
  seg(s, TCP_ACK, 100, 300),
];

const WEB: Seg = { port: 4, from: 9, to: 1, src: "10.1.2.3", dst: "192.168.1.1", sport: 50000, dport: 443 };
const STRANGER: Seg = { ...WEB, src: "10.2.2.3", sport: 50001 };
const NEXT_DOOR: Seg = {
  port: 2,
  from: 2,
  to: 1,
  src: "192.168.1.2",
  dst: "192.168.1.1",
  sport: 50002,
  dport: 8002,
};

scene("security groups, as OpenStack makes them", () => ({
  ports: [1, 2, 3, 4],
  flows: SECURITY_GROUPS,
  frames: [
    ...evenly(0, 0.01, ...shake(WEB, 1), seg(WEB, TCP_ACK | TCP_PSH, 100, 300, "hello")),
    ...evenly(1, 0.01, ...shake(STRANGER, 1).slice(0, 1)),
    ...evenly(2, 0.01, ...shake(NEXT_DOOR, 1)),
    ...evenly(3, 0.01, ...shake({ ...NEXT_DOOR, dport: 8004, sport: 50003 }, 1).slice(0, 1)),
    // Spoofed, ssh out, something else out.
    ...evenly(
      4,
      0.01,
      seg({ ...turned(WEB, 1), src: "192.168.1.7" }, TCP_ACK, 300, 105),
      ...shake({ port: 1, from: 1, to: 9, src: "192.168.1.1", dst: "10.9.9.9", sport: 51000, dport: 22 }, 4),
      seg(
        { port: 1, from: 1, to: 9, src: "192.168.1.1", dst: "10.9.9.9", sport: 51001, dport: 25 },
        TCP_SYN,
        1,
        0,
      ),
      [1, arpFrame({ ethSrc: mac(1), op: 1, spa: "192.168.1.1", tpa: "192.168.1.2" })],
      [1, arpFrame({ ethSrc: mac(1), op: 1, spa: "192.168.1.9", tpa: "192.168.1.2" })],
      [4, icmpFrame({ ethSrc: mac(9), ethDst: mac(1), src: "10.3.3.3", dst: "192.168.1.1", rest: 0x10001 })],
      [
        1,
        icmpFrame({
          ethSrc: mac(1),
          ethDst: mac(9),
          src: "192.168.1.1",
          dst: "10.3.3.3",
          type: 0,
          rest: 0x10001,
        }),
      ],
      [
        4,
        udpFrame({
          ethSrc: mac(9),
          ethDst: mac(1),
          src: "10.1.3.3",
          dst: "192.168.1.1",
          srcPort: 5,
          dstPort: 53,
        }),
      ],
      [
        1,
        udpFrame({
          ethSrc: mac(1),
          ethDst: mac(9),
          src: "0.0.0.0",
          dst: "255.255.255.255",
          srcPort: 68,
          dstPort: 67,
        }),
      ],
    ),
    // The rule for 443 is gone: the connection is marked by the next packet, and its packets are dropped from then on.
    ...evenly(
      11,
      0.01,
      seg(WEB, TCP_ACK | TCP_PSH, 105, 300, "again"),
      seg(WEB, TCP_ACK | TCP_PSH, 105, 300, "again"),
      seg(turned(WEB, 1), TCP_ACK, 300, 105),
      ...shake({ ...WEB, sport: 50010 }, 1).slice(0, 1),
      seg(NEXT_DOOR, TCP_ACK | TCP_PSH, 100, 300, "me too"),
    ),
    // And comes back.
    ...evenly(
      21,
      0.01,
      ...shake({ ...WEB, sport: 50011 }, 1),
      seg(WEB, TCP_ACK | TCP_PSH, 105, 300, "again"),
    ),
  ],
  changes: [
    {
      seconds: "10",
      flows:
        "delete_strict table=82,priority=71,ct_state=+est-rel-rpl,tcp,reg5=0x1,tp_dst=443\n" +
        "delete_strict table=82,priority=71,ct_state=+new-est,tcp,reg5=0x1,tp_dst=443\n",
    },
    {
      seconds: "20.5",
      flows:
        "# two dimensions at once\nadd table=82,priority=71,ct_state=+est-rel-rpl,tcp,reg5=0x1,tp_dst=443 actions=conjunction(16,2/2)\n" +
        "table=82,priority=71,ct_state=+new-est,tcp,reg5=0x1,tp_dst=443 actions=conjunction(17,2/2)\n" +
        "modify table=92 actions=output:3\n" +
        "delete table=0,dl_dst=fa:16:3e:00:00:02\n",
    },
  ],
  traces: [
    ["in_port=4,tcp,dl_dst=fa:16:3e:00:00:01,nw_src=10.1.2.3,nw_dst=192.168.1.1,tp_src=1,tp_dst=8001"],
    [
      "in_port=4,tcp,dl_dst=fa:16:3e:00:00:01,nw_src=10.1.2.3,nw_dst=192.168.1.1,tp_src=1,tp_dst=8001",
      "--ct-next",
      "trk,est",
    ],
    [
      "in_port=4,tcp,dl_dst=fa:16:3e:00:00:01,nw_src=10.2.2.3,nw_dst=192.168.1.1,tp_src=1,tp_dst=80",
      "--ct-next",
      "trk,est,rpl",
    ],
    ["in_port=2", hex(seg(NEXT_DOOR, TCP_SYN, 1, 0)[1]), "--ct-next", "trk,new", "--ct-next", "est,trk"],
    ["in_port=4,tcp,dl_dst=fa:16:3e:00:00:01", "--ct-next", "new,est"],
    ["in_port=4,tcp,dl_dst=fa:16:3e:00:00:01", "--ct-next", "nonsense"],
    ["in_port=99,tcp,dl_dst=fa:16:3e:00:00:01"],
    ["in_port=1,icmp6,icmp_type=135,dl_src=fa:16:3e:00:00:01,nd_target=fd00::1,ipv6_src=fe80::1"],
  ],
}));

const V6 = { src: "fd00::1", dst: "fd00:1::2" };

const SOLICITATION = neighbourFrame({
  type: 135,
  src: "fd00::1",
  dst: "ff02::1:ff00:ff",
  ethDst: "33:33:ff:00:00:ff",
  target: "fd00::ff",
  options: [{ type: 1, mac: "02:00:00:00:00:01" }],
});

scene("an IPv6 router: neighbours answered by flows, headers passed, hops counted", () => ({
  shards: true,
  ports: [1, 2, 3],
  megaflows: true,
  flows: `
table=0,priority=50,icmp6,icmp_type=135,icmp_code=0,nd_target=fd00::ff actions=push:NXM_NX_IPV6_SRC[],push:NXM_OF_ETH_SRC[],set_field:fd00::ff->ipv6_src,set_field:136->icmpv6_type,resubmit(,2),set_field:02:00:00:00:00:ff->eth_src,pop:NXM_OF_ETH_DST[],pop:NXM_NX_IPV6_DST[],IN_PORT
table=0,priority=45,icmp6,icmp_type=133 actions=controller(userdata=00.00.00.05,max_len=256)
table=0,priority=40,ipv6,nw_ttl=0 actions=drop
table=0,priority=40,ipv6,nw_ttl=1 actions=controller(reason=invalid_ttl)
table=0,priority=30,ipv6,ipv6_dst=fd00:1::/64 actions=dec_ttl,set_field:02:00:00:00:00:ff->eth_src,set_field:02:00:00:00:00:12->eth_dst,resubmit(,1)
table=0,priority=30,ipv6,ipv6_dst=fd00:2::/64,ipv6_label=0x12345 actions=dec_ttl,set_field:0x54321->ipv6_label,move:NXM_NX_IPV6_SRC[0..31]->NXM_NX_REG1[],set_field:3->nw_ecn,output:3
table=0,priority=20,dl_dst=33:33:00:00:00:00/ff:ff:00:00:00:00 actions=FLOOD
table=2,icmp6,icmp_type=136 actions=set_field:2->nd_options_type,set_field:0xe0000000->nd_reserved,resubmit(,3)
table=3,icmp6,icmp_type=136,nd_options_type=2 actions=set_field:02:00:00:00:00:ff->nd_tll
table=1,priority=20,tcp6,tp_dst=80 actions=output:2
table=1,priority=20,udp6 actions=set_field:5353->udp_dst,output:2
table=1,priority=20,ipv6,ip_frag=later actions=output:3
table=1,priority=20,sctp6,sctp_dst=9 actions=output:2,output:3
table=1,priority=10,ipv6,nw_proto=58 actions=output:2
table=1,priority=5,ipv6,nw_proto=59 actions=output:3
`,
  frames: [
    ...evenly(
      0,
      0.1,
      [1, SOLICITATION],
      [
        1,
        neighbourFrame({
          type: 135,
          src: "::",
          dst: "ff02::1:ff00:1",
          ethDst: "33:33:ff:00:00:01",
          target: "fd00::1",
        }),
      ],
      [
        1,
        neighbourFrame({
          type: 136,
          src: "fd00::1",
          dst: "ff02::1",
          ethDst: "33:33:00:00:00:01",
          target: "fd00::1",
        }),
      ],
      [1, icmpFrame({ src: "fe80::1", dst: "ff02::2", type: 133, ttl: 255, rest: 0 })],
      [1, tcpFrame({ ...V6, srcPort: 1000, dstPort: 80, flags: TCP_SYN })],
      [1, tcpFrame({ ...V6, srcPort: 1000, dstPort: 80, flags: TCP_SYN, ttl: 1 })],
      [1, tcpFrame({ ...V6, srcPort: 1000, dstPort: 80, flags: TCP_SYN, ttl: 2, tos: 0xb9 })],
      [1, udpFrame({ ...V6, srcPort: 1000, dstPort: 53, payload: text("query") })],
      [1, udpFrame({ ...V6, srcPort: 1000, dstPort: 53, payload: text("query"), checksum: 0 })],
      [1, icmpFrame({ ...V6, rest: 0x10001, payload: text("ping") })],
      [1, sctpFrame({ ...V6, srcPort: 7, dstPort: 9, payload: text("chunk...") })],
      [1, ipFrame(V6, 59, new Uint8Array(0))],
      // Hop-by-hop, routing and destination options before TCP; a fragment, the first and the second.
      [
        1,
        ipFrame(
          V6,
          0,
          buildIpv6Extension(
            0,
            60,
            8,
            buildIpv6Extension(
              60,
              6,
              16,
              tcpFrame({ ...V6, srcPort: 1001, dstPort: 80, flags: TCP_ACK }).subarray(54),
            ),
          ),
        ),
      ],
      [
        1,
        ipFrame(
          V6,
          44,
          concatBytes(
            new Uint8Array([6, 0, 0, 1, 0, 0, 0, 9]),
            tcpFrame({ ...V6, srcPort: 1, dstPort: 80 }).subarray(54),
          ),
        ),
      ],
      [1, ipFrame(V6, 44, concatBytes(new Uint8Array([6, 0, 0, 0x18, 0, 0, 0, 9]), text("the rest of it")))],
      [1, ipFrame({ src: "fd00::1", dst: "fd00:2::2", ipv6: { label: 0x12345 } }, 17, text("short"))],
      [
        1,
        udpFrame({
          src: "fd00::1",
          dst: "fd00:2::2",
          ipv6: { label: 0x12345 },
          srcPort: 3,
          dstPort: 4,
          tos: 0x20,
          payload: text("xyz"),
        }),
      ],
    ),
  ],
  traces: [
    ["in_port=1", hex(SOLICITATION)],
    ["in_port=1,icmp6,icmp_type=135,nd_target=fd00::ff,ipv6_src=fd00::1,nd_sll=02:00:00:00:00:01"],
    ["in_port=1,icmp6,icmp_type=133"],
    ["in_port=1,tcp6,ipv6_src=fd00::1,ipv6_dst=fd00:1::2,nw_ttl=1"],
    ["in_port=1,ipv6,ipv6_src=fd00::1,ipv6_dst=fd00:1::2,nw_ttl=64,nw_frag=later"],
    ["in_port=1,udp6,ipv6_src=fd00::1,ipv6_dst=fd00:2::2,ipv6_label=0x12345,nw_ttl=64"],
    ["in_port=1,ipv6,ipv6_dst=ff02::5,dl_dst=33:33:00:00:00:05"],
  ],
}));

const LEARNER: SceneFrame[] = (() => {
  const host = (n: number) => `02:00:00:00:01:0${n}`;
  const ping = (from: number, to: number): readonly [number, Uint8Array] => [
    from,
    icmpFrame({
      ethSrc: host(from),
      ethDst: host(to),
      src: `10.0.0.${from}`,
      dst: `10.0.0.${to}`,
      rest: 1,
      minSize: 60,
    }),
  ];
  const tcp = (from: number, to: number, flags: number): readonly [number, Uint8Array] => [
    from,
    tcpFrame({
      ethSrc: host(from),
      ethDst: host(to),
      src: `10.0.0.${from}`,
      dst: `10.0.0.${to}`,
      srcPort: from === 1 ? 4000 : 80,
      dstPort: from === 1 ? 80 : 4000,
      flags,
      minSize: 60,
    }),
  ];
  return [
    ...evenly(0, 0.2, ping(1, 2), ping(2, 1), ping(1, 2), ping(3, 1)),
    ...evenly(
      2,
      0.2,
      tcp(1, 2, TCP_SYN),
      tcp(2, 1, TCP_SYN | TCP_ACK),
      tcp(1, 2, TCP_ACK),
      tcp(1, 2, TCP_FIN | TCP_ACK),
    ),
    ...evenly(3, 0.2, tcp(2, 1, TCP_ACK)),
    ...evenly(9, 0.2, tcp(2, 1, TCP_FIN | TCP_ACK), ping(1, 3)),
    // Idle for 20 s, but for one host.
    ...evenly(15, 2, ping(3, 1), ping(3, 1), ping(3, 1), ping(3, 1), ping(3, 1), ping(3, 1)),
    ...evenly(30, 0.2, ping(1, 2), ping(1, 3)),
    ...evenly(70, 0.2, ping(1, 3), ping(3, 1), ping(1, 3)),
    ...evenly(140, 0.2, tcp(1, 2, TCP_SYN), tcp(2, 1, TCP_RST | TCP_ACK), ping(1, 3)),
    ...evenly(142, 0.2, tcp(1, 2, TCP_ACK)),
  ];
})();

scene("a learning switch of flows, with every kind of timeout", () => ({
  ports: [1, 2, 3],
  flows: `
table=0,priority=10,dl_dst=01:80:c2:00:00:00/ff:ff:ff:ff:ff:f0 actions=drop
table=0,priority=5,tcp actions=learn(table=2,idle_timeout=60,hard_timeout=120,fin_idle_timeout=5,fin_hard_timeout=8,priority=7,cookie=0x77,send_flow_rem,eth_type=0x800,nw_proto=6,NXM_OF_IP_SRC[]=NXM_OF_IP_DST[],NXM_OF_IP_DST[]=NXM_OF_IP_SRC[],NXM_OF_TCP_SRC[]=NXM_OF_TCP_DST[],NXM_OF_TCP_DST[]=NXM_OF_TCP_SRC[],output:NXM_OF_IN_PORT[]),resubmit(,1)
table=0,priority=1 actions=resubmit(,1)
table=1,priority=9,dl_src=01:00:00:00:00:00/01:00:00:00:00:00 actions=drop
table=1,priority=1 actions=learn(table=10,idle_timeout=12,hard_timeout=65,priority=3,cookie=0x10,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15],load:0x1->NXM_NX_REG1[]),resubmit(,10),resubmit(,20)
table=10,priority=0 actions=set_field:0->reg0
table=20,priority=5,tcp,reg0=0 actions=resubmit(,2)
table=20,priority=4,reg0=0 actions=FLOOD
table=20,priority=3 actions=output:NXM_NX_REG0[]
`,
  frames: LEARNER,
  traces: [
    [
      "in_port=1,tcp,dl_src=02:00:00:00:01:01,dl_dst=02:00:00:00:01:02,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=4000,tp_dst=80",
    ],
    ["in_port=1,icmp,dl_vlan=5,dl_src=02:00:00:00:01:01,dl_dst=02:00:00:00:01:02"],
  ],
}));
