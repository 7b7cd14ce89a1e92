// Every expectation here is what ofproto/trace of Open vSwitch 3.1.0 printed for the same flow.
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatFlow, parseFlow } from "./flow-text.ts";

// biome-ignore format: a table of pairs.
const PRINTED: readonly (readonly [text: string, printed: string])[] = [
  ["in_port=1,tcp,nw_src=1.2.3.4,tp_src=5", "tcp,in_port=1,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=1.2.3.4,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=5,tp_dst=0,tcp_flags=0"],
  ["tcp,nw_ttl=64", "tcp,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=64,nw_frag=no,tp_src=0,tp_dst=0,tcp_flags=0"],
  ["ip", "ip,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_proto=0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no"],
  ["in_port=1", "in_port=1,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,dl_type=0x0000"],
  ["arp,arp_op=1,arp_spa=1.2.3.4,arp_sha=00:00:00:00:00:01", "arp,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,arp_spa=1.2.3.4,arp_tpa=0.0.0.0,arp_op=1,arp_sha=00:00:00:00:00:01,arp_tha=00:00:00:00:00:00"],
  ["icmp,icmp_type=8,icmp_code=0", "icmp,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,icmp_type=8,icmp_code=0"],
  ["icmp6,icmpv6_type=135,icmpv6_code=0,nd_target=fe80::1,nd_sll=00:00:00:00:00:01", "icmp6,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,ipv6_src=::,ipv6_dst=::,ipv6_label=0x00000,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,icmp_type=135,icmp_code=0,nd_target=fe80::1,nd_sll=00:00:00:00:00:01,nd_tll=00:00:00:00:00:00"],
  ["icmp6,icmpv6_type=136,nd_target=fe80::1,nd_tll=00:00:00:00:00:02", "icmp6,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,ipv6_src=::,ipv6_dst=::,ipv6_label=0x00000,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,icmp_type=136,icmp_code=0,nd_target=fe80::1,nd_sll=00:00:00:00:00:00,nd_tll=00:00:00:00:00:02"],
  ["icmp6,icmpv6_type=128", "icmp6,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,ipv6_src=::,ipv6_dst=::,ipv6_label=0x00000,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,icmp_type=128,icmp_code=0"],
  ["udp6,ipv6_src=::1,ipv6_label=0x12345", "udp6,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,ipv6_src=::1,ipv6_dst=::,ipv6_label=0x12345,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=0"],
  ["sctp,sctp_src=5", "sctp,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=5,tp_dst=0"],
  ["sctp6,sctp_src=5", "sctp6,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,ipv6_src=::,ipv6_dst=::,ipv6_label=0x00000,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=5,tp_dst=0"],
  ["ip,nw_proto=2", "ip,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_proto=2,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=0"],
  ["ip,nw_proto=2,in_port=2", "ip,in_port=2,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_proto=2,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=0"],
  ["ip,nw_proto=47", "ip,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_proto=47,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no"],
  ["tcp,dl_vlan=5", "tcp,in_port=ANY,dl_vlan=5,dl_vlan_pcp=0,vlan_tci1=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=0,tcp_flags=0"],
  ["tcp,dl_vlan=5,dl_vlan_pcp=3", "tcp,in_port=ANY,dl_vlan=5,dl_vlan_pcp=3,vlan_tci1=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=0,tcp_flags=0"],
  ["tcp,vlan_tci=0x1005", "tcp,in_port=ANY,dl_vlan=5,dl_vlan_pcp=0,vlan_tci1=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=0,tcp_flags=0"],
  ["tcp,vlan_tci=0x0005", "tcp,in_port=ANY,vlan_tci=0x0005,vlan_tci1=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=0,tcp_flags=0"],
  ["tcp,vlan_vid=5", "tcp,in_port=ANY,vlan_tci=0x0005,vlan_tci1=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=0,tcp_flags=0"],
  ["tcp,vlan_vid=0x1005,vlan_pcp=3", "tcp,in_port=ANY,dl_vlan=5,dl_vlan_pcp=3,vlan_tci1=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=0,tcp_flags=0"],
  ["mpls,mpls_label=100,mpls_bos=1,mpls_ttl=64", "mpls,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,mpls_label=100,mpls_tc=0,mpls_ttl=64,mpls_bos=1"],
  ["mpls,mpls_label=100", "mpls,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,mpls_label=100,mpls_tc=0,mpls_ttl=0,mpls_bos=0,mpls_lse1=0,mpls_lse2=0"],
  ["mplsm,mpls_tc=3", "mplsm,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,mpls_label=0,mpls_tc=3,mpls_ttl=0,mpls_bos=0,mpls_lse1=0,mpls_lse2=0"],
  ["rarp", "rarp,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,arp_spa=0.0.0.0,arp_tpa=0.0.0.0,arp_op=0,arp_sha=00:00:00:00:00:00,arp_tha=00:00:00:00:00:00"],
  ["tcp,nw_frag=later", "tcp,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=later"],
  ["tcp,nw_frag=first,tp_src=4", "tcp,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=first,tp_src=4,tp_dst=0,tcp_flags=0"],
  ["tcp,nw_tos=4,nw_ecn=1", "tcp,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=4,nw_ecn=1,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=0,tcp_flags=0"],
  ["tcp,nw_tos=5", "tcp,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=4,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=0,tcp_flags=0"],
  ["tcp,ip_dscp=5", "tcp,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=20,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=0,tcp_flags=0"],
  ["tcp,tcp_flags=syn", "tcp,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=0,tcp_flags=syn"],
  ["tcp,tcp_flags=0x12", "tcp,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=0,tcp_flags=syn|ack"],
  ["ct_state=trk|new,ct_zone=5,ct_mark=0x5,ct_label=0x33,tcp", "ct_state=new|trk,ct_zone=5,ct_mark=0x5,ct_label=0x33,tcp,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=0,tcp_flags=0"],
  ["ct_state=trk|new,tcp,ct_nw_src=1.2.3.4,ct_nw_proto=6,ct_tp_src=8", "ct_state=new|trk,ct_nw_src=1.2.3.4,ct_nw_dst=0.0.0.0,ct_nw_proto=6,ct_tp_src=8,ct_tp_dst=0,tcp,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=0,tcp_flags=0"],
  ["ct_state=trk|est,tcp6,ct_ipv6_src=::1,ct_nw_proto=6,ct_tp_src=8", "ct_state=est|trk,ct_ipv6_src=::1,ct_ipv6_dst=::,ct_nw_proto=6,ct_tp_src=8,ct_tp_dst=0,tcp6,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,ipv6_src=::,ipv6_dst=::,ipv6_label=0x00000,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=0,tcp_flags=0"],
  ["ct_state=trk|est,tcp,ct_nw_src=1.2.3.4", "ct_state=est|trk,tcp,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=0,tcp_flags=0"],
  ["reg0=5,reg15=6,xreg1=0x123456789,metadata=7,tcp", "tcp,reg0=0x5,reg2=0x1,reg3=0x23456789,reg15=0x6,metadata=0x7,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=0,tcp_flags=0"],
  ["tun_id=5,tun_src=1.2.3.4,tun_dst=5.6.7.8,tcp", "tcp,tun_src=1.2.3.4,tun_dst=5.6.7.8,tun_ipv6_src=::,tun_ipv6_dst=::,tun_gbp_id=0,tun_gbp_flags=0,tun_tos=0,tun_ttl=0,tun_erspan_ver=0,gtpu_flags=0,gtpu_msgtype=0,tun_flags=0,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=0,tcp_flags=0"],
  ["tun_id=5,tcp", "tcp,tun_id=0x5,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=0,tcp_flags=0"],
  ["tun_ipv6_dst=::1,tcp", "tcp,tun_src=0.0.0.0,tun_dst=0.0.0.0,tun_ipv6_src=::,tun_ipv6_dst=::1,tun_gbp_id=0,tun_gbp_flags=0,tun_tos=0,tun_ttl=0,tun_erspan_ver=0,gtpu_flags=0,gtpu_msgtype=0,tun_flags=0,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=0,tcp_flags=0"],
  ["tun_dst=1.2.3.4,tun_flags=oam,tcp", "tcp,tun_src=0.0.0.0,tun_dst=1.2.3.4,tun_ipv6_src=::,tun_ipv6_dst=::,tun_gbp_id=0,tun_gbp_flags=0,tun_tos=0,tun_ttl=0,tun_erspan_ver=0,gtpu_flags=0,gtpu_msgtype=0,tun_flags=oam,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=0,tcp_flags=0"],
  ["tun_dst=1.2.3.4,tun_tos=16,tun_ttl=64,tun_gbp_id=5,tun_gbp_flags=4", "tun_src=0.0.0.0,tun_dst=1.2.3.4,tun_ipv6_src=::,tun_ipv6_dst=::,tun_gbp_id=5,tun_gbp_flags=0x4,tun_tos=10,tun_ttl=64,tun_erspan_ver=0,gtpu_flags=0,gtpu_msgtype=0,tun_flags=0,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,dl_type=0x0000"],
  ["tun_dst=1.2.3.4,tun_erspan_ver=1,tun_erspan_idx=5", "tun_src=0.0.0.0,tun_dst=1.2.3.4,tun_ipv6_src=::,tun_ipv6_dst=::,tun_gbp_id=0,tun_gbp_flags=0,tun_tos=0,tun_ttl=0,tun_erspan_ver=1,tun_erspan_idx=0x5,gtpu_flags=0,gtpu_msgtype=0,tun_flags=0,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,dl_type=0x0000"],
  ["tun_dst=1.2.3.4,tun_erspan_ver=2,tun_erspan_dir=1,tun_erspan_hwid=3", "tun_src=0.0.0.0,tun_dst=1.2.3.4,tun_ipv6_src=::,tun_ipv6_dst=::,tun_gbp_id=0,tun_gbp_flags=0,tun_tos=0,tun_ttl=0,tun_erspan_ver=2,tun_erspan_dir=1,tun_erspan_hwid=0x3,gtpu_flags=0,gtpu_msgtype=0,tun_flags=0,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,dl_type=0x0000"],
  ["tun_dst=1.2.3.4,tun_gtpu_flags=5,tun_gtpu_msgtype=255", "tun_src=0.0.0.0,tun_dst=1.2.3.4,tun_ipv6_src=::,tun_ipv6_dst=::,tun_gbp_id=0,tun_gbp_flags=0,tun_tos=0,tun_ttl=0,tun_erspan_ver=0,gtpu_flags=0x5,gtpu_msgtype=255,tun_flags=0,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,dl_type=0x0000"],
  ["pkt_mark=5,skb_priority=3,dp_hash=7", "pkt_mark=0x5,dp_hash=0x7,skb_priority=0x3,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,dl_type=0x0000"],
  ["recirc_id=5", "recirc_id=0x5,eth,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,dl_type=0x0000"],
  ["conj_id=5", "in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,dl_type=0x0000"],
  ["actset_output=3", "in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,dl_type=0x0000"],
  ["in_port=LOCAL", "in_port=LOCAL,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,dl_type=0x0000"],
  ["in_port=0", "in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,dl_type=0x0000"],
  ["dl_type=0x1234", "in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,dl_type=0x1234"],
  ["dl_type=0x88cc", "in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,dl_type=0x88cc"],
  ["dl_type=0x800,nw_proto=6,tp_src=4", "tcp,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=4,tp_dst=0,tcp_flags=0"],
  ["packet_type=(1,0x800),nw_src=1.2.3.4", "ct_nw_src=0.0.0.0,ct_nw_dst=0.0.0.0,packet_type=(1,0x800),in_port=ANY,nw_src=1.2.3.4,nw_dst=0.0.0.0,nw_proto=0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no"],
  ["packet_type=(1,0x800)", "ct_nw_src=0.0.0.0,ct_nw_dst=0.0.0.0,packet_type=(1,0x800),in_port=ANY,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_proto=0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no"],
  ["packet_type=(1,0x894f),nsh_spi=5", "packet_type=(1,0x894f),in_port=ANY"],
  ["dl_type=0x894f,nsh_spi=5,nsh_si=3,nsh_mdtype=1,nsh_c1=7", "in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,dl_type=0x894f,nsh_flags=0,nsh_ttl=0,nsh_mdtype=1,nsh_np=0,nsh_spi=0x5,nsh_si=3,nsh_c1=0x7,nsh_c2=0x0,nsh_c3=0x0,nsh_c4=0x0,nw_proto=0,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no"],
  ["dl_src=1:2:3:4:5:6,dl_dst=6:5:4:3:2:1", "in_port=ANY,vlan_tci=0x0000,dl_src=01:02:03:04:05:06,dl_dst=06:05:04:03:02:01,dl_type=0x0000"],
  ["eth_src=01:02:03:04:05:06", "in_port=ANY,vlan_tci=0x0000,dl_src=01:02:03:04:05:06,dl_dst=00:00:00:00:00:00,dl_type=0x0000"],
];

