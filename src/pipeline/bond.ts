// Bonds: several links that NORMAL uses as one port (ovs-vswitchd.conf.db(5), Port table, bonding; the OVS document "Bonding").
// Which member a frame goes out on, and which frames that come in on a member are let in. Without LACP.
//
// active-backup: everything goes through the active member. balance-slb: a hash of source address and VLAN names one of 256
// buckets, and a bucket keeps the member it first got. OVS deals its enabled members out in turn, beginning anywhere (a hash
// table's order), and moves buckets about every bond-rebalance-interval by their load; here the turn begins with the first
// member, and buckets stay. balance-tcp sends and takes nothing without LACP, as in OVS.
import type { Flow } from "../flow/flow.ts";
import { O_DL_DST, O_DL_SRC } from "../flow/layout.ts";
import { hashAdd, hashFinish } from "./flow-hash.ts";
import type { Port } from "./port-table.ts";

export type BondMode = "active-backup" | "balance-slb" | "balance-tcp";

export interface BondOptions {
  readonly name: string;
  /** OpenFlow numbers of the ports that are its members. With one member alone it is an ordinary port, as in OVS. */
  readonly members: readonly number[];
  /** Default active-backup. */
  readonly mode?: BondMode;
  /** The number of the member to prefer as the active one (bond-primary). */
  readonly primary?: number;
  /** bond-hash-basis; default 0. */
  readonly hashBasis?: number;
}

/** Buckets of balance-slb. */
export const BOND_BUCKETS = 256;

// What becomes of a frame that came in on a member.
export const BOND_ACCEPT = 0;
export const BOND_DROP = 1;
/** Drop it if its source address is known on another bundle: it is one of ours, come back on another link. */
export const BOND_DROP_IF_MOVED = 2;

export class Bond {
  readonly mode: BondMode;
  readonly #primary: number;
  readonly #hashBasis: number;
  /** Numbers of the members whose link is up, in the order in which they take their turn. */
  #enabled: number[] = [];
  #active = NO_MEMBER;
  /** Per bucket its member. */
  readonly #buckets = new Int32Array(BOND_BUCKETS).fill(NO_MEMBER);

  constructor(options: BondOptions) {
    this.mode = options.mode ?? "active-backup";
    this.#primary = options.primary ?? NO_MEMBER;
    this.#hashBasis = options.hashBasis ?? 0;
  }

  /** The number of the active member, -1 when every link is down. */
  get active(): number {
    return this.#active;
  }

  /** Takes note of the members' links. */
  update(members: readonly Port[]): void {
    const up = members.filter((port) => port.live).map((port) => port.no);
    this.#enabled = this.#enabled.filter((no) => up.includes(no));
    for (const no of up) if (!this.#enabled.includes(no)) this.#enabled.push(no);
    if (up.includes(this.#primary)) this.#active = this.#primary;
    else if (!up.includes(this.#active)) this.#active = up.at(0) ?? NO_MEMBER;
  }

  /** What to do with a frame that came in on member `no`. */
  admit(no: number, flow: Flow): number {
    if (this.mode === "balance-tcp") return BOND_DROP; // needs LACP
    const backup = no !== this.#active;
    if (this.mode === "active-backup") return backup ? BOND_DROP : BOND_ACCEPT;
    const multicast = (flow.bytes[O_DL_DST]! & 1) !== 0;
    return multicast && backup ? BOND_DROP : BOND_DROP_IF_MOVED;
  }

  /** The member that a frame of `vlan` goes out on, -1 for none. `take` false only asks: a bucket without one stays so. */
  choose(flow: Flow, vlan: number, take: boolean): number {
    if (this.mode === "balance-tcp") return NO_MEMBER; // needs LACP
    if (this.mode === "active-backup") return this.#active;
    const bucket = bondBucket(flow.bytes, vlan, this.#hashBasis);
    const member = this.#buckets[bucket]!;
    if (this.#enabled.includes(member)) return member;
    if (!take || this.#enabled.length === 0) return this.#enabled.at(0) ?? NO_MEMBER;
    const next = this.#enabled.shift()!;
    this.#enabled.push(next);
    this.#buckets[bucket] = next;
    return next;
  }

  /** Gives a bucket to a member (`ovs-appctl bond/migrate`). */
  migrate(bucket: number, no: number): void {
    this.#buckets[bucket] = no;
  }
}

const NO_MEMBER = -1;

/** balance-slb's bucket of a flow (its bytes) that leaves in `vlan`: `ovs-appctl bond/hash`. */
export function bondBucket(bytes: Uint8Array, vlan: number, basis: number): number {
  const i = O_DL_SRC;
  const high = (bytes[i]! << 8) | bytes[i + 1]! | (vlan << 16);
  const low = (bytes[i + 2]! << 24) | (bytes[i + 3]! << 16) | (bytes[i + 4]! << 8) | bytes[i + 5]!;
  return hashFinish(hashAdd(hashAdd(basis, low), high), 8) & (BOND_BUCKETS - 1);
}
