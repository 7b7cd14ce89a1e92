// A scenario: tables, captures and changes on the way, played through `megaflow replay` and through real Open vSwitch frame
// by frame on its stopped clock. What each leaves behind is put in the same form, and must be the same.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { CaptureMerge } from "../../src/port/capture-merge.ts";
import { framesOf } from "../antrea-story.ts";
import { megaflow } from "../megaflow.ts";
import type { Ovs } from "./ovs.ts";

export interface ScenarioPort {
  readonly no: number;
  readonly name: string;
}

/** Files are paths, in ovs-ofctl's syntax. */
export interface Scenario {
  readonly flows: string;
  readonly groups?: string | undefined;
  readonly meters?: string | undefined;
  readonly ports: readonly ScenarioPort[];
  readonly failMode: "secure" | "standalone";
  /** What comes in, on which port. */
  readonly inputs: readonly { readonly port: number; readonly capture: string }[];
  /** Flow-mods applied as one bundle so long after the first frame. */
  readonly at: readonly { readonly seconds: string; readonly file: string }[];
}

/** How real Open vSwitch plays. */
export interface PlayOptions {
  /** Called when the tables are loaded, before the first frame. */
  readonly loaded?: () => Promise<void>;
  /** Megaflows stay from frame to frame, for scenarios whose frames teach the switch nothing. */
  readonly keepMegaflows?: boolean;
}

/** What a switch did and holds at the end. Ages are left out; the order of connections has no meaning. */
export interface Outcome {
  /** What each port sent, in hex, in order; LOCAL too. */
  readonly sent: ReadonlyMap<number, readonly string[]>;
  readonly flows: readonly string[];
  readonly groups: string;
  readonly groupStats: string;
  readonly meters: string;
  readonly meterStats: string;
  readonly connections: readonly string[];
  /** As they are listed; recirculation ids, ages and order differ from run to run. */
  readonly megaflows: readonly string[];
}

const BRIDGE = "br0";
const LOCAL = 0xfffe;
/** A bridge for nothing but changes that wake the revalidators. */
const NUDGE = "nudge";
/** A pause is walked through in steps, so that whatever falls due happens about when it should. */
const STEPS_MAX = 20;
const STEP_MS = 500;
/** In pauses shorter than this no timeout falls due: see to it when a scenario is made. */
const SWEEP_MS = 20;

/** A real switch set up as a scenario wants it, its clock stopped. */
export class OvsPlayer {
  readonly #ovs: Ovs;
  readonly #scenario: Scenario;
  readonly #hasTimeouts: boolean;
  readonly #keepMegaflows: boolean;
  readonly #sentBefore = new Map<number, number>();
  #nowMs = Number.NaN;

