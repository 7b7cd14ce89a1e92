// `megaflow run` beside Open vSwitch's userspace datapath on the same kinds of ports, one after the other: npm run bench:live [-- SECONDS]
//
// Two network namespaces and the switch between them, by two TAPs and by two veths, everything as it comes. iperf3: one TCP connection; frames
// of 18 bytes of UDP payload (60 on the wire), as many as can be sent, counted where they arrive. Round trips: ten pings of a thousand
// requests a second each. All programs share the machine's cores with the switch. As root; says what is missing.
import { spawn } from "node:child_process";
import { cpus, loadavg } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { cpuTicks, Lab, missing, received, within } from "../test/lab.ts";
import { type End, type PortKind, type SwitchName, startNode, turnOn } from "../test/live-node.ts";
import { ovsSkip } from "../test/oracle/ovs.ts";

const SECONDS = Number(process.argv[2] ?? 4);
const KINDS = ["tap", "veth"] as const;
const PINGS = 10;
const PING_INTERVAL_S = 0.001;

interface Result {
  /** Gbit/s; null when no connection comes about. */
  readonly tcp: number | null;
  /** Frames a second, thousands. */
  readonly offered: number;
  readonly delivered: number;
  /** What the switch works for a frame that arrives, µs: other than the rate, the same on a busy machine. */
  readonly work: number;
  /** Round trip, µs; and how many requests a second there were, thousands. */
  readonly asked: number;
  readonly p50: number;
  readonly p99: number;
  /** Of the requests, in a thousand. */
  readonly unanswered: number;
}

interface Report {
  readonly error?: string;
  readonly end?: {
    readonly sum_received?: { readonly bits_per_second: number };
    readonly sum?: { readonly packets: number; readonly seconds: number };
  };
}

/** Runs a program in a namespace to its end; what it printed. */
function printed(netns: string, ...command: readonly string[]): Promise<string> {
  const child = spawn("ip", ["netns", "exec", netns, ...command], {
    stdio: ["ignore", "pipe", "ignore"],
    timeout: (SECONDS + 20) * 1000,
  });
  let said = "";
  child.stdout.on("data", (data: Buffer) => (said += data.toString()));
  return new Promise((resolve) => child.once("close", () => resolve(said)));
}

async function iperf(netns: string, address: string, ...options: string[]): Promise<Report> {
  const all = ["-c", address, "-t", String(SECONDS), "--connect-timeout", "3000", "--json", ...options];
  return JSON.parse(await printed(netns, "iperf3", ...all)) as Report;
}

/** Round trips at PINGS / PING_INTERVAL_S requests a second. */
async function roundTrips(
  netns: string,
  address: string,
): Promise<Pick<Result, "p50" | "p99" | "asked" | "unanswered">> {
  const count = Math.round(SECONDS / PING_INTERVAL_S);
  const options = ["-c", String(count), "-i", String(PING_INTERVAL_S), "-W", "1", address];
  const startMs = performance.now();
  const said = await Promise.all(Array.from({ length: PINGS }, () => printed(netns, "ping", ...options)));
  const asked = (count * PINGS) / (performance.now() - startMs);
  const times = said
    .flatMap((text) => [...text.matchAll(/time=([\d.]+) ms/g)].map((match) => Number(match[1]) * 1000))
    .sort((a, b) => a - b);
  const quantile = (q: number) => times[Math.floor(times.length * q)] ?? Number.NaN;
  const unanswered = (1 - times.length / (count * PINGS)) * 1000;
  return { p50: quantile(0.5), p99: quantile(0.99), asked, unanswered };
}

async function measure(kind: PortKind, by: SwitchName): Promise<Result> {
  const lab = new Lab(`live-${kind}`);
  const flows = "actions=NORMAL\n";
  const ended: (() => unknown)[] = [];
  try {
    const node = await startNode(lab, { by, kind, names: ["red", "blue"], flows });
    ended.push(node.stop);
    const [red, blue] = node.ends as [End, End];
    for (const end of node.ends) turnOn(end);
    const server = spawn("ip", ["netns", "exec", blue.netns, "iperf3", "-s"], { stdio: "ignore" });
    ended.push(() => server.kill());
    await sleep(1000);
    const trips = await roundTrips(red.netns, blue.address);
    const tcp = await iperf(red.netns, blue.address);
    // Where TCP does not pass, iperf3 cannot even arrange for UDP.
    if (tcp.error !== undefined)
      for (const { netns, device } of node.ends) within(netns, "ethtool", "-K", device, "tx", "off");
    const [ticks, before] = [cpuTicks(node.pid), received(blue.netns, blue.device)];
    const { sum } = (await iperf(red.netns, blue.address, "-u", "-l", "18", "-b", "0")).end ?? {};
    const workS = (cpuTicks(node.pid) - ticks) / 100;
    const delivered = received(blue.netns, blue.device) - before;
    // Programs that share the cores may still lose what has arrived: that is not the switch's.
    const rate = (packets: number) => packets / (sum?.seconds ?? 1) / 1000;
    return {
      tcp: tcp.error === undefined ? tcp.end!.sum_received!.bits_per_second / 1e9 : null,
      offered: rate(sum?.packets ?? 0),
      delivered: rate(delivered),
      work: (workS * 1e6) / delivered,
      ...trips,
    };
  } finally {
    for (const end of ended.reverse()) await end();
    await lab.end();
  }
}

function row(kind: string, name: string, r: Result): string {
  const tcp = r.tcp === null ? "does not pass" : r.tcp.toFixed(2);
  return `| ${kind} | ${name} | ${tcp} | ${r.delivered.toFixed(0)} (of ${r.offered.toFixed(0)}) | ${r.work.toFixed(2)} | ${r.p50.toFixed(0)} | ${r.p99.toFixed(0)} | ${r.asked.toFixed(1)} k, ${r.unanswered.toFixed(1)} ‰ |`;
}

const without = missing("iperf3", "ethtool");
if (without !== false) {
  console.log(without);
} else {
  if (ovsSkip !== false) console.log(`no Open vSwitch beside it: ${ovsSkip}`);
  console.log(`${cpus().length} cores (${cpus()[0]!.model}), load ${loadavg()[0]!.toFixed(1)} at the start`);
  console.log(
    "\n| ports | switch | TCP, Gbit/s | UDP, k frames/s | work, µs a frame | round trip p50, µs | p99, µs | requests/s, unanswered |\n|---|---|---|---|---|---|---|---|",
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
      `| ${kind} | ratio | ${ratio(ours.tcp, theirs.tcp)} | ${ratio(ours.delivered, theirs.delivered)} | ${ratio(theirs.work, ours.work)} | ${ratio(theirs.p50, ours.p50)} | ${ratio(theirs.p99, ours.p99)} | |`,
    );
  }
}
process.exit(0);
