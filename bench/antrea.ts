// The pipeline of an Antrea v0.6 node with established connections from the pod on port 4 to the pod on port 5.
import { readFileSync } from "node:fs";
import type { Prng } from "../src/lib/prng.ts";
import { ANTREA_FLOWS, ANTREA_GROUPS, ANTREA_METERS, ANTREA_V06_FLOWS } from "./fixtures.ts";
import type { TrackedTraffic } from "./tracked.ts";
import { shuffle } from "./traffic.ts";

const CLIENT = 0x64600103; // 100.96.1.3
const SERVER = 0x64600104;
const GATEWAY = "0e:5a:10:60:01:01";

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

const SERVICE = 0x6446eeb0; // 100.70.238.176

/** From the same pod to a service, which v0.6 leaves to the host behind the gateway on port 2. */
export function antreaService(count: number, rng: Prng): TrackedTraffic {
  const pods = antreaPods(count, rng);
  return {
    ...pods,
    link: { ...pods.link, ethDst: GATEWAY },
    serverPort: 2,
    connections: pods.connections.map((connection) => ({ ...connection, dst: SERVICE })),
  };
}

const BUSYBOX = 0x64600103; // 100.96.1.3
const COREDNS = 0x64600102;

/** The pipeline of today's Antrea, with established connections from the pod on port 2 to the pod on port 1. */
export function antreaV2Pods(count: number, rng: Prng): TrackedTraffic {
  const connections = Array.from({ length: count }, (_, i) => ({
    src: BUSYBOX,
    dst: COREDNS,
    srcPort: 32768 + i,
    dstPort: 8080,
  }));
  return {
    flows: readFileSync(ANTREA_FLOWS, "utf8"),
    groups: readFileSync(ANTREA_GROUPS, "utf8"),
    meters: readFileSync(ANTREA_METERS, "utf8"),
    link: { ethSrc: "0e:5a:10:60:01:03", ethDst: "0e:5a:10:60:01:02" },
    clientPort: 2,
    serverPort: 1,
    connections: shuffle(connections, rng),
  };
}