  private constructor(ovs: Ovs, scenario: Scenario, options: PlayOptions) {
    this.#ovs = ovs;
    this.#scenario = scenario;
    this.#keepMegaflows = options.keepMegaflows === true;
    // Some traces send their frame.
    for (const { no } of scenario.ports) this.#sentBefore.set(no, ovs.sent(this.#name(no)).length);
    this.#hasTimeouts = [scenario.flows, ...scenario.at.map(({ file }) => file)].some((file) =>
      readFileSync(file, "utf8").includes("_timeout="),
    );
  }

  static async start(ovs: Ovs, scenario: Scenario, options: PlayOptions = {}): Promise<OvsPlayer> {
    const { ports, failMode, meters, groups, flows } = scenario;
    await ovs.addBridge(BRIDGE, { ports, failMode });
    // Dummy ports drop what is longer than their MTU, a replay's ports nothing.
    for (const { name } of ports) await ovs.vsctl(["set", "interface", name, "mtu_request=9000"]);
    if (meters !== undefined) {
      for (const line of lines(readFileSync(meters, "utf8"))) {
        if (!line.startsWith("#")) await ovs.ofctl(["-O", "OpenFlow15", "add-meter", BRIDGE, line]);
      }
    }
    if (groups !== undefined) await ovs.ofctl(["-O", "OpenFlow15", "add-groups", BRIDGE, groups]);
    await ovs.addBridge(NUDGE);
    await ovs.stopClock();
    await addFlows(ovs, flows);
    await options.loaded?.();
    return new OvsPlayer(ovs, scenario, options);
  }

  /** Lets the clock go on to `timeMs` (of any epoch, the first call's is the beginning). */
  async advance(timeMs: number): Promise<void> {
    const ms = timeMs - this.#nowMs;
    if (ms > 0) {
      await this.#ovs.warp(ms, Math.max(STEP_MS, Math.ceil(ms / STEPS_MAX)));
      if (this.#hasTimeouts && ms >= SWEEP_MS) await this.#sweep();
    }
    if (!(ms <= 0)) this.#nowMs = timeMs;
  }

  async receive(port: number, timeMs: number, frame: Uint8Array): Promise<void> {
    await this.advance(timeMs);
    await this.#ovs.receive(this.#name(port), frame);
    // Whatever the frame taught is true for the next one, as it is in a replay; and flows know that they were used.
    if (!this.#keepMegaflows) await this.#ovs.settle();
  }

  /** Frames that a port sent since it was last asked. */
  take(port: number): Uint8Array[] {
    return this.#ovs.takeSent(this.#name(port));
  }

  async change(timeMs: number, file: string): Promise<void> {
    await this.advance(timeMs);
    await this.#ovs.settle();
    await this.#ovs.ofctl(["-O", "OpenFlow15", "--bundle", "add-flows", BRIDGE, file]);
    await this.#ovs.settle();
  }

  async finish(): Promise<Outcome> {
    const ovs = this.#ovs;
    const megaflows = await ovs.dumpMegaflows();
    await ovs.settle();
    const sent = new Map<number, string[]>();
    for (const { no } of [...this.#scenario.ports, { no: LOCAL }]) {
      const frames = ovs.sent(this.#name(no)).slice(this.#sentBefore.get(no) ?? 0);
      sent.set(
        no,
        frames.map((frame) => Buffer.from(frame).toString("hex")),
      );
    }
    const ofctl = (...args: string[]) => ovs.ofctl(["-O", "OpenFlow15", "--no-names", ...args]);
    return {
      sent,
      flows: plainFlows(await ofctl("dump-flows", BRIDGE)),
      groups: sortedLines(await ofctl("dump-groups", BRIDGE)),
      groupStats: sortedLines(await ofctl("dump-group-stats", BRIDGE)),
      meters: plainMeters(await ofctl("dump-meters", BRIDGE)),
      meterStats: plainMeters(await ofctl("meter-stats", BRIDGE)),
      connections: (await ovs.dumpConntrack()).sort(),
      megaflows,
    };
  }

  /**
   * OVS looks for flows whose time has come when its revalidators have been round: twice a second of real time, or at once
   * when flows change. So some do, in another bridge.
   */
  async #sweep(): Promise<void> {
    const done = this.#ovs.appctl("revalidator/wait");
    await this.#ovs.ofctl(["add-flow", NUDGE, "actions=drop"]);
    await done;
    await this.#ovs.round();
  }

  #name(port: number): string {
    return this.#scenario.ports.find(({ no }) => no === port)?.name ?? BRIDGE;
  }
}

/** At OpenFlow 1.5, or what the file's spelling needs. */
async function addFlows(ovs: Ovs, file: string): Promise<void> {
  try {
    await ovs.ofctl(["-O", "OpenFlow15", "add-flows", BRIDGE, file]);
  } catch (error) {
    if (!String(error).includes("usable flow formats")) throw error;
    await ovs.ofctl(["add-flows", BRIDGE, file]);
  }
}

/** Plays the whole scenario through real Open vSwitch. */
export async function playOvs(ovs: Ovs, scenario: Scenario, options: PlayOptions = {}): Promise<Outcome> {
  const player = await OvsPlayer.start(ovs, scenario, options);
  const changes = scenario.at.map(({ seconds, file }) => ({ afterNs: Number(seconds) * 1e9, file }));
  changes.sort((a, b) => a.afterNs - b.afterNs);
  const merge = await CaptureMerge.open(scenario.inputs.map(({ capture }) => capture));
  let firstSec = Number.NaN;
  let firstNsec = 0;
  const applyNext = async () => {
    const { afterNs, file } = changes.shift()!;
    await player.change(firstSec * 1000 + Math.floor((firstNsec + afterNs) / 1e6), file);
  };
  for (let batch = await merge.next(); batch !== null; batch = await merge.next()) {
    for (let i = 0; i < batch.count; i++) {
      const sec = batch.sec[i]!;
      const nsec = batch.nsec[i]!;
      if (Number.isNaN(firstSec)) {
        firstSec = sec;
        firstNsec = nsec;
        await player.advance(sec * 1000 + Math.floor(nsec / 1e6));
      }
      const sinceNs = (sec - firstSec) * 1e9 + nsec - firstNsec;
      while (changes.length > 0 && changes[0]!.afterNs <= sinceNs) await applyNext();
      const source = batch.source[i]!;
      const at = batch.offset[i]!;
      const frame = batch.buffers[source]!.slice(at, at + batch.length[i]!);
      await player.receive(scenario.inputs[source]!.port, sec * 1000 + Math.floor(nsec / 1e6), frame);
    }
  }
  merge.close();
  while (changes.length > 0) await applyNext();
  return player.finish();
}

/** Plays the whole scenario through `megaflow replay`; `dir` receives its files. */
export async function playMegaflow(
  scenario: Scenario,
  dir: string,
  more: readonly string[] = [],
): Promise<Outcome> {
  const args = ["replay", "--flows", scenario.flows, "--fail-mode", scenario.failMode, "--out-dir", dir];
  if (scenario.groups !== undefined) args.push("--groups", scenario.groups);
  if (scenario.meters !== undefined) args.push("--meters", scenario.meters);
  for (const { no, name } of scenario.ports) args.push("--port", `${no}=${name}`);
  for (const { port, capture } of scenario.inputs) args.push("--in", `${port}=${capture}`);
  for (const { seconds, file } of scenario.at) args.push("--at", `+${seconds}=${file}`);
  const { status, stderr } = megaflow(...args, ...more);
  assert.equal(status, 0, stderr);
  const sent = new Map<number, string[]>();
  for (const { no } of [...scenario.ports, { no: LOCAL }]) {
    const file = join(dir, `port-${no}.pcap`);
    sent.set(no, existsSync(file) ? await framesOf(file) : []);
  }
  assertVerdicts(dir, sent);
  const text = (name: string) => readFileSync(join(dir, name), "utf8");
  return {
    sent,
    flows: plainFlows(text("flows.txt")),
    groups: sortedLines(text("groups.txt")),
    groupStats: sortedLines(text("group-stats.txt")),
    meters: plainMeters(text("meters.txt")),
    meterStats: plainMeters(text("meter-stats.txt")),
    connections: lines(text("conntrack.txt")).sort(),
    megaflows: lines(text("megaflows.txt")),
  };
}

/** Both outcomes, part by part; a difference is shown line by line, `-` theirs and `+` ours. */
export function assertSameOutcome(ours: Outcome, theirs: Outcome, what: string): void {
  const found: string[] = [];
  for (const [port, frames] of theirs.sent) compare(`port ${port}`, ours.sent.get(port)!, frames, found);
  compare("flows", ours.flows, theirs.flows, found);
  compare("groups", lines(ours.groups), lines(theirs.groups), found);
  compare("group statistics", lines(ours.groupStats), lines(theirs.groupStats), found);
  compare("meters", lines(ours.meters), lines(theirs.meters), found);
  compare("meter statistics", lines(ours.meterStats), lines(theirs.meterStats), found);
  compare("connections", ours.connections, theirs.connections, found);
  assert.ok(found.length === 0, `${what}:\n${found.join("\n")}`);
}

const SHOWN_MAX = 12;

function compare(what: string, ours: readonly string[], theirs: readonly string[], found: string[]): void {
  const before = found.length;
  for (let i = 0; i < Math.max(ours.length, theirs.length); i++) {
    if (ours[i] === theirs[i]) continue;
    if (found.length - before > SHOWN_MAX) {
      found.push("...");
      return;
    }
    found.push(`${what} ${i}`, `- ${theirs[i] ?? "none"}`, `+ ${ours[i] ?? "none"}`);
  }
}

/** Each line of verdicts.jsonl says truly where its frame went: as many on each port as the port's capture holds. */
function assertVerdicts(dir: string, sent: ReadonlyMap<number, readonly string[]>): void {
  const counts = new Map<number, number>();
  lines(readFileSync(join(dir, "verdicts.jsonl"), "utf8")).forEach((line, i) => {
    const { packet, outputs, drop, controller } = JSON.parse(line) as {
      packet: number;
      outputs: number[];
      drop: object | null;
      controller: number;
    };
    assert.equal(packet, i + 1);
    assert.equal(drop === null, outputs.length + controller > 0, line);
    for (const port of outputs) counts.set(port, (counts.get(port) ?? 0) + 1);
  });
  for (const [port, frames] of sent)
    assert.equal(counts.get(port) ?? 0, frames.length, `verdicts for port ${port}`);
}

/** Without ages, and without the flag that ovs-ofctl sets of itself at OpenFlow 1.0. */
function plainFlows(text: string): string[] {
  return lines(text)
    .filter((line) => !line.startsWith("OFPST_FLOW reply"))
    .map((line) =>
      line.replace(/duration=[0-9.]+s, /, "").replace(/(reset_counts|idle_age=\d+,|hard_age=\d+,) /g, ""),
    );
}

/** OVS lists groups in an order that changes from run to run. */
const sortedLines = (text: string): string => lines(plain(text)).sort().join("\n");

const plain = (text: string): string =>
  text
    .replace(/ \(xid=0x[0-9a-f]+\)/g, "")
    .replace(/duration[=:][0-9.]+s/g, "duration")
    .trimEnd();

/** OVS lists meters in the order of a hash table. */
const plainMeters = (text: string): string => {
  const [header, ...meters] = plain(text).split(/\n+(?=meter[=:])/);
  return [header, ...meters.sort()].join("\n");
};

function lines(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}
