// `megaflow run` with real programs: two network namespaces behind TAP devices, and the switch between them.
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../src/cli/main.js", import.meta.url));
const RED = `megaflow-red-${process.pid}`;
const BLUE = `megaflow-blue-${process.pid}`;
const TIMEOUT_MS = 20_000;

const ip = (...args: string[]) => spawnSync("ip", args, { encoding: "utf8" });

function missing(): string | false {
  if (!existsSync(new URL("../../native-shim/build/Release/shim.node", import.meta.url))) {
    return "skipped: native-shim is not built";
  }
  if (!existsSync("/dev/net/tun")) return "skipped: this machine has no /dev/net/tun";
  if (spawnSync("ping", ["-V"]).error !== undefined) return "skipped: iputils-ping is not installed";
  const { error, status } = ip("netns", "add", RED);
  if (error !== undefined) return "skipped: iproute2 is not installed";
  if (status !== 0) return "skipped: this machine lets us make no network namespace";
  ip("netns", "add", BLUE);
  return false;
}

const skip = missing();
after(() => {
  if (skip !== false) return;
  ip("netns", "del", RED);
  ip("netns", "del", BLUE);
});

/** A switch at work. */
class Lab {
  readonly dir = mkdtempSync(join(tmpdir(), "megaflow-run-"));
  readonly process: ChildProcess;
  said = "";

