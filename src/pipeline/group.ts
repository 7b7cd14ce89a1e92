// Groups: what a group-mod makes, compiled, and how a select group spreads dp_hash values over its buckets.
import { MegaflowError } from "../lib/errors.ts";
import { type Bucket, type GroupMod, OFPP_NONE } from "./action.ts";
import { orderActionSet } from "./action-set.ts";
import { compileActions, type Step } from "./compile.ts";

/** A hash value's range is never larger than this; a group that would need more is hashed in the slow path. */
export const HASH_VALUES_MAX = 256;

/** How a select group chooses: by the datapath's hash, by fields hashed here, or by the plain symmetric hash. */
export type Selection = "dp_hash" | "hash" | "default";

export class GroupBucket {
  readonly bucket: Bucket;
  readonly steps: readonly Step[];
  nPackets = 0;
  nBytes = 0;

  constructor(bucket: Bucket) {
    this.bucket = bucket;
    this.steps = orderActionSet(compileActions(bucket.actions));
  }
}

export class Group {
  readonly mod: GroupMod;
  readonly buckets: readonly GroupBucket[];
  readonly selection: Selection;
  readonly hashAlgorithm: "l4" | "sym_l4";
  readonly hashBasis: number;
  /** dp_hash & hashMask is an index in hashMap. */
  readonly hashMap: readonly GroupBucket[];
  nPackets = 0;
  nBytes = 0;
  readonly createdMs: number;

  constructor(mod: GroupMod, buckets: readonly GroupBucket[], createdMs: number) {
    this.mod = mod;
    this.buckets = buckets;
    this.createdMs = createdMs;
    let map: readonly GroupBucket[] | null = null;
    let selection: Selection = "default";
    let algorithm: "l4" | "sym_l4" = "sym_l4";
    let basis = 0;
    if (mod.type === "select") {
      if (mod.selectionMethod === "") {
        map = spreadHash(buckets, HASH_VALUES_MAX);
      } else if (mod.selectionMethod === "dp_hash") {
        map = spreadHash(buckets, HASH_VALUES_MAX);
        algorithm = mod.selectionMethodParam >> 32n === 1n ? "sym_l4" : "l4";
        basis = Number(mod.selectionMethodParam & 0xffffffffn);
      } else if (mod.hashFields !== null && mod.hashFields.fields.length > 0) {
        selection = "hash";
      }
    }
    this.selection = map === null ? selection : "dp_hash";
    this.hashMap = map ?? [];
    this.hashAlgorithm = algorithm;
    this.hashBasis = basis;
  }

  get hashMask(): number {
    return this.hashMap.length - 1;
  }
}

/**
 * Distributes 16 or more hash values (a power of two, enough for the lightest bucket to get one) over the buckets by
 * their weights with Webster's method. Null when there is no weight or more than `valuesMax` values would be needed.
 */
export function spreadHash(
  buckets: readonly GroupBucket[],
  valuesMax: number,
): readonly GroupBucket[] | null {
  let total = 0;
  let least = 0xffff;
  for (const { bucket } of buckets) {
    total += bucket.weight;
    if (bucket.weight > 0 && bucket.weight < least) least = bucket.weight;
  }
  if (total === 0) return null;
  let count = 16;
  while (count < Math.ceil(total / least)) count *= 2;
  if (count > valuesMax) return null;

  const seats = buckets.map((b) => ({ bucket: b, value: b.bucket.weight, divisor: 1 }));
  const map: GroupBucket[] = [];
  for (let i = 0; i < count; i++) {
    let winner = seats[0]!;
    for (const seat of seats) if (seat.value > winner.value) winner = seat;
    winner.divisor += 2;
    winner.value = winner.bucket.bucket.weight / winner.divisor;
    map.push(winner.bucket);
  }
  return map;
}

export class GroupTable {
  /** Goes up with every change. */
  version = 0;
  readonly #groups = new Map<number, Group>();

  get(groupId: number): Group | null {
    return this.#groups.get(groupId) ?? null;
  }

  /** In id order. */
  get list(): readonly Group[] {
    return [...this.#groups.values()].sort((a, b) => a.mod.groupId - b.mod.groupId);
  }

  /** Applies group-mods in order. Throws ETEXT with OVS's error name, EUNSUPPORTED for an action it cannot do. */
  apply(mods: readonly GroupMod[], nowMs: number): void {
    for (const mod of mods) this.#applyOne(mod, nowMs);
  }

  #applyOne(mod: GroupMod, nowMs: number): void {
    const old = this.#groups.get(mod.groupId) ?? null;
    switch (mod.command) {
      case "add":
        if (old !== null) refuse("OFPGMFC_GROUP_EXISTS");
        this.#put(mod, [], nowMs);
        break;
      case "add_or_modify":
        this.#put(mod, [], old?.createdMs ?? nowMs);
        break;
      case "modify":
        if (old === null) refuse("OFPGMFC_UNKNOWN_GROUP");
        this.#put(mod, [], old!.createdMs);
        break;
      case "delete":
        if (mod.groupId === GROUP_ALL) this.#groups.clear();
        else this.#groups.delete(mod.groupId);
        break;
      case "insert_bucket":
      case "remove_bucket": {
        if (old === null) refuse("OFPGMFC_UNKNOWN_GROUP");
        const { mod: oldMod, buckets, createdMs } = old!;
        this.#put({ ...oldMod, buckets: changedBuckets(oldMod.buckets, mod) }, buckets, createdMs);
        break;
      }
    }
    this.version++;
  }

  /** The group's own counters begin anew with every change, as in OVS; buckets that stay (`kept`) keep theirs. */
  #put(mod: GroupMod, kept: readonly GroupBucket[], createdMs: number): void {
    const buckets = mod.buckets.map((bucket) => {
      const made = new GroupBucket(bucket);
      const old = kept.find((b) => b.bucket === bucket);
      if (old !== undefined) {
        made.nPackets = old.nPackets;
        made.nBytes = old.nBytes;
      }
      return made;
    });
    this.#groups.set(mod.groupId, new Group(mod, buckets, createdMs));
  }
}

/** OFPG_ALL. */
export const GROUP_ALL = 0xfffffffc;

function changedBuckets(old: readonly Bucket[], mod: GroupMod): readonly Bucket[] {
  const at = mod.commandBucketId;
  if (mod.command === "insert_bucket") {
    const index = old.findIndex((b) => b.id === at);
    if (typeof at === "number" && index < 0) refuse("OFPGMFC_UNKNOWN_BUCKET");
    if (mod.buckets.some((b) => old.some((o) => o.id === b.id))) refuse("OFPGMFC_BUCKET_EXISTS");
    if (at === "first") return [...mod.buckets, ...old];
    if (typeof at !== "number") return [...old, ...mod.buckets];
    return [...old.slice(0, index + 1), ...mod.buckets, ...old.slice(index + 1)];
  }
  if (at === "all") return [];
  if (at === "first") return old.slice(1);
  if (at === "last") return old.slice(0, -1);
  if (!old.some((b) => b.id === at)) refuse("OFPGMFC_UNKNOWN_BUCKET");
  return old.filter((b) => b.id !== at);
}

function refuse(name: string): never {
  throw new MegaflowError("ETEXT", name);
}

/** Whether the bucket watches something, and so can be dead. */
export function watches(bucket: Bucket): boolean {
  return bucket.watchPort !== OFPP_NONE || bucket.watchGroup !== null;
}
