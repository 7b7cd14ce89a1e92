// What the datapath's outside (TypeScript) and its inside (the AssemblyScript kernel) agree on. Numbers only: both
// compile this file. All kernel structures are little endian; frames and flow keys (flow/layout.ts) are big endian.

// --- frame descriptor, host to kernel, 32 bytes ------------------------------------------------------------------
//   0 ptr u32 | 4 len u32 (bytes present) | 8 wireLen u32 (bytes on the wire, >= len; what byte counters count)
//  12 inPort u32 | 16 timeMs u64 | 24 number u32 (the host's, handed back)
//  28 tunnel u32: of a frame that arrived in one, where its blocks of the flow key stand: map of blocks u64 | 8 bytes |
//     the blocks of the map, one after the other; 0 for other frames
export const FRAME_DESC_SIZE = 32;
export const FRAME_PTR = 0;
export const FRAME_LEN = 4;
export const FRAME_WIRE_LEN = 8;
export const FRAME_IN_PORT = 12;
export const FRAME_TIME = 16;
export const FRAME_NUMBER = 24;
export const FRAME_TUNNEL = 28;

// --- output descriptor, kernel to host, 32 bytes -----------------------------------------------------------------
//   0 ptr u32 | 4 len u32 | 8 wireLen u32 | 12 port u32 (OUT_PORT) or userspace action index (OUT_USERSPACE)
//  16 frame u32 (index in the batch) | 20 kind u32 | 24 key pointer u32 (OUT_USERSPACE, OUT_TUNNEL: a KEY_SIZE copy) | 28 reserved
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
export const OUT_KIND_TUNNEL = 2; // to a port, of a frame that was given a tunnel

// --- verdict, kernel to host, one per frame of the batch, 16 bytes -----------------------------------------------
//   0 outputs u32 | 4 userspace u32 | 8 drop reason u32 (0 when it went somewhere) | 12 tag u32 (MF_TAG of the last megaflow hit, 0 for none)
export const VERDICT_SIZE = 16;
export const VERDICT_OUTPUTS = 0;
export const VERDICT_USERSPACE = 4;
export const VERDICT_DROP = 8;
export const VERDICT_TAG = 12;

// --- megaflow record, in the kernel's heap; its address is the megaflow's handle -----------------------------------
//   0 packets u64 | 8 bytes u64 | 16 usedMs u64 (0: never) | 24 tcpFlags u32 (OR of all, network order in the low 16 bits)
//  28 generation u32 (changes when the record is freed, so that a stale reference is noticed) | 32 program address u32
//  36 subtable address u32 | 40 hash u32 | 44 record size u32 | 48 quick port u32: the program is one output to it, else NO_QUICK_PORT
//  52 program words u32 | 56 tag u32 (the host's: what to say of a frame that ends here) | 60 slot u32 (the host's)
//  64 the masked key, the subtable's blocks one after the other | the program | the same blocks as the first frame had them, for dumps
export const MF_PACKETS = 0;
export const MF_BYTES = 8;
export const MF_USED = 16;
export const MF_TCP_FLAGS = 24;
export const MF_GENERATION = 28;
export const MF_PROGRAM = 32;
export const MF_SUBTABLE = 36;
export const MF_HASH = 40;
export const MF_SIZE = 44;
export const MF_QUICK_PORT = 48;
export const MF_PROGRAM_WORDS = 52;
export const MF_TAG = 56;
export const MF_SLOT = 60;
export const MF_KEY = 64;
export const NO_QUICK_PORT = 0xffffffff;
/** Megaflows that the kernel removes in one call. */
export const LIST_IN_MAX = 1024;

