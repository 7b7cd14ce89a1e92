// What the datapath's outside (TypeScript) and its inside (the AssemblyScript kernel) agree on. Numbers only: both
// compile this file. All kernel structures are little endian; frames and flow keys (flow/layout.ts) are big endian.

// --- frame descriptor, host to kernel, 32 bytes ------------------------------------------------------------------
//   0 ptr u32 | 4 len u32 (bytes present) | 8 wireLen u32 (bytes on the wire, >= len; what byte counters count)
//  12 inPort u32 | 16 timeMs u64 | 24 number u32 (the host's, handed back) | 28 reserved
export const FRAME_DESC_SIZE = 32;
export const FRAME_PTR = 0;
export const FRAME_LEN = 4;
export const FRAME_WIRE_LEN = 8;
export const FRAME_IN_PORT = 12;
export const FRAME_TIME = 16;
export const FRAME_NUMBER = 24;

// --- output descriptor, kernel to host, 32 bytes -----------------------------------------------------------------
//   0 ptr u32 | 4 len u32 | 8 wireLen u32 | 12 port u32 (OUT_PORT) or userspace action index (OUT_USERSPACE)
//  16 frame u32 (index in the batch) | 20 kind u32 | 24 key pointer u32 (OUT_USERSPACE: a KEY_SIZE copy) | 28 reserved
export const OUT_DESC_SIZE = 32;
export const OUT_PTR = 0;
export const OUT_LEN = 4;
export const OUT_WIRE_LEN = 8;
export const OUT_ARG = 12;
export const OUT_FRAME = 16;
export const OUT_KIND = 20;
export const OUT_KEY = 24;
export const OUT_KIND_PORT = 0;
export const OUT_KIND_USERSPACE = 1;

// --- verdict, kernel to host, one per frame of the batch, 16 bytes -----------------------------------------------
//   0 outputs u32 | 4 userspace u32 | 8 drop reason u32 (0 when it went somewhere) | 12 megaflow u32 (the last one hit)
export const VERDICT_SIZE = 16;
export const VERDICT_OUTPUTS = 0;
export const VERDICT_USERSPACE = 4;
export const VERDICT_DROP = 8;
export const VERDICT_MEGAFLOW = 12;

// --- megaflow statistics, 32 bytes each, indexed by megaflow id --------------------------------------------------
//   0 packets u64 | 8 bytes u64 | 16 usedMs u64 (0: never) | 24 tcpFlags u16 (host order, OR of all) | 26 reserved
export const MEGAFLOW_STATS_SIZE = 32;
export const STATS_PACKETS = 0;
export const STATS_BYTES = 8;
export const STATS_USED = 16;
export const STATS_TCP_FLAGS = 24;

// --- datapath actions --------------------------------------------------------------------------------------------
// A program is a run of u32 words; an action's first word is its code | its length in words (this word included) << 8.
// Numbers are host order; keys and masks are flow-key blocks (16 bytes, four words, as in flow/layout.ts).
export const A_END = 0; //          end of program
export const A_OUTPUT = 1; //       port
export const A_SET = 2; //          set code (SET_*), then per block of that set: value (4 words), mask (4 words)
export const A_PUSH_VLAN = 3; //    tpid << 16 | tci
export const A_POP_VLAN = 4;
export const A_PUSH_MPLS = 5; //    lse, ethertype
export const A_POP_MPLS = 6; //     ethertype
export const A_CT = 7; //           flags (CT_F_*), zone, mark, mark mask, label (4), label mask (4), then with CT_F_NAT:
//                                  nat flags (NAT_F_*), min address (4 words, IPv4 in the last), max address (4), min port | max port << 16
//                                  Label words are in block byte order. Alg: CT_F_ALG_FTP, CT_F_ALG_TFTP.
export const A_CT_CLEAR = 8;
export const A_RECIRC = 9; //       recirc id
export const A_HASH = 10; //        algorithm (HASH_*), basis: sets dp_hash
export const A_CLONE = 11; //       a program in the words that follow (its own A_END last)
export const A_USERSPACE = 12; //   userspace action index
export const A_METER = 13; //       meter index
export const A_TRUNC = 14; //       max_len, for the next output
export const A_DROP = 15; //        drop reason
export const A_CHECK_PKT_LEN = 16; // length, words of the program if greater, words of the program otherwise, both programs
export const A_SAMPLE = 17; //      probability (of 2^32 - 1), a program

