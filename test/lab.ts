// Network namespaces and switches for tests that let real programs talk: each test makes its own, named with the process, and they go
// with it.
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { nativeShimSkip } from "../src/port/native-shim.ts";

export const MAIN = fileURLToPath(new URL("../src/cli/main.js", import.meta.url));
const TIMEOUT_MS = 20_000;

/** Why such tests cannot run here, or false. */
export function missing(...programs: readonly string[]): string | false {
  const unbuilt = nativeShimSkip();
  if (unbuilt !== false) return unbuilt;
  if (!existsSync("/dev/net/tun")) return "skipped: this machine has no /dev/net/tun";
  for (const program of ["ip", "ping", ...programs]) {
    if (spawnSync("which", [program]).status !== 0) return `skipped: ${program} is not installed`;
  }
  const probe = `megaflow-probe-${process.pid}`;
  if (spawnSync("ip", ["netns", "add", probe]).status !== 0)
    return "skipped: this machine lets us make no network namespace";
  spawnSync("ip", ["netns", "del", probe]);
  return false;
}

/** Whether the kernel has a type of link. */
export function hasLink(type: string, ...options: readonly string[]): boolean {
  const probe = `megaflow-probe-${process.pid}`;
  spawnSync("ip", ["netns", "add", probe]);
  const made = spawnSync("ip", ["-n", probe, "link", "add", "probe", "type", type, ...options]).status === 0;
  spawnSync("ip", ["netns", "del", probe]);
  return made;
}

/** The namespaces, switches and files of one test. */
export class Lab {
  readonly dir = mkdtempSync(join(tmpdir(), "megaflow-lab-"));
  readonly #namespaces: string[] = [];
  readonly #switches: Switch[] = [];
  readonly #prefix: string;
  /** Options of Node for the switches that are started from now on. */
  nodeOptions: readonly string[] = [];

  constructor(name: string) {
    this.#prefix = `${name}-${process.pid}`;
  }

  /** Makes a namespace; gives its name. */
  namespace(name: string): string {
    const full = `${this.#prefix}-${name}`;
    ip("netns", "add", full);
    this.#namespaces.push(full);
    ip("-n", full, "link", "set", "lo", "up");
    return full;
  }

  /** Two namespaces joined by a cable, with the addresses 10.99.0.1 and .2 and a device named "under" in each. */
  cable(a: string, b: string, mtu = 1500): void {
    ip("-n", a, "link", "add", "under", "type", "veth", "peer", "name", "under", "netns", b);
    for (const [i, netns] of [a, b].entries()) {
      ip("-n", netns, "addr", "add", `10.99.0.${i + 1}/24`, "dev", "under");
      ip("-n", netns, "addr", "add", `fd99::${i + 1}/64`, "dev", "under", "nodad");
      ip("-n", netns, "link", "set", "under", "mtu", String(mtu), "up");
    }
  }

  write(name: string, text: string): string {
    const path = join(this.dir, name);
    writeFileSync(path, text);
    return path;
  }

  /** Starts `megaflow run` in a namespace, and waits until it is ready. */
  async run(netns: string, yaml: string, ...args: string[]): Promise<Switch> {
    const config = this.write(`lab-${this.#switches.length}.yaml`, yaml);
    const started = new Switch(netns, this.nodeOptions, config, args);
    this.#switches.push(started);
    await started.until(/megaflow: ready/);
    return started;
  }

