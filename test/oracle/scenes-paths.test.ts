// Scenes of ways through a network: labels and tags, tunnels, sizes, hops, groups that fail over, rates.
import { concatBytes } from "../../src/packet/bytes.ts";
import { arpFrame, ethernetFrame, icmpFrame, ipFrame, tcpFrame, udpFrame } from "../../src/packet/frame.ts";
import { buildMpls } from "../../src/packet/mpls.ts";
import { TCP_ACK, TCP_PSH, TCP_SYN } from "../../src/packet/tcp.ts";
import { evenly, type SceneFrame, scene } from "./scene.ts";

const hex = (frame: Uint8Array): string => Buffer.from(frame).toString("hex");
const bytes = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => i & 0xff);
const udp = (dst: string, more: object = {}): Uint8Array =>
  udpFrame({ src: "10.1.0.5", dst, srcPort: 5000, dstPort: 6000, payload: bytes(20), ...more });

const mpls = (
  labels: readonly { label: number; ttl?: number; tc?: number }[],
  inner: Uint8Array,
): Uint8Array =>
  ethernetFrame(
    {},
    0x8847,
    concatBytes(
      ...labels.map(({ label, ttl = 64, tc = 0 }, i) =>
        buildMpls({ label, ttl, tc, bottom: i === labels.length - 1 }),
      ),
      inner,
    ),
  );
const packet = (frame: Uint8Array): Uint8Array => frame.subarray(14);

scene("an MPLS VPN: two customers with the same addresses, transit, and the last hop but one", () => ({
  shards: true,
  ports: [1, 2, 3, 4],
  flows: `
# customers at 1 and 2, core at 3
table=0,priority=10,in_port=1,ip actions=dec_ttl,set_field:0x64->metadata,resubmit(,1)
table=0,priority=10,in_port=2,ip actions=dec_ttl,set_field:0x65->metadata,resubmit(,1)
table=1,metadata=0x64,ip,nw_dst=10.2.0.0/16 actions=push_mpls:0x8847,set_field:1001->mpls_label,set_field:0->mpls_tc,push_mpls:0x8847,set_field:200->mpls_label,set_field:5->mpls_tc,set_field:02:00:00:00:00:aa->eth_dst,output:3
table=1,metadata=0x65,ip,nw_dst=10.2.0.0/16 actions=push_mpls:0x8847,set_field:1002->mpls_label,push_mpls:0x8847,set_field:200->mpls_label,set_field:02:00:00:00:00:aa->eth_dst,output:3
# transit: swap; the last hop but one: pop one label of two
table=0,priority=20,in_port=3,mpls,mpls_label=300,mpls_bos=0 actions=dec_mpls_ttl,set_field:301->mpls_label,output:4
table=0,priority=20,in_port=3,mpls,mpls_label=400,mpls_bos=0 actions=dec_mpls_ttl,pop_mpls:0x8847,output:4
# the edge: pop, look at the packet
table=0,priority=20,in_port=3,mpls,mpls_label=1001,mpls_bos=1 actions=pop_mpls:0x0800,set_field:0x64->metadata,resubmit(,5)
table=0,priority=20,in_port=3,mpls,mpls_label=1002,mpls_bos=1 actions=pop_mpls:0x0800,goto_table:6
table=0,priority=19,in_port=3,mpls,mpls_label=1003,mpls_bos=1 actions=pop_mpls:0x86dd,dec_ttl,output:1
table=0,priority=5,mpls,mpls_ttl=1 actions=controller(reason=invalid_ttl)
table=5,ip,nw_dst=10.1.0.0/16,metadata=0x64 actions=dec_ttl,set_field:02:00:00:00:00:11->eth_dst,output:1
table=6,udp,tp_dst=6000 actions=set_field:6001->udp_dst,output:2
table=6,priority=1 actions=output:2
`,
  frames: evenly(
    0,
    0.1,
    [1, udp("10.2.0.9")],
    [2, udp("10.2.0.9", { tos: 0xb8 })],
    [1, udp("10.2.0.9", { ttl: 1 })],
    [1, udp("10.3.0.9")],
    [3, mpls([{ label: 300 }, { label: 1001 }], packet(udp("10.1.0.9")))],
    [3, mpls([{ label: 300, ttl: 1 }, { label: 1001 }], packet(udp("10.1.0.9")))],
    [
      3,
      mpls(
        [
          { label: 400, ttl: 9, tc: 3 },
          { label: 1001, ttl: 33 },
        ],
        packet(udp("10.1.0.9")),
      ),
    ],
    [3, mpls([{ label: 400 }, { label: 17 }, { label: 1001 }], packet(udp("10.1.0.9")))],
    [3, mpls([{ label: 1001 }], packet(udp("10.1.0.9")))],
    [3, mpls([{ label: 1001 }], packet(udp("10.1.0.9", { ttl: 1 })))],
    [3, mpls([{ label: 1002 }], packet(udp("10.1.0.9")))],
    [3, mpls([{ label: 1002 }], packet(tcpFrame({ flags: TCP_SYN })))],
    [
      3,
      mpls([{ label: 1003 }], packet(udpFrame({ src: "fd00::1", dst: "fd00::2", srcPort: 1, dstPort: 2 }))),
    ],
    [3, mpls([{ label: 1004, ttl: 1 }], packet(udp("10.1.0.9")))],
    [3, mpls([{ label: 1002 }], new Uint8Array(3))],
    [3, ethernetFrame({}, 0x8847, new Uint8Array(2))],
  ),
  traces: [
    ["in_port=1,udp,nw_dst=10.2.0.9,nw_ttl=64,nw_tos=184"],
    ["in_port=3,mpls,mpls_label=300,mpls_bos=0,mpls_ttl=9"],
    ["in_port=3", hex(mpls([{ label: 1001 }], packet(udp("10.1.0.9"))))],
    ["in_port=3", hex(mpls([{ label: 1002 }], packet(udp("10.1.0.9"))))],
    ["in_port=3", hex(mpls([{ label: 400 }, { label: 17 }, { label: 1001 }], packet(udp("10.1.0.9"))))],
    ["in_port=3,mpls,mpls_label=1001,mpls_bos=1,mpls_ttl=64"],
    ["in_port=3,mpls,mpls_label=1004,mpls_bos=1,mpls_ttl=1"],
  ],
}));

