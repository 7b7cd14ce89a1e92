// megaflow run: the bridges of a configuration at work, until told to stop.
import { randomInt } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { Bridge } from "../bridge/bridge.ts";
import { dumps } from "../bridge/dump.ts";
import { LiveBridge } from "../bridge/live-bridge.ts";
import { Underlays } from "../bridge/live-tunnels.ts";
import type { PortCounters } from "../bridge/port-counters.ts";
import { reload } from "../bridge/reload.ts";
import type { ShardCounts } from "../bridge/spread.ts";
import { type BridgeConfig, type Lab, readLab } from "../control/config/lab.ts";
import { policyNumbers } from "../datapath/conntrack-settings.ts";
import { MegaflowError } from "../lib/errors.ts";
import { Pipeline } from "../pipeline/pipeline.ts";
import { livePorts, openUnderlay, tunnelTaps } from "./live-ports.ts";
import { livePlan, startShards } from "./live-shards.ts";
import { loadSwitch, readSwitchFiles } from "./switch-files.ts";
import { describeBridge, type SwitchDescription } from "./switch-options.ts";

interface RunOptions {
  outDir?: string;
  json: boolean;
}

/** A bridge at work, and what it was made from. */
interface Running {
  readonly config: BridgeConfig;
  readonly described: SwitchDescription;
  readonly live: LiveBridge;
}

const STATUS_MS = 1000;
const SEED_MAX = 2 ** 32;

export function register(program: Command): void {
  program
    .command("run")
    .summary("attach ports and forward until stopped")
    .description(
      "Runs the bridges of a configuration: TAP devices and others are their ports, and frames go through the OpenFlow tables " +
        "as they come.",
    )
    .argument("<CONFIG.yaml>", "bridges with their ports and files; - for standard input")
    .option(
      "--out-dir <DIR>",
      "where to write the dumps of each bridge at the end: DIR/BRIDGE/flows.txt and so on",
    )
    .option("--json", "statistics as JSON, a line each time", false)
    .addHelpText(
      "after",
      `
Ports, by their type:
  tap        a TAP device, made in the network namespace netns: or in ours, gone with this process; queues: how many it has
  af-packet  an interface that is there, in the namespace netns: or in ours
  pcap-live  a device of libpcap; filter: an expression (needs the package cap)
  internal   a TAP device, as the bridge's own interface (the default for the port LOCAL)
  patch      one end of a link between two bridges; peer: names the other end
  capture    plays file:, speed: times as fast as it was recorded
  dummy      takes everything and gives nothing
  vxlan, geneve
             a tunnel over UDP: remote_ip:, local_ip: and key:, each fixed or flow; dst_port:, tos:, ttl:, csum:, df_default:
  gre        a tunnel over IPv4 (needs the package raw-socket)
Any port may have record: FILE, a capture of all that passes, and mtu:, the longest IP packet that is sent there.

Signals: INT and TERM end the run (exit status 0); HUP reads the flow, group and meter files again: all of them take effect or,
when one is bad, none; USR1 prints statistics on standard error.

Exit status: 0 stopped; 1 a bridge could not go on; 2 bad arguments or configuration, or a device that cannot be opened.

Examples:
  megaflow run lab.yaml
  megaflow run lab.yaml --out-dir dumps
  kill -HUP $(pgrep -f 'megaflow run')

A configuration:
  bridges:
    br0:
      fail_mode: secure
      flows: br0.flows
      ports:
        - { no: 1, name: tap1, type: tap, netns: red }
        - { no: 2, name: tap2, type: tap, netns: blue }`,
    )
    .action((file: string, options: RunOptions) => run(file, options));
}