  async end(): Promise<void> {
    for (const one of this.#switches) await one.stop();
    for (const netns of this.#namespaces) spawnSync("ip", ["netns", "del", netns]);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export interface PortStatistics {
  readonly name: string;
  readonly rxFrames: number;
  readonly rxBytes: number;
  readonly txFrames: number;
  readonly txDropped: number;
  readonly txTooLong: number;
  readonly attached: boolean;
  readonly up: boolean;
}

export interface Statistics {
  readonly ports: readonly PortStatistics[];
  readonly drops: Readonly<Record<string, number>>;
  readonly connections: number;
}

/** Loaded into a switch: on SIGUSR2 it collects what nobody holds and says what is left. */
const MEMORY = `
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");
process.on("SIGUSR2", () => { collect(); collect(); process.stderr.write("memory " + JSON.stringify(process.memoryUsage()) + "\\n"); });`;

/** Options of Node with which a switch can be asked for its memory(). */
export const MEMORY_OPTIONS = [`--import=data:text/javascript,${encodeURIComponent(MEMORY)}`] as const;

/** After a collection, bytes. */
export interface Memory {
  readonly rss: number;
  readonly heapUsed: number;
  readonly external: number;
}

/** A switch at work. */
export class Switch {
  readonly process: ChildProcess;
  said = "";

  constructor(netns: string, nodeOptions: readonly string[], yaml: string, args: readonly string[]) {
    const program = [process.execPath, ...nodeOptions, MAIN, "run", yaml, "--json", ...args];
    const command = ["netns", "exec", netns, ...program];
    this.process = spawn("ip", command, { stdio: ["ignore", "ignore", "pipe"] });
    this.process.stderr!.on("data", (data: Buffer) => (this.said += data.toString()));
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
  async signal(name: "SIGHUP" | "SIGUSR1" | "SIGUSR2", words: RegExp): Promise<RegExpExecArray> {
    const from = this.said.length;
    this.process.kill(name);
    return this.until(words, from);
  }

  async statistics(): Promise<Statistics> {
    return JSON.parse((await this.signal("SIGUSR1", /^(\{.*\})$/m))[1]!) as Statistics;
  }

  /** Each port's counters, by name. */
  async counters(): Promise<Record<string, PortStatistics>> {
    const { ports } = await this.statistics();
    return Object.fromEntries(ports.map((port) => [port.name, port]));
  }

  /** Of a switch that was started with MEMORY_OPTIONS. */
  async memory(): Promise<Memory> {
    return JSON.parse((await this.signal("SIGUSR2", /memory (.*)\n/))[1]!) as Memory;
  }

  cpuTicks(): number {
    return cpuTicks(this.process.pid!);
  }

  /** How many descriptors it has open. */
  descriptors(): number {
    return readdirSync(`/proc/${this.process.pid}/fd`).length;
  }

  async stop(): Promise<number | null> {
    if (this.process.exitCode === null) {
      const gone = new Promise((resolve) => this.process.once("exit", resolve));
      this.process.kill("SIGTERM");
      await gone;
    }
    return this.process.exitCode;
  }
}

/** Hundredths of a second that a process has worked, all its threads together. */
export function cpuTicks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

/** Runs `ip`; it must succeed. */
export function ip(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync("ip", args, { encoding: "utf8" });
  assert.equal(status, 0, `ip ${args.join(" ")}: ${stderr}`);
  return stdout;
}

/** Gives a device an address and turns it on. */
export function up(netns: string, device: string, address: string, mtu?: number): void {
  ip("-n", netns, "addr", "add", `${address}/24`, "dev", device);
  ip("-n", netns, "link", "set", device, ...(mtu === undefined ? [] : ["mtu", String(mtu)]), "up");
}

/** A namespace at the end of a cable into the switch's namespace, where the cable's other end is called `port`. */
export function plugIn(lab: Lab, node: string, port: string, address?: string): string {
  const netns = lab.namespace(port);
  connect(node, port, netns);
  if (address === undefined) ip("-n", netns, "link", "set", "eth", "up");
  else up(netns, "eth", address);
  return netns;
}

/** A cable from the switch's namespace, where it is called `port`, to the device "eth" of another. */
export function connect(node: string, port: string, netns: string): void {
  ip("-n", node, "link", "add", port, "type", "veth", "peer", "name", "eth", "netns", netns);
  ip("-n", node, "link", "set", port, "up");
}

/** A configuration: bridge br0 with the flows in br0.flows, these ports and `more` keys. */
export function oneBridge(ports: readonly string[], more = ""): string {
  return `bridges: { br0: { fail_mode: secure, flows: br0.flows, ${more === "" ? "" : `${more}, `}ports: [ ${ports.join(", ")} ] } }`;
}

/** A node's configuration: a pod behind a TAP called mfpod on port 1, a tunnel (the rest of its keys) on port 2. */
export function tunnelNode(pod: string, tunnel: string, more = ""): string {
  return oneBridge([`{ no: 1, name: mfpod, type: tap, netns: ${pod} }`, `{ no: 2, ${tunnel} }`], more);
}

/** Two nodes on a cable with a switch each, and behind each a pod, 10.78.0.1 and .2; `tunnel` is given the other node's address. */
export async function twoNodes(
  lab: Lab,
  tunnel: (remote: { readonly v4: string; readonly v6: string }) => string,
  mtu: number,
  more = "",
): Promise<{ readonly pods: readonly [string, string]; readonly switches: readonly Switch[] }> {
  const nodes = [lab.namespace("node1"), lab.namespace("node2")] as const;
  const pods = [lab.namespace("pod1"), lab.namespace("pod2")] as const;
  lab.cable(...nodes);
  const switches: Switch[] = [];
  for (const [i, node] of nodes.entries()) {
    const remote = { v4: `10.99.0.${2 - i}`, v6: `fd99::${2 - i}` };
    switches.push(await lab.run(node, tunnelNode(pods[i]!, tunnel(remote), more)));
    up(pods[i]!, "mfpod", `10.78.0.${i + 1}`, mtu);
  }
  return { pods, switches };
}

/** Frames that have arrived at a device. */
export function received(netns: string, device: string): number {
  return Number(within(netns, "cat", `/sys/class/net/${device}/statistics/rx_packets`).stdout);
}

/** Runs a program in a namespace to its end. */
export function within(netns: string, command: string, ...args: string[]) {
  return spawnSync("ip", ["netns", "exec", netns, command, ...args], {
    encoding: "utf8",
    timeout: TIMEOUT_MS,
  });
}

export function ping(netns: string, address: string, ...options: string[]): void {
  const { status, stdout } = within(netns, "ping", "-c", "3", "-i", "0.1", "-W", "2", ...options, address);
  assert.equal(status, 0, stdout);
}

const SERVER = `
const { createHash } = require("node:crypto");
const [port] = process.argv.slice(1);
const hash = createHash("sha256");
require("node:net").createServer((socket) => {
  socket.on("data", (data) => hash.update(data));
  socket.on("end", () => { console.log(hash.digest("hex")); process.exit(0); });
}).listen(Number(port), () => console.log("listening"));`;
const CLIENT = `
const { createHash, randomBytes } = require("node:crypto");
const [port, address, size] = process.argv.slice(1);
const data = randomBytes(Number(size));
const socket = require("node:net").connect(Number(port), address, () => socket.end(data));
socket.on("close", () => console.log(createHash("sha256").update(data).digest("hex")));`;

/** A program in a namespace, for TIMEOUT_MS at most. */
export class Program {
  readonly #child: ChildProcess;
  #said = "";
  #ended = false;
  /** All that it printed, once it has ended. */
  readonly done: Promise<string>;

  constructor(netns: string, command: string, ...args: readonly string[]) {
    this.#child = spawn("ip", ["netns", "exec", netns, command, ...args], {
      stdio: ["ignore", "pipe", "inherit"],
      timeout: 2 * TIMEOUT_MS,
    });
    this.#child.stdout!.on("data", (data: Buffer) => (this.#said += data.toString()));
    this.done = new Promise((resolve) =>
      this.#child.once("close", () => {
        this.#ended = true;
        resolve(this.#said);
      }),
    );
  }

  /** Of Node. */
  static node(netns: string, script: string, ...args: readonly string[]): Program {
    return new Program(netns, process.execPath, "-e", script, ...args);
  }

  /** Resolves when it has printed the words; fails when it ends without. */
  async until(words: string): Promise<void> {
    const deadline = Date.now() + TIMEOUT_MS;
    while (!this.#said.includes(words)) {
      assert.ok(!this.#ended && Date.now() < deadline, `no "${words}" in: ${this.#said}`);
      await sleep(20);
    }
  }

  async stop(): Promise<void> {
    if (!this.#ended) this.#child.kill();
    await this.done;
  }
}

/** Sends random bytes over TCP from one namespace to an address in another; they must arrive. */
export async function transfer(from: string, to: string, address: string, size = 5_000_000): Promise<void> {
  const port = "5201";
  const server = Program.node(to, SERVER, port);
  try {
    await server.until("listening");
    const sent = await Program.node(from, CLIENT, port, address, String(size)).done;
    assert.match(sent, /^[0-9a-f]{64}\n$/, "nothing was sent");
    assert.equal(await server.done, `listening\n${sent}`);
  } finally {
    await server.stop();
  }
}

/** Resolves when it is so. */
export async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + TIMEOUT_MS;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `it did not come about: ${what}`);
    await sleep(20);
  }
}
