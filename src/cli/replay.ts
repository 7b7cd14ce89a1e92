// megaflow replay: captures through a bridge.
import type { Command } from "commander";
import { Bridge } from "../bridge/bridge.ts";
import { dumps } from "../bridge/dump.ts";
import { Replay, type ReplayEvent } from "../bridge/replay.ts";
import { checkInputsSurvive, ReplayOutput } from "../bridge/replay-output.ts";
import { planSpread } from "../bridge/spread-plan.ts";
import { readTextFile } from "../control/text-file.ts";
import { countConnections } from "../datapath/conntrack-dump.ts";
import { restoreConnections } from "../datapath/conntrack-restore.ts";
import { ConntrackControl } from "../datapath/conntrack-settings.ts";
import { parseConnections } from "../datapath/conntrack-text.ts";
import { MegaflowError } from "../lib/errors.ts";
import { CaptureMerge, type MergedBatch } from "../port/capture-merge.ts";
import { SHARDS_MAX, ShardPool } from "../worker/shard-pool.ts";
import { portNumber, secondsToNs, splitAssignment, wholeNumber } from "./assignment.ts";
import { type ConntrackFlush, parseConntrackFlush } from "./conntrack-flush.ts";
import { addConntrackOptions, type ConntrackOptions, conntrackSettings } from "./conntrack-options.ts";
import { EXIT_UNFINISHED } from "./exit.ts";
import { Interruption } from "./interruption.ts";
import { LoopCapture } from "./loop-capture.ts";
import { Progress } from "./progress.ts";
import { applyBundle, loadSwitch, readSwitchFiles, type SwitchFiles } from "./switch-files.ts";
import { addSwitchOptions, describeSwitch, type SwitchOptions } from "./switch-options.ts";

interface ReplayOptions extends SwitchOptions, ConntrackOptions {
  in: string[];
  at: string[];
  ctFlush: string[];
  conntrackState?: string;
  outDir?: string;
  shards: string;
  loop?: string;
  cache: boolean;
  json: boolean;
  seed: string;
}

/** `summary.json`. */
export interface Summary {
  packets: number;
  /** On the wire. */
  bytes: number;
  forwarded: number;
  dropped: number;
  drops: Record<string, number>;
  cache: { exact: number; megaflow: number; upcall: number };
  connections: number;
  /** What went through each mirror, when the bridge has any. */
  mirrors?: Record<string, { tx_packets: number; tx_bytes: number }>;
  /** With more than one shard, a row each. */
  shards?: ShardRow[];
  /** Why all frames were the first shard's, if they were. */
  unspread?: string;
  /** From the first frame to the last, wall clock. */
  seconds: number;
  mpps: number;
}

interface ShardRow {
  shard: number;
  packets: number;
  bytes: number;
  cache: Summary["cache"];
  connections: number;
}

const IN_FORM = "--in NO=CAPTURE";
const AT_FORM = "--at +SECONDS=FLOWS";

export function register(program: Command): void {
  const list = (value: string, all: string[]) => [...all, value];
  const command = program
    .command("replay")
    .summary("send captures through a pipeline")
    .description(
      "Sends the frames of captures through a bridge with the given OpenFlow tables, on the captures' clock, and says what " +
        "became of them. Several captures are merged in time order.",
    );
  addConntrackOptions(addSwitchOptions(command))
    .option(
      "--in <NO=CAPTURE...>",
      "frames received on port NO: pcap or pcapng, gzip or not, - for standard input; repeatable",
      (v, all: string[]) => [...all, v],
      [],
    )
    .option(
      "--at <+SECONDS=FLOWS>",
      "flow-mods applied so long after the first frame, all or none; lines may begin with add, modify, delete...; repeatable",
      list,
      [],
    )
    .option(
      "--ct-flush <+SECONDS=WHICH>",
      "connections ended so long after the first frame: all, or those with zone=, ct_mark=, ct_label=, ct_nw_src=, " +
        "ct_nw_proto=, ct_tp_dst=..., as ovs-ofctl ct-flush takes them, several with commas; repeatable",
      list,
      [],
    )
    .option(
      "--conntrack-state <FILE>",
      "connections that there are at the first frame, as ovs-appctl dpctl/dump-conntrack prints them, with or without -m and -s",
    )
    .option("--out-dir <DIR>", "where to write what each port sent, verdicts and dumps")
    .option("--shards <N>", "threads to spread the frames over, where the flows allow it", "1")
    .option("--loop <N>", "replay the captures N times from memory, without output files: for measuring")
    .option("--no-cache", "translate every frame: slow, and the same result")
    .option("--seed <N>", "seed of the hashes", "1")
    .option("--json", "print the summary as JSON", false)
    .addHelpText(
      "after",
      `
Writes into DIR: port-NO.pcap, verdicts.jsonl, flows.txt, flow-removed.txt, groups.txt, group-stats.txt, meters.txt,
meter-stats.txt, megaflows.txt, conntrack.txt, conntrack.json, summary.json.
A frame that the capture's snaplen cut counts with the length it had; it is forwarded as far as it is there.

CONFIG is YAML, its file names relative to it:
  bridges:
    br0:
      flows: br0.flows
      ports:
        - { no: 1, name: web, tag: 10 }
        - { no: 2, name: uplink, trunks: [10, 20] }

Exit status: 0 done; 1 not all was done: a capture could not be read to its end, an --at was refused, the disk is full, Ctrl-C
(it says what was processed); 2 bad arguments or input, and nothing was written.

Examples:
  megaflow replay --flows node.flows --in 4=busybox.pcap --in 6=nginx.pcap --out-dir out
  megaflow replay --config lab.yaml --in 1=web.pcap --out-dir out
  megaflow replay --flows before.flows --at +2.5=policy.flows --in 4=busybox.pcap --json
  tcpdump -i eth0 -w - | megaflow replay --flows node.flows --in 1=-`,
    )
    .action((options: ReplayOptions) => replay(options));
}

