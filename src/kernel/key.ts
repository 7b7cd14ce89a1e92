// Hashing and comparing flow keys, block by block.
//
// The hash is a sum over the blocks of (word ^ word >> 32) * a random odd number of that word's own: the products do not
// wait for each other, a zero block adds nothing, and without the random numbers no one can construct collisions.
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
    store<u64>(HASH_KEYS + i * 8, (z ^ (z >> 31)) | 1);
  }
}

/** A block's part of the sum. */
export function blockHash(block: v128, number: usize): u64 {
  const k = HASH_KEYS + number * 16;
  const lo = i64x2.extract_lane(block, 0);
  const hi = i64x2.extract_lane(block, 1);
  return <u64>(lo ^ <i64>(<u64>lo >> 32)) * load<u64>(k) + <u64>(hi ^ <i64>(<u64>hi >> 32)) * load<u64>(k, 8);
}

/** From the sum to the 32 bits that the tables use. */
export function finishHash(sum: u64): u32 {
  let h = sum ^ (sum >> 32);
  h *= 0x9e3779b97f4a7c15;
  return <u32>(h >> 32);
}

/** The hash of the blocks of KEY that `map` names. */
export function keyHash(map: u64): u32 {
  let sum: u64 = 0;
  for (let m = map; m != 0; m &= m - 1) {
    const b = <usize>ctz<u64>(m);
    sum += blockHash(v128.load(KEY + b * 16), b);
  }
  return finishHash(sum);
}

/** Sets blocks of KEY to zero. */
export function clearBlocks(map: u64): void {
  for (let m = map; m != 0; m &= m - 1) v128.store(KEY + <usize>ctz<u64>(m) * 16, i64x2(0, 0));
}
