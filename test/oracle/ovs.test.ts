// The real-OVS harness itself.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { ovsSkip, requireOvs } from "./ovs.ts";
import { ObjectSplitter } from "./unixctl.ts";

const FRAME = Buffer.from("5054000000025054000000010800" + "00".repeat(46), "hex");

test("two private switches side by side forward, dump and stop", { skip: ovsSkip }, async () => {
  const [a, b] = await Promise.all([requireOvs(), requireOvs()]);
  try {
    for (const ovs of [a, b]) {
      await ovs.addBridge("br0", { ports: [{ no: 1 }, { no: 2 }, { no: 7, name: "pod7" }] });
      await ovs.ofctl(["add-flow", "br0", "in_port=1,actions=2,LOCAL"]);
    }
    await a.receive("p1", FRAME);
    assert.deepEqual(a.takeSent("p2"), [new Uint8Array(FRAME)]);
    assert.deepEqual(a.takeSent("p2"), []);
    assert.deepEqual(a.sent("br0"), [new Uint8Array(FRAME)]);
    assert.deepEqual(b.sent("p2"), [], "the other switch got nothing");

    await a.ofctl(["add-flows", "br0", "-"], { input: "in_port=1,actions=output:7\n" });
    await a.settle();
    for (let i = 0; i < 50; i++) await a.receive("p1", FRAME);
    assert.equal(a.takeSent("pod7").length, 50);
    assert.equal(a.takeSent("p2").length, 0);

    for (let i = 0; i < 20; i++) {
      await b.ofctl(["add-flow", "br0", `in_port=1,actions=${i % 2 ? 2 : 7}`]);
      await b.settle();
      await b.receive("p1", FRAME);
      const sent = [b.takeSent("p2").length, b.takeSent("pod7").length];
      assert.deepEqual(sent, i % 2 ? [1, 0] : [0, 1], `after change ${i}`);
    }

    const [flow] = await a.dumpFlows("br0");
    assert.match(flow!, /n_packets=50, n_bytes=3000, reset_counts idle_age=\d+, in_port=1 actions=output:7/);
    const [megaflow] = await a.dumpMegaflows();
    assert.match(megaflow!, /in_port\(1\).*packets:49, bytes:2940.*actions:7$/);
    assert.match(await a.trace("br0", "in_port=1"), /Datapath actions: \d+/);
    await assert.rejects(a.appctl("ofproto/trace", "br9", "in_port=1"), /^Error: br9: unknown bridge$/);
    await assert.rejects(a.ofctl(["add-flow", "br0", "actions=frob"]), /unknown action frob/);
  } finally {
    await Promise.all([a.stop(), b.stop()]);
  }
  assert.equal(existsSync(a.dir), false);
});

test("the stopped clock moves by warp alone", { skip: ovsSkip }, async () => {
  const ovs = await requireOvs();
  try {
    await ovs.addBridge("br0", { ports: [{ no: 1 }] });
    await ovs.stopClock();
    await ovs.ofctl(["add-flow", "br0", "hard_timeout=10,actions=drop"]);
    await ovs.warp(9_000);
    assert.match((await ovs.dumpFlows("br0"))[0]!, /duration=9(\.\d+)?s/);
    await ovs.warp(2_000, 500);
    assert.deepEqual(await ovs.dumpFlows("br0"), []);
  } finally {
    await ovs.stop();
  }
});

test("replies that stand back to back or come in pieces are told apart", () => {
  const splitter = new ObjectSplitter();
  assert.deepEqual(splitter.push('{"result":"a}\\"{","id":0}{"res'), ['{"result":"a}\\"{","id":0}']);
  assert.deepEqual(splitter.push('ult":{}}'), ['{"result":{}}']);
});