async function replay(options: ReplayOptions): Promise<void> {
  const shards = wholeNumber(options.shards, "--shards", 1);
  if (shards > SHARDS_MAX) throw new MegaflowError("EARGS", `--shards: at most ${SHARDS_MAX}`);
  const loops = options.loop === undefined ? null : wholeNumber(options.loop, "--loop", 1);
  if (loops !== null && (options.outDir !== undefined || options.at.length + options.ctFlush.length > 0)) {
    throw new MegaflowError("EARGS", "--loop measures: it takes no --out-dir, --at or --ct-flush");
  }
  const captures = options.in.map((text) => {
    const [no, path] = splitAssignment(text, IN_FORM);
    return { port: portNumber(no, IN_FORM), path };
  });
  const changes = options.at.map((text) => {
    const [time, file] = splitAssignment(text, AT_FORM);
    return { afterNs: secondsToNs(time, AT_FORM), file };
  });
  const flushes = options.ctFlush.map(parseConntrackFlush);
  const { conntrackState } = options;
  const inputs = [
    ...changes.map((c) => c.file),
    ...captures.map((c) => c.path),
    ...(conntrackState === undefined ? [] : [conntrackState]),
  ];
  const described = describeSwitch(options, inputs);
  if (captures.length === 0) throw new MegaflowError("EARGS", `at least one ${IN_FORM} is wanted`);
  if (options.outDir !== undefined) {
    const switchFiles = [options.config, described.flows, described.groups, described.meters].filter(
      (file) => file !== undefined,
    );
    checkInputsSurvive(options.outDir, [...switchFiles, ...inputs]);
  }
  const files = readSwitchFiles(
    described,
    changes.map((c) => c.file),
    captures.map((c) => c.port),
  );
  const conntrack = conntrackSettings(options, described.conntrack);
  const state =
    conntrackState === undefined ? [] : parseConnections(readTextFile(conntrackState), conntrackState);
  const plan = planSpread({
    failMode: described.failMode,
    flows: files.flows,
    later: files.later.flat(),
    groups: files.groups,
    ports: files.ports,
    settings: described.settings,
    conntrack,
    hasConnections: state.length > 0,
  });
  const pool = shards > 1 && plan.by !== null ? await ShardPool.start(shards) : null;
  try {
    const bridge = new Bridge({
      ports: files.ports,
      failMode: described.failMode,
      settings: described.settings,
      vlanLimit: described.vlanLimit,
      conntrack,
      cache: options.cache,
      seed: wholeNumber(options.seed, "--seed", 0),
      ...(pool === null ? {} : { shards: { loaders: pool.loaders, plan } }),
    });
    const run = new ReplayRun(bridge, files, captures, changes, flushes, options.outDir, (nowMs) => {
      try {
        restoreConnections(bridge.datapath.kernel, state, nowMs);
      } catch (error) {
        throw error instanceof MegaflowError ? error.at({ file: conntrackState! }) : error;
      }
    });
    if (shards > 1) run.spread = { count: shards, reason: plan.reason };
    const summary = loops === null ? await run.once() : await run.loop(loops);
    if (options.json) process.stdout.write(`${JSON.stringify(summary)}\n`);
    else process.stdout.write(summaryText(summary, loops));
    for (const failure of run.failures) console.error(`megaflow: ${failure.describe()}`);
    if (run.failures.length > 0) {
      console.error(`megaflow: not all was done; ${summary.packets} frames were processed`);
      process.exitCode = EXIT_UNFINISHED;
    }
  } finally {
    await pool?.close();
  }
}

