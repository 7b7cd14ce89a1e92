// OpenFlow actions and instructions as the tables keep them (ovs-actions(7)). pipeline/action-text.ts parses and prints them.
import type { Field, Subfield } from "../flow/field.ts";
import type { Flow } from "../flow/flow.ts";

// Reserved ports (ovs-ofctl(8)); OpenFlow 1.0 numbers, as the datapath's ports are 16 bits.
export const OFPP_MAX = 0xff00;
export const OFPP_UNSET = 0xfff7;
export const OFPP_IN_PORT = 0xfff8;
export const OFPP_TABLE = 0xfff9;
export const OFPP_NORMAL = 0xfffa;
export const OFPP_FLOOD = 0xfffb;
export const OFPP_ALL = 0xfffc;
export const OFPP_CONTROLLER = 0xfffd;
export const OFPP_LOCAL = 0xfffe;
export const OFPP_NONE = 0xffff;

/** What `learn` adds to the flow it makes (ovs-actions(7), learn). */
export interface LearnSpec {
  readonly kind: "match" | "load" | "output";
  /** Where the value comes from: the flow at hand, or a constant (most significant byte first). */
  readonly src: Subfield | Uint8Array;
  /** What it matches or loads; null for output. */
  readonly dst: Subfield | null;
  readonly bits: number;
}

/** `nat(...)` inside `ct(...)`. Addresses 4 or 16 bytes, null when not given. */
export interface NatSpec {
  readonly kind: "src" | "dst" | "undo";
  readonly minAddr: Uint8Array | null;
  readonly maxAddr: Uint8Array | null;
  readonly minPort: number;
  readonly maxPort: number;
  readonly persistent: boolean;
  readonly hash: boolean;
  readonly random: boolean;
}

