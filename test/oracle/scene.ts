// A scene: a scenario written whole in a test, in the words of a network engineer. Tables, what happens when, frames made by
// code, questions for `trace`. It is played through the command line (with caches, without, and with two shards) and through
// real Open vSwitch; everything either leaves behind must be the same.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { traceText } from "../../src/cli/trace.ts";
import { CaptureWriter } from "../../src/port/capture-writer.ts";
import { megaflowSkip } from "../megaflow.ts";
import { mendTrace, normalizeTrace, perPort } from "./judge/normalize.ts";
import { type Ovs, ovsSkip, requireOvs } from "./ovs.ts";
import { assertSameOutcome, playMegaflow, playOvs, type Scenario } from "./scenario.ts";

export interface Scene {
  /** Files' texts. */
  readonly flows: string;
  readonly groups?: string;
  readonly meters?: string;
  readonly ports: readonly number[];
  readonly failMode?: "secure" | "standalone";
  readonly frames: readonly SceneFrame[];
  /** Flow-mods on the way, each a bundle. */
  readonly changes?: readonly { readonly seconds: string; readonly flows: string }[];
  /** Words for ofproto/trace, asked before the first frame. */
  readonly traces?: readonly (readonly string[])[];
  /** Compares megaflows.txt too: for scenes whose frames teach the switch nothing. */
  readonly megaflows?: boolean;
  /** Played by two threads too: for scenes whose frames may be spread. */
  readonly shards?: boolean;
}

export interface SceneFrame {
  /** Seconds after the beginning, whole milliseconds. */
  readonly seconds: number;
  readonly port: number;
  readonly bytes: Uint8Array;
}

const START = 1_700_000_000;

/** Frames a fixed time apart, `[port, bytes]` each. */
export function evenly(
  from: number,
  step: number,
  ...frames: readonly (readonly [port: number, bytes: Uint8Array])[]
): SceneFrame[] {
  return frames.map(([port, bytes], i) => ({ seconds: from + i * step, port, bytes }));
}

const dir = mkdtempSync(join(tmpdir(), "megaflow-scene-"));
after(() => {
  if (process.env.KEEP === undefined) rmSync(dir, { recursive: true });
  else console.log(`# files are in ${dir}`);
});

/** Registers the scene as a test of node:test. SCENE=NAME plays only that one; KEEP=1 leaves the files. */
export function scene(name: string, make: () => Scene): void {
  if (process.env.SCENE !== undefined && process.env.SCENE !== name) return;
  test(name, { skip: ovsSkip || megaflowSkip }, () => playScene(name, make()));
}

async function playScene(name: string, s: Scene): Promise<void> {
  const folder = join(dir, name.replace(/\W+/g, "-"));
  mkdirSync(folder);
  const scenario = writeScene(folder, s);
  const out = join(folder, "out");
  const ours = await playMegaflow(scenario, out);
  const uncached = await playMegaflow(scenario, join(folder, "uncached"), ["--no-cache"]);
  assertSameOutcome(uncached, ours, `${name}: --no-cache`);
  assertSameFiles(join(folder, "uncached"), out, /^(megaflows\.txt|summary\.json)$/);
  if (s.shards === true) {
    await playMegaflow(scenario, join(folder, "shards"), ["--shards", "2"]);
    const summary = readFileSync(join(folder, "shards", "summary.json"), "utf8");
    assert.equal((JSON.parse(summary) as { unspread?: string }).unspread, undefined);
    assertSameFiles(join(folder, "shards"), out, /^(megaflows\.txt|summary\.json|conntrack.*)$/);
  }
  const ovs = await requireOvs();
  const asked: [ours: string, theirs: string, words: string][] = [];
  try {
    const theirs = await playOvs(ovs, scenario, {
      loaded: async () => {
        for (const words of s.traces ?? []) asked.push(await ask(ovs, scenario, words));
        // A trace of a frame leaves its connections and addresses behind.
        await ovs.appctl("dpctl/flush-conntrack");
        await ovs.appctl("fdb/flush", "br0");
      },
      keepMegaflows: s.megaflows === true,
    });
    for (const [mine, real, words] of asked) {
      const told = `${name}: trace ${words}`;
      if (perPort(mine) !== perPort(real)) assert.fail(`${told}\n${lineDiff(mine, real)}`);
    }
    assertSameOutcome(ours, theirs, name);
    if (s.megaflows === true) {
      const [mine, real] = [ours.megaflows, theirs.megaflows].map((list) => plainMegaflows(list).join("\n"));
      if (mine !== real) assert.fail(`${name}: megaflows\n${lineDiff(mine!, real!)}`);
    }
  } finally {
    await ovs.stop();
  }
}

