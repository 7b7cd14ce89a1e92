// The flow key's memory layout, shared by TypeScript and the AssemblyScript kernel. Numbers only: both compile this file.
//
// A flow key is an array of 16-byte blocks, so that the kernel hashes, masks and compares it as whole vectors, and a
// frame touches few of them: an untagged IPv4 TCP frame is described by blocks 0, 1 and 2. All fields stand in network
// byte order (big endian), in_port and the registers too, so that one rule serves every field, prefix masks are byte
// prefixes, and the parser copies header bytes as they are. A mask has the same layout. What a frame lacks is zero.
//
//  block  0         4           8            12     14     16
//   0    | in_port | recirc_id | dp_hash    | ct_tp_src|dst|    META
//   1    | dl_dst (6) | dl_src (6)   |dl_type|proto|frag   |    ETH      proto: nw_proto (ARP: low byte of the opcode)
//   2    | nw_src  | nw_dst    | tp_src tp_dst |tos|ttl|tcp_flags  IP4   nw_*: also ARP spa, tpa; tp_*: also ICMP type, code
//   3    |state|ct proto|zone (2)| ct_mark | ct_nw_src | ct_nw_dst |  CT   (with its four, most masks are whole: key.ts)
//   4    | lse0    | lse1      | lse2       | packet_type  |    MPLS
//   5    | vlan0   | vlan1     | pkt_mark   | skb_priority |    VLAN     a vlan is tpid (2), tci (2); tci has CFI set if present
//   6    | ct_label                                        |    CTLABEL
//   7    | ipv6_src                                        |
//   8    | ipv6_dst                                        |
//   9    | nd_target                                       |
//  10    | arp_sha / nd_sll (6) | arp_tha / nd_tll (6) | ipv6_label (4) |  ADDR
//  11    | ct_ipv6_src                                     |
//  12    | ct_ipv6_dst                                     |
//  13    | igmp_group / nd_reserved | nsh flags,ttl,mdtype,np | nsh path_hdr | 0 |  EXTRA   (nd_options_type stands in tcp_flags, as in OVS)
//  14    | nsh c1..c4                                      |
//  15    | tun_id (8)          | tun_src    | tun_dst      |    TUN
//  16    | tun_flags (2), tun_tos, tun_ttl | gbp_id (2), gbp_flags, erspan_ver | erspan_idx | erspan_dir, erspan_hwid, gtpu_flags, gtpu_msgtype |
//  17    | tun_ipv6_src                                    |
//  18    | tun_ipv6_dst                                    |
//  19    | tun tp_src, tp_dst  | 0          | tun_metadata present map (8) |
//  20-35 | tun_metadata options (256 bytes)                |
//  ------ above: the datapath's key (KEY_SIZE bytes). Below: known to the pipeline alone (FLOW_SIZE bytes in all)
//  36-39 | reg0 .. reg15                                   |
//  40    | metadata (8)        | conj_id    | actset_output |

export const BLOCK_SIZE = 16;
export const KEY_BLOCKS = 36;
export const KEY_SIZE = 576;
export const FLOW_BLOCKS = 41;
export const FLOW_SIZE = 656;

// Block numbers.
export const B_META = 0;
export const B_ETH = 1;
export const B_IP4 = 2;
export const B_CT = 3;
export const B_MPLS = 4;
export const B_VLAN = 5;
export const B_CT_LABEL = 6;
export const B_IPV6_SRC = 7;
export const B_IPV6_DST = 8;
export const B_ND_TARGET = 9;
export const B_ADDR = 10;
export const B_CT_IPV6_SRC = 11;
export const B_CT_IPV6_DST = 12;
export const B_EXTRA = 13;
export const B_NSH = 14;
export const B_TUN = 15;
export const B_TUN2 = 16;
export const B_TUN_IPV6_SRC = 17;
export const B_TUN_IPV6_DST = 18;
export const B_TUN_TP = 19;
export const B_TUN_METADATA = 20;
export const B_REGS = 36;
export const B_METADATA = 40;

