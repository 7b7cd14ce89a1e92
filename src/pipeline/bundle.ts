// Bundles (OVS's word for a row of its Port table): what NORMAL learns addresses on, floods to, and never sends a frame back
// to. A bundle is one port, or the members of a bond.
import { MegaflowError } from "../lib/errors.ts";
import { Bond, type BondOptions } from "./bond.ts";
import type { Port, PortTable } from "./port-table.ts";

/**
 * What NORMAL needs of a port holds for the bundle: VLANs are those of its first member. `no` is that member's number and names
 * the bundle, in the MAC table too.
 */
export interface Bundle extends Port {
  /** In number order. */
  readonly members: readonly Port[];
  /** Null for a port alone. */
  readonly bond: Bond | null;
}

interface BondWithMembers {
  readonly bond: Bond;
  readonly options: BondOptions;
}

/** All bundles of a bridge; follows the port table. */
export class BundleTable {
  readonly #ports: PortTable;
  #version = -1;
  #list: Bundle[] = [];
  readonly #byMember = new Map<number, Bundle>();
  /** Of ports that are assumed to exist, and so in no list. */
  readonly #assumed = new WeakMap<Port, Bundle>();
  readonly #bonds: readonly BondWithMembers[];

  /** Throws MegaflowError ECONFIG when a bond has a member that no port is, or that another bond has too. */
  constructor(ports: PortTable, bonds: readonly BondOptions[] = []) {
    this.#ports = ports;
    const taken = new Set<number>();
    for (const { name, members } of bonds) {
      for (const no of members) {
        if (!ports.list.some((port) => port.no === no))
          throw new MegaflowError("ECONFIG", `bond ${name}: there is no port ${no}`);
        if (taken.has(no))
          throw new MegaflowError("ECONFIG", `bond ${name}: port ${no} is already a bond's member`);
        taken.add(no);
      }
    }
    this.#bonds = bonds
      .filter(({ members }) => members.length > 1)
      .map((options) => ({ options, bond: new Bond(options) }));
  }

  /** Whether there is a bond at all. */
  get hasBonds(): boolean {
    return this.#bonds.length > 0;
  }

  /** The bond with this name, null for none. */
  bond(name: string): Bond | null {
    return this.#bonds.find(({ options }) => options.name === name)?.bond ?? null;
  }

  /** In the order NORMAL floods: by number. */
  get list(): readonly Bundle[] {
    this.#follow();
    return this.#list;
  }

  /** The bundle that the port is a member of; null when there is no such port. */
  ofPort(no: number): Bundle | null {
    this.#follow();
    const known = this.#byMember.get(no);
    if (known !== undefined) return known;
    const port = this.#ports.get(no);
    if (port === null) return null;
    let bundle = this.#assumed.get(port);
    if (bundle === undefined) {
      bundle = { ...port, members: [port], bond: null };
      this.#assumed.set(port, bundle);
    }
    return bundle;
  }

  #follow(): void {
    if (this.#version === this.#ports.version) return;
    this.#version = this.#ports.version;
    this.#byMember.clear();
    const alone = new Set(this.#ports.list);
    this.#list = [];
    for (const { bond, options } of this.#bonds) {
      const members = this.#ports.list.filter((port) => options.members.includes(port.no));
      for (const port of members) alone.delete(port);
      bond.update(members);
      const first = members.at(0);
      if (first === undefined) continue;
      const noFlood = members.some((port) => port.noFlood);
      this.#list.push({ ...first, name: options.name, members, bond, noFlood });
    }
    for (const port of alone) this.#list.push({ ...port, members: [port], bond: null });
    this.#list.sort((a, b) => a.no - b.no);
    for (const bundle of this.#list) {
      for (const { no } of bundle.members) this.#byMember.set(no, bundle);
    }
  }
}
