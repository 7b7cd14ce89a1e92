// Megaflows of several datapaths that are one to those who look: shards that share a pipeline install the same megaflow each for its
// own frames. Together they have the place, the counters and the idle time that it has in a datapath that gets all frames: the first
// frame of all made it, and those that missed in another shard later would have hit it.
import { Flow, KEY_WORDS } from "../flow/flow.ts";
import type { Datapath } from "./datapath.ts";
import type { Megaflow } from "./megaflow.ts";
import type { FlowStats } from "./upcall.ts";

/** One megaflow in one or more datapaths, the first installed first. */
export interface Twin {
  readonly name: string;
  readonly members: { readonly megaflow: Megaflow; readonly datapath: Datapath }[];
}

export class Twins {
  readonly #byName = new Map<string, Twin>();
  /** By slot. */
  readonly #twinOf = new Map<Datapath, Map<number, Twin>>();
  readonly #key = new Flow();
  readonly #mask = new Flow();

  /** All of them, in the order in which the first of each was installed. */
  get all(): Iterable<Twin> {
    return this.#byName.values();
  }

  get size(): number {
    return this.#byName.size;
  }

  /** Takes in a megaflow that has been installed for a frame that counts as `first`. */
  join(megaflow: Megaflow, datapath: Datapath, first: FlowStats): void {
    const { kernel } = datapath;
    megaflow.read(kernel, this.#key, this.#mask);
    const name = nameOf(this.#key, this.#mask);
    let twin = this.#byName.get(name);
    // Had it been there, this frame would have hit it.
    if (twin === undefined) this.#byName.set(name, (twin = { name, members: [] }));
    else megaflow.count(kernel, first);
    twin.members.push({ megaflow, datapath });
    const twins = this.#twinOf.get(datapath);
    if (twins === undefined) this.#twinOf.set(datapath, new Map([[megaflow.slot, twin]]));
    else twins.set(megaflow.slot, twin);
  }

  /** The megaflow in a slot of the datapath goes. */
  leave(slot: number, datapath: Datapath): void {
    const twins = this.#twinOf.get(datapath)!;
    const twin = twins.get(slot)!;
    twins.delete(slot);
    const at = twin.members.findIndex((m) => m.megaflow.slot === slot && m.datapath === datapath);
    twin.members.splice(at, 1);
    if (twin.members.length === 0) this.#byName.delete(twin.name);
  }

  /** When a frame last hit it or any that is one with it. */
  lastUsedMs(slot: number, datapath: Datapath): number {
    let last = 0;
    for (const { megaflow } of this.#twinOf.get(datapath)!.get(slot)!.members) {
      last = Math.max(last, megaflow.lastUsedMs());
    }
    return last;
  }
}

/** What all of them have counted together. */
export function twinStats({ members }: Twin): FlowStats {
  let [packets, bytes, usedMs, tcpFlags] = [0, 0, 0, 0];
  for (const { megaflow, datapath } of members) {
    const stats = megaflow.stats(datapath.kernel);
    packets += stats.packets;
    bytes += stats.bytes;
    usedMs = Math.max(usedMs, stats.usedMs);
    tcpFlags |= stats.tcpFlags;
  }
  return { packets, bytes, usedMs, tcpFlags };
}

/** Says masked key and mask: of each word that the mask touches its number, mask and value. */
function nameOf(key: Flow, mask: Flow): string {
  let name = "";
  for (let i = 0; i < KEY_WORDS; i++) {
    const m = mask.words[i]!;
    if (m === 0) continue;
    const k = key.words[i]!;
    name += String.fromCharCode(i, m & 0xffff, m >>> 16, k & 0xffff, k >>> 16);
  }
  return name;
}