// biome-ignore format: a table of pairs.
const REFUSED: readonly (readonly [text: string, printed: string])[] = [
  ["eth,in_port=1", "eth,in_port=1: unknown field eth"],
  ["icmp6,icmp_type=135", "icmp6,icmp_type=135: prerequisites not met for setting icmp_type"],
  ["icmp6,icmpv6_type=135,nd_target=fe80::1,nd_sll=00:00:00:00:00:01,nd_tll=00:00:00:00:00:02", "icmp6,icmpv6_type=135,nd_target=fe80::1,nd_sll=00:00:00:00:00:01,nd_tll=00:00:00:00:00:02: prerequisites not met for setting nd_tll"],
  ["tcp,vlan_pcp=3", "tcp,vlan_pcp=3: prerequisites not met for setting vlan_pcp"],
  ["tcp,nw_frag=later,tp_src=4", "tcp,nw_frag=later,tp_src=4: prerequisites not met for setting tp_src"],
  ["tcp,nw_frag=yes", "tcp,nw_frag=yes: bad value for nw_frag (yes: wildcards not allowed here)"],
  ["tcp,nw_src=1.2.3.4/24", "tcp,nw_src=1.2.3.4/24: bad value for nw_src (1.2.3.4/24: wildcards not allowed here)"],
  ["tcp,nw_src=1.2.3.4,nw_src=1.2.3.4", "tcp,nw_src=1.2.3.4,nw_src=1.2.3.4: field nw_src set multiple times"],
  ["tcp,udp", "tcp,udp: Ethernet type set multiple times"],
  ["tcp,nw_proto=17", "tcp,nw_proto=17: field nw_proto set multiple times"],
  ["nw_src=1.2.3.4", "nw_src=1.2.3.4: prerequisites not met for setting nw_src"],
  ["nw_src=1.2.3.4,ip", "nw_src=1.2.3.4,ip: prerequisites not met for setting nw_src"],
  ["foo=1", "foo=1: unknown field foo"],
  ["tcp,tcp_flags=+syn", "tcp,tcp_flags=+syn: bad value for tcp_flags (+syn: wildcards not allowed here)"],
  ["ct_state=+trk,tcp", "ct_state=+trk,tcp: bad value for ct_state (+trk: wildcards not allowed here)"],
  ["tcp,ct_nw_src=1.2.3.4", "tcp,ct_nw_src=1.2.3.4: prerequisites not met for setting ct_nw_src"],
  ["ct_state=trk,tcp,ct_nw_src=1.2.3.4", "ct_state=trk,tcp,ct_nw_src=1.2.3.4: prerequisites not met for setting ct_nw_src"],
  ["reg0=5,xreg0=5,tcp", "reg0=5,xreg0=5,tcp: field xreg0 set multiple times"],
  ["reg0", "reg0: bad value for reg0 (: bad syntax for reg0 value)"],
  ["reg0=", "reg0=: bad value for reg0 (: bad syntax for reg0 value)"],
  ["reg0=x", "reg0=x: bad value for reg0 (x: bad syntax for reg0 value)"],
  ["tcp,tp_src=99999", "tcp,tp_src=99999: bad value for tp_src (99999: value too large for 2-byte field tcp_src)"],
  ["tcp,tp_src=", "tcp,tp_src=: bad value for tp_src (: bad syntax for tcp_src value)"],
];

test("flows are completed and printed as ofproto/trace does", () => {
  for (const [text, printed] of PRINTED) assert.equal(formatFlow(parseFlow(text)), printed, text);
});

test("bad flows are refused in OVS's words", () => {
  for (const [text, message] of REFUSED) assert.throws(() => parseFlow(text), { message }, text);
});
