// What real OVS makes of lines of flow files, for many thousands of them at a time.
//
//   1. Text: `ovs-ofctl add-flows` ends at a file's first error, so lines that are believed to be good go to it by the
//      hundred and the others alone. One shell runs the processes: about 3 ms each, as none comes to reach a switch.
//   2. Encoding: ovs-ofctl sends the good ones to a RecordingSwitch, over OpenFlow 1.5 and, what that refuses, over 1.0.
//   3. The switch: each message goes to an empty bridge over one connection, and after it the flows are dumped.
//
// A line is taken when it gets through over OpenFlow 1.5 or over 1.0 (ovs-ofctl's default).
import { execFile } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  deleteAllFlows,
  dumpFlowsRequest,
  isMod,
  OpenFlowConnection,
  RecordingSwitch,
  versionName,
  type WireVersion,
} from "./openflow-wire.ts";
import type { Ovs } from "./ovs.ts";

const ALL_VERSIONS = "OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15";
/** A line that no ovs-ofctl takes: behind it nothing is printed. */
const SENTINEL = "actions=end_of_batch";
/** What is said of a flow that no version of OpenFlow can carry whole. */
const NO_VERSION = "actions are invalid with specified match (OFPBAC_MATCH_INCONSISTENT)";
/** Actions that ovs-ofctl drops, without a word, where OpenFlow 1.0 does not have them. */
const LOST_IN_OLD = /action.*=.*(write_actions|clear_actions|meter\b|push_vlan)/i;
const BATCH = 200;
const CHUNK = 4000;

/** In place of a dump: OpenFlow 1.5 cannot carry what 1.0 has put into the tables. */
export const UNPRINTABLE = "unprintable";

/** OVS's verdict on a line. */
export interface LineVerdict {
  /** Its words against the line; "" when it takes it. */
  words: string;
  /** Those of OpenFlow 1.0 where 1.5 refuses it too. */
  words10: string;
  /** The flows of an empty switch after it, as `dump-flows -O OpenFlow15 --no-names` prints them, all durations 0. */
  dump: string;
  /** The version that took it. */
  version: WireVersion | null;
  /** ovs-ofctl ended with a signal. */
  crashed: boolean;
}

export class LineOracle {
  readonly ovs: Ovs;
  readonly #recorder: RecordingSwitch;
  readonly #connections: Readonly<Record<WireVersion, OpenFlowConnection>>;

  private constructor(
    ovs: Ovs,
    recorder: RecordingSwitch,
    old: OpenFlowConnection,
    current: OpenFlowConnection,
  ) {
    this.ovs = ovs;
    this.#recorder = recorder;
    this.#connections = { 1: old, 6: current };
  }

  /** A judge on a switch's bridge, whose flows it will delete. */
  static async start(ovs: Ovs, bridge: string): Promise<LineOracle> {
    const socket = join(ovs.dir, `${bridge}.mgmt`);
    return new LineOracle(
      ovs,
      await RecordingSwitch.start(join(ovs.dir, "recorder.sock")),
      await OpenFlowConnection.open(socket, 1),
      await OpenFlowConnection.open(socket, 6),
    );
  }

  close(): void {
    this.#recorder.close();
    this.#connections[1].close();
    this.#connections[6].close();
  }

  /** Judges lines; `believedGood` saves time and changes nothing. */
  async judge(lines: readonly string[], believedGood: (line: string) => boolean): Promise<LineVerdict[]> {
    const verdicts: LineVerdict[] = [];
    for (let at = 0; at < lines.length; at += CHUNK) {
      verdicts.push(...(await this.#judgeChunk(lines.slice(at, at + CHUNK), believedGood)));
    }
    return verdicts;
  }

  async #judgeChunk(
    lines: readonly string[],
    believedGood: (line: string) => boolean,
  ): Promise<LineVerdict[]> {
    const verdicts = lines.map(
      (): LineVerdict => ({ words: "", words10: "", dump: "", version: null, crashed: false }),
    );
    await this.#judgeText(lines, verdicts, believedGood);
    const good: number[] = [];
    for (const [i, verdict] of verdicts.entries()) if (verdict.words === "" && !verdict.crashed) good.push(i);
    await this.#judgeSending(lines, verdicts, good, 6);
    const refused = good.filter((i) => verdicts[i]!.words !== "" && !LOST_IN_OLD.test(lines[i]!));
    const words = refused.map((i) => verdicts[i]!.words);
    await this.#judgeSending(lines, verdicts, refused, 1);
    for (const [n, i] of refused.entries()) {
      const verdict = verdicts[i]!;
      if (verdict.words !== "" && !/^none of the usable/.test(words[n]!)) {
        verdict.words10 = verdict.words;
        verdict.words = words[n]!;
      }
    }
    for (const verdict of verdicts) {
      // ovs-ofctl would send it over 1.0, and its action set would be lost on the way.
      if (/^none of the usable flow formats .*OXM-OpenFlow15/.test(verdict.words)) verdict.words = NO_VERSION;
    }
    return verdicts;
  }

  async #judgeText(
    lines: readonly string[],
    verdicts: LineVerdict[],
    believedGood: (line: string) => boolean,
  ): Promise<void> {
    const dir = join(this.ovs.dir, "lines");
    let work: number[][] = [];
    let batch: number[] = [];
    for (const [i, line] of lines.entries()) {
      if (!believedGood(line)) work.push([i]);
      else if (batch.push(i) === BATCH) {
        work.push(batch);
        batch = [];
      }
    }
    if (batch.length > 0) work.push(batch);
    while (work.length > 0) {
      rmSync(dir, { recursive: true, force: true });
      mkdirSync(dir);
      for (const [n, some] of work.entries()) {
        const text = some.map((i) => `${lines[i]}\n`).join("");
        writeFileSync(join(dir, `f${n}`), `${text}${SENTINEL}\n`);
      }
      const loop = `for n in $(seq 0 ${work.length - 1}); do ovs-ofctl -O ${ALL_VERSIONS} --no-names add-flows none f$n; done >/dev/null`;
      const errors = await run("sh", ["-c", loop], dir);
      const found = new Map<number, { line: number; words: string }>();
      for (const said of errors.split("\n")) {
        const m = /^ovs-ofctl: f(\d+):(\d+): (.*)$/.exec(said);
        if (m !== null) found.set(Number(m[1]), { line: Number(m[2]) - 1, words: m[3]! });
      }
      const next: number[][] = [];
      for (const [n, some] of work.entries()) {
        const error = found.get(n);
        if (error === undefined) {
          if (some.length === 1) verdicts[some[0]!]!.crashed = true;
          else for (const i of some) next.push([i]);
        } else if (error.line < some.length) {
          verdicts[some[error.line]!]!.words = error.words;
          if (error.line + 1 < some.length) next.push(some.slice(error.line + 1));
        }
      }
      work = next;
    }
  }