class ReplayRun {
  /** What kept the run from being whole; it did all it could beside. */
  readonly failures: MegaflowError[] = [];
  /** With more than one shard: how many, and why all frames are the first one's, if they are. */
  spread: { readonly count: number; readonly reason: string | null } | null = null;
  readonly #bridge: Bridge;
  readonly #files: SwitchFiles;
  readonly #captures: readonly { port: number; path: string }[];
  readonly #changes: readonly { afterNs: number; file: string }[];
  readonly #flushes: readonly ConntrackFlush[];
  readonly #outDir: string | undefined;
  readonly #restore: (nowMs: number) => void;

  /** `restore` puts connections into the table before the first frame. */
  constructor(
    bridge: Bridge,
    files: SwitchFiles,
    captures: readonly { port: number; path: string }[],
    changes: readonly { afterNs: number; file: string }[],
    flushes: readonly ConntrackFlush[],
    outDir: string | undefined,
    restore: (nowMs: number) => void,
  ) {
    this.#bridge = bridge;
    this.#files = files;
    this.#captures = captures;
    this.#changes = changes;
    this.#flushes = flushes;
    this.#outDir = outDir;
    this.#restore = restore;
  }

  /** One pass over the captures as they are read. */
  async once(): Promise<Summary> {
    const merge = await this.#open();
    let batch = await this.#next(merge);
    this.#begin(batch === null ? 0 : batch.sec[0]! * 1000 + Math.floor(batch.nsec[0]! / 1e6));
    const interruption = new Interruption();
    const output =
      this.#outDir === undefined
        ? null
        : new ReplayOutput(
            this.#outDir,
            this.#files.ports.list.map((p) => p.no),
          );
    const replay = new Replay(this.#bridge, output, this.#events());
    const ports = this.#captures.map(({ port }) => port);
    const progress = new Progress();
    const startMs = performance.now();
    // From here on something has been written: whatever goes wrong is told beside what was done.
    await this.#attempt(async () => {
      for (; batch !== null; batch = await interruption.unlessCome(this.#next(merge))) {
        replay.batch(batch, ports);
        progress.update((seconds) => {
          const { packets } = replay.counts;
          return `${packets.toLocaleString("en")} frames, ${(packets / seconds / 1e6).toFixed(2)} M/s`;
        });
      }
      if (interruption.signal === null) return replay.finish();
      replay.stop();
      this.failures.push(new MegaflowError("ESIGNAL", `ended by ${interruption.signal}`));
    });
    interruption.close();
    progress.done();
    merge?.close();
    const summary = this.#summary(replay, (performance.now() - startMs) / 1000);
    if (output !== null) {
      await this.#attempt(() => {
        for (const [name, lines] of dumps(this.#bridge)) output.file(name, lines);
        output.file("summary.json", [JSON.stringify(summary)]);
      });
      await this.#attempt(() => output.close());
    }
    return summary;
  }

