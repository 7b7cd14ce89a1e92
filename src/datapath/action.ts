// Datapath actions as the pipeline gives them. datapath/program.ts encodes them for the kernel (abi.ts), and
// datapath/action-text.ts prints them in OVS's own text.

/** What a `set` changes; the names are those of OVS's datapath action text: set(eth(...)), set(ipv4(...)). */
export type SetHeader =
  | "eth"
  | "ipv4"
  | "ipv6"
  | "tcp"
  | "udp"
  | "sctp"
  | "icmp"
  | "icmpv6"
  | "arp"
  | "nd"
  | "nd_ext"
  | "mpls"
  | "nsh"
  | "skb_mark"
  | "skb_priority"
  | "tunnel";

/** NAT as a `ct` datapath action carries it. Addresses are 4 or 16 bytes; equal min and max mean one address. */
export interface CtNat {
  readonly kind: "src" | "dst" | "undo";
  readonly minAddr: Uint8Array | null;
  readonly maxAddr: Uint8Array | null;
  readonly minPort: number;
  readonly maxPort: number;
  readonly persistent: boolean;
  readonly hash: boolean;
  readonly random: boolean;
}

export type DatapathAction =
  | { readonly type: "output"; readonly port: number }
  /** `value` and `mask` are whole flow keys (KEY_SIZE bytes); only the header's own fields are looked at. */
  | {
      readonly type: "set";
      readonly header: SetHeader;
      readonly value: Uint8Array;
      readonly mask: Uint8Array;
    }
  | { readonly type: "push_vlan"; readonly tpid: number; readonly tci: number }
  | { readonly type: "pop_vlan" }
  | { readonly type: "push_mpls"; readonly lse: number; readonly ethertype: number }
  | { readonly type: "pop_mpls"; readonly ethertype: number }
  /** A label before the whole frame, whatever it begins with. */
  | { readonly type: "add_mpls"; readonly lse: number; readonly ethertype: number }
  /** `dst` and `src` are 6 bytes each; the EtherType is that of the frame's packet type. */
  | { readonly type: "push_eth"; readonly dst: Uint8Array; readonly src: Uint8Array }
  | { readonly type: "pop_eth" }
  /** `header`: a whole Network Service Header (RFC 8300), as it stands in a frame. */
  | { readonly type: "push_nsh"; readonly header: Uint8Array }
  | { readonly type: "pop_nsh" }
  | {
      readonly type: "ct";
      readonly commit: boolean;
      readonly force: boolean;
      readonly zone: number;
      /** Value and mask, 32 bits each; null when the action sets no mark. */
      readonly mark: { readonly value: number; readonly mask: number } | null;
      /** Value and mask, 16 bytes each, network order. */
      readonly label: { readonly value: Uint8Array; readonly mask: Uint8Array } | null;
      readonly nat: CtNat | null;
      readonly alg: "ftp" | "tftp" | null;
      /** The number of the zone's timeout policy, for what is printed: the kernel knows its zones. */
      readonly timeout?: number;
    }
  | { readonly type: "ct_clear" }
  | { readonly type: "recirc"; readonly id: number }
  | { readonly type: "hash"; readonly algorithm: "l4" | "sym_l4"; readonly basis: number }
  | { readonly type: "clone"; readonly actions: readonly DatapathAction[] }
  | { readonly type: "userspace"; readonly userspace: Userspace }
  | { readonly type: "meter"; readonly id: number }
  | { readonly type: "trunc"; readonly maxLen: number }
  | { readonly type: "drop"; readonly reason: number }
  | {
      readonly type: "check_pkt_len";
      readonly length: number;
      readonly greater: readonly DatapathAction[];
      readonly lessEqual: readonly DatapathAction[];
    }
  | { readonly type: "sample"; readonly probability: number; readonly actions: readonly DatapathAction[] };

/** A frame handed to the host: for now, always a packet-in for a controller. */
export interface Userspace {
  readonly kind: "controller";
  readonly reason: string;
  readonly controllerId: number;
  readonly maxLen: number;
  readonly userdata: Uint8Array;
  readonly tableId: number;
  readonly cookie: bigint;
  /** For a continuation or a resumed recirculation; 0 when none. */
  readonly recircId: number;
  /** The frame goes no further: it waits for the controller to let it go on. */
  readonly continuation?: boolean;
}
