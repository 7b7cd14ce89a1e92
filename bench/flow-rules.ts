// A large flow file: access rules, each with a match of its own.
import type { Prng } from "../src/lib/prng.ts";
import { formatIpv4 } from "../src/packet/address.ts";

/** The text of `count` flows of one table, all different. */
export function ruleFile(count: number, rng: Prng): string {
  const lines: string[] = [];
  for (let i = 0; i < count; i++) {
    const prefix = rng.pick([16, 24, 32]);
    const src = `${formatIpv4(rng.bytes(4))}/${prefix}`;
    const dst = formatIpv4(Uint8Array.of(10, i >> 16, i >> 8, i));
    const match = `nw_src=${src},nw_dst=${dst},tp_dst=${rng.below(65536)}`;
    lines.push(`cookie=0x${(i + 1).toString(16)},priority=${1 + (i % 1000)},tcp,${match} actions=output:2`);
  }
  return lines.join("\n") + "\n";
}
