// Every expectation here is what dpctl/dump-flows of Open vSwitch 3.1.0 printed for a flow added with dpctl/add-flow.
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatFlow, parseFlow } from "./flow-text.ts";
import { formatMegaflow } from "./megaflow-text.ts";
import { parseOdpFlow } from "./odp-text.ts";

// biome-ignore format: a table of pairs.
const PRINTED: readonly (readonly [text: string, printed: string])[] = [
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x0800),ipv4(frag=no)", "recirc_id(0),in_port(1),packet_type(ns=1,id=0x800),eth_type(0x0800),ipv4(frag=no)"],
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02/ff:ff:00:00:00:00),eth_type(0x0800),ipv4(src=10.0.0.0/255.0.0.0,dst=1.2.3.4,proto=6,tos=0/0xfc,ttl=64,frag=no),tcp(src=80/0xfff0,dst=5),tcp_flags(+syn-ack)", "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02/ff:ff:00:00:00:00),eth_type(0x0800),ipv4(src=10.0.0.0/255.0.0.0,dst=1.2.3.4,proto=6,tos=0/0xfc,ttl=64,frag=no),tcp(src=80/0xfff0,dst=5),tcp_flags(+syn-ack)"],
  ["recirc_id(0x5),dp_hash(0x1/0xf),skb_priority(0x5),skb_mark(0x7/0xff),ct_state(+new-inv+trk),ct_zone(0xfff0),ct_mark(0x5/0xff),ct_label(0x5/0xff),in_port(1),packet_type(ns=0,id=0),eth_type(0x0800),ipv4(frag=no)", "skb_priority(0x5),skb_mark(0x7/0xff),ct_state(+new-inv+trk),ct_zone(0xfff0),ct_mark(0x5/0xff),ct_label(0x5/0xff),recirc_id(0x5),dp_hash(0x1/0xf),in_port(1),packet_type(ns=1,id=0x800),eth_type(0x0800),ipv4(frag=no)"],
  ["recirc_id(0x5),ct_state(0x21),ct_mark(0/0xff),ct_label(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x0800),ipv4(frag=no)", "ct_state(+new-est-rel-rpl-inv+trk-snat-dnat),ct_mark(0/0xff),ct_label(0),recirc_id(0x5),in_port(1),packet_type(ns=1,id=0x800),eth_type(0x0800),ipv4(frag=no)"],
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x8100),vlan(vid=5,pcp=3),encap(eth_type(0x0800),ipv4(frag=no))", "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x8100),vlan(vid=5,pcp=3),encap(eth_type(0x0800),ipv4(frag=no))"],
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x8100),vlan(vid=6,pcp=3/0x0),encap(eth_type(0x0800),ipv4(frag=no))", "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x8100),vlan(vid=6,pcp=3/0x0),encap(eth_type(0x0800),ipv4(frag=no))"],
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x8100),vlan(vid=6/0x0,pcp=3/0x7),encap(eth_type(0x0800),ipv4(frag=no))", "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x8100),vlan(vid=6/0x0,pcp=3),encap(eth_type(0x0800),ipv4(frag=no))"],
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x0806),arp(sip=1.2.3.4,tip=1.2.3.0/255.255.255.0,op=1,sha=00:00:00:00:00:01,tha=00:00:00:00:00:00)", "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x0806),arp(sip=1.2.3.4,tip=1.2.3.0/255.255.255.0,op=1,sha=00:00:00:00:00:01,tha=00:00:00:00:00:00)"],
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x8035),arp(op=3)", "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x8035),arp(op=3)"],
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x86dd),ipv6(src=fe80::1,dst=fe80::/ffff::,label=0x5,proto=17,tclass=0x3/0xfc,hlimit=64,frag=no),udp(src=80/0xff00,dst=5)", "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x86dd),ipv6(src=fe80::1,dst=fe80::/ffff::,label=0x5,proto=17,tclass=0x3/0xfc,hlimit=64,frag=no),udp(src=80/0xff00,dst=5)"],
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x86dd),ipv6(proto=58,frag=no),icmpv6(type=135,code=0),nd(target=fe80::1,sll=00:00:00:00:00:01,tll=00:00:00:00:00:00)", "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x86dd),ipv6(proto=58,frag=no),icmpv6(type=135,code=0),nd(target=fe80::1,sll=00:00:00:00:00:01,tll=00:00:00:00:00:00)"],
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x86dd),ipv6(proto=58,frag=no),icmpv6(type=128/0xf0,code=0)", "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x86dd),ipv6(proto=58,frag=no),icmpv6(type=128/0xf0,code=0)"],
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x0800),ipv4(proto=132,frag=no),sctp(src=8,dst=0/0xf)", "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x0800),ipv4(proto=132,frag=no),sctp(src=8,dst=0/0xf)"],
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x0800),ipv4(proto=6,frag=first),tcp(src=8)", "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x0800),ipv4(proto=6,frag=first),tcp(src=8)"],
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x0800),ipv4(proto=6,frag=later)", "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x0800),ipv4(proto=6,frag=later)"],
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x8847),mpls(label=100,tc=3,ttl=64,bos=1)", "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x8847),mpls(label=100,tc=3,ttl=64,bos=1)"],
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x8847),mpls(label=100/0xf0,tc=3/0x1,ttl=64/0x0,bos=1/1)", "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x8847),mpls(label=100/0xf0,tc=3/1,ttl=64/0x0,bos=1/1)"],
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x1234)", "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x1234)"],
  ["recirc_id(0),tunnel(tun_id=0x5,src=1.2.3.4,dst=5.6.7.8,tos=0x10,ttl=64,tp_src=5,tp_dst=6,flags(df|csum|key)),in_port(2),packet_type(ns=0,id=0),eth(),eth_type(0x0800),ipv4(frag=no)", "tunnel(tun_id=0x5,src=1.2.3.4,dst=5.6.7.8,tos=0x10,ttl=64,tp_src=5,tp_dst=6,flags(df|csum|key)),recirc_id(0),in_port(2),packet_type(ns=0,id=0),eth_type(0x0800),ipv4(frag=no)"],
  ["recirc_id(0),tunnel(tun_id=0x5/0xff,src=1.2.3.4/255.0.0.0,dst=5.6.7.8,tos=0x10/0xfc,ttl=64,flags(-df+csum+key)),in_port(2),packet_type(ns=0,id=0),eth(),eth_type(0x0800),ipv4(frag=no)", "tunnel(tun_id=0x5/0xff,src=1.2.3.4/255.0.0.0,dst=5.6.7.8,tos=0x10/0xfc,ttl=64,flags(-df+csum+key)),recirc_id(0),in_port(2),packet_type(ns=0,id=0),eth_type(0x0800),ipv4(frag=no)"],
  ["recirc_id(0),tunnel(tun_id=0x5,ipv6_src=fe80::1,ipv6_dst=fe80::2,ttl=64,flags(key)),in_port(2),packet_type(ns=0,id=0),eth(),eth_type(0x0800),ipv4(frag=no)", "tunnel(tun_id=0x5,ipv6_src=fe80::1,ipv6_dst=fe80::2,ttl=64,flags(key)),recirc_id(0),in_port(2),packet_type(ns=0,id=0),eth_type(0x0800),ipv4(frag=no)"],
  ["recirc_id(0),ct_state(+est+trk),ct_tuple4(src=1.2.3.4,dst=5.6.7.8/255.255.0.0,proto=6,tp_src=5,tp_dst=6/0xff),in_port(2),packet_type(ns=0,id=0),eth(),eth_type(0x0800),ipv4(frag=no)", "ct_state(+est+trk),ct_tuple4(src=1.2.3.4,dst=5.6.7.8/255.255.0.0,proto=6,tp_src=5,tp_dst=6/0xff),recirc_id(0),in_port(2),packet_type(ns=0,id=0),eth_type(0x0800),ipv4(frag=no)"],
  ["recirc_id(0),ct_state(+est+trk),ct_tuple6(src=::1,dst=::2,proto=6,tp_src=5,tp_dst=6/0xff),in_port(2),packet_type(ns=0,id=0),eth(),eth_type(0x86dd),ipv6(frag=no)", "ct_state(+est+trk),ct_tuple6(src=::1,dst=::2,proto=6,src_port=5,dst_port=6/0xff),recirc_id(0),in_port(2),packet_type(ns=0,id=0),eth_type(0x86dd),ipv6(frag=no)"],
  ["recirc_id(0),in_port(1),packet_type(ns=1,id=0x800),ipv4(frag=no)", "recirc_id(0),in_port(1),packet_type(ns=1,id=0x800),eth_type(0x0800),ipv4(frag=no)"],
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x8847),mpls(label=100,tc=3,ttl=64/0x0,bos=1)", "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x8847),mpls(label=100/0xfffff,tc=3/7,ttl=64/0x0,bos=1/1)"],
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x8847),mpls(label=100,tc=3/0,ttl=64,bos=1/0)", "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x8847),mpls(label=100/0xfffff,tc=3/0,ttl=64/0xff,bos=1/0)"],
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x8847),mpls(label=100/0,tc=3/7,ttl=64/0xff,bos=1)", "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x8847),mpls(label=100/0x0,tc=3/7,ttl=64/0xff,bos=1/1)"],
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x8100),vlan(vid=5/0xf,pcp=3/0x1),encap(eth_type(0x0800),ipv4(frag=no))", "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x8100),vlan(vid=5/0xf,pcp=3/0x1),encap(eth_type(0x0800),ipv4(frag=no))"],
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x8100),vlan(vid=0,pcp=0),encap(eth_type(0x0800),ipv4(frag=no))", "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x8100),vlan(vid=0,pcp=0),encap(eth_type(0x0800),ipv4(frag=no))"],
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x8100),vlan(vid=0,pcp=3),encap(eth_type(0x0800),ipv4(frag=no))", "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x8100),vlan(vid=0,pcp=3),encap(eth_type(0x0800),ipv4(frag=no))"],
  ["recirc_id(0),tunnel(src=1.2.3.4,dst=5.6.7.8,ttl=64,flags()),in_port(2),packet_type(ns=0,id=0),eth(),eth_type(0x0800),ipv4(frag=no)", "tunnel(src=1.2.3.4,dst=5.6.7.8,ttl=64,flags(-oam-df-csum)),recirc_id(0),in_port(2),packet_type(ns=0,id=0),eth_type(0x0800),ipv4(frag=no)"],
  ["recirc_id(0),tunnel(src=1.2.3.4,dst=5.6.7.8,ttl=64/0,flags(-df-csum)),in_port(2),packet_type(ns=0,id=0),eth(),eth_type(0x0800),ipv4(frag=no)", "tunnel(src=1.2.3.4,dst=5.6.7.8,flags(-df-csum)),recirc_id(0),in_port(2),packet_type(ns=0,id=0),eth_type(0x0800),ipv4(frag=no)"],
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x0800),ipv4(proto=6,frag=no),tcp(),tcp_flags(0)", "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x0800),ipv4(proto=6,frag=no),tcp_flags(0)"],
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x0800),ipv4(proto=6,frag=no),tcp(src=1/0xf,dst=0/0x1),tcp_flags(syn)", "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x0800),ipv4(proto=6,frag=no),tcp(src=1/0xf,dst=0/0x1),tcp_flags(syn)"],
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x86dd),ipv6(label=0x5/0xff,frag=no)", "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x86dd),ipv6(label=0x5/0xff,frag=no)"],
  ["recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x86dd),ipv6(tclass=0x70/0xfc,frag=no)", "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x86dd),ipv6(tclass=0x70/0xfc,frag=no)"],
];

