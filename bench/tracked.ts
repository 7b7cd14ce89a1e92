// The benches of connection tracking: connections opened through the switch itself, then measured with established segments.
import { CTC_CONNECTIONS } from "../src/datapath/abi.ts";
import { assert } from "../src/lib/assert.ts";
import { type BenchContext, type BenchResult, measureFrames } from "./harness.ts";
import type { PeerCase } from "./peer/ovs-dpdk.ts";
import { BenchSwitch } from "./switch.ts";
import { type Connection, established, type Link, opening, reply, Segments } from "./traffic.ts";

export interface TrackedTraffic {
  /** Text of a flow file that commits new connections and lets established ones pass. */
  readonly flows: string;
  readonly link: Link;
  /** Where the clients are, and where the servers. */
  readonly clientPort: number;
  readonly serverPort: number;
  readonly connections: readonly Connection[];
  /** What the server sees of a connection, when that is another tuple. */
  readonly seenAs?: (connection: Connection) => Connection;
  /** Whether the servers' segments are measured too. */
  readonly bothWays?: boolean;
  /** Texts of a group and a meter file. */
  readonly groups?: string;
  readonly meters?: string;
}

/** Opens the connections, and lays out an established segment of each for measurement. */
export function trackedSwitch(
  context: BenchContext,
  traffic: TrackedTraffic,
  options: { readonly cache?: boolean; readonly connectionsMax?: number } = {},
): BenchSwitch {
  const { flows, link, connections, clientPort, serverPort } = traffic;
  const there = new Segments(link);
  const back = new Segments({ ethSrc: link.ethDst, ethDst: link.ethSrc });
  const { groups = "", meters = "", seenAs = (connection) => connection } = traffic;
  const framesMax = 2 * connections.length;
  const bench = new BenchSwitch(flows, { ...options, groups, meters, framesMax, seed: context.seed });
  for (const connection of connections) {
    const [syn, , ack] = opening(there, back, connection);
    const [, synAck] = opening(there, back, seenAs(connection));
    bench.send(syn, clientPort);
    bench.send(synAck, serverPort);
    bench.send(ack, clientPort);
  }
  const sides = (connection: Connection) => [
    { port: clientPort, frame: established(there, connection) },
    ...(traffic.bothWays ? [{ port: serverPort, frame: reply(back, seenAs(connection)) }] : []),
  ];
  const measured = connections.flatMap(sides);
  bench.load(
    measured.map(({ frame }) => frame),
    measured.map(({ port }) => port),
  );
  const open = Number(bench.bridge.datapath.kernel.exports.conntrackCounter(CTC_CONNECTIONS));
  assert(open === connections.length, `${open} of ${connections.length} connections are open`);
  return bench;
}

/** The same for another switch: segments both ways open the connections, those of the clients are measured. */
export function trackedCase(traffic: TrackedTraffic): PeerCase {
  const { flows, link, connections, clientPort, serverPort, seenAs = (connection) => connection } = traffic;
  const { groups = "", meters = "" } = traffic;
  const there = new Segments(link);
  const back = new Segments({ ethSrc: link.ethDst, ethDst: link.ethSrc });
  return {
    flows,
    groups,
    meters,
    ports: [1, 2, 3, 4, 5, 6],
    keepReplies: traffic.bothWays === true,
    traffic: { port: clientPort, frames: connections.map((connection) => established(there, connection)) },
    replies: { port: serverPort, frames: connections.map((connection) => reply(back, seenAs(connection))) },
  };
}

export function measureTracked(context: BenchContext, traffic: TrackedTraffic): BenchResult {
  const bench = trackedSwitch(context, traffic);
  bench.pass();
  return measureFrames(context, () => bench.batch(), bench.hash());
}
