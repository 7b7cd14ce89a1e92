// `megaflow run` on interfaces that are there already, as they come: nobody turns their offloads off.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { test } from "node:test";
import { ip, Lab, MAIN, missing, oneBridge, ping, plugIn, transfer, until, up, within } from "./lab.ts";

const skip = missing();
const BYTES = 20_000_000;

/** What real programs send is tracked, and so has its checksum verified. */
const TRACKED = `
priority=1 actions=NORMAL
tcp,priority=9,actions=ct(table=1)
table=1,tcp,ct_state=+new+trk actions=ct(commit),NORMAL
table=1,tcp,ct_state=+est+trk actions=NORMAL
`;

test("TCP between veths, and between a veth and a TAP, with large segments whole and tracked", {
  skip,
}, async () => {
  const lab = new Lab("veth");
  try {
    const node = lab.namespace("node");
    const red = plugIn(lab, node, "red", "10.78.0.1");
    const blue = plugIn(lab, node, "blue", "10.78.0.2");
    const green = lab.namespace("green");
    lab.write("br0.flows", TRACKED);
    const run = await lab.run(
      node,
      oneBridge([
        "{ no: 1, name: red, type: af-packet }",
        "{ no: 2, name: blue, type: af-packet, record: blue.pcap }",
        `{ no: 3, name: green, type: tap, netns: ${green} }`,
      ]),
    );
    up(green, "green", "10.78.0.3");
    ping(red, "10.78.0.2");
    await transfer(red, blue, "10.78.0.2", BYTES);
    await transfer(blue, green, "10.78.0.3", BYTES);
    await transfer(green, red, "10.78.0.1", BYTES);
    const { red: counters } = await run.counters();
    assert.ok(counters!.rxBytes! > BYTES);
    assert.ok(counters!.rxFrames! < BYTES / 3000, `${counters!.rxFrames} frames: segments came one by one`);
    assert.equal(counters!.txTooLong, 0);
  } finally {
    await lab.end();
  }
});

test("VLAN tags that the system has taken out are in the frame, large segments too", { skip }, async () => {
  const lab = new Lab("vlan");
  try {
    const node = lab.namespace("node");
    const red = plugIn(lab, node, "red", "10.78.0.1");
    const blue = plugIn(lab, node, "blue", "10.78.0.2");
    ip("-n", node, "link", "add", "left", "type", "veth", "peer", "name", "right");
    ip("-n", node, "link", "set", "left", "up");
    ip("-n", node, "link", "set", "right", "up");
    lab.write("br0.flows", "actions=NORMAL\n");
    lab.write("br1.flows", "priority=1,actions=drop\ndl_vlan=7 actions=NORMAL\nin_port=2 actions=NORMAL\n");
    await lab.run(
      node,
      `
bridges:
  br0:
    flows: br0.flows
    ports: [ { no: 1, name: red, type: af-packet, tag: 7 }, { no: 2, name: left, type: af-packet, trunks: [7] } ]
  br1:
    flows: br1.flows
    ports: [ { no: 1, name: right, type: af-packet, trunks: [7] }, { no: 2, name: blue, type: af-packet, tag: 7 } ]
`,
    );
    ping(red, "10.78.0.2");
    await transfer(red, blue, "10.78.0.2", BYTES);
    await transfer(blue, red, "10.78.0.1", BYTES);
  } finally {
    await lab.end();
  }
});

/** The optional package, which needs libpcap when it is installed. */
function capMissing(): string | false {
  try {
    createRequire(import.meta.url)("cap");
    return false;
  } catch {
    return "skipped: the optional package cap is not installed";
  }
}

test("libpcap: what the filter lets in arrives, what is sent goes out, large segments are cut", {
  skip: skip || capMissing(),
}, async () => {
  const lab = new Lab("pcap");
  try {
    const node = lab.namespace("node");
    const red = plugIn(lab, node, "red", "10.78.0.1");
    const blue = plugIn(lab, node, "blue", "10.78.0.2");
    lab.write("br0.flows", "actions=NORMAL\n");
    await lab.run(
      node,
      oneBridge([
        "{ no: 1, name: red, type: af-packet }",
        "{ no: 2, name: blue, type: pcap-live, filter: not ip6 and not udp }",
      ]),
    );
    ping(red, "10.78.0.2");
    await transfer(red, blue, "10.78.0.2", 1_000_000);
    await transfer(blue, red, "10.78.0.1", 1_000_000);
  } finally {
    await lab.end();
  }
});