// What A_SET changes, and the flow-key blocks whose value and mask follow.
export const SET_ETHERNET = 1; //   B_ETH: dl_dst, dl_src
export const SET_IPV4 = 2; //       B_IP4: nw_src, nw_dst, nw_tos, nw_ttl
export const SET_IPV6 = 3; //       B_IP4 (nw_tos, nw_ttl), B_IPV6_SRC, B_IPV6_DST, B_ADDR (ipv6_label)
export const SET_TCP = 4; //        B_IP4: tp_src, tp_dst
export const SET_UDP = 5; //        B_IP4
export const SET_SCTP = 6; //       B_IP4
export const SET_ICMP = 7; //       B_IP4: tp_src = type, tp_dst = code
export const SET_ARP = 8; //        B_ETH (nw_proto = opcode), B_IP4 (nw_src = spa, nw_dst = tpa), B_ADDR (sha, tha)
export const SET_ND = 9; //         B_ND_TARGET, B_ADDR (arp_sha = sll, arp_tha = tll)
export const SET_MPLS = 10; //      B_MPLS: lse0
export const SET_ICMPV6 = 11; //    B_IP4: tp_src = type, tp_dst = code
export const SET_PKT_MARK = 12; //  B_VLAN: pkt_mark
export const SET_SKB_PRIORITY = 13; // B_VLAN: skb_priority
export const SET_TUNNEL = 14; //    B_TUN, B_TUN2, B_TUN_IPV6_SRC, B_TUN_IPV6_DST, B_TUN_TP: the key only, used by the port that sends it
export const SET_ND_EXT = 15; //    B_EXTRA: nd_reserved; B_IP4: tcp_flags = nd_options_type

export const CT_F_COMMIT = 1;
export const CT_F_FORCE = 2;
export const CT_F_NAT = 4;
export const CT_F_ALG_FTP = 8;
export const CT_F_ALG_TFTP = 16;
export const CT_F_MARK = 32;
export const CT_F_LABEL = 64;

export const NAT_F_SRC = 1;
export const NAT_F_DST = 2;
export const NAT_F_PERSISTENT = 4;
export const NAT_F_HASH = 8;
export const NAT_F_RANDOM = 16;
export const NAT_F_IPV6 = 32;

export const HASH_L4 = 0;
export const HASH_SYM_L4 = 1;

// --- drop reasons (datapath/drop.ts gives each a name and a sentence) --------------------------------------------
export const DROP_NONE = 0;
export const DROP_PIPELINE = 1; //        translated to no output: the pipeline knows the flow that decided
export const DROP_RX_INVALID = 2; //      too short to be an Ethernet frame
export const DROP_TOO_LONG = 3; //        longer than MAX_FRAME
export const DROP_RECIRC_DEPTH = 4; //    recirculated more than RECIRC_DEPTH_MAX times
export const DROP_UPCALL = 5; //          the upcall gave no actions
export const DROP_METER = 6;
export const DROP_OUTPUT_MEMORY = 7; //   one frame's copies exceed the output memory
export const DROP_INVALID_PORT = 8; //    output to a port that is not there
export const DROP_EXPLICIT = 9; //        an A_DROP that gives no other reason
export const DROP_REASONS = 10;

// --- limits ------------------------------------------------------------------------------------------------------
export const MAX_FRAME = 65535;
export const RECIRC_DEPTH_MAX = 8;
export const BATCH_MAX = 256;
export const PROGRAM_WORDS_MAX = 65536;

// --- upcall answers (the kernel's import `upcall` returns a megaflow id >= 0, or one of these) ---------------------
export const UPCALL_DROP = -1; //         no actions for this frame; counted as DROP_UPCALL

// --- conntrack TCP states, in the order OVS numbers them -----------------------------------------------------------
export const TCPS_CLOSED = 0;
export const TCPS_LISTEN = 1;
export const TCPS_SYN_SENT = 2;
export const TCPS_SYN_RECV = 3;
export const TCPS_ESTABLISHED = 4;
export const TCPS_CLOSE_WAIT = 5;
export const TCPS_FIN_WAIT_1 = 6;
export const TCPS_CLOSING = 7;
export const TCPS_LAST_ACK = 8;
export const TCPS_FIN_WAIT_2 = 9;
export const TCPS_TIME_WAIT = 10;
