// MAC learning: which bundle a source address was last seen on, per VLAN. Entries age (ovs-vswitchd.conf.db(5),
// mac-aging-time), and at most mac-table-size are kept, the least recently learned going first.
import { LRUCache } from "lru-cache";
import { OFPP_LOCAL } from "./action.ts";

export const MAC_AGEING_MS = 300_000;
export const MAC_TABLE_SIZE = 8192;

export interface MacEntry {
  /** The bundle's number. */
  port: number;
  /** Until then gratuitous ARP frames that come in on a bond do not move it. */
  lockedUntilMs: number;
  /** When it was last learned: what is told late about earlier frames does not make it older. */
  seenMs: number;
}

/** Where an address was seen. */
export interface MacSource {
  /** The bundle's number. */
  readonly port: number;
  readonly isBond: boolean;
  readonly gratuitousArp: boolean;
}

/** A gratuitous ARP frame that came in on no bond may come back on one: so long it is not believed there. */
const GRATUITOUS_ARP_LOCK_MS = 5_000;

export class MacTable {
  readonly #entries: LRUCache<string, MacEntry>;
  #nowMs = 1;
  /** Keys whose lookup may answer otherwise than before. */
  #changed = new Set<string>();

  constructor(ageingMs = MAC_AGEING_MS, sizeMax = MAC_TABLE_SIZE) {
    this.#entries = new LRUCache<string, MacEntry>({
      max: sizeMax,
      ttl: ageingMs - 1, // lru-cache lets an entry live for a millisecond more
      ttlResolution: 0,
      updateAgeOnGet: false,
      perf: { now: () => this.#nowMs },
      dispose: (_, key, reason) => {
        if (reason !== "set") this.#changed.add(key);
      },
    });
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Learns or refreshes an address, by its key (`macKey`). True when it is new or moved. */
  learnKey(key: string, from: MacSource, nowMs: number): boolean {
    this.#setNow(nowMs);
    const known = this.#entries.peek(key);
    let { port } = from;
    let lockedUntilMs = known?.lockedUntilMs ?? 0;
    if (from.gratuitousArp) {
      if (!from.isBond) lockedUntilMs = nowMs + GRATUITOUS_ARP_LOCK_MS;
      else if (known !== undefined && nowMs < lockedUntilMs) port = known.port;
    }
    const moved = known === undefined || known.port !== port;
    this.#entries.set(key, { port, lockedUntilMs, seenMs: nowMs });
    if (moved) this.#changed.add(key);
    return moved;
  }

  /** Starts an address's age anew, if it is known on that port. */
  refresh(key: string, port: number, nowMs: number): void {
    this.#setNow(nowMs);
    const known = this.#entries.peek(key);
    if (known?.port === port && known.seenMs < nowMs) this.#entries.set(key, { ...known, seenMs: nowMs });
  }

  /** Removes what has aged. True when something went. */
  expire(nowMs: number): boolean {
    this.#setNow(nowMs);
    return this.#entries.purgeStale();
  }

  /** When the next entry ages; Infinity when there is none. */
  nextExpiryMs(): number {
    // Every entry ages alike, so the one set longest ago goes first.
    for (const key of this.#entries.rkeys()) {
      return this.#nowMs + Math.max(0, this.#entries.getRemainingTTL(key) + 1);
    }
    return Number.POSITIVE_INFINITY;
  }

  flush(): void {
    this.#entries.clear();
  }

  /** The port of a key made by `macKey`, -1 when not known. */
  portOf(key: string, nowMs: number): number {
    this.#setNow(nowMs);
    return this.#entries.peek(key)?.port ?? -1;
  }

  /** The text of `ovs-appctl fdb/show`, the least recently learned first. */
  dump(nowMs: number): string {
    this.#setNow(nowMs);
    let text = " port  VLAN  MAC                Age\n";
    for (const key of this.#entries.rkeys()) {
      const [mac, vlan] = key.split(",").map(Number) as [number, number];
      const hex = mac
        .toString(16)
        .padStart(12, "0")
        .replace(/..(?!$)/g, "$&:");
      const { port, seenMs } = this.#entries.peek(key)!;
      const name = port === OFPP_LOCAL ? "LOCAL" : String(port);
      text += `${name.padStart(5)}  ${String(vlan).padStart(4)}  ${hex}  ${String(Math.floor((nowMs - seenMs) / 1000)).padStart(3)}\n`;
    }
    return text;
  }

  /** Whether gratuitous ARP frames on a bond are not believed about it now. */
  isLocked(key: string, nowMs: number): boolean {
    this.#setNow(nowMs);
    const known = this.#entries.peek(key);
    return known !== undefined && nowMs < known.lockedUntilMs;
  }

  /** The keys learned, moved, aged or evicted since the last call; null for none. */
  takeChanged(): ReadonlySet<string> | null {
    if (this.#changed.size === 0) return null;
    const changed = this.#changed;
    this.#changed = new Set();
    return changed;
  }

  // lru-cache takes a start time of 0 for "no age".
  #setNow(nowMs: number): void {
    this.#nowMs = Math.max(1, nowMs);
  }
}

/** The address and VLAN as a map key. */
export function macKey(bytes: Uint8Array, offset: number, vlan: number): string {
  const high = (bytes[offset]! << 16) | (bytes[offset + 1]! << 8) | bytes[offset + 2]!;
  const low = (bytes[offset + 3]! << 16) | (bytes[offset + 4]! << 8) | bytes[offset + 5]!;
  return `${high * 0x1000000 + low},${vlan}`;
}