scene("provider bridging: a customer's tags carried in another", () => ({
  shards: true,
  ports: [1, 2, 3],
  megaflows: true,
  flows: `
table=0,in_port=1,dl_vlan=10 actions=push_vlan:0x88a8,set_field:4196->vlan_vid,output:2
table=0,in_port=1,vlan_tci=0x0000/0x1fff actions=push_vlan:0x8100,set_field:4106->vlan_vid,set_field:3->vlan_pcp,output:2
table=0,priority=9,in_port=1,vlan_tci=0x1000/0x1000 actions=set_field:4199->vlan_vid,output:2
table=0,in_port=2,dl_vlan=100 actions=pop_vlan,resubmit(,1)
table=0,priority=9,in_port=2,vlan_tci=0x1000/0x1000 actions=strip_vlan,output:1
table=0,priority=8,in_port=2 actions=output:1
table=1,dl_vlan=10 actions=output:1
table=1,dl_vlan=11,arp actions=pop_vlan,output:3
table=1,priority=1,vlan_tci=0 actions=output:3
table=1,priority=2,ip,vlan_tci=0x1000/0x1000 actions=move:OXM_OF_VLAN_VID[]->NXM_NX_REG0[0..11],pop_vlan,output:NXM_NX_REG0[0..1]
`,
  frames: evenly(
    0,
    0.1,
    [1, udp("10.2.0.9", { vlans: [{ vid: 10 }] })],
    [1, udp("10.2.0.9", { vlans: [{ vid: 10, pcp: 5 }] })],
    [1, udp("10.2.0.9")],
    [1, udp("10.2.0.9", { vlans: [{ vid: 77 }] })],
    [1, udp("10.2.0.9", { vlans: [{ vid: 10 }, { vid: 20 }] })],
    [2, udp("10.2.0.9", { vlans: [{ tpid: 0x88a8, vid: 100 }, { vid: 10 }] })],
    [2, arpFrame({ vlans: [{ tpid: 0x88a8, vid: 100 }, { vid: 11 }] })],
    [2, udp("10.2.0.9", { vlans: [{ tpid: 0x88a8, vid: 100 }, { vid: 6 }] })],
    [2, udp("10.2.0.9", { vlans: [{ tpid: 0x8100, vid: 100 }] })],
    [2, udp("10.2.0.9", { vlans: [{ tpid: 0x88a8, vid: 100 }, { vid: 6 }, { vid: 7 }] })],
    [2, udp("10.2.0.9")],
    [2, udp("10.2.0.9", { vlans: [{ vid: 0, pcp: 6 }] })],
    [2, udp("10.2.0.9", { vlans: [{ vid: 4095 }] })],
  ),
  traces: [
    ["in_port=1,dl_vlan=10,dl_type=0x0800"],
    ["in_port=1,udp,dl_vlan=10,dl_vlan_pcp=3"],
    ["in_port=2", hex(udp("10.2.0.9", { vlans: [{ tpid: 0x88a8, vid: 100 }, { vid: 10 }] }))],
    ["in_port=2,dl_vlan=100"],
    ["in_port=1,ip"],
    ["in_port=2,vlan_tci=0x6000"],
  ],
}));