test("datapath keys are printed as dpctl/dump-flows does", () => {
  for (const [text, printed] of PRINTED) {
    const { flow, mask } = parseOdpFlow(text);
    assert.equal(formatMegaflow(flow, mask), printed, text);
  }
});

test("two tags and a frame without an Ethernet type", () => {
  for (const text of [
    "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth_type(0x88a8),vlan(vid=6,pcp=0),encap(eth_type(0x8100),vlan(vid=7,pcp=0),encap(eth_type(0x0800),ipv4(frag=no)))",
    "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02),eth_type(0/0xffff)",
  ]) {
    const { flow, mask } = parseOdpFlow(text.replace("eth_type(0x88a8)", "eth(),eth_type(0x88a8)"));
    assert.equal(formatMegaflow(flow, mask), text);
  }
});

test("a datapath key serves as a flow to trace", () => {
  const key =
    "in_port(1),eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02),eth_type(0x8100),vlan(vid=5,pcp=3)," +
    "encap(eth_type(0x0800),ipv4(src=1.2.3.4,dst=5.6.7.8,proto=6,tos=0,ttl=64,frag=no),tcp(src=5,dst=6))";
  assert.equal(
    formatFlow(parseFlow(key)),
    "tcp,in_port=1,dl_vlan=5,dl_vlan_pcp=3,vlan_tci1=0x0000,dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:02," +
      "nw_src=1.2.3.4,nw_dst=5.6.7.8,nw_tos=0,nw_ecn=0,nw_ttl=64,nw_frag=no,tp_src=5,tp_dst=6,tcp_flags=0",
  );
  assert.throws(() => parseFlow("in_port(1),foo(2)"), {
    message: "in_port(1),foo(2): unknown field foo",
  });
});