// --- subtable: the megaflows of one mask -----------------------------------------------------------------------------
//   0 blocks u32 (how many of the key it has; the first six always) | 4 buckets - 1 u32
//   8 bucket table address u32 (a bucket: the hashes of four records, then the records, u32 each; 0: free)
//  12 megaflows u32 | 16 block map u64 | 24 hits u32 since ranked | 28 records that are not in their own bucket u32
//  32 block numbers u8 x 36 | 72 port u64 | 80 port mask u64: in_port and recirc_id (the key's first eight bytes) under the mask,
//  where all megaflows of the subtable have the same; both 0 where they have not | 96 masks, 16 bytes a block
export const ST_BLOCKS = 0;
export const ST_BUCKET_MASK = 4;
export const ST_BUCKETS = 8;
export const ST_COUNT = 12;
export const ST_MAP = 16;
export const ST_HITS = 24;
export const ST_DISPLACED = 28;
export const ST_BLOCK_NUMBERS = 32;
export const ST_PORT = 72;
export const ST_PORT_MASK = 80;
export const ST_MASKS = 96;

// --- meter, drawn in kernel/meter.ts ---------------------------------------------------------------------------------
export const METERS_MAX = 1024;
export const METER_BANDS_MAX = 8;
export const METER_FLAGS = 0;
export const METER_BANDS = 4;
export const METER_USED = 8;
export const METER_PACKETS = 16;
export const METER_BYTES = 24;
export const METER_MAX_PAUSE = 32;
export const METER_BANDS_AT = 40;
export const BAND_RATE = 0;
export const BAND_BURST = 4;
export const BAND_BUCKET = 8;
export const BAND_PACKETS = 16;
export const BAND_BYTES = 24;
export const BAND_SIZE = 32;
export const METER_SIZE = 296;
export const METER_F_VALID = 1;
export const METER_F_PKTPS = 2;

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
export const A_PUSH_ETH = 18; //    dl_dst, dl_src: 12 bytes as in a frame; a frame that has an Ethernet header is left alone
export const A_POP_ETH = 19;
export const A_PUSH_NSH = 20; //    size in bytes, the header (RFC 8300) as in a frame
export const A_POP_NSH = 21;
export const A_ADD_MPLS = 22; //    lse, ethertype: before the whole frame, its Ethernet header too

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
export const SET_TUNNEL = 14; //    B_TUN, B_TUN2, B_TUN_IPV6_SRC, B_TUN_IPV6_DST, B_TUN_TP: the key only, handed to the port that sends it
export const SET_TUNNEL_OPTIONS = 17; // B_TUN_METADATA and the blocks behind it, after a SET_TUNNEL
export const SET_NSH = 16; //       B_EXTRA: nsh_flags, nsh_ttl, nsh_spi, nsh_si; B_NSH: nsh_c1 to nsh_c4
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
export const DROP_FRAGMENT = 10; //       a fragment that ct keeps until its datagram is whole: it goes on then
export const DROP_SHARD_LOST = 11; //     its shard's thread has ended (said by the main thread)
export const DROP_REASONS = 12;

// --- limits ------------------------------------------------------------------------------------------------------
export const MAX_FRAME = 65535;
export const RECIRC_DEPTH_MAX = 6; // as OVS 3.1: test/oracle/recirculation.test.ts
export const BATCH_MAX = 256;
export const PROGRAM_WORDS_MAX = 65536;

// --- the kernel's configuration: words at HEAP before init() --------------------------------------------------------
export const CONFIG_EXACT_ENTRIES = 0; //    exact-match cache entries, a power of two, 0 for none
export const CONFIG_EXACT_INVERSE = 1; //    of the insertions that would replace a live entry, one in this many does
export const CONFIG_SUBTABLES = 2; //        masks at most
export const CONFIG_CONNECTIONS = 3; //      connections at most
export const CONFIG_OUT_DESCRIPTORS = 4; //  output descriptors before the host is called
export const CONFIG_ARENA_BYTES = 5; //      room for a batch of frames
export const CONFIG_OUT_ARENA_BYTES = 6; //  room for changed frames
export const CONFIG_RECORD_BYTES = 7; //     heap of megaflow records
export const CONFIG_TABLE_BYTES = 8; //      heap of subtables and their slots
export const CONFIG_CACHE = 9; //            0: every lookup is an upcall
export const CONFIG_FAST_PARSE = 10; //      0: every frame goes through the general parser
export const CONFIG_SEED = 11; //            two words
export const CONFIG_BATCH = 13; //           frames of a batch at most
export const TRANSIENT_BYTES = 1048576; //   programs of one frame's uncached upcalls

