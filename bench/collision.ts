// Tuples whose hashes collide for whoever knows the hash's secret: under seed 0 they all lie in one chain. The secret words are
// added to words of the tuple before these are multiplied (src/kernel/conntrack-table.ts), so a word that is the negative of its
// secret makes its product zero, whatever the other word is: 65,536 tuples with one hash.
import type { Prng } from "../src/lib/prng.ts";
import { oneZone } from "./one-zone.ts";
import { trackedSwitch } from "./tracked.ts";
import type { Connection } from "./traffic.ts";

const MASK64 = (1n << 64n) - 1n;

/** The first secret word of a seed, as the kernel makes it (splitmix64). */
function firstSecret(seed: bigint): number {
  const x = (seed + 0x9e3779b97f4a7c15n) & MASK64;
  let z = ((x ^ (x >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK64;
  z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & MASK64;
  return Number(((z ^ (z >> 31n)) >> 32n) & 0xffffffffn);
}

const swap16 = (n: number): number => ((n & 0xff) << 8) | ((n >>> 8) & 0xff);

/** `count` connections, at most 50,000, that collide under seed `known`. */
export function collidingConnections(count: number, known: bigint): Connection[] {
  // The word that meets the first secret: the source's port, and above it the first half of its address, as they lie in memory.
  const word = -firstSecret(known) >>> 0;
  const srcPort = swap16(word & 0xffff);
  const srcHigh = swap16(word >>> 16);
  return Array.from({ length: count }, (_, i) => ({
    // The other half of the address is free; read from memory it stays below the destination's, which keeps the ends in order.
    src: ((srcHigh << 16) | swap16(i)) >>> 0,
    dst: 0xc0a8fefe,
    srcPort,
    dstPort: 80,
  }));
}

export interface CollisionFigures {
  /** Nanoseconds of a frame, the shortest of several passes: connections taken at random, and those made to collide. */
  readonly random: number;
  readonly crafted: number;
  /** The crafted ones as if their maker had known the secret. */
  readonly known: number;
  readonly hash: string;
}

const KNOWN_SEED = 0;

/** Established connections, `count` of each kind, through switches of their own; passes of all kinds take turns. */
export function collide(seed: number, count: number, rng: Prng, passes: number): CollisionFigures {
  const random = oneZone(count, rng);
  const crafted = { ...random, connections: collidingConnections(count, BigInt(KNOWN_SEED)) };
  // As many connections as ask more than the exact-match cache; without it each frame is looked up as the others are.
  const switches = [
    trackedSwitch({ seed, smoke: true }, random, { connectionsMax: count }),
    trackedSwitch({ seed, smoke: true }, crafted, { connectionsMax: count }),
    trackedSwitch({ seed: KNOWN_SEED, smoke: true }, crafted, { connectionsMax: count }),
  ];
  const hash = switches[1]!.hash();
  const best = switches.map(() => Number.POSITIVE_INFINITY);
  for (let pass = 0; pass < passes; pass++) {
    // The known secret is for comparison: a few passes of it are enough, since they are long.
    const kinds = pass < 3 ? 3 : 2;
    for (let kind = 0; kind < kinds; kind++) {
      const begin = performance.now();
      switches[kind]!.pass();
      best[kind] = Math.min(best[kind]!, ((performance.now() - begin) * 1e6) / count);
    }
  }
  return { random: best[0]!, crafted: best[1]!, known: best[2]!, hash };
}
