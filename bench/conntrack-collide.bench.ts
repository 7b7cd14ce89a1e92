// Connections whose tuples were made to collide, for a hash with a known secret, in a switch with another (collision.ts).
import { Prng } from "../src/lib/prng.ts";
import { collide } from "./collision.ts";
import type { BenchContext, BenchResult } from "./harness.ts";

export const name = "conntrack-collide";
export const question = "How fast are segments of connections crafted to collide in the connection table?";

const COUNT = 10_000;
const PASSES = 50;

export function run(context: BenchContext): BenchResult {
  const passes = context.smoke ? 4 : PASSES;
  const { random, crafted, known, hash } = collide(context.seed, COUNT, new Prng(context.seed), passes);
  const times = (ns: number) => (ns / random).toFixed(2);
  const note = `${times(crafted)} times as long as connections at random; were the secret known, ${times(known)} times`;
  return { unit: "frame", nsPerUnit: [crafted], count: COUNT * passes, hash, note };
}