export type Action =
  | { readonly type: "output"; readonly port: number; readonly maxLen: number }
  | { readonly type: "output_reg"; readonly src: Subfield; readonly maxLen: number }
  | { readonly type: "output_trunc"; readonly port: number; readonly maxLen: number }
  | { readonly type: "group"; readonly groupId: number }
  | {
      readonly type: "controller";
      readonly maxLen: number;
      readonly controllerId: number;
      readonly reason: string;
      readonly userdata: Uint8Array;
      readonly pause: boolean;
      readonly meterId: number | null;
    }
  | { readonly type: "enqueue"; readonly port: number; readonly queue: number }
  | { readonly type: "set_queue"; readonly queue: number }
  | { readonly type: "pop_queue" }
  /** Made for OVS's own tests: read, and refused as a switch refuses them that does not run tests. */
  | { readonly type: "debug_recirc" }
  | { readonly type: "debug_slow" }
  | {
      readonly type: "bundle";
      readonly algorithm: "active_backup" | "hrw";
      readonly fields: string;
      readonly basis: number;
      readonly members: readonly number[];
      /** Null for bundle, the destination for bundle_load. */
      readonly dst: Subfield | null;
    }
  | {
      readonly type: "multipath";
      readonly fields: string;
      readonly basis: number;
      readonly algorithm: "modulo_n" | "hash_threshold" | "hrw" | "iter_hash";
      readonly maxLink: number;
      readonly arg: number;
      readonly dst: Subfield;
    }
  /** `set_field:value[/mask]->dst`. `value` and `mask` are `field.size` bytes in flow-key position (already shifted). */
  | {
      readonly type: "set_field";
      readonly field: Field;
      readonly value: Uint8Array;
      readonly mask: Uint8Array;
      /** The value as it was written, when it has bits outside the mask, which OpenFlow 1.5 refuses; absent otherwise. */
      readonly unmasked?: bigint;
      /** Value and mask as they were written, when they are wider or narrower than the field is in the flow key; absent otherwise. */
      readonly narrow?: { readonly value: bigint; readonly mask: bigint };
    }
  /** `load:value->dst`, printed differently from set_field and otherwise the same thing. */
  | { readonly type: "load"; readonly dst: Subfield; readonly value: bigint }
  | { readonly type: "move"; readonly src: Subfield; readonly dst: Subfield }
  | { readonly type: "push"; readonly src: Subfield }
  | { readonly type: "pop"; readonly dst: Subfield }
  /**
   * The mod_* family keeps its own spelling: `mod_dl_src`, `mod_nw_dst`, `mod_tp_src`, `mod_vlan_vid`, `mod_nw_tos`...
   * `fact` is what its OpenFlow 1.5 spelling depends on: 1 when the flow's packets have a VLAN tag there (vlan names), or
   * their nw_proto (mod_tp_*). `value` is the argument, 1 to 6 bytes, most significant first (mod_nw_tos: the whole byte).
   */
  | { readonly type: "mod"; readonly name: ModName; readonly value: Uint8Array; readonly fact: number }
  | { readonly type: "push_vlan"; readonly ethertype: number }
  | { readonly type: "strip_vlan"; readonly spelling: "strip_vlan" | "pop_vlan" }
  | { readonly type: "push_mpls"; readonly ethertype: number }
  | { readonly type: "pop_mpls"; readonly ethertype: number }
  | { readonly type: "set_mpls"; readonly part: "label" | "tc" | "ttl"; readonly value: number }
  | { readonly type: "dec_mpls_ttl" }
  /** `ids` as in dec_ttl(id1,id2); null for plain dec_ttl, which means controller 0. */
  | { readonly type: "dec_ttl"; readonly ids: readonly number[] | null }
  | { readonly type: "dec_nsh_ttl" }
  | { readonly type: "set_tunnel"; readonly id: bigint; readonly is64: boolean }
  | {
      readonly type: "encap";
      readonly header: "nsh" | "ethernet" | "mpls" | "mpls_mc";
      readonly properties: string;
    }
  | { readonly type: "decap"; readonly packetType: number | null }
  | {
      readonly type: "ct";
      readonly commit: boolean;
      readonly force: boolean;
      /** The zone: a number, or the subfield that holds it. */
      readonly zone: number | Subfield;
      /** Table of recirculation, null when there is none. */
      readonly table: number | null;
      readonly alg: "ftp" | "tftp" | null;
      /** `nat` given before anything else. */
      readonly nat: NatSpec | null;
      /** The rest: what stands in exec(...), and every other nat. */
      readonly exec: readonly Action[];
    }
  /** Inside a ct's `exec` alone. The last nat counts. */
  | { readonly type: "nat"; readonly nat: NatSpec }
  | { readonly type: "ct_clear" }
  | {
      readonly type: "learn";
      readonly idleTimeout: number;
      readonly hardTimeout: number;
      readonly priority: number;
      readonly cookie: bigint;
      readonly table: number;
      readonly finIdleTimeout: number;
      readonly finHardTimeout: number;
      readonly sendFlowRem: boolean;
      readonly deleteLearned: boolean;
      readonly limit: number;
      readonly resultDst: Subfield | null;
      readonly specs: readonly LearnSpec[];
    }
  | { readonly type: "fin_timeout"; readonly idleTimeout: number; readonly hardTimeout: number }
  /** `inPort` and `table` null when not given; `withCt` for `resubmit(port,table,ct)`. */
  | {
      readonly type: "resubmit";
      readonly inPort: number | null;
      readonly table: number | null;
      readonly withCt: boolean;
    }
  | { readonly type: "clone"; readonly actions: readonly Action[] }
  | { readonly type: "exit" }
  | { readonly type: "conjunction"; readonly id: number; readonly clause: number; readonly nClauses: number }
  | { readonly type: "note"; readonly data: Uint8Array }
  | {
      readonly type: "sample";
      readonly probability: number;
      readonly collectorSetId: number;
      readonly obsDomainId: number;
      readonly obsPointId: number;
      readonly samplingPort: number | null;
      readonly direction: "" | "ingress" | "egress";
    }
  | { readonly type: "check_pkt_larger"; readonly length: number; readonly dst: Subfield }
  | { readonly type: "delete_field"; readonly field: Field }
  | { readonly type: "meter"; readonly meterId: number }
  | { readonly type: "clear_actions" }
  | { readonly type: "write_actions"; readonly actions: readonly Action[] }
  | { readonly type: "write_metadata"; readonly value: bigint; readonly mask: bigint }
  | { readonly type: "goto_table"; readonly table: number };

