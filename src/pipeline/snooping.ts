// What IGMP and MLD snooping know (RFC 4541; ovs-vswitchd.conf.db(5), mcast_snooping_enable): which bundles asked for which
// group in a VLAN, and which bundles lead to a multicast router. Entries age on the caller's clock.
//
// Groups are kept with the least recently reported first, a group's bundles likewise. As in OVS, what has aged is looked for
// from that end only: a bundle whose time has come stays while an older group has nothing that has aged, and a group that its
// last bundle has left keeps frames from being flooded until it goes.
import { OFPP_LOCAL } from "./action.ts";
import type { BundleTable } from "./bundle.ts";

export const SNOOPING_AGEING_MS = 300_000;
export const SNOOPING_TABLE_SIZE = 2048;
/** OVS's, and not to be set. */
const ROUTER_AGEING_MS = 180_000;

/** Its presence turns snooping on. Which ports get floods and reports in any case is said by the ports. */
export interface SnoopingOptions {
  /** How long a bundle is in a group after its last report (mcast-snooping-aging-time). */
  readonly agingMs?: number;
  /** Groups that are kept, at most; the least recently reported makes room (mcast-snooping-table-size). */
  readonly tableSize?: number;
  /** Whether frames to a group that nobody asked for go everywhere, or to routers and flood ports alone. Default true. */
  readonly floodUnregistered?: boolean;
}

interface Group {
  readonly address: string;
  readonly vlan: number;
  /** By bundle number, when it ages. */
  readonly bundles: Map<number, number>;
}

interface Router {
  readonly vlan: number;
  readonly bundle: number;
  readonly expiresMs: number;
}

/** Translation.dependencies: the set of routers. */
export const ROUTERS_KEY = "routers";

/** A group in a VLAN, as a map key and a dependency. The address is as it is printed. */
export const groupKey = (address: string, vlan: number): string => `${address},${vlan}`;

export class SnoopingTable {
  readonly floodUnregistered: boolean;
  readonly #bundles: BundleTable;
  readonly #agingMs: number;
  readonly #tableSize: number;
  /** By groupKey. */
  readonly #groups = new Map<string, Group>();
  /** By VLAN and bundle, the least recently heard first. */
  readonly #routers = new Map<string, Router>();
  /** Keys whose answer may be another than before. */
  #changed = new Set<string>();

  constructor(options: SnoopingOptions, bundles: BundleTable) {
    this.floodUnregistered = options.floodUnregistered ?? true;
    this.#bundles = bundles;
    this.#agingMs = options.agingMs ?? SNOOPING_AGEING_MS;
    this.#tableSize = options.tableSize ?? SNOOPING_TABLE_SIZE;
  }

  /** A bundle asks for a group. True when the group is new. */
  join(address: string, vlan: number, bundle: number, nowMs: number): boolean {
    // Those get everything as it is.
    if (this.#routers.has(routerKey(vlan, bundle)) || this.#isFloodPort(bundle)) return false;
    const key = groupKey(address, vlan);
    const known = this.#groups.get(key);
    if (known === undefined && this.#groups.size >= this.#tableSize) {
      const oldest = this.#groups.keys().next();
      if (!oldest.done) this.#forget(oldest.value);
    }
    const group = known ?? { address, vlan, bundles: new Map<number, number>() };
    if (!group.bundles.delete(bundle)) this.#changed.add(key);
    group.bundles.set(bundle, nowMs + this.#agingMs);
    this.#groups.delete(key);
    this.#groups.set(key, group);
    return known === undefined;
  }

  /** A bundle asks for a group no longer. True when it had. */
  leave(address: string, vlan: number, bundle: number, nowMs: number): boolean {
    // More than one host may be behind a port that gets all reports.
    if (this.#bundles.ofPort(bundle)?.multicastFloodReports) return false;
    const key = groupKey(address, vlan);
    if (this.#groups.get(key)?.bundles.delete(bundle) !== true) return false;
    this.#changed.add(key);
    this.expire(nowMs);
    return true;
  }

  /** A router was heard on a bundle. True when something has changed that frames have not met yet. */
  addRouter(vlan: number, bundle: number, nowMs: number): boolean {
    if (this.#isFloodPort(bundle)) return false;
    const key = routerKey(vlan, bundle);
    const isNew = !this.#routers.delete(key);
    if (isNew) this.#changed.add(ROUTERS_KEY);
    this.#routers.set(key, { vlan, bundle, expiresMs: nowMs + ROUTER_AGEING_MS });
    return this.#changed.size > 0;
  }

  /** The bundles in a group, in the order they asked; null when the group is not known. */
  members(key: string): Iterable<number> | null {
    return this.#groups.get(key)?.bundles.keys() ?? null;
  }

  /** Routers of all VLANs. */
  routers(): Iterable<Router> {
    return this.#routers.values();
  }

  /** Removes what has aged. */
  expire(nowMs: number): void {
    for (const [key, { bundles }] of this.#groups) {
      let aged = bundles.size === 0;
      for (const [bundle, expiresMs] of bundles) {
        if (expiresMs > nowMs) break;
        bundles.delete(bundle);
        aged = true;
      }
      if (!aged) break;
      this.#changed.add(key);
      // OVS looks at a group that has lost some again, and at the next one only when it is gone.
      if (bundles.size > 0) break;
      this.#groups.delete(key);
    }
    for (const [key, { expiresMs }] of this.#routers) {
      if (expiresMs > nowMs) break;
      this.#routers.delete(key);
      this.#changed.add(ROUTERS_KEY);
    }
  }

  /** When the next entry ages; Infinity when there is none. */
  nextExpiryMs(): number {
    let next = Number.POSITIVE_INFINITY;
    const oldest = this.#groups.values().next();
    if (!oldest.done) {
      const first = oldest.value.bundles.values().next();
      next = first.done ? 0 : first.value;
    }
    const router = this.#routers.values().next();
    return router.done ? next : Math.min(next, router.value.expiresMs);
  }

  /** What changed since the last call (groupKey, ROUTERS_KEY); null for nothing. */
  takeChanged(): ReadonlySet<string> | null {
    if (this.#changed.size === 0) return null;
    const changed = this.#changed;
    this.#changed = new Set();
    return changed;
  }

  /** The text of `ovs-appctl mdb/show`. */
  dump(nowMs: number): string {
    let text = " port  VLAN  GROUP                Age\n";
    const line = (bundle: number, vlan: number, what: string, ageMs: number): void => {
      const age = String(Math.floor(ageMs / 1000)).padStart(3);
      const name = bundle === OFPP_LOCAL ? "LOCAL" : String(bundle);
      text += `${name.padStart(5)}  ${String(vlan).padStart(4)}  ${what}         ${age}\n`;
    };
    for (const { address, vlan, bundles } of this.#groups.values()) {
      for (const [bundle, expiresMs] of bundles)
        line(bundle, vlan, address, this.#agingMs - (expiresMs - nowMs));
    }
    for (const { bundle, vlan, expiresMs } of this.#routers.values())
      line(bundle, vlan, "querier    ", ROUTER_AGEING_MS - (expiresMs - nowMs));
    return text;
  }

  #isFloodPort(bundle: number): boolean {
    return this.#bundles.ofPort(bundle)?.multicastFlood === true;
  }

  #forget(key: string): void {
    this.#groups.delete(key);
    this.#changed.add(key);
  }
}

const routerKey = (vlan: number, bundle: number): string => `${vlan},${bundle}`;
