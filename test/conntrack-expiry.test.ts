// Connections that end are swept out as fast as others are made, or the table would fill: through a whole bridge, on a clock of its own.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Bridge } from "../src/bridge/bridge.ts";
import { parseFlowFile } from "../src/control/openflow/flow-file.ts";
import { countConnections } from "../src/datapath/conntrack-dump.ts";
import { udpFrame } from "../src/packet/frame.ts";
import { PortTable } from "../src/pipeline/port-table.ts";

const PER_MS = 20;
const TIMEOUT_S = 2;
const SECONDS = 8;
const BATCH = 100;
/** A connection may stay for a tick of the wheel and a second more than its timeout. */
const LATE_S = 2.1;

test("20,000 connections a second come and go, and the table holds those of the last seconds", () => {
  const ports = new PortTable([1, 2].map((no) => ({ no, name: `p${no}` })));
  const bridge = new Bridge({
    ports,
    failMode: "secure",
    connectionsMax: PER_MS * 1000 * SECONDS,
    conntrack: { zones: new Map([[5, { timeouts: { udp_first: TIMEOUT_S } }]]) },
  });
  bridge.advance(1000);
  bridge.addFlows(parseFlowFile("udp,actions=ct(commit,zone=5,table=1)\ntable=1,actions=output:2\n"), 1000);
  const { datapath } = bridge;
  const frame = udpFrame({ src: "10.0.0.1", dst: "10.0.0.2", srcPort: 1, dstPort: 53 });
  const view = new DataView(frame.buffer, frame.byteOffset);
  view.setUint16(40, 0); // without a checksum, the ports may be changed
  let sent = 0;
  const sink = { port: () => void sent++, userspace: () => {}, verdict: () => {} };
  let most = 0;
  const total = PER_MS * 1000 * SECONDS;
  for (let n = 0; n < total; n++) {
    view.setUint16(34, 0x8000 + (n & 0x7fff));
    view.setUint16(36, n >>> 15);
    datapath.stage(frame, 0, frame.length, frame.length, 1, 1000 + Math.floor(n / PER_MS));
    if (n % BATCH !== BATCH - 1) continue;
    bridge.run(sink);
    most = Math.max(most, datapath.connectionCount());
  }
  assert.equal(sent, total);
  assert.ok(most < PER_MS * 1000 * (TIMEOUT_S + LATE_S), `${most} connections`);
  assert.equal(countConnections(datapath.kernel, bridge.nowMs), PER_MS * 1000 * TIMEOUT_S);
  // Then silence, in which nothing but the clock moves.
  for (let ms = 0; ms < 20_000; ms += 100) bridge.advance(bridge.nowMs + 100);
  assert.equal(datapath.connectionCount(), 0);
});