function writeScene(folder: string, s: Scene): Scenario {
  const file = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };
  const captures = new Map<number, CaptureWriter>();
  const inputs: { port: number; capture: string }[] = [];
  for (const { seconds, port, bytes } of s.frames) {
    if (!captures.has(port)) {
      const capture = join(folder, `in-${port}.pcap`);
      captures.set(port, CaptureWriter.open(capture));
      inputs.push({ port, capture });
    }
    const ms = Math.round(seconds * 1000);
    const sec = START + Math.floor(ms / 1000);
    captures.get(port)!.write(sec, (ms % 1000) * 1e6, bytes, 0, bytes.length, bytes.length);
  }
  for (const writer of captures.values()) writer.close();
  return {
    flows: file("scene.flows", s.flows),
    groups: s.groups === undefined ? undefined : file("scene.groups", s.groups),
    meters: s.meters === undefined ? undefined : file("scene.meters", s.meters),
    ports: s.ports.map((no) => ({ no, name: `p${no}` })),
    failMode: s.failMode ?? "secure",
    inputs,
    at: (s.changes ?? []).map(({ seconds, flows }, i) => ({
      seconds,
      file: file(`change-${i}.flows`, flows),
    })),
  };
}

async function ask(
  ovs: Ovs,
  scenario: Scenario,
  words: readonly string[],
): Promise<[string, string, string]> {
  const { flows, groups, meters, failMode, ports } = scenario;
  const port = ports.map(({ no, name }) => `${no}=${name}`);
  const options = { flows, groups, meters, failMode, port };
  const ours = normalizeTrace(messageOf(() => traceText(words, options)));
  const theirs = await ovs.trace("br0", ...words).catch((error: Error) => error.message);
  return [ours, mendTrace(normalizeTrace(theirs), ours), words.join(" ")];
}

/** What it gives, or the words of the error that it throws. */
function messageOf(work: () => string): string {
  try {
    return work();
  } catch (error) {
    return (error as Error).message;
  }
}

function assertSameFiles(one: string, other: string, but: RegExp): void {
  const names = (folder: string) =>
    readdirSync(folder)
      .filter((name) => !but.test(name))
      .sort();
  assert.deepEqual(names(one), names(other));
  for (const name of names(one)) {
    const a = readFileSync(join(one, name));
    const b = readFileSync(join(other, name));
    if (!a.equals(b)) assert.equal(a.toString("latin1"), b.toString("latin1"), `${one}: ${name}`);
  }
}

/** Of a flood; OVS's dummy datapath gives the bridge's own port number 100. */
const sortedPorts = (ports: string): string =>
  ports
    .split(",")
    .map((no) => (no === "100" ? "65534" : no))
    .sort()
    .join();

/** Without ages, sorted, recirculation ids by order of appearance in that order. */
export function plainMegaflows(lines: readonly string[]): string[] {
  const masked = (line: string) => line.replace(/(recirc_id[(=]|recirc\()(0x)?[1-9a-f][0-9a-f]*/g, "$1#");
  const sorted = lines
    .map((line) => line.replace(/used:(never|[0-9.]+s)/, "used").replace(/\b\d+(,\d+)*$/, sortedPorts))
    .sort((a, b) => (masked(a) < masked(b) ? -1 : 1));
  const seen = new Map<number, number>();
  return sorted.map((line) =>
    line.replace(/\b(recirc_id[(=]|recirc\()(0x[0-9a-f]+|[1-9][0-9]*)/g, (_, head: string, id: string) => {
      if (!seen.has(Number(id))) seen.set(Number(id), seen.size + 1);
      return `${head}#${seen.get(Number(id))}`;
    }),
  );
}

/** Lines that only one has, `-` theirs and `+` ours, among those that both have. */
function lineDiff(ours: string, theirs: string): string {
  const [a, b] = [theirs.split("\n"), ours.split("\n")];
  const out: string[] = [];
  let j = 0;
  for (const line of a) {
    const at = b.indexOf(line, j);
    if (at < 0) out.push(`- ${line}`);
    else {
      for (; j < at; j++) out.push(`+ ${b[j]}`);
      out.push(`  ${line}`);
      j = at + 1;
    }
  }
  for (; j < b.length; j++) out.push(`+ ${b[j]}`);
  return out.join("\n");
}
