// encap and decap, asked of both switches: tables, and the frame that goes through them. Left out is what ends OVS 3.1 with an
// assertion: encap(mpls) before a frame that has labels, an encap inside a clone or bucket that is never sent, ct on a frame
// without an Ethernet header.

export interface EncapCase {
  readonly flows: readonly string[];
  readonly frame: string;
  /** Why our megaflow is narrower than OVS's. */
  readonly narrower?: string;
}

const ETH = "020000000002020000000001";
const IP = "45b80028000000002106000001010101020202020005005000000001000000005002010000000000";
const IPV6 = `6000000000141140${"20010db8".padEnd(32, "0")}${"20010db9".padEnd(32, "0")}0005005000140000${"61".repeat(12)}`;
const TCP = `${ETH}0800${IP}`;
const VLAN = `${ETH}810000640800${IP}`;
const V6 = `${ETH}86dd${IPV6}`;
const ARP = `${ETH}0806000108000604000102000000000101010101000000000000${"02020202"}`;
const CONTEXT = "00000001000000020000000300000004";
const nsh = (first: string, md: string, np: string, rest: string): string =>
  `${ETH}894f${first}${md}${np}000123ff${rest}`;
const NSH = nsh("0fc6", "01", "03", CONTEXT + TCP);
const NSH_IP = nsh("0fc6", "01", "01", CONTEXT + IP);
const NSH_IPV6 = nsh("0fc6", "01", "02", CONTEXT + IPV6);
const NSH_NSH = nsh("0fc6", "01", "04", CONTEXT + NSH.slice(28));
const NSH_OTHER = nsh("0fc6", "01", "05", CONTEXT + TCP);
const NSH_LYING = nsh("0fc5", "01", "03", CONTEXT + TCP);
const NSH_SHORT = `${ETH}894f0fc60103`;
const NSH_2 = nsh("0fc4", "02", "03", `01010104aabbccdd${TCP}`);
const MPLS = `${ETH}884700064121${IP}`;
const MPLS_2 = `${ETH}88470006404000065140${IP}`;
const MPLS_ETH = `${ETH}884700064121${TCP}`;
const LLC = `${ETH}0026424203${"00".repeat(35)}`;
const SNAP = `${ETH}0030aaaa030000000800${IP}`;

const one = (actions: string, frame: string = TCP, match = ""): EncapCase => ({
  flows: [`${match === "" ? "" : `${match},`}actions=${actions}`],
  frame,
});
const N = "dl_type=0x894f";
const M = "mpls";