  /** Does it; what the user can mend (a full disk, say) becomes a failure of the run. */
  async #attempt(work: () => void | Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof MegaflowError)) throw error;
      if (!this.failures.includes(error)) this.failures.push(error);
    }
  }

  /** The captures `count` times from memory, each pass later than the one before by the captures' length. */
  async loop(count: number): Promise<Summary> {
    const merge = await this.#open();
    const frames = await LoopCapture.read(
      () => this.#next(merge),
      this.#captures.map((c) => c.port),
    );
    merge?.close();
    this.#begin(frames.firstMs);
    const replay = new Replay(this.#bridge, null);
    const progress = new Progress();
    const startMs = performance.now();
    for (let pass = 0; pass < count; pass++) {
      frames.play(replay, pass);
      progress.update(() => `pass ${pass + 1} of ${count}`);
    }
    replay.finish();
    progress.done();
    return this.#summary(replay, (performance.now() - startMs) / 1000);
  }

  /** The tables as they are at the first frame. Throws what the switch refuses, before anything is written. */
  #begin(nowMs: number): void {
    this.#bridge.begin(nowMs);
    loadSwitch(this.#bridge, this.#files, nowMs);
    this.#restore(nowMs);
  }

  #events(): ReplayEvent[] {
    const changes = this.#changes.map(({ afterNs }, i) => ({
      afterNs,
      apply: (nowMs: number) => {
        try {
          applyBundle(this.#bridge, this.#files.later[i]!, nowMs);
        } catch (error) {
          if (!(error instanceof MegaflowError)) throw error;
          this.failures.push(error);
        }
      },
    }));
    const flushes = this.#flushes.map(({ afterNs, filter }) => ({
      afterNs,
      apply: (nowMs: number) => {
        for (const { kernel } of this.#bridge.datapaths) {
          if (kernel.isLost !== true) new ConntrackControl(kernel).flush(filter, nowMs);
        }
      },
    }));
    return [...changes, ...flushes];
  }

  /** Null when a capture cannot be read from its beginning on. */
  async #open(): Promise<CaptureMerge | null> {
    try {
      return await CaptureMerge.open(this.#captures.map((c) => c.path));
    } catch (error) {
      return this.#captureFailure(error);
    }
  }

  async #next(merge: CaptureMerge | null): Promise<MergedBatch | null> {
    try {
      return merge === null ? null : await merge.next();
    } catch (error) {
      return this.#captureFailure(error);
    }
  }

  #captureFailure(error: unknown): null {
    if (!(error instanceof MegaflowError) || error.code !== "ECAPTURE") throw error;
    this.failures.push(error);
    return null;
  }

  #summary(replay: Replay, seconds: number): Summary {
    const { packets, bytes, forwarded, dropped, drops } = replay.counts;
    const connections = this.#bridge.datapaths.map(({ kernel }) =>
      kernel.isLost === true ? 0 : countConnections(kernel, this.#bridge.nowMs),
    );
    return {
      packets,
      bytes,
      forwarded,
      dropped,
      drops,
      cache: this.#bridge.cacheCounters(),
      connections: connections.reduce((sum, count) => sum + count, 0),
      ...this.#mirrorCounts(),
      ...this.#shardRows(replay, connections),
      seconds: Number(seconds.toFixed(6)),
      mpps: seconds === 0 ? 0 : Number((packets / seconds / 1e6).toFixed(3)),
    };
  }

  #shardRows(
    { counts }: Replay,
    connections: readonly number[],
  ): Pick<Summary, "shards"> | Pick<Summary, "shards" | "unspread"> {
    if (this.spread === null) return {};
    const bridge = this.#bridge;
    const { packets, bytes } = counts;
    const rows = bridge.spread?.counts() ?? [{ packets, bytes, cache: bridge.cacheCounters() }];
    const shards = Array.from({ length: this.spread.count }, (_, shard) => ({
      shard,
      packets: rows[shard]?.packets ?? 0,
      bytes: rows[shard]?.bytes ?? 0,
      cache: rows[shard]?.cache ?? { exact: 0, megaflow: 0, upcall: 0 },
      connections: connections[shard] ?? 0,
    }));
    return this.spread.reason === null ? { shards } : { shards, unspread: this.spread.reason };
  }

  #mirrorCounts(): Pick<Summary, "mirrors"> {
    const { list } = this.#bridge.pipeline.mirrors;
    if (list.length === 0) return {};
    this.#bridge.pushStats();
    const counts = list.map(
      (m) => [m.options.name, { tx_packets: m.txPackets, tx_bytes: m.txBytes }] as const,
    );
    return { mirrors: Object.fromEntries(counts) };
  }
}

function summaryText(summary: Summary, loops: number | null): string {
  const n = (x: number) => x.toLocaleString("en");
  const { exact, megaflow, upcall } = summary.cache;
  const rows = [
    `${n(summary.packets)} frames, ${n(summary.bytes)} bytes${loops === null ? "" : ` in ${n(loops)} passes`}`,
    `forwarded  ${n(summary.forwarded)}`,
    `dropped    ${n(summary.dropped)}`,
    ...Object.entries(summary.drops).map(([reason, count]) => `  ${reason}  ${n(count)}`),
    `lookups    ${n(exact)} in the exact-match cache, ${n(megaflow)} in the megaflow cache, ${n(upcall)} upcalls`,
    `connections ${n(summary.connections)}`,
    ...(summary.shards ?? []).map((row) => `shard ${row.shard}    ${n(row.packets)} frames`),
    ...(summary.unspread === undefined ? [] : [`all frames in shard 0: ${summary.unspread}`]),
    `${summary.seconds.toFixed(3)} s, ${summary.mpps.toFixed(3)} million frames/s`,
  ];
  return rows.map((row) => `${row}\n`).join("");
}