  async #judgeSending(
    lines: readonly string[],
    verdicts: LineVerdict[],
    which: readonly number[],
    version: WireVersion,
  ): Promise<void> {
    const replies: Buffer[] = [];
    for (let at = 0; at < which.length; at += BATCH) {
      await this.#encodeAndSend(lines, verdicts, which.slice(at, at + BATCH), version, replies);
    }
    const file = join(this.ovs.dir, "replies");
    writeFileSync(file, Buffer.concat(replies));
    const text = await this.ovs.ofctl(["--no-names", "ofp-parse", file]);
    let at = -1;
    for (const said of text.split("\n")) {
      const header = /^(OFPT_ERROR|OFPST_FLOW reply) .*\(xid=0x([0-9a-f]+)\):(?: (\w+))?/.exec(said);
      if (header !== null) {
        at = header[1] === "OFPST_FLOW reply" ? Number.parseInt(header[2]!, 16) : -1;
        if (at >= 0 && said.includes("***decode error")) verdicts[at]!.dump = UNPRINTABLE;
        if (header[1] === "OFPT_ERROR") verdicts[Number.parseInt(header[2]!, 16)]!.words = header[3]!;
      } else if (at >= 0 && said.startsWith(" ")) {
        const verdict = verdicts[at]!;
        const line = said.replace(/duration=[0-9.]+s/, "duration=0s").replace(/idle_age=\d+/, "idle_age=0");
        verdict.dump += verdict.dump === "" ? line : `\n${line}`;
      } else at = -1;
    }
  }

  /** Gathers the switch's replies, each with the line's index as its xid. */
  async #encodeAndSend(
    lines: readonly string[],
    verdicts: LineVerdict[],
    which: readonly number[],
    version: WireVersion,
    replies: Buffer[],
  ): Promise<void> {
    if (which.length === 0) return;
    const file = join(this.ovs.dir, "good");
    writeFileSync(file, which.map((i) => `${lines[i]}\n`).join(""));
    const args = [
      "-O",
      versionName(version),
      // Without it, OpenFlow 1.0's own match is used where all flows of a batch fit it.
      ...(version === 1 ? ["-F", "NXM+table_id"] : []),
      "--no-names",
      "add-flows",
      `unix:${this.ovs.dir}/recorder.sock`,
      file,
    ];
    const said = await run("ovs-ofctl", args, this.ovs.dir);
    const recorded = this.#recorder.take();
    const mods = recorded.filter(isMod);
    if (mods.length !== which.length) {
      if (which.length > 1) {
        const half = which.length >> 1;
        await this.#encodeAndSend(lines, verdicts, which.slice(0, half), version, replies);
        await this.#encodeAndSend(lines, verdicts, which.slice(half), version, replies);
        return;
      }
      const verdict = verdicts[which[0]!]!;
      const words = /^ovs-ofctl: (.*)$/m.exec(said)?.[1];
      if (words === undefined) verdict.crashed = true;
      else verdict.words = words.replace("(NXM+table_id)", "(OpenFlow10,NXM)");
      return;
    }
    const connection = this.#connections[version];
    const control = this.#connections[6];
    let n = 0;
    for (const message of recorded) {
      if (!isMod(message)) {
        await connection.send([message]);
        continue;
      }
      const i = which[n++]!;
      const errors = await connection.send([message]);
      const dump = await control.send([dumpFlowsRequest(), deleteAllFlows()]);
      const verdict = verdicts[i]!;
      verdict.words = "";
      verdict.dump = "";
      verdict.version = version;
      for (const reply of [...errors, ...dump]) {
        reply.writeUInt32BE(i, 4);
        replies.push(reply);
      }
    }
  }
}

/** What a program says on standard error. */
function run(program: string, args: readonly string[], cwd: string): Promise<string> {
  return new Promise((resolve) => {
    const options = { cwd, maxBuffer: 1 << 28, env: { ...process.env, OVS_RUNDIR: cwd } };
    execFile(program, args, options, (_error, _out, stderr) => resolve(stderr));
  });
}
