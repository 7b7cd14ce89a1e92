// The ports as the pipeline knows them: OpenFlow number, name, and what NORMAL needs (VLAN mode). The datapath's port
// numbers are the OpenFlow numbers.

import { OFPP_MAX } from "./action.ts";
import { inTree, type RstpState, type StpState } from "./spanning-tree.ts";
import type { TunnelOptions } from "./tunnel-options.ts";
import { ETH_VLAN_AD } from "./wildcards.ts";

/** How NORMAL treats VLANs on a port (ovs-vswitchd.conf.db(5), Port table, vlan_mode). */
export type VlanMode = "trunk" | "access" | "native-tagged" | "native-untagged" | "dot1q-tunnel";

/** Whether VLAN 0 leaves tagged (other_config:priority-tags). */
export type PriorityTags = "never" | "if-nonzero" | "always";

export interface Port {
  /** OpenFlow port number: 1 to 0xfeff, or OFPP_LOCAL. */
  readonly no: number;
  readonly name: string;
  readonly vlanMode: VlanMode;
  /** The access, native or service VLAN; 0 on a plain trunk. */
  readonly tag: number;
  /** VLANs a trunk carries; null for all. */
  readonly trunks: ReadonlySet<number> | null;
  /** Customers' VLANs that a dot1q-tunnel carries; null for all. */
  readonly cvlans: ReadonlySet<number> | null;
  /** TPID of the tag that holds a dot1q-tunnel's service VLAN. */
  readonly qinqEthtype: number;
  readonly priorityTags: PriorityTags;
  /** With multicast snooping: gets every frame to a group (mcast-snooping-flood), every report (mcast-snooping-flood-reports). */
  readonly multicastFlood: boolean;
  readonly multicastFloodReports: boolean;
  /** A protected port sends nothing to another. */
  readonly protected: boolean;
  /** OFPPC_NO_FLOOD, OFPPC_NO_FWD, OFPPC_NO_RECV of `ovs-ofctl mod-port`. */
  readonly noFlood: boolean;
  readonly noForward: boolean;
  readonly noReceive: boolean;
  /** What a spanning tree has decided. */
  readonly stpState: StpState;
  readonly rstpState: RstpState;
  /** Link up: what watch_port and bundle look at. */
  readonly live: boolean;
  /** What makes the port a tunnel; null on all others. */
  readonly tunnel: TunnelOptions | null;
}

export type PortOptions = { readonly no: number; readonly name: string } & Partial<Omit<Port, "no" | "name">>;

/** All ports of a bridge, in number order. */
export class PortTable {
  /** Goes up with every change. */
  version = 0;
  /** Whether a spanning tree runs: any of the ports is part of one. */
  hasTree = false;
  readonly #byNo = new Map<number, Port>();
  #sorted: Port[] = [];
  /** Ports assumed to exist because they were asked for. */
  readonly #others = new Map<number, Port>();

  readonly #anyNumber: boolean;

  /** With `anyNumber` a frame may also be sent to a port that is not in the table; floods do not reach it. */
  constructor(ports: Iterable<PortOptions> = [], options: { readonly anyNumber?: boolean } = {}) {
    this.#anyNumber = options.anyNumber ?? false;
    for (const port of ports) this.add(port);
  }

  /** Adds a port, or replaces the one with the same number. */
  add(options: PortOptions): Port {
    const port = portOf(options);
    this.#byNo.set(port.no, port);
    this.#changed();
    return port;
  }

  remove(no: number): boolean {
    const had = this.#byNo.delete(no);
    if (had) this.#changed();
    return had;
  }

  get(no: number): Port | null {
    return this.#byNo.get(no) ?? this.#assumed(no);
  }

  byName(name: string): Port | null {
    return this.#sorted.find((p) => p.name === name) ?? null;
  }

  /** In number order: the order NORMAL and FLOOD send in. */
  get list(): readonly Port[] {
    return this.#sorted;
  }

  #assumed(no: number): Port | null {
    if (!this.#anyNumber || no < 1 || no >= OFPP_MAX) return null;
    let port = this.#others.get(no);
    if (port === undefined) {
      port = portOf({ no, name: String(no) });
      this.#others.set(no, port);
    }
    return port;
  }

  #changed(): void {
    this.version++;
    this.#sorted = [...this.#byNo.values()].sort((a, b) => a.no - b.no);
    this.hasTree = this.#sorted.some(inTree);
  }
}

function portOf(options: PortOptions): Port {
  return {
    vlanMode: options.tag === undefined ? "trunk" : "access",
    tag: 0,
    trunks: null,
    cvlans: null,
    qinqEthtype: ETH_VLAN_AD,
    priorityTags: "never",
    protected: false,
    multicastFlood: false,
    multicastFloodReports: false,
    noFlood: false,
    noForward: false,
    noReceive: false,
    stpState: "disabled",
    rstpState: "disabled",
    live: true,
    tunnel: null,
    ...options,
  };
}