export type ModName =
  // mod_vlan_* push a tag when there is none, set_vlan_* then do nothing.
  | "mod_vlan_vid"
  | "set_vlan_vid"
  | "set_vlan_pcp"
  | "mod_vlan_pcp"
  | "mod_dl_src"
  | "mod_dl_dst"
  | "mod_nw_src"
  | "mod_nw_dst"
  | "mod_nw_tos"
  | "mod_nw_ecn"
  | "mod_nw_ttl"
  | "mod_tp_src"
  | "mod_tp_dst";

export type FlowModCommand = "add" | "modify" | "modify_strict" | "delete" | "delete_strict";

/** One change to the flow tables, as `ovs-ofctl` would send it. Times are seconds, 0 for none. */
export interface FlowMod {
  readonly command: FlowModCommand;
  /** 0 to 254; 255 means every table (delete only). */
  readonly tableId: number;
  readonly priority: number;
  readonly match: { readonly flow: Flow; readonly mask: Flow };
  readonly actions: readonly Action[];
  /** The cookie to give; null keeps it in a modify (`cookie` was not given). */
  readonly newCookie: bigint | null;
  /** Restricts modify and delete: (rule.cookie & cookieMask) == cookie. */
  readonly cookie: bigint;
  readonly cookieMask: bigint;
  readonly idleTimeout: number;
  readonly hardTimeout: number;
  readonly importance: number;
  readonly sendFlowRem: boolean;
  readonly checkOverlap: boolean;
  readonly resetCounts: boolean;
  readonly noPacketCounts: boolean;
  readonly noByteCounts: boolean;
  /** Restricts delete; OFPP_NONE when not given. */
  readonly outPort: number;
  /** Restricts delete; null when not given. */
  readonly outGroup: number | null;
  /**
   * Only OpenFlow 1.0 takes the flow: a modify then gives its cookie and adds a flow where it finds none. Absent for the
   * others, which mean what they do over 1.5.
   */
  readonly asOpenFlow10?: true;
}

export type GroupType = "all" | "select" | "indirect" | "fast_failover";

export interface Bucket {
  readonly id: number;
  readonly weight: number;
  /** OFPP_NONE when not given. */
  readonly watchPort: number;
  /** Null when not given. */
  readonly watchGroup: number | null;
  readonly actions: readonly Action[];
}

export interface GroupMod {
  readonly command: "add" | "modify" | "delete" | "add_or_modify" | "insert_bucket" | "remove_bucket";
  readonly groupId: number;
  readonly type: GroupType;
  readonly buckets: readonly Bucket[];
  /** insert_bucket and remove_bucket: "first", "last", "all" or a bucket id; null otherwise. */
  readonly commandBucketId: number | "first" | "last" | "all" | null;
  /** "" (the default, dp_hash where there is no other wish), "hash" or "dp_hash". */
  readonly selectionMethod: string;
  readonly selectionMethodParam: bigint;
  /** The fields of selection_method=hash, with their masks; null when none is given. */
  readonly hashFields: {
    readonly fields: readonly Field[];
    readonly mask: Flow;
    /** Each field's bits as they were written, `valueSize` bytes: those of fields in one place differ, and some are none of the field's. */
    readonly masks: ReadonlyMap<Field, Uint8Array>;
  } | null;
}

export interface MeterBand {
  readonly type: "drop" | "dscp_remark";
  readonly rate: number;
  readonly burstSize: number;
  readonly precLevel: number;
}

export interface MeterMod {
  readonly command: "add" | "modify" | "delete";
  readonly meterId: number;
  readonly unit: "kbps" | "pktps";
  readonly burst: boolean;
  readonly stats: boolean;
  readonly bands: readonly MeterBand[];
  /** Neither kbps nor pktps was given, which the datapath refuses; absent otherwise. */
  readonly hasNoUnit?: true;
}

/** To OVS such an action is an output like any other, so it may stand in an action set or a bucket. */
export function isPlainOutput(action: Extract<Action, { type: "controller" }>): boolean {
  return (
    action.reason === "action" &&
    action.controllerId === 0 &&
    action.userdata.length === 0 &&
    !action.pause &&
    action.meterId === null
  );
}