// Byte offsets of the fields, O_ and the field's name.
export const O_IN_PORT = 0;
export const O_RECIRC_ID = 4;
export const O_DP_HASH = 8;
export const O_CT_TP_SRC = 12;
export const O_CT_TP_DST = 14;

export const O_DL_DST = 16;
export const O_DL_SRC = 22;
export const O_DL_TYPE = 28;
export const O_NW_PROTO = 30;
export const O_NW_FRAG = 31;

export const O_NW_SRC = 32;
export const O_NW_DST = 36;
export const O_TP_SRC = 40;
export const O_TP_DST = 42;
export const O_NW_TOS = 44;
export const O_NW_TTL = 45;
export const O_TCP_FLAGS = 46;

export const O_CT_STATE = 48;
export const O_CT_NW_PROTO = 49;
export const O_CT_ZONE = 50;
export const O_CT_MARK = 52;
export const O_CT_NW_SRC = 56;
export const O_CT_NW_DST = 60;

export const O_MPLS_LSE0 = 64;
export const O_MPLS_LSE1 = 68;
export const O_MPLS_LSE2 = 72;
export const O_PACKET_TYPE = 76;

export const O_VLAN0 = 80;
export const O_VLAN0_TCI = 82;
export const O_VLAN1 = 84;
export const O_VLAN1_TCI = 86;
export const O_PKT_MARK = 88;
export const O_SKB_PRIORITY = 92;

export const O_CT_LABEL = 96;

export const O_IPV6_SRC = 112;
export const O_IPV6_DST = 128;
export const O_ND_TARGET = 144;
export const O_ARP_SHA = 160;
export const O_ARP_THA = 166;
export const O_IPV6_LABEL = 172;
export const O_CT_IPV6_SRC = 176;
export const O_CT_IPV6_DST = 192;

export const O_IGMP_GROUP = 208;
export const O_NSH_FLAGS = 212;
export const O_NSH_TTL = 213;
export const O_NSH_MDTYPE = 214;
export const O_NSH_NP = 215;
export const O_NSH_PATH_HDR = 216;
export const O_NSH_CONTEXT = 224;

export const O_TUN_ID = 240;
export const O_TUN_SRC = 248;
export const O_TUN_DST = 252;
export const O_TUN_FLAGS = 256;
export const O_TUN_TOS = 258;
export const O_TUN_TTL = 259;
export const O_TUN_GBP_ID = 260;
export const O_TUN_GBP_FLAGS = 262;
export const O_TUN_ERSPAN_VER = 263;
export const O_TUN_ERSPAN_IDX = 264;
export const O_TUN_ERSPAN_DIR = 268;
export const O_TUN_ERSPAN_HWID = 269;
export const O_TUN_GTPU_FLAGS = 270;
export const O_TUN_GTPU_MSGTYPE = 271;
export const O_TUN_IPV6_SRC = 272;
export const O_TUN_IPV6_DST = 288;
export const O_TUN_TP_SRC = 304;
export const O_TUN_TP_DST = 306;
export const O_TUN_METADATA_PRESENT = 312;
export const O_TUN_METADATA = 320;

export const O_REGS = 576;
export const O_METADATA = 640;
export const O_CONJ_ID = 648;
export const O_ACTSET_OUTPUT = 652;

// nw_frag bits (ovs-fields(7), nw_frag).
export const FRAG_ANY = 1;
export const FRAG_LATER = 2;

// ct_state bits (ovs-fields(7), ct_state).
export const CS_NEW = 0x01;
export const CS_ESTABLISHED = 0x02;
export const CS_RELATED = 0x04;
export const CS_REPLY_DIR = 0x08;
export const CS_INVALID = 0x10;
export const CS_TRACKED = 0x20;
export const CS_SRC_NAT = 0x40;
export const CS_DST_NAT = 0x80;

// The vlan_tci bit that says a tag is present (the CFI's place).
export const VLAN_CFI = 0x1000;

// tun_flags bits as kept in O_TUN_FLAGS (the two low bits are what OpenFlow can match).
export const TUN_FLAG_OAM = 1;
export const TUN_FLAG_DF = 2;
export const TUN_FLAG_CSUM = 4;
export const TUN_FLAG_KEY = 8;