const SIZES: SceneFrame[] = evenly(
  0,
  0.1,
  ...[20, 1458, 1459, 1472, 1473, 3000].map(
    (n) =>
      [1, udpFrame({ src: "10.0.0.1", dst: "10.9.0.1", payload: bytes(n), srcPort: 1, dstPort: 2 })] as const,
  ),
  [1, tcpFrame({ src: "10.0.0.1", dst: "10.9.0.1", payload: bytes(1461), flags: TCP_ACK | TCP_PSH })],
  [1, udpFrame({ src: "10.0.0.1", dst: "10.9.0.1", payload: bytes(1469), vlans: [{ vid: 5 }] })],
  [1, udpFrame({ src: "10.0.0.1", dst: "10.9.0.1", payload: bytes(1473), ttl: 1 })],
  [2, icmpFrame({ src: "10.9.0.1", dst: "10.0.0.1", ttl: 2, payload: bytes(10) })],
  [2, icmpFrame({ src: "10.9.0.1", dst: "10.0.0.1", ttl: 1, payload: bytes(10) })],
  [2, icmpFrame({ src: "10.9.0.1", dst: "10.0.0.1", ttl: 0, payload: bytes(10) })],
);

scene("a gateway: packets that are too big, hops that run out, an echo answered by flows", () => ({
  shards: true,
  ports: [1, 2, 3],
  megaflows: true,
  flows: `
table=0,priority=30,icmp,icmp_type=8,icmp_code=0,nw_dst=10.0.0.254 actions=move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[],set_field:10.0.0.254->ip_src,set_field:0->icmp_type,set_field:255->nw_ttl,move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:02:00:00:00:00:fe->eth_src,IN_PORT
table=0,priority=20,in_port=1,ip actions=check_pkt_larger(1514)->NXM_NX_REG0[0],resubmit(,1)
table=0,priority=20,in_port=2,ip actions=dec_ttl(1,2),output:1
table=1,priority=10,ip,reg0=0x1/0x1 actions=controller(id=3,max_len=64,userdata=00.00.00.0b),clone(set_field:10.0.0.254->ip_src,output:3)
table=1,priority=5,ip actions=dec_ttl,check_pkt_larger(100)->OXM_OF_PKT_REG3[63],set_queue:2,resubmit(,2)
table=2,reg6=0x80000000/0x80000000 actions=pop_queue,output(port=2,max_len=100)
table=2,priority=1 actions=output:2
`,
  frames: [
    ...SIZES,
    ...evenly(
      5,
      0.1,
      [1, icmpFrame({ src: "10.0.0.1", dst: "10.0.0.254", rest: 0x70001, payload: bytes(56) })],
      [1, icmpFrame({ src: "10.0.0.1", dst: "10.0.0.254", type: 13, rest: 0x70001, payload: bytes(12) })],
      [1, ipFrame({ src: "10.0.0.1", dst: "10.0.0.254", ipv4: { flags: 1 } as object }, 1, bytes(16))],
    ),
  ],
  traces: [
    ["in_port=1,udp,nw_dst=10.9.0.1,nw_ttl=64"],
    ["in_port=1", hex(udpFrame({ src: "10.0.0.1", dst: "10.9.0.1", payload: bytes(1473) }))],
    ["in_port=1", hex(udpFrame({ src: "10.0.0.1", dst: "10.9.0.1", payload: bytes(90) }))],
    ["in_port=2,icmp,nw_ttl=1"],
    ["in_port=1,icmp,nw_src=10.0.0.1,nw_dst=10.0.0.254,icmp_type=8,nw_ttl=3"],
  ],
}));