  constructor(files: Readonly<Record<string, string>>, ...args: string[]) {
    for (const [name, text] of Object.entries(files)) this.write(name, text);
    this.process = spawn(process.execPath, [MAIN, "run", join(this.dir, "lab.yaml"), ...args], {
      stdio: ["ignore", "ignore", "pipe"],
      cwd: this.dir,
    });
    this.process.stderr!.on("data", (data: Buffer) => (this.said += data.toString()));
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.dir, name), text);
  }

  async until(words: RegExp, from = 0): Promise<RegExpExecArray> {
    const deadline = Date.now() + TIMEOUT_MS;
    for (;;) {
      const found = words.exec(this.said.slice(from));
      if (found !== null) return found;
      if (this.process.exitCode !== null || Date.now() > deadline)
        assert.fail(`no ${words} in:\n${this.said}`);
      await sleep(20);
    }
  }

  /** Sends a signal and waits for what is said then. */
  async signal(name: "SIGHUP" | "SIGUSR1", words: RegExp): Promise<RegExpExecArray> {
    const from = this.said.length;
    this.process.kill(name);
    return this.until(words, from);
  }

  async stop(): Promise<number | null> {
    if (this.process.exitCode === null) {
      const gone = new Promise((resolve) => this.process.once("exit", resolve));
      this.process.kill("SIGTERM");
      await gone;
    }
    return this.process.exitCode;
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

function up(netns: string, device: string, address: string): void {
  for (const args of [
    ["addr", "add", `${address}/24`, "dev", device],
    ["link", "set", device, "up"],
  ]) {
    const { status, stderr } = ip("-n", netns, ...args);
    assert.equal(status, 0, stderr);
  }
}

const ping = (netns: string, address: string, count: number) =>
  spawnSync("ip", ["netns", "exec", netns, "ping", "-c", String(count), "-i", "0.1", "-W", "1", address], {
    encoding: "utf8",
  });

/** A program of Node in a namespace; resolves with what it printed. */
function node(
  netns: string,
  script: string,
): { readonly child: ChildProcess; readonly done: Promise<string> } {
  const child = spawn("ip", ["netns", "exec", netns, process.execPath, "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const done = new Promise<string>((resolve) => {
    let said = "";
    child.stdout!.on("data", (data: Buffer) => (said += data.toString()));
    child.once("close", () => resolve(said.trim()));
  });
  return { child, done };
}

const YAML = `
bridges:
  br0:
    fail_mode: secure
    flows: br0.flows
    ports:
      - { no: 1, name: mfred, type: tap, netns: ${RED}, record: red.pcap }
      - { no: 2, name: mfblue, type: tap, netns: ${BLUE} }
`;

const NORMAL = "actions=NORMAL\n";
/** What a network policy does: connections that are there live on, others are not let in. */
const TRACKED =
  "priority=1 actions=NORMAL\nip,priority=9 actions=ct(table=1)\ntable=1,ip,ct_state=+est actions=NORMAL\n";
const ADMIT = "table=1,ip,ct_state=+new actions=ct(commit),NORMAL\n";
const REFUSE = "table=1,ip,ct_state=+new actions=drop\n";

const BYTES = 20_000_000;
/** Sends BYTES slowly enough that something can happen in between, then says their digest; "gone" if that takes too long. */
const SERVER = `
const { createHash } = require("node:crypto");
require("node:net").createServer((socket) => {
  const hash = createHash("sha256"); let size = 0;
  socket.on("data", (data) => { hash.update(data); size += data.length; if (size === ${BYTES}) { console.log(hash.digest("hex")); socket.end(); process.exit(0); } });
}).listen(5001, () => console.error = () => {});`;
const CLIENT = `
const { createHash, randomBytes } = require("node:crypto");
const hash = createHash("sha256"); let left = ${BYTES};
const socket = require("node:net").connect(5001, "10.78.0.2", async () => {
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
  const lab = new Lab({ "lab.yaml": YAML, "br0.flows": NORMAL }, "--out-dir", "out", "--json");
  try {
    await lab.until(/megaflow: ready/);
    up(RED, "mfred", "10.78.0.1");
    up(BLUE, "mfblue", "10.78.0.2");
    assert.equal(ping(RED, "10.78.0.2", 3).status, 0);

    lab.write("br0.flows", TRACKED + ADMIT);
    assert.match(
      (await lab.signal("SIGHUP", /br0: (.*)/))[1]!,
      /^4 flows added or changed, 1 removed, 0 kept$/,
    );
    const server = node(BLUE, SERVER);
    await sleep(500);
    const client = node(RED, CLIENT);
    await sleep(500);
    lab.write("br0.flows", TRACKED + REFUSE);
    assert.match(
      (await lab.signal("SIGHUP", /br0: (.*)/))[1]!,
      /^1 flows added or changed, 0 removed, 3 kept$/,
    );
    assert.equal(await node(RED, CONNECT).done, "timed out");
    const [sent, received] = await Promise.all([client.done, server.done]);
    assert.match(sent, /^[0-9a-f]{64}$/);
    assert.equal(received, sent);

    lab.write("br0.flows", `${NORMAL}table=1,no_such=3 actions=drop\n`);
    assert.match((await lab.signal("SIGHUP", /nothing was changed: (.*)/))[1]!, /br0\.flows:2:/);

    const statistics = JSON.parse((await lab.signal("SIGUSR1", /^(\{.*\})$/m))[1]!);
    const count = (key: string) =>
      statistics.ports.reduce((sum: number, p: Record<string, number>) => sum + p[key]!, 0);
    const dropped = Object.values<number>(statistics.drops).reduce((a, b) => a + b, 0);
    assert.ok(dropped > 0);
    assert.equal(count("rxFrames"), count("txFrames") + count("txDropped") + dropped);

    // The interface goes, and comes back.
    const from = lab.said.length;
    assert.equal(ip("-n", BLUE, "link", "del", "mfblue").status, 0);
    await lab.until(/mfblue: is gone: /, from);
    await lab.until(/mfblue: is back/, from);
    up(BLUE, "mfblue", "10.78.0.2");
    ip("-n", RED, "neigh", "flush", "all"); // it has another link address now
    lab.write("br0.flows", NORMAL);
    await lab.signal("SIGHUP", /br0: .* kept/);
    assert.equal(ping(RED, "10.78.0.2", 2).status, 0);

    assert.equal(await lab.stop(), 0, lab.said);
    assert.match(readFileSync(join(lab.dir, "out/br0/flows.txt"), "utf8"), /n_packets=\d+.*actions=NORMAL/);
    assert.ok(readFileSync(join(lab.dir, "red.pcap")).length > BYTES);
  } finally {
    await lab.stop();
    lab.remove();
  }
});

test("what cannot be run is said, and nothing is left behind", async () => {
  for (const [yaml, words] of [
    ["bridges: {}", /there is no bridge to run/],
    ["bridges: { br0: { ports: [ { no: 1, name: a } ] } }", /lab\.yaml:1:\d+: port a of br0 wants a type/],
    ["bridges: { br0: { ports: [ { no: 1, name: a, type: patch, peer: b } ] } }", /patch port a wants peer/],
    ["bridges: { br0: { flows: none.flows } }", /none\.flows/],
    ["shards: 2\nbridges: { br0: {} }", /only one shard/],
  ] as const) {
    const lab = new Lab({ "lab.yaml": yaml });
    try {
      await new Promise((resolve) => lab.process.once("close", resolve));
      assert.equal(lab.process.exitCode, 2, lab.said);
      assert.match(lab.said, words);
    } finally {
      lab.remove();
    }
  }
});
