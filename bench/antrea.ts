// The pipeline of an Antrea v0.6 node with established connections from the pod on port 4 to the pod on port 5.
import { readFileSync } from "node:fs";
import type { Prng } from "../src/lib/prng.ts";
import { ANTREA_V06_FLOWS } from "./fixtures.ts";
import type { TrackedTraffic } from "./tracked.ts";
import { shuffle } from "./traffic.ts";

const CLIENT = 0x64600103; // 100.96.1.3
const SERVER = 0x64600104;

export function antreaPods(count: number, rng: Prng): TrackedTraffic {
  const connections = Array.from({ length: count }, (_, i) => ({
    src: CLIENT,
    dst: SERVER,
    srcPort: 32768 + i,
    dstPort: 80,
  }));
  return {
    flows: readFileSync(ANTREA_V06_FLOWS, "utf8"),
    link: { ethSrc: "0e:5a:10:60:01:03", ethDst: "0e:5a:10:60:01:04" },
    clientPort: 4,
    serverPort: 5,
    connections: shuffle(connections, rng),
  };
}