// --- upcall answers: the kernel's import `upcall` returns a megaflow's address, or ----------------------------------
export const UPCALL_DROP = 0; //          no actions for this frame; counted as DROP_UPCALL

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

// --- a connection, as the kernel's table keeps it and dumps read it -------------------------------------------------
// Two parts, so that a frame of an established connection touches one cache line. Numbers are little endian; what is
// marked n stands in network order, as in frames.
//
// The hot part, 64 bytes, 64-byte aligned:
//   0 src n | 4 dst n: IPv4 addresses; for IPv6 a seeded 32-bit fold of each address (the addresses are in the cold part)
//   8 sport n | 10 dport n; ICMP: 8 id n | 10 type u16; other protocols: zero
//  12 protocol u8 | 13 family u8 (4 or 6) | 14 zone u16
//  16 peer that opened the connection, 12 bytes: seqlo u32 | seqhi u32 | largest window u16 | window scale u8 | state u8
//  28 the other peer, likewise. Protocols other than TCP keep their one state in the first peer's state
//  40 expiration u64 (ms): expired when now >= expiration | 48 mark n | 52 flags CONN_F_*
//  56 next in the hash chain (a reference) | 60 the tick of the expiry wheel at which it is looked at
// The cold part, 112 bytes:
//   0 label (16) n | 16 IPv6 src | 32 IPv6 dst | 48 reply src (16; IPv4 in the first 4) | 64 reply dst | 80 reply sport, dport:
//  the reply tuple is filled under NAT only | 84 next in the hash chain of the reply tuple | 88 wheel prev | 92 wheel next
//  96 what zone limit it counts against: record + 1 u16 | the limit's generation u16 (kernel/conntrack-zone.ts); 0: none
// 100 sequence skew i32 (kernel/conntrack-alg.ts) | 104 of a related connection: where its parent's tuple is (an address)
// 108 of a connection with a helper: its oldest expectation (an address)
export const CONN_HOT_SIZE = 64;
export const CONN_SRC = 0;
export const CONN_DST = 4;
export const CONN_PORTS = 8;
export const CONN_META = 12;
export const CONN_PROTO = 12;
export const CONN_FAMILY = 13;
export const CONN_ZONE = 14;
export const CONN_PEER_ORIG = 16;
export const CONN_PEER_REPLY = 28;
export const CONN_EXPIRATION = 40;
export const CONN_MARK = 48;
export const CONN_FLAGS = 52;
export const CONN_NEXT = 56;
export const CONN_DUE = 60;

export const PEER_SEQLO = 0;
export const PEER_SEQHI = 4;
export const PEER_MAX_WIN = 8;
export const PEER_WSCALE = 10;
export const PEER_STATE = 11;

export const CONN_COLD_SIZE = 112;
export const COLD_LABEL = 0;
export const COLD_SRC6 = 16;
export const COLD_DST6 = 32;
export const COLD_REPLY_SRC = 48;
export const COLD_REPLY_DST = 64;
export const COLD_REPLY_PORTS = 80;
export const COLD_REPLY_NEXT = 84;
export const COLD_PREV = 88;
export const COLD_WHEEL_NEXT = 92;
export const COLD_ADMITTED = 96;
export const COLD_SKEW = 100;
export const COLD_PARENT = 104;
export const COLD_EXPECTED = 108;

export const CONN_F_USED = 1;
export const CONN_F_LABEL = 2; //     the label is other than zero
export const CONN_F_SRC_NAT = 4;
export const CONN_F_DST_NAT = 8;
export const CONN_F_REPLY_NODE = 16; // the reply tuple has a place of its own in the hash table
export const CONN_F_HELPER_FTP = 32;
export const CONN_F_HELPER_TFTP = 64;
export const CONN_F_RELATED = 128; //   a helper expected it: COLD_PARENT says who
export const CONN_F_SKEWED = 256; //    a helper has changed lengths: COLD_SKEW
export const CONN_F_SKEW_REPLY = 512; // in the reply direction
/** The upper half of the flags: the record of its timeout policy (kernel/conntrack-zone.ts), 0 for the default one. */
export const CONN_POLICY_SHIFT = 16;

