// Hashing flow keys, two blocks at a time.
//
// The hash is NH (UMAC, RFC 4418 section 5.2.2), in vectors: a random number is added to each 32-bit word of a pair of blocks, the
// words of one block are multiplied with those of the other, and all products are added up. None waits for another, and
// without the random numbers no one can construct collisions. Block 2n and block 2n + 1 are a pair: META with ETH, IP4 with
// CT, so that the key of most frames is two pairs.
import { KEY_BLOCKS } from "../flow/layout.ts";
import { HASH_KEYS, KEY } from "./memory.ts";

/** Fills the hash keys from a seed (splitmix64). */
export function keySeed(seed: u64): void {
  let s = seed;
  for (let i: usize = 0; i < <usize>KEY_BLOCKS * 2; i++) {
    s += 0x9e3779b97f4a7c15;
    let z = s;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    store<u64>(HASH_KEYS + i * 8, z ^ (z >> 31));
  }
}

/** The part of pair `pair` in the sum. */
export function pairHash(even: v128, odd: v128, pair: usize): v128 {
  const a = i32x4.add(even, v128.load(HASH_KEYS + pair * 32));
  const b = i32x4.add(odd, v128.load(HASH_KEYS + pair * 32, 16));
  return i64x2.add(i64x2.extmul_low_i32x4_u(a, b), i64x2.extmul_high_i32x4_u(a, b));
}

/** From the sum to the 32 bits that the tables use; never 0. */
export function finishHash(sum: v128): u32 {
  const s = <u64>(i64x2.extract_lane(sum, 0) + i64x2.extract_lane(sum, 1));
  // Folded first: the sums of similar keys are in arithmetic progression, which a product alone would leave them in.
  return <u32>(((s ^ (s >> 32)) * 0x9e3779b97f4a7c15) >> 32) | 1;
}

/** The hash of a key whose blocks are 0 to 3. */
export function hash4(meta: v128, eth: v128, ip4: v128, ct: v128): u32 {
  return finishHash(i64x2.add(pairHash(meta, eth, 0), pairHash(ip4, ct, 1)));
}

/** The hash of KEY, of whose blocks `map` names those that may be other than zero. */
export function keyHash(map: u64): u32 {
  const sum = i64x2.add(
    pairHash(v128.load(KEY), v128.load(KEY, 16), 0),
    pairHash(v128.load(KEY, 32), v128.load(KEY, 48), 1),
  );
  let rest = sum;
  for (let m = pairsOf(map) >> 2; m != 0; m &= m - 1) {
    const pair = <usize>ctz<u64>(m) + 2;
    const at = KEY + pair * 32;
    rest = i64x2.add(rest, pairHash(v128.load(at), v128.load(at, 16), pair));
  }
  return finishHash(rest);
}

/** A bit for each pair of blocks that `map` has one of. */
export function pairsOf(map: u64): u64 {
  let m = (map | (map >> 1)) & 0x5555555555555555;
  m = (m | (m >> 1)) & 0x3333333333333333;
  m = (m | (m >> 2)) & 0x0f0f0f0f0f0f0f0f;
  m = (m | (m >> 4)) & 0x00ff00ff00ff00ff;
  m = (m | (m >> 8)) & 0x0000ffff0000ffff;
  return (m | (m >> 16)) & 0xffffffff;
}

/** Sets blocks of KEY to zero. */
export function clearBlocks(map: u64): void {
  for (let m = map; m != 0; m &= m - 1) v128.store(KEY + <usize>ctz<u64>(m) * 16, i64x2(0, 0));
}
