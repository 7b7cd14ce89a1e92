// Bundles (OVS's word for a row of its Port table): what NORMAL learns addresses on, floods to, and never sends a frame back
// to. A bundle is one port, or the members of a bond.
import type { Port, PortTable } from "./port-table.ts";

/**
 * What NORMAL needs of a port holds for the bundle: VLANs are those of its first member. `no` is that member's number and names
 * the bundle, in the MAC table too.
 */
export interface Bundle extends Port {
  /** In number order. */
  readonly members: readonly Port[];
}

/** All bundles of a bridge; follows the port table. */
export class BundleTable {
  readonly #ports: PortTable;
  #version = -1;
  #list: Bundle[] = [];
  readonly #byMember = new Map<number, Bundle>();
  /** Of ports that are assumed to exist, and so in no list. */
  readonly #assumed = new WeakMap<Port, Bundle>();

  constructor(ports: PortTable) {
    this.#ports = ports;
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
      bundle = { ...port, members: [port] };
      this.#assumed.set(port, bundle);
    }
    return bundle;
  }

  #follow(): void {
    if (this.#version === this.#ports.version) return;
    this.#version = this.#ports.version;
    this.#byMember.clear();
    this.#list = this.#ports.list.map((port) => ({ ...port, members: [port] }));
    for (const bundle of this.#list) {
      for (const { no } of bundle.members) this.#byMember.set(no, bundle);
    }
  }
}