async function run(file: string, options: RunOptions): Promise<void> {
  const lab = readLab(file);
  if (lab.bridges.length === 0) throw new MegaflowError("ECONFIG", "there is no bridge to run", { file });
  if (options.outDir !== undefined)
    for (const { name } of lab.bridges) mkdirSync(join(options.outDir, name), { recursive: true });
  const underlays = new Underlays();
  const running = await start(lab, underlays);
  const say = (text: string) => console.error(`megaflow: ${text}`);
  for (const { config, live } of running) {
    const flows = [...live.bridge.pipeline.tables.rules()].length;
    say(`${config.name}: ${config.devices.length} ports, ${flows} flows`);
  }
  say("ready");
  const status = new StatusLine(running);
  const statistics = () => {
    status.hide();
    const all = running.map(statisticsOf);
    for (const one of all)
      process.stderr.write(options.json ? `${JSON.stringify(one)}\n` : statisticsText(one));
    for (const [why, count] of Object.entries(underlays.refused))
      say(`${count.toLocaleString("en")} tunnelled frames refused: ${why}`);
  };
  process.on("SIGUSR1", statistics);
  process.on("SIGHUP", () => {
    status.hide();
    reloadAll(running, say);
  });
  await new Promise<void>((stop) => {
    process.once("SIGINT", stop);
    process.once("SIGTERM", stop);
  });
  status.close();
  underlays.close();
  for (const { live } of running) live.stop();
  for (const { config, live } of running) {
    if (options.outDir === undefined) break;
    for (const [name, lines] of dumps(live.bridge)) {
      writeFileSync(join(options.outDir, config.name, name), [...lines].map((line) => `${line}\n`).join(""));
    }
  }
  statistics();
  // What the library of a device holds on to must not keep the process.
  process.exit(0);
}

/** Reads every file and opens every device before the first frame moves. */
async function start(lab: Lab, underlays: Underlays): Promise<Running[]> {
  const ports = livePorts(lab, (port, error) => console.error(`megaflow: ${port}: ${wordsOf(error)}`));
  const running: Running[] = [];
  for (const config of lab.bridges) {
    const described = describeBridge(config);
    const files = readSwitchFiles(described, [], []);
    const shards = await startShards(lab.shards, livePlan(described, files), (text) =>
      console.error(`megaflow: ${config.name}: ${text}`),
    );
    const bridge = new Bridge({
      ports: files.ports,
      failMode: described.failMode,
      settings: described.settings,
      vlanLimit: described.vlanLimit,
      conntrack: described.conntrack,
      ...(shards === null ? {} : { shards }),
      // Nobody outside may know how the hashes fall.
      seed: randomInt(1, SEED_MAX),
    });
    bridge.begin(Date.now());
    loadSwitch(bridge, files, Date.now());
    const live = new LiveBridge(bridge, (port, error) => {
      console.error(
        `megaflow: ${config.name}: ${port.name}: ${error === null ? "is back" : `is gone: ${wordsOf(error)}`}`,
      );
    });
    running.push({ config, described, live });
  }
  try {
    for (const { config, live } of running) for (const port of ports.get(config.name)!) live.attach(port);
    const nameOf = new Map(running.map(({ config, live }) => [live, config.name]));
    const tapOf = tunnelTaps(lab);
    underlays.attach([...nameOf.keys()], openUnderlay, (live, { no }) => tapOf(nameOf.get(live)!, no));
  } catch (error) {
    for (const { live } of running) live.stop();
    throw error;
  }
  for (const { live } of running) live.start();
  return running;
}

/** Reads the files of all bridges again; nothing changes unless all of them are good. */
function reloadAll(running: readonly Running[], say: (text: string) => void): void {
  const nowMs = Date.now();
  try {
    const wanted = running.map(({ described, live }) => {
      const { pipeline } = live.bridge;
      const fresh = new Pipeline({
        ...described.settings,
        ports: pipeline.ports,
        failMode: described.failMode,
        seed: pipeline.seed,
        ctTimeouts: policyNumbers(described.conntrack),
      });
      const files = readSwitchFiles(described, [], []);
      loadSwitch(fresh, files, nowMs);
      return { fresh, plan: livePlan(described, files) };
    });
    for (const [i, { config, live }] of running.entries()) {
      const { fresh, plan } = wanted[i]!;
      live.bridge.spread?.replan(plan, nowMs);
      const { added, removed, kept } = reload(live.bridge, fresh, nowMs);
      say(`${config.name}: ${added} flows added or changed, ${removed} removed, ${kept} kept`);
    }
  } catch (error) {
    if (!(error instanceof MegaflowError)) throw error;
    say(`nothing was changed: ${error.describe()}`);
  }
}