scene("groups of every type, and buckets that look at others", () => ({
  ports: [1, 2, 3, 4],
  groups: `
group_id=1,type=ff,bucket=bucket_id:1,watch_port:77,actions=output:4,bucket=bucket_id:2,watch_port:2,actions=set_field:02:00:00:00:00:22->eth_dst,output:2,bucket=bucket_id:3,watch_port:3,actions=output:3
group_id=2,type=ff,bucket=bucket_id:1,watch_group:3,actions=group:3,bucket=bucket_id:2,watch_group:1,actions=group:1
group_id=3,type=ff,bucket=bucket_id:1,watch_port:78,actions=output:4
group_id=4,type=all,bucket=bucket_id:1,actions=push_vlan:0x8100,set_field:4100->vlan_vid,output:2,bucket=bucket_id:2,actions=set_field:10.9.9.9->ip_dst,dec_ttl,output:3,bucket=bucket_id:3,actions=output:4,bucket=bucket_id:4,actions=group:5
group_id=5,type=indirect,bucket=bucket_id:0,actions=set_field:7->tun_id,resubmit(,7)
group_id=6,type=select,selection_method=hash,fields(ip_src,ip_dst=255.255.255.0),bucket=bucket_id:1,weight:10,actions=output:2,bucket=bucket_id:2,weight:20,actions=output:3
group_id=7,type=all
group_id=8,type=select,selection_method=dp_hash,bucket=bucket_id:5,weight:0,actions=output:2,bucket=bucket_id:6,weight:7,watch_port:3,actions=output:3
`,
  flows: `
table=0,priority=1 actions=NORMAL
table=0,priority=5,udp,tp_dst=1 actions=group:1
table=0,priority=5,udp,tp_dst=2 actions=group:2
table=0,priority=5,udp,tp_dst=3 actions=group:3,output:2
table=0,priority=5,udp,tp_dst=4 actions=group:4,output:1,IN_PORT
table=0,priority=5,udp,tp_dst=5 actions=set_field:33->udp_src,write_actions(set_field:10.7.7.7->ip_src,group:5,dec_ttl),goto_table:1
table=0,priority=5,udp,tp_dst=6 actions=group:6
table=0,priority=5,udp,tp_dst=7 actions=group:7
table=0,priority=5,udp,tp_dst=8 actions=group:8
table=1,priority=5 actions=write_actions(output:4,push_vlan:0x88a8),write_metadata:0x5/0xff,goto_table:2
table=2,priority=5,metadata=0x5 actions=clear_actions,write_actions(group:5)
table=7,priority=5,tun_id=7 actions=output:4
`,
  frames: evenly(
    0,
    0.1,
    ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((no) => [1, udp("10.2.0.9", { dstPort: no })] as const),
    ...[1, 2, 3, 4, 5, 6].map((n) => [1, udp("10.2.0.9", { dstPort: 6, src: `10.1.0.${n}` })] as const),
    ...[1, 2, 3].map((n) => [1, udp(`10.2.0.${n}`, { dstPort: 6 })] as const),
    ...[1, 2, 3].map((n) => [1, udp(`10.2.${n}.9`, { dstPort: 6, srcPort: n })] as const),
  ),
  traces: [1, 2, 3, 4, 5, 6, 7].map((no) => [
    `in_port=1,udp,nw_src=10.1.0.5,nw_dst=10.2.0.9,nw_ttl=64,tp_dst=${no},tp_src=9`,
  ]),
}));

scene("rates over minutes: dropped, and marked", () => ({
  ports: [1, 2, 3],
  meters: `
meter=1,pktps,stats,bands=type=drop,rate=2
meter=2,kbps,burst,stats,bands=type=drop,rate=8,burst_size=16
meter=3,pktps,burst,bands=type=drop,rate=1,burst_size=3
meter=4,kbps,stats,bands=type=drop,rate=100,type=drop,rate=4
meter=5,pktps,burst,stats,bands=type=drop,rate=100,burst_size=10
`,
  flows: `
table=0,udp,tp_dst=1 actions=meter:1,output:2
table=0,udp,tp_dst=2 actions=meter:2,output:2
table=0,udp,tp_dst=3 actions=meter:3,output:2
table=0,udp,tp_dst=4 actions=meter:4,output:3,output:2
table=0,udp,tp_dst=5 actions=meter:5,controller(meter_id=5,max_len=20),output:2
`,
  frames: [1, 2, 3, 4, 5]
    .flatMap((no) => [
      ...Array.from({ length: 8 }, (_, i) => ({ seconds: i * 0.25 + no * 0.001, port: 1, no })),
      ...Array.from({ length: 5 }, (_, i) => ({ seconds: 30 + i * 1.5 + no * 0.001, port: 1, no })),
      ...Array.from({ length: 6 }, (_, i) => ({ seconds: 100 + i * 0.1 + no * 0.001, port: 1, no })),
    ])
    .sort((a, b) => a.seconds - b.seconds)
    .map(({ seconds, port, no }) => ({
      seconds,
      port,
      bytes: udp("10.2.0.9", { dstPort: no, tos: 0x28, payload: bytes(no === 4 ? 700 : 300) }),
    })),
  traces: [["in_port=1,udp,tp_dst=4"], ["in_port=1,udp,tp_dst=5"]],
}));
