// `megaflow run` beside Open vSwitch's userspace datapath on the same kinds of ports, one after the other: npm run bench:live [-- SECONDS]
//
// Two network namespaces and the switch between them, by two TAPs and by two veths, everything as it comes. One TCP connection; frames of 18
// bytes of UDP payload (60 on the wire), as many as can be sent, counted where they arrive; ping, a thousand a second. Senders and receivers
// are programs of Node on the same cores. As root; says what is missing.
import { spawn } from "node:child_process";
import { chmodSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { ip, Lab, missing, up, within } from "../test/lab.ts";
import { type Ovs, ovsSkip, startOvs } from "../test/oracle/ovs.ts";

const SECONDS = Number(process.argv[2] ?? 4);
const KINDS = ["tap", "veth"] as const;
type Kind = (typeof KINDS)[number];
type Switch = "Megaflow" | "OVS";

interface Result {
  /** Gbit/s; null when no connection comes about. */
  readonly tcp: number | null;
  /** Frames a second, thousands. */
  readonly offered: number;
  readonly delivered: number;
  /** Round trip, µs. */
  readonly p50: number;
  readonly p99: number;
}

const RED = "10.78.0.1";
const BLUE = "10.78.0.2";
/** Nobody's: frames for it go to blue's link address, and its system throws them away as soon as they are counted. */
const NOBODY = "10.78.0.9";

const TCP_SERVER = `
require("node:net").createServer((socket) => {
  let size = 0, from = process.hrtime.bigint();
  socket.on("data", (data) => (size += data.length));
  socket.on("error", () => {});
  socket.on("close", () => { console.log(size * 8 / Number(process.hrtime.bigint() - from)); process.exit(0); });
}).listen(5001);`;
const TCP_CLIENT = `
const data = Buffer.alloc(1 << 20, 7);
const socket = require("node:net").connect(5001, "${BLUE}", () => {
  const more = () => { while (socket.write(data)); };
  socket.on("drain", more); more();
  setTimeout(() => process.exit(0), ${SECONDS * 1000});
});
socket.on("error", () => process.exit(1));
setTimeout(() => { if (socket.connecting || socket.bytesWritten <= 1 << 21) process.exit(1); }, 3000);`;
const UDP_SENDER = `
const socket = require("node:dgram").createSocket("udp4");
const data = Buffer.alloc(18), end = Date.now() + ${SECONDS * 1000};
let waiting = 0;
const done = () => { waiting--; };
socket.bind(() => socket.connect(9, "${NOBODY}", function more() {
  for (; waiting < 256; waiting++) socket.send(data, done);
  if (Date.now() < end) setImmediate(more); else process.exit(0);
}));`;

/** Runs a program of Node in a namespace to its end; what it printed, or null when it failed. */
function node(netns: string, script: string): Promise<string | null> {
  const child = spawn("ip", ["netns", "exec", netns, process.execPath, "-e", script], {
    stdio: ["ignore", "pipe", "ignore"],
    timeout: (SECONDS + 15) * 1000,
  });
  let said = "";
  child.stdout.on("data", (data: Buffer) => (said += data.toString()));
  return new Promise((resolve) => child.once("close", (code) => resolve(code === 0 ? said : null)));
}

interface Counted {
  readonly rx: number;
  readonly tx: number;
}

function counted(netns: string, device: string): Counted {
  const line = within(netns, "cat", "/proc/net/dev")
    .stdout.split("\n")
    .find((l) => l.trim().startsWith(`${device}:`))!;
  const fields = line.trim().split(/[:\s]+/);
  return { rx: Number(fields[2]), tx: Number(fields[10]) };
}

async function measure(kind: Kind, name: Switch): Promise<Result> {
  const lab = new Lab(`live-${kind}`);
  let ovs: Ovs | null = null;
  try {
    const at = lab.namespace("switch");
    const [red, blue] = [lab.namespace("red"), lab.namespace("blue")];
    const ends = [
      { netns: red, port: "red", address: RED },
      { netns: blue, port: "blue", address: BLUE },
    ];
    if (kind === "veth") {
      for (const { netns, port } of ends) {
        ip("-n", at, "link", "add", port, "type", "veth", "peer", "name", "eth", "netns", netns);
        ip("-n", at, "link", "set", port, "up");
      }
    }
    if (name === "OVS") {
      const program = lab.write("vswitchd", `#!/bin/sh\nexec ip netns exec ${at} ovs-vswitchd "$@"\n`);
      chmodSync(program, 0o755);
      ovs = await startOvs({ vswitchd: program, args: ["--disable-system"] });
      if (ovs === null) throw new Error(String(ovsSkip));
      await ovs.vsctl(["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"]);
      for (const { port } of ends) {
        const type = kind === "tap" ? ["--", "set", "interface", port, "type=tap"] : [];
        await ovs.vsctl(["add-port", "br0", port, ...type]);
      }
      if (kind === "tap")
        for (const { netns, port } of ends) ip("-n", at, "link", "set", port, "netns", netns);
    } else {
      lab.write("br0.flows", "actions=NORMAL\n");
      const ports = ends.map(({ netns, port }, i) =>
        kind === "tap"
          ? `{ no: ${i + 1}, name: ${port}, type: tap, netns: ${netns} }`
          : `{ no: ${i + 1}, name: ${port}, type: af-packet }`,
      );
      await lab.run(at, `bridges: { br0: { flows: br0.flows, ports: [ ${ports.join(", ")} ] } }`);
    }
    const device = (port: string) => (kind === "tap" ? port : "eth");
    for (const { netns, port, address } of ends) up(netns, device(port), address);
    await sleep(1000);

    const ping = within(red, "ping", "-c", "2000", "-i", "0.001", "-W", "1", BLUE).stdout;
    const times = [...ping.matchAll(/time=([\d.]+) ms/g)]
      .map((m) => Number(m[1]) * 1000)
      .sort((a, b) => a - b);
    const quantile = (q: number) => times[Math.floor(times.length * q)] ?? Number.NaN;

    const mac = /link\/ether (\S+)/.exec(ip("-n", blue, "link", "show", device("blue")))![1]!;
    ip("-n", red, "neigh", "add", NOBODY, "lladdr", mac, "dev", device("red"));
    const before = [counted(red, device("red")), counted(blue, device("blue"))];
    await node(red, UDP_SENDER);
    await sleep(200);
    const after = [counted(red, device("red")), counted(blue, device("blue"))];

    const server = node(blue, TCP_SERVER);
    await sleep(500);
    const connected = await node(red, TCP_CLIENT);
    const rate = connected === null ? null : Number(await server);
    return {
      tcp: rate,
      offered: (after[0]!.tx - before[0]!.tx) / SECONDS / 1000,
      delivered: (after[1]!.rx - before[1]!.rx) / SECONDS / 1000,
      p50: quantile(0.5),
      p99: quantile(0.99),
    };
  } finally {
    await ovs?.stop();
    await lab.end();
  }
}

function row(kind: string, name: string, r: Result): string {
  const tcp = r.tcp === null ? "does not pass" : r.tcp.toFixed(2);
  return `| ${kind} | ${name} | ${tcp} | ${r.delivered.toFixed(0)} (of ${r.offered.toFixed(0)}) | ${r.p50.toFixed(0)} | ${r.p99.toFixed(0)} |`;
}

const without = missing();
if (without !== false) {
  console.log(without);
} else {
  if (ovsSkip !== false) console.log(`no Open vSwitch beside it: ${ovsSkip}`);
  console.log(`${cpus().length} cores (${cpus()[0]!.model}), load ${loadavg()[0]!.toFixed(1)} at the start`);
  console.log(
    "\n| ports | switch | TCP, Gbit/s | UDP, k frames/s | ping p50, µs | p99, µs |\n|---|---|---|---|---|---|",
  );
  for (const kind of KINDS) {
    const ours = await measure(kind, "Megaflow");
    console.log(row(kind, "Megaflow", ours));
    if (ovsSkip !== false) continue;
    const theirs = await measure(kind, "OVS");
    console.log(row(kind, "OVS", theirs));
    const ratio = (a: number | null, b: number | null) =>
      a === null || b === null ? "—" : (a / b).toFixed(1);
    console.log(
      `| ${kind} | ratio | ${ratio(ours.tcp, theirs.tcp)} | ${ratio(ours.delivered, theirs.delivered)} | ${ratio(theirs.p50, ours.p50)} | ${ratio(theirs.p99, ours.p99)} |`,
    );
  }
}
process.exit(0);