// A related connection's parent, PARENT_SIZE bytes: its tuple as in a hot part (16) | IPv6 src | IPv6 dst.
export const PARENT_SIZE = 64;
export const PARENT_TUPLE = 0;
export const PARENT_SRC6 = 16;
export const PARENT_DST6 = 32;

// Limits and timeouts of a zone (or, record 0, the defaults): 0 limit u32 | 4 count u32 | 8 generation u16 | 10 zone u16 | 12 flags u32 |
// 16 timeouts, TM_COUNT u32 in seconds
export const ZONE_RECORD_SIZE = 64;
export const ZONE_LIMIT = 0;
export const ZONE_COUNT = 4;
export const ZONE_GENERATION = 8;
export const ZONE_NUMBER = 10;
export const ZONE_FLAGS = 12;
export const ZONE_TIMEOUTS = 16;
export const ZONE_F_LIMITED = 1;
export const ZONE_F_TIMEOUTS = 2;
/** Zones that may have limits or timeouts of their own. */
export const ZONES_MAX = 1023;

// A peer's window scale: the factor, and how it is known.
export const WSCALE_MASK = 0x0f;
export const WSCALE_UNSEEN = 0x20; //  taken out of a dump: nothing is known of its sequence numbers until it next sends
export const WSCALE_UNKNOWN = 0x40; // picked up in mid-stream
export const WSCALE_KNOWN = 0x80; //  told in its SYN

// States of connections other than TCP.
export const OTHER_FIRST = 0;
export const OTHER_MULTIPLE = 1;
export const OTHER_BIDIR = 2;
export const ICMP_FIRST = 0;
export const ICMP_REPLY = 1;

// Timeouts by state, in the order of the kernel's table of seconds (OVS's names in ovs-vswitchd.conf.db(5), CT_Timeout_Policy).
export const TM_TCP_FIRST = 0; //       tcp_syn_sent
export const TM_TCP_OPENING = 1; //     tcp_syn_recv
export const TM_TCP_ESTABLISHED = 2; // tcp_established
export const TM_TCP_CLOSING = 3; //     tcp_fin_wait: one side has sent FIN
export const TM_TCP_FIN_WAIT = 4; //    tcp_time_wait: both have
export const TM_TCP_CLOSED = 5; //      tcp_close: both FINs are acknowledged, or a reset
export const TM_OTHER_FIRST = 6; //     udp_first
export const TM_OTHER_MULTIPLE = 7; //  udp_single
export const TM_OTHER_BIDIR = 8; //     udp_multiple
export const TM_ICMP_FIRST = 9; //      icmp_first
export const TM_ICMP_REPLY = 10; //     icmp_reply
export const TM_COUNT = 11;

// Conntrack counters, by index of the kernel's conntrackCounter().
export const CTC_CONNECTIONS = 0; //  in the table now, expired ones that are not yet swept among them
export const CTC_CREATED = 1;
export const CTC_FULL = 2; //         not committed: the table was full
export const CTC_EXTRACT = 3; //      untrackable: not IP, a fragment, short or lying headers
export const CTC_IP_CSUM = 4; //      untrackable: bad IPv4 header checksum
export const CTC_L4_CSUM = 5; //      untrackable: bad TCP, UDP or ICMP checksum
export const CTC_NAT_EXHAUSTED = 6; // not committed: no tuple was free
export const CTC_EARLY_DROP = 7; //   un-answered connections that made room for new ones
export const CTC_ZONE_LIMIT = 8; //   not committed: its zone's limit is reached
export const CTC_EXPECT_DROP = 9; //  expectations of helpers that made room for new ones
export const CTC_COUNT = 10;
