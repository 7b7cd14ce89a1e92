// `megaflow run` with `shards: 2`: real programs talk through it, its tables change, and what it says of its shards.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { ShardCounts } from "../src/bridge/spread.ts";
import { Lab, missing, ping, up } from "./lab.ts";

const CONNECTIONS = 20;
const BYTES = 100_000;

const YAML = (red: string, blue: string) => `
shards: 2
bridges:
  br0:
    fail_mode: secure
    flows: br0.flows
    ports:
      - { no: 1, name: msred, type: tap, netns: ${red}, record: red.pcap }
      - { no: 2, name: msblue, type: tap, netns: ${blue} }
`;

const ACROSS = "in_port=1,arp actions=output:2\nin_port=2,arp actions=output:1\n";
const TRACKED = `${ACROSS}ip actions=ct(table=1)
table=1,ip,ct_state=+new+trk,in_port=1 actions=ct(commit),output:2
table=1,ip,ct_state=+est+trk,in_port=1 actions=output:2
table=1,ip,ct_state=+est+trk,in_port=2 actions=output:1
`;

const SERVER = `
const { createServer } = require("node:net");
createServer((socket) => socket.pipe(socket)).listen(5001, () => console.log("ready"));`;
/** Sends BYTES by each of CONNECTIONS connections, and counts what comes back. */
const CLIENT = `
const net = require("node:net");
let left = ${CONNECTIONS}, got = 0;
for (let i = 0; i < ${CONNECTIONS}; i++) {
  const socket = net.connect(5001, "10.79.0.2", () => socket.end(Buffer.alloc(${BYTES}, i)));
  socket.on("data", (data) => { for (const b of data) if (b !== i) process.exit(1); got += data.length; });
  socket.on("close", () => { if (--left === 0) { console.log(got); process.exit(0); } });
}`;

function run(netns: string, script: string): { said: Promise<string>; kill(): void } {
  const child = spawn("ip", ["netns", "exec", netns, process.execPath, "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const said = new Promise<string>((resolve) => {
    child.stdout.once("data", (data: Buffer) => resolve(data.toString().trim()));
    child.once("close", () => resolve("ended"));
  });
  return { said, kill: () => child.kill() };
}

test("connections of two namespaces are spread over two shards", { skip: missing() }, async () => {
  const lab = new Lab("shards");
  let server: ReturnType<typeof run> | null = null;
  try {
    const red = lab.namespace("red");
    const blue = lab.namespace("blue");
    lab.write("br0.flows", TRACKED);
    const out = join(lab.dir, "out");
    const running = await lab.run(lab.namespace("node"), YAML(red, blue), "--out-dir", out);
    up(red, "msred", "10.79.0.1");
    up(blue, "msblue", "10.79.0.2");
    ping(red, "10.79.0.2");
    server = run(blue, SERVER);
    assert.equal(await server.said, "ready");
    assert.equal(await run(red, CLIENT).said, String(CONNECTIONS * BYTES));

    const statistics = await running.statistics();
    const { shards } = statistics as unknown as { shards: ShardCounts[] };
    assert.equal(shards.length, 2);
    assert.ok(
      shards.every(({ packets, connections }) => packets > 50 && connections > 1),
      JSON.stringify(shards),
    );
    assert.equal(
      shards.reduce((sum, { connections }) => sum + connections, 0),
      statistics.connections,
    );
    const count = (key: "rxFrames" | "txFrames" | "txDropped") =>
      statistics.ports.reduce((sum, port) => sum + port[key], 0);
    const dropped = Object.values(statistics.drops).reduce((a, b) => a + b, 0);
    assert.equal(count("rxFrames"), count("txFrames") + count("txDropped") + dropped);

    // Flows that must be in one shard.
    lab.write("br0.flows", "actions=NORMAL\n");
    await running.signal("SIGHUP", /br0: 1 flows added or changed, 6 removed, 0 kept/);
    assert.equal(await run(red, CLIENT).said, String(CONNECTIONS * BYTES));
    ping(red, "10.79.0.2");

    assert.equal(await running.stop(), 0, running.said);
    assert.match(readFileSync(join(out, "br0/flows.txt"), "utf8"), /n_packets=\d{3}.*actions=NORMAL/);
    assert.ok(readFileSync(join(lab.dir, "red.pcap")).length > 4 * CONNECTIONS * BYTES);
  } finally {
    server?.kill();
    await lab.end();
  }
});

test("flows that must be in one shard are, and it is said", { skip: missing() }, async () => {
  const lab = new Lab("shard");
  try {
    lab.write("br0.flows", "actions=NORMAL\n");
    const node = lab.namespace("node");
    const running = await lab.run(node, YAML(node, node));
    assert.match(running.said, /br0: all frames are handled by one shard: NORMAL learns MAC addresses\n/);
    assert.equal(await running.stop(), 0, running.said);
  } finally {
    await lab.end();
  }
});
