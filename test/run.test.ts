// `megaflow run` with real programs: two network namespaces behind TAP devices, and the switch between them.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ip, Lab, MAIN, missing, Program, ping, up } from "./lab.ts";

const skip = missing();

const yaml = (red: string, blue: string) => `
bridges:
  br0:
    fail_mode: secure
    flows: br0.flows
    ports:
      - { no: 1, name: mfred, type: tap, netns: ${red}, record: red.pcap }
      - { no: 2, name: mfblue, type: tap, netns: ${blue} }
`;

const NORMAL = "actions=NORMAL\n";
/** What a network policy does: connections that are there live on, others are not let in. */
const TRACKED =
  "priority=1 actions=NORMAL\nip,priority=9 actions=ct(table=1)\ntable=1,ip,ct_state=+est actions=NORMAL\n";
const ADMIT = "table=1,ip,ct_state=+new actions=ct(commit),NORMAL\n";
const REFUSE = "table=1,ip,ct_state=+new actions=drop\n";

const BYTES = 20_000_000;
/** Takes BYTES, sent slowly enough that something can happen in between; both ends say their digest. */
const SERVER = `
const { createHash } = require("node:crypto");
require("node:net").createServer((socket) => {
  const hash = createHash("sha256"); let size = 0;
  socket.on("data", (data) => { hash.update(data); size += data.length; if (size === ${BYTES}) { console.log(hash.digest("hex")); socket.end(); process.exit(0); } });
}).listen(5001, () => console.log("listening"));`;
const CLIENT = `
const { createHash, randomBytes } = require("node:crypto");
const hash = createHash("sha256"); let left = ${BYTES};
const socket = require("node:net").connect(5001, "10.78.0.2", async () => {
  console.log("connected");
  while (left > 0) {
    const data = randomBytes(Math.min(left, 200000)); left -= data.length; hash.update(data);
    if (!socket.write(data)) await new Promise((r) => socket.once("drain", r));
    await new Promise((r) => setTimeout(r, 10));
  }
  console.log(hash.digest("hex"));
});
socket.on("error", () => process.exit(1));`;
const CONNECT = `
const socket = require("node:net").connect(5001, "10.78.0.2", () => { console.log("connected"); process.exit(0); });
socket.on("error", (e) => { console.log(e.code); process.exit(0); });
setTimeout(() => { console.log("timed out"); process.exit(0); }, 1500);`;

test("programs in two namespaces talk through a switch, and its tables change under them", {
  skip,
}, async () => {
  const lab = new Lab("run");
  try {
    const red = lab.namespace("red");
    const blue = lab.namespace("blue");
    lab.write("br0.flows", NORMAL);
    const out = join(lab.dir, "out");
    const running = await lab.run(lab.namespace("node"), yaml(red, blue), "--out-dir", out);
    up(red, "mfred", "10.78.0.1");
    up(blue, "mfblue", "10.78.0.2");
    ping(red, "10.78.0.2");

    lab.write("br0.flows", TRACKED + ADMIT);
    assert.match(
      (await running.signal("SIGHUP", /br0: (.*)/))[1]!,
      /^4 flows added or changed, 1 removed, 0 kept$/,
    );
    const server = Program.node(blue, SERVER);
    await server.until("listening");
    const client = Program.node(red, CLIENT);
    await client.until("connected");
    lab.write("br0.flows", TRACKED + REFUSE);
    assert.match(
      (await running.signal("SIGHUP", /br0: (.*)/))[1]!,
      /^1 flows added or changed, 0 removed, 3 kept$/,
    );
    assert.equal(await Program.node(red, CONNECT).done, "timed out\n");
    const [sent, received] = await Promise.all([client.done, server.done]);
    assert.match(sent, /^connected\n[0-9a-f]{64}\n$/);
    assert.equal(received, sent.replace("connected", "listening"));

    lab.write("br0.flows", `${NORMAL}table=1,no_such=3 actions=drop\n`);
    assert.match((await running.signal("SIGHUP", /nothing was changed: (.*)/))[1]!, /br0\.flows:2:/);

    const statistics = await running.statistics();
    const count = (key: "rxFrames" | "txFrames" | "txDropped") =>
      statistics.ports.reduce((sum, p) => sum + p[key], 0);
    const dropped = Object.values<number>(statistics.drops).reduce((a, b) => a + b, 0);
    assert.ok(dropped > 0);
    assert.equal(count("rxFrames"), count("txFrames") + count("txDropped") + dropped);

    // The interface goes, and comes back.
    const from = running.said.length;
    ip("-n", blue, "link", "del", "mfblue");
    await running.until(/mfblue: is gone: /, from);
    await running.until(/mfblue: is back/, from);
    up(blue, "mfblue", "10.78.0.2");
    ip("-n", red, "neigh", "flush", "all"); // it has another link address now
    lab.write("br0.flows", NORMAL);
    await running.signal("SIGHUP", /br0: .* kept/);
    ping(red, "10.78.0.2");

    assert.equal(await running.stop(), 0, running.said);
    assert.match(readFileSync(join(out, "br0/flows.txt"), "utf8"), /n_packets=\d+.*actions=NORMAL/);
    assert.ok(readFileSync(join(lab.dir, "red.pcap")).length > BYTES);
  } finally {
    await lab.end();
  }
});

test("what cannot be run is said, and nothing is left behind", () => {
  for (const [text, words] of [
    ["bridges: {}", /there is no bridge to run/],
    ["bridges: { br0: { ports: [ { no: 1, name: a } ] } }", /lab\.yaml:1:\d+: port a of br0 wants a type/],
    ["bridges: { br0: { ports: [ { no: 1, name: a, type: patch, peer: b } ] } }", /patch port a wants peer/],
    [
      "bridges: { br0: { ports: [ { no: 1, name: a, type: dummy, queues: 2 } ] } }",
      /lab\.yaml:1:\d+: port a is no TAP device/,
    ],
    ["bridges: { br0: { flows: none.flows } }", /none\.flows/],
    ["shards: 65\nbridges: { br0: {} }", /lab\.yaml:1:\d+: /],
  ] as const) {
    const dir = mkdtempSync(join(tmpdir(), "megaflow-run-"));
    try {
      const lab = join(dir, "lab.yaml");
      writeFileSync(lab, text);
      const { status, stderr } = spawnSync(process.execPath, [MAIN, "run", lab], {
        cwd: dir,
        encoding: "utf8",
      });
      assert.equal(status, 2, stderr);
      assert.match(stderr, words);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  }
});