test("frames longer than a port takes are not sent, and counted; an interface that is down moves nothing", {
  skip,
}, async () => {
  const lab = new Lab("mtu");
  try {
    const node = lab.namespace("node");
    const red = plugIn(lab, node, "red", "10.78.0.1");
    const blue = plugIn(lab, node, "blue", "10.78.0.2");
    lab.write("br0.flows", "actions=NORMAL\n");
    const run = await lab.run(
      node,
      oneBridge([
        "{ no: 1, name: red, type: af-packet }",
        "{ no: 2, name: blue, type: af-packet, mtu: 1000 }",
      ]),
    );
    ping(red, "10.78.0.2", "-s", "972");
    assert.notEqual(
      within(red, "ping", "-c", "2", "-i", "0.1", "-W", "1", "-s", "973", "10.78.0.2").status,
      0,
    );
    assert.equal((await run.counters()).blue!.txTooLong, 2);

    ip("-n", blue, "link", "set", "eth", "down");
    await within(red, "ping", "-c", "2", "-i", "0.2", "-W", "1", "10.78.0.2");
    assert.equal(Number((await run.counters()).blue!.up), 0);
    ip("-n", blue, "link", "set", "eth", "up");
    ping(red, "10.78.0.2");
    assert.doesNotMatch(run.said, /is gone/);
  } finally {
    await lab.end();
  }
});

test("a port whose interface is down is not live: a group goes to the next", { skip }, async () => {
  const lab = new Lab("live");
  try {
    const node = lab.namespace("node");
    const red = plugIn(lab, node, "red", "10.78.0.1");
    const blue = plugIn(lab, node, "blue", "10.78.0.2");
    const green = plugIn(lab, node, "green", "10.78.0.2");
    lab.write("br0.flows", "in_port=1 actions=group:1\nin_port=2 actions=1\nin_port=3 actions=1\n");
    lab.write(
      "br0.groups",
      "group_id=1,type=fast_failover,bucket=watch_port:2,actions=2,bucket=watch_port:3,actions=3\n",
    );
    const run = await lab.run(
      node,
      oneBridge(
        [
          "{ no: 1, name: red, type: af-packet }",
          "{ no: 2, name: blue, type: af-packet }",
          "{ no: 3, name: green, type: af-packet }",
        ],
        "groups: br0.groups",
      ),
    );
    const sent = async () => {
      ip("-n", red, "neigh", "flush", "all");
      const before = await run.counters();
      ping(red, "10.78.0.2");
      const after = await run.counters();
      return ["blue", "green"].map((name) => after[name]!.txFrames! - before[name]!.txFrames! >= 3);
    };
    const blueIs = (key: "up" | "attached", value: boolean) =>
      until(`blue ${key}: ${value}`, async () => (await run.counters()).blue![key] === value);
    assert.deepEqual(await sent(), [true, false]);
    ip("-n", blue, "link", "set", "eth", "down");
    await blueIs("up", false);
    assert.deepEqual(await sent(), [false, true]);
    ip("-n", blue, "link", "set", "eth", "up");
    await blueIs("up", true);
    assert.deepEqual(await sent(), [true, false]);
    ip("-n", node, "link", "del", "blue");
    await blueIs("attached", false);
    assert.deepEqual(await sent(), [false, true]);
    ip("-n", green, "link", "set", "eth", "down");
  } finally {
    await lab.end();
  }
});

test("what is missing is said in one line, and what helps", { skip }, () => {
  const lab = new Lab("errors");
  try {
    const node = lab.namespace("node");
    lab.write("br0.flows", "");
    const runs = (port: string, ...before: string[]) => {
      const file = lab.write("lab.yaml", oneBridge([`{ no: 1, ${port} }`]));
      const [program, ...args] = [...before, process.execPath, MAIN, "run", file];
      return spawnSync(program!, args, { encoding: "utf8", timeout: 20_000 });
    };
    const without = (capabilities: string) => ["setpriv", "--bounding-set", capabilities];
    for (const [port, words, ...before] of [
      ["name: nix, type: af-packet", /interface nix: there is no such interface \(ip link add nix /],
      [
        `name: nix, type: af-packet, netns: ${node}`,
        /nix in network namespace errors-.*: there is no such interface \(ip -n errors-/,
      ],
      [
        "name: t, type: tap, netns: megaflow-nix",
        /t in network namespace megaflow-nix: there is no such network namespace \(ip netns add megaflow-nix\)/,
      ],
      [
        "name: mfnix, type: tap",
        /TAP device mfnix: not permitted: .*CAP_NET_ADMIN/,
        ...without("-net_admin"),
      ],
      ["name: lo, type: af-packet", /interface lo: not permitted: .*CAP_NET_RAW/, ...without("-net_raw")],
      [
        `name: lo, type: af-packet, netns: ${node}`,
        /not permitted: .*CAP_SYS_ADMIN/,
        ...without("-sys_admin"),
      ],
    ] as const) {
      const { status, stderr } = runs(port, ...before);
      assert.equal(status, 2, stderr);
      assert.match(stderr, words);
      assert.equal(stderr.trim().split("\n").length, 1, stderr);
    }
  } finally {
    lab.end();
  }
});
