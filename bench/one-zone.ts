// One conntrack zone, as the conntrack-* benches use it.
import type { Prng } from "../src/lib/prng.ts";
import type { TrackedTraffic } from "./tracked.ts";
import { LINK, shuffle } from "./traffic.ts";

const ONE_ZONE_FLOWS = `
table=0, priority=10, ip actions=ct(table=1,zone=65520)
table=1, ct_state=+trk+new, ip, in_port=1 actions=ct(commit,zone=65520),output:2
table=1, ct_state=+trk+est, ip, in_port=1 actions=output:2
table=1, ct_state=+trk+est, ip, in_port=2 actions=output:1
`;

const SNAT_FLOWS = `
table=0, priority=10, ip actions=ct(table=1,zone=65520,nat)
table=1, ct_state=+trk+new, ip, in_port=1 actions=ct(commit,zone=65520,nat(src=198.51.100.1)),output:2
table=1, ct_state=+trk+est, ip, in_port=1 actions=output:2
table=1, ct_state=+trk+est, ip, in_port=2 actions=output:1
`;
const SNAT_ADDRESS = 0xc6336401;

/** The same with the clients behind one address; each keeps its port, which no other has. */
export function oneAddress(count: number, rng: Prng): TrackedTraffic {
  const { connections, ...traffic } = oneZone(count, rng);
  return {
    ...traffic,
    flows: SNAT_FLOWS,
    connections: connections.map((connection, i) => ({ ...connection, srcPort: 1024 + i })),
    seenAs: (connection) => ({ ...connection, src: SNAT_ADDRESS }),
  };
}

/** `count` different connections between port 1 and port 2. */
export function oneZone(count: number, rng: Prng): TrackedTraffic {
  const connections = Array.from({ length: count }, (_, i) => ({
    src: 0x0a000000 + i,
    dst: 0xc0a80000 + rng.below(256),
    srcPort: 1024 + rng.below(60_000),
    dstPort: 80,
  }));
  return {
    flows: ONE_ZONE_FLOWS,
    link: LINK,
    clientPort: 1,
    serverPort: 2,
    connections: shuffle(connections, rng),
  };
}
