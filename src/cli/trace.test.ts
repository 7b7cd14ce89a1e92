// `megaflow trace` as a program: what it prints, and its exit status.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

const dir = mkdtempSync(join(tmpdir(), "megaflow-trace-"));
after(() => rmSync(dir, { recursive: true }));

const MAIN = new URL("./main.js", import.meta.url).pathname;

function run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const r = spawnSync(process.execPath, [MAIN, "trace", ...args], { encoding: "utf8" });
  return { status: r.status, stdout: r.stdout, stderr: r.stderr };
}

function file(name: string, text: string): string {
  const path = join(dir, name);
  writeFileSync(path, text);
  return path;
}

test("prints a trace", () => {
  const flows = file(
    "a.flows",
    "table=0,in_port=1 actions=goto_table:1\ntable=1,ip actions=dec_ttl,output:2\n",
  );
  const r = run("--flows", flows, "in_port=1,ip,nw_ttl=9");
  assert.equal(r.stderr, "");
  assert.match(r.stdout, /^ 0\. in_port=1, priority 32768\n {4}goto_table:1\n 1\. ip, priority 32768\n/m);
  assert.equal(r.status, 0);
});

test("a frame gives the flow, and what is learned from it", () => {
  const flows = file("n.flows", "actions=NORMAL\nin_port=2,actions=drop\n");
  const r = run("--flows", flows, "in_port=1", "ffffffffffff 020000000001 1234 0000");
  assert.match(r.stdout, /learned that 02:00:00:00:00:01 is on port 1 in VLAN 0/);
  assert.match(r.stdout, /^Datapath actions: 2,65534$/m);
  assert.equal(r.status, 0);
});

test("groups and meters come from their files", () => {
  const flows = file("g.flows", "ip,actions=meter:7,group:3\n");
  const groups = file("g.groups", "group_id=3,type=all,bucket=output:1,bucket=output:2\n");
  const meters = file("g.meters", "meter=7,pktps,bands=type=drop,rate=1\n");
  const r = run("--flows", flows, "--groups", groups, "--meters", meters, "in_port=9,ip,nw_proto=99");
  assert.equal(r.stderr, "");
  assert.match(r.stdout, /^Datapath actions: meter\(0\),1,2$/m);
});

test("bad input has a place and exit status 2, and nothing is printed", () => {
  const flows = file("bad.flows", "actions=drop\nactions=nonsense\n");
  const bad = run("--flows", flows, "in_port=1");
  assert.equal(bad.status, 2);
  assert.equal(bad.stdout, "");
  assert.match(bad.stderr, /bad\.flows:2/);

  const good = file("good.flows", "actions=drop\n");
  const flow = run("--flows", good, "in_port=1,nw_ttl=3");
  assert.equal(flow.status, 2);
  assert.match(flow.stderr, /Bad openflow flow syntax/);
  const state = run("--flows", good, "--ct-next", "new", "in_port=1");
  assert.equal(state.status, 2);
  const missing = run("--flows", join(dir, "none.flows"), "in_port=1");
  assert.equal(missing.status, 2);
  const group = run("--flows", file("nogroup.flows", "actions=group:5\n"), "in_port=1");
  assert.equal(group.status, 2);
  assert.match(group.stderr, /nogroup\.flows:1: OFPBAC_BAD_OUT_GROUP/);
});
