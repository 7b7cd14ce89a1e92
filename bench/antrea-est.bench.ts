// A Kubernetes node at work: the pipeline of Antrea v0.6, established connections. Each frame passes 14 tables when translated, and
// in the caches one ct() and one recirculation.
import { Prng } from "../src/lib/prng.ts";
import { antreaPods, antreaService } from "./antrea.ts";
import type { Bench } from "./harness.ts";
import { measureTracked, type TrackedTraffic, trackedCase } from "./tracked.ts";

const CONNECTIONS = 1_000;

export const benches: readonly Bench[] = [
  bench("antrea-est", "segments of 1,000 established pod-to-pod connections", antreaPods),
  bench("antrea-est-both", "the same and the servers' segments, in turn", (count, rng) => ({
    ...antreaPods(count, rng),
    bothWays: true,
  })),
  bench(
    "antrea-est-service",
    "segments of 1,000 established connections from a pod to a service",
    antreaService,
  ),
];

function bench(name: string, what: string, make: (count: number, rng: Prng) => TrackedTraffic): Bench {
  const traffic = (seed: number) => make(CONNECTIONS, new Prng(seed));
  return {
    name,
    question: `How fast do ${what} pass an Antrea v0.6 node?`,
    run: (context) => measureTracked(context, traffic(context.seed)),
    peer: (seed) => trackedCase(traffic(seed)),
  };
}