export const ENCAP_CASES: readonly EncapCase[] = [
  one("output:2", NSH_2),
  one("output:2", NSH),
  // encap(nsh)
  one(
    "encap(nsh(md_type=1)),set_field:0x123->nsh_spi,set_field:0x11223344->nsh_c1,encap(ethernet),set_field:11:22:33:44:55:66->dl_dst,output:2",
  ),
  one("encap(nsh),set_field:7->nsh_si,set_field:3->nsh_flags,encap(ethernet),output:2", VLAN),
  one("encap(nsh),encap(ethernet),output:2", V6),
  one(
    "encap(nsh(md_type=2,tlv(0x1000,10,0x12345678),tlv(0x2000,20,0xfedcba9876543210))),set_field:0x123->nsh_spi,encap(ethernet),output:2",
  ),
  one("encap(nsh(md_type=2,tlv(0x1000,10,0x123456))),encap(ethernet),output:2"),
  one("encap(nsh(md_type=2)),encap(ethernet),output:2"),
  one("encap(nsh(md_type=1,tlv(0x1000,10,0x12345678))),encap(ethernet),output:2"),
  one("encap(nsh),output:2"),
  one("encap(nsh),encap(nsh),encap(ethernet),output:2"),
  one("encap(nsh),decap(),output:2"),
  one("encap(nsh),encap(ethernet),decap(),decap(),output:2"),
  one("encap(nsh),encap(ethernet),push_vlan:0x8100,output:2"),
  one("push_vlan:0x8100,encap(nsh),output:2"),
  one("encap(nsh(md_type=1)),dec_nsh_ttl,encap(ethernet),output:2"),
  one("encap(nsh),encap(ethernet),output:2", NSH, N),
  one("decap(),encap(nsh),encap(ethernet),output:2", NSH, N),
  one("decap(),encap(nsh),encap(ethernet),output:2"),
  one("decap(),encap(nsh),encap(ethernet),output:2", V6),
  one("decap(),encap(nsh),encap(ethernet),output:2", ARP),
  one("encap(nsh(md_type=1)),encap(ethernet),output:2,set_field:7->nsh_spi,output:3"),
  one("encap(nsh(md_type=1)),encap(ethernet),output:2,decap(),set_field:7->nsh_spi,encap(ethernet),output:3"),
  one("clone(encap(nsh(md_type=1)),encap(ethernet),output:2),output:3"),
  one("encap(nsh),check_pkt_larger(50)->NXM_NX_REG0[0],encap(ethernet),output:3"),
  one("encap(nsh),encap(ethernet),write_actions(output:2)"),
  one("write_actions(encap(nsh),encap(ethernet),output:2)"),
  // encap(ethernet), decap()
  one("encap(ethernet),output:2"),
  one("decap(),output:2"),
  one("decap(),encap(ethernet),output:2", LLC),
  one("decap(),encap(ethernet),output:2", SNAP),
  one("decap(),encap(ethernet),output:2", ARP),
  one("decap(),decap(),output:2"),
  one("decap(),output:2,encap(ethernet),output:3", VLAN),
  one("decap(packet_type(ns=1,type=0x800)),output:2"),
  one("clone(decap(),output:2),output:3"),
  one("clone(decap()),output:3"),
  one("decap(),normal"),
  one("decap(),output:IN_PORT,output:LOCAL,FLOOD,ALL"),
  one("write_actions(decap(),encap(ethernet),output:2)"),
  one(
    "set_field:9.9.9.9->nw_dst,set_field:02:02:02:02:02:02->dl_dst,decap(),encap(ethernet),output:2",
    TCP,
    "ip",
  ),
  one(
    "set_field:9.9.9.9->nw_dst,decap(),encap(ethernet),set_field:02:02:02:02:02:02->dl_dst,output:2,dec_ttl,output:3",
    TCP,
    "ip",
  ),
  one("dec_ttl,decap(),dec_ttl,encap(ethernet),output:2", TCP, "ip"),
  one("output(port=2,max_len=64),decap(),output(port=2,max_len=64)", TCP, "ip"),
  one("decap(),check_pkt_larger(10)->NXM_NX_REG0[0],encap(ethernet),output:2", TCP, "ip"),
  {
    flows: [
      "table=0,actions=decap(),resubmit(,1),encap(ethernet),output:2",
      "table=1,actions=set_field:22:22:22:22:22:22->dl_dst",
    ],
    frame: TCP,
  },
  {
    flows: [
      "table=0,actions=decap(),resubmit(,1)",
      "table=1,packet_type=(1,0x894f),nsh_spi=0x123,actions=encap(ethernet),output:2",
      "table=1,packet_type=(1,0x800),nw_dst=2.2.2.2,actions=set_field:9.9.9.9->nw_dst,encap(ethernet),set_field:02:02:02:02:02:02->dl_dst,output:3",
      "table=1,eth,actions=output:4",
    ],
    frame: TCP,
  },
  {
    flows: [
      "table=0,actions=decap(),resubmit(,1)",
      "table=1,packet_type=(1,0x894f),actions=encap(ethernet),output:2",
      "table=1,eth,actions=output:4",
    ],
    frame: NSH,
  },
  // NSH fields
  one(
    "set_field:5->nsh_ttl,set_field:0x55->nsh_spi,set_field:7->nsh_si,load:7->NXOXM_NSH_C2[4..10],dec_nsh_ttl,set_field:3->nsh_flags,output:2",
    NSH,
    N,
  ),
  one("load:5->NXOXM_NSH_SPI[4..7],output:2", NSH, N),
  one("set_field:0x50/0xf0->nsh_c1,output:2", NSH, N),
  one("dec_nsh_ttl,output:2", NSH, N),
  one("dec_nsh_ttl,output:2", NSH.replace("894f0fc6", "894f0046"), N),
  one("dec_nsh_ttl,output:2", NSH_SHORT, N),
  one("move:NXOXM_NSH_C1[]->NXM_NX_REG0[],move:NXOXM_NSH_C2[]->NXOXM_NSH_C1[],output:2", NSH, N),
  one(
    "move:NXOXM_NSH_SPI[]->NXM_NX_REG0[0..23],move:NXOXM_NSH_SI[]->NXM_NX_REG1[0..7],set_field:9->nsh_c3,output:2",
    NSH,
    N,
  ),
  one("push:NXOXM_NSH_C1[],pop:NXOXM_NSH_C2[],output:3", NSH, N),
  one("set_field:9->nsh_si,output:2", NSH_2, N),
  one("set_field:3->nsh_ttl,output:2", NSH_2, N),
  one("output:2", NSH, `${N},nsh_spi=0x123,nsh_si=255,nsh_c1=1/1,nsh_mdtype=1,nsh_np=3,nsh_ttl=63`),
  one("output:2", NSH, `${N},nsh_c1=0x1,nsh_flags=0/1`),
  one("output:2", NSH_2, `${N},nsh_mdtype=2,nsh_np=3,nsh_si=255`),
  one("output:2", NSH_LYING, N),
  {
    flows: [
      "table=0,priority=10,packet_type=(1,0x894f),actions=drop",
      "table=0,priority=5,dl_type=0x894f,nsh_spi=0x123,actions=output:2",
    ],
    frame: NSH,
  },
  // decap of NSH
  one("decap(),decap(),output:2", NSH),
  one("decap(),decap(),decap(),output:2", NSH),
  one("decap(),decap(),encap(ethernet),output:2", NSH_IP),
  one("decap(),decap(),encap(ethernet),output:2", NSH_IPV6),
  one("decap(),decap(),decap(),output:2", NSH_NSH),
  one("decap(),decap(),output:2", NSH_2),
  { ...one("decap(),decap(),output:2", NSH_OTHER), narrower: "nsh_np decided the drop" },
  { ...one("decap(),decap(),output:2", NSH_LYING), narrower: "nsh_np decided the drop" },
  one("load:5->NXOXM_NSH_SI[0..3],load:5->NXOXM_NSH_TTL[1..3],output:2", NSH, N),
  one("decap(),decap(packet_type(ns=1,type=0x800)),output:2", NSH, N),
  one("set_field:3->nsh_ttl,decap(),decap(),output:2", NSH, N),
  {
    flows: ["table=0,actions=decap(),decap(),resubmit(,1)", "table=1,tcp,actions=dec_ttl,output:2"],
    frame: NSH,
  },
  {
    flows: [
      "table=0,actions=resubmit(,1),output:3",
      "table=1,dl_type=0x894f,actions=decap(),decap(),output:4",
    ],
    frame: NSH,
  },
  // MPLS
  one("encap(mpls),set_field:100->mpls_label,encap(ethernet),output:2"),
  one("encap(mpls),set_field:100->mpls_label,output:2"),
  one("encap(mpls_mc),encap(ethernet),output:2"),
  one("encap(mpls),encap(ethernet),output:2", VLAN),
  one("encap(mpls),encap(ethernet),output:2", V6),
  one("decap(),encap(mpls),encap(ethernet),output:2"),
  one("decap(),encap(mpls),encap(ethernet),output:2", ARP),
  one("encap(mpls),encap(mpls),encap(ethernet),output:2"),
  one("encap(mpls),encap(ethernet),output:2,set_field:9->mpls_ttl,output:3"),
  one("decap(packet_type(ns=0,type=0)),output:2", MPLS, M),
  one("decap(),decap(packet_type(ns=0,type=0)),output:2", MPLS_ETH, M),
  one("decap(),decap(packet_type(ns=0,type=0)),output:2", MPLS, M),
  one("decap(),decap(packet_type(ns=1,type=0x800)),encap(ethernet),output:2", MPLS, M),
  one("decap(),decap(packet_type(ns=1,type=0x800)),encap(ethernet),output:2", MPLS_2, M),
  one("decap(),decap(packet_type(ns=1,type=0x8847)),encap(ethernet),output:2", MPLS_2, M),
  one("decap(),decap(packet_type(ns=0,type=0)),output:2", MPLS_2, M),
  one("decap(),decap(),output:2", MPLS, M),
  {
    flows: [
      "table=0,actions=decap(),resubmit(,1),encap(ethernet),output:2",
      "table=1,actions=push_mpls:0x8847",
    ],
    frame: TCP,
    narrower: "without a protocol the header would not be written",
  },
];