/** What SIGUSR1 shows of a bridge. */
interface Statistics {
  readonly bridge: string;
  readonly ports: readonly PortCounters[];
  readonly drops: Readonly<Record<string, number>>;
  readonly controller: number;
  readonly cache: { readonly exact: number; readonly megaflow: number; readonly upcall: number };
  readonly megaflows: number;
  readonly connections: number;
  /** With more than one shard, a row each. */
  readonly shards?: readonly ShardCounts[];
}

function statisticsOf({ config, live }: Running): Statistics {
  const { bridge } = live;
  return {
    bridge: config.name,
    ports: live.counters(),
    drops: live.drops,
    controller: live.toController,
    cache: bridge.cacheCounters(),
    megaflows: bridge.megaflowCount,
    connections: bridge.connectionCount(),
    ...(bridge.spread === null ? {} : { shards: bridge.spread.counts() }),
  };
}

function statisticsText(s: Statistics): string {
  const n = (x: number) => x.toLocaleString("en");
  const rows = [
    `${s.bridge}: ${n(s.megaflows)} megaflows, ${n(s.connections)} connections; lookups: ${n(s.cache.exact)} exact, ` +
      `${n(s.cache.megaflow)} megaflow, ${n(s.cache.upcall)} upcalls`,
    ...s.ports.map(
      (p) =>
        `  ${p.no} ${p.name}${p.attached ? (p.up ? "" : " (down)") : " (gone)"}: received ${n(p.rxFrames)} (${n(p.rxBytes)} bytes), ` +
        `sent ${n(p.txFrames)} (${n(p.txBytes)} bytes), not sent ${n(p.txDropped)}${p.txTooLong === 0 ? "" : ` (${n(p.txTooLong)} too long)`}`,
    ),
    ...(s.shards ?? []).map(
      (row, shard) =>
        `  shard ${shard}: ${n(row.packets)} frames (${n(row.bytes)} bytes), ${n(row.connections)} connections; lookups: ` +
        `${n(row.cache.exact)} exact, ${n(row.cache.megaflow)} megaflow, ${n(row.cache.upcall)} upcalls` +
        (row.restarts === 0 ? "" : `; lost ${n(row.restarts)} times, with ${n(row.lost)} frames`),
    ),
    ...Object.entries(s.drops).map(([reason, count]) => `  dropped, ${reason}: ${n(count)}`),
  ];
  return rows.map((row) => `${row}\n`).join("");
}

/** A line on a terminal, once a second: what moved since the last. */
class StatusLine {
  readonly #running: readonly Running[];
  readonly #timer: NodeJS.Timeout | null;
  #before = 0;

  constructor(running: readonly Running[]) {
    this.#running = running;
    this.#timer = process.stderr.isTTY === true ? setInterval(() => this.#show(), STATUS_MS) : null;
  }

  hide(): void {
    if (this.#timer !== null) process.stderr.write("\r\x1b[K");
  }

  close(): void {
    this.hide();
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  #show(): void {
    const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
    const all = this.#running.map(statisticsOf);
    const received = sum(all.flatMap((s) => s.ports.map((p) => p.rxFrames)));
    const drops = sum(all.flatMap((s) => Object.values(s.drops)));
    const n = (x: number) => x.toLocaleString("en");
    const line =
      `${n(received - this.#before)} frames/s, ${n(drops)} dropped, ${n(sum(all.map((s) => s.megaflows)))} megaflows, ` +
      `${n(sum(all.map((s) => s.connections)))} connections`;
    this.#before = received;
    process.stderr.write(`\r${line}\x1b[K`);
  }
}

function wordsOf(error: unknown): string {
  return error instanceof MegaflowError ? error.describe() : String(error);
}
