// The settings of a bridge that its pipeline knows.

import type { TlvMap } from "../flow/tlv-map.ts";
import type { BondOptions } from "./bond.ts";
import type { FlowTableOptions } from "./eviction.ts";
import type { MirrorOptions } from "./mirror.ts";
import type { SnoopingOptions } from "./snooping.ts";

/** What a bridge may be told besides its ports and tables (ovs-vswitchd.conf.db(5), Bridge table). Each is OVS's default when left out. */
export interface PipelineSettings {
  /** MAC addresses that are kept, at most. */
  readonly macTableSize?: number;
  /** How long a MAC address is kept without use. */
  readonly macAgingMs?: number;
  /** VLANs in which no MAC address is learned. */
  readonly floodVlans?: ReadonlySet<number>;
  readonly mirrors?: readonly MirrorOptions[];
  /** NORMAL treats BPDUs and their like as any other frame. */
  readonly forwardBpdu?: boolean;
  /** Ports that are used as one. */
  readonly bonds?: readonly BondOptions[];
  /** Left out: multicast snooping is off. */
  readonly snooping?: SnoopingOptions;
  /** The tunnel options that flows may name (tun_metadata0 to 63). */
  readonly tlvMap?: TlvMap;
  /** Limits of flow tables, by table number. */
  readonly flowTables?: ReadonlyMap<number, FlowTableOptions>;
  /** Zones whose connections have a timeout policy, and its number: what a ct(commit) shows of it. */
  readonly ctTimeouts?: ReadonlyMap<number, number>;
}