/** Flows that must have the same fate, and print the same, in both. */
export const ENCAP_LINES: readonly string[] = [
  "actions=decap(),set_field:5->nsh_ttl,output:2",
  "dl_type=0x894f,actions=decap(),set_field:5->nsh_ttl,encap(ethernet),output:2",
  "dl_type=0x894f,actions=decap(),decap(),set_field:5->nsh_ttl",
  "dl_type=0x894f,actions=set_field:5->nsh_np",
  "dl_type=0x894f,actions=set_field:5->nsh_mdtype",
  "dl_type=0x894f,actions=load:5->NXOXM_NSH_SI[0..3],output:1",
  "dl_type=0x894f,nsh_spi=0x123/0x1ff,actions=output:2",
  "dl_type=0x894f,nsh_flags=1/1,nsh_c4=5/7,actions=output:2",
  "packet_type=(1,0x894f),nsh_ttl=3,actions=dec_nsh_ttl,encap(ethernet),output:2",
  "packet_type=(1,0x800),nw_src=1.2.3.4,actions=decap()",
  "actions=encap(nsh),encap(ethernet),ct(table=1)",
  "ip,actions=encap(nsh),encap(ethernet),ct(table=1)",
  "actions=decap(),ct(table=1)",
  "actions=decap(),set_field:00:11:22:33:44:55->dl_dst",
  "actions=encap(nsh),set_field:9.9.9.9->nw_dst",
  "ip,actions=decap(),set_field:9.9.9.9->nw_dst",
  "tcp,actions=encap(mpls),set_field:7->mpls_tc,set_field:80->tp_dst",
  "actions=encap(mpls_mc),dec_mpls_ttl,encap(ethernet),output:2",
  "actions=encap(nsh(md_type=2,tlv(0x1000,10,0x123))),encap(ethernet),output:2",
  "actions=encap(nsh(md_type=3)),encap(ethernet),output:2",
  "actions=encap(nsh(md_type=2,tlv(0x10,300,0x12))),encap(ethernet),output:2",
  "actions=encap(gre),output:2",
  "actions=decap(packet_type(ns=1)),output:2",
  "actions=write_actions(decap(),encap(ethernet),output:2)",
  "actions=encap(ethernet),set_field:00:11:22:33:44:55->dl_dst,decap(),output:2",
];
