// Random group lines and meters, half of them broken, against real OVS: the same verdict in the same words, and the same
// groups and meters from those that it takes.
//
//   MEGAFLOW_LINES=5000 MEGAFLOW_SEED=5 npm test -- group-lines
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseGroupFile } from "../../src/control/openflow/group-file.ts";
import { parseMeterFile } from "../../src/control/openflow/meter-file.ts";
import { MegaflowError } from "../../src/lib/errors.ts";
import { formatGroup } from "../../src/pipeline/group-dump.ts";
import { formatMeters } from "../../src/pipeline/meter-dump.ts";
import { Pipeline } from "../../src/pipeline/pipeline.ts";
import { PortTable } from "../../src/pipeline/port-table.ts";
import { GroupLineMaker } from "./group-line-maker.ts";
import { GROUP_LINES } from "./line-cases.ts";
import { isMod, message, OpenFlowConnection, RecordingSwitch } from "./openflow-wire.ts";
import { type Ovs, ovsSkip, requireOvs } from "./ovs.ts";

const SEED = Number(process.env.MEGAFLOW_SEED ?? 1);
const LINES = Number(process.env.MEGAFLOW_LINES ?? 300);
const SHOWN = Number(process.env.MEGAFLOW_SHOWN ?? 30);

/** What is there before each line. */
const GROUPS = [
  "group_id=1,type=all,bucket=output:1,bucket=output:2",
  "group_id=2,type=select,bucket=bucket_id:5,weight:3,output:1,bucket=bucket_id:7,output:2",
  "group_id=3,type=indirect,bucket=output:1",
  "group_id=4,type=ff,bucket=watch_port:1,output:1",
];
const METERS = [
  "meter=1,kbps,bands=type=drop,rate=5",
  "meter=2,pktps,burst,bands=type=drop,rate=5,burst_size=6",
];

interface Verdict {
  words: string;
  dump: string;
}

/** ovs-ofctl did, or the switch would. */
const CRASHED = "crashed";

function allOf(type: number, id: number): Buffer {
  const body = Buffer.alloc(16);
  body.writeUInt16BE(type, 0);
  body.writeUInt32BE(id, 8);
  return message(6, 18, 0, body);
}

const DUMP_GROUPS = allOf(7, 0xfffffffc);
const DUMP_METERS = allOf(10, 0xffffffff);

class Oracle {
  readonly ovs: Ovs;
  readonly recorder: RecordingSwitch;
  readonly connection: OpenFlowConnection;

  constructor(ovs: Ovs, recorder: RecordingSwitch, connection: OpenFlowConnection) {
    this.ovs = ovs;
    this.recorder = recorder;
    this.connection = connection;
  }

  /** Runs ovs-ofctl once for each line, in one shell; gives what it says and what it sends. */
  async record(command: string, lines: readonly string[]): Promise<{ said: string; sent: Buffer | null }[]> {
    const dir = join(this.ovs.dir, command);
    mkdirSync(dir, { recursive: true });
    for (const [i, line] of lines.entries()) writeFileSync(join(dir, `f${i}`), `${line}\n`);
    const argument = command === "add-meter" ? '"$(cat f$n)"' : "f$n";
    const ofctl = `timeout 5 ovs-ofctl -O OpenFlow15 --no-names ${command} unix:${this.ovs.dir}/recorder.sock`;
    const loop = `for n in $(seq 0 ${lines.length - 1}); do ${ofctl} ${argument} 2>e$n || echo "ended with $?" >>e$n; done`;
    this.recorder.take();
    await new Promise<void>((resolve) => {
      const env = { ...process.env, OVS_RUNDIR: this.ovs.dir };
      execFile("sh", ["-c", loop], { cwd: dir, env }, () => resolve());
    });
    const connections = this.recorder.takeByConnection();
    return lines.map((_, i) => {
      const error = readFileSync(join(dir, `e${i}`), "utf8");
      if (error.includes("ended with")) {
        return { said: /^ovs-ofctl: (?:f\d+:\d+: )?(.*)$/m.exec(error)?.[1] ?? CRASHED, sent: null };
      }
      return { said: "", sent: connections.shift()?.find(isMod) ?? null };
    });
  }

  async judge(
    command: string,
    lines: readonly string[],
    before: readonly string[],
    dump: Buffer,
  ): Promise<Verdict[]> {
    const reset: Buffer[] = [];
    const noun = command === "add-meter" ? "meters" : "groups";
    const socket = `unix:${this.ovs.dir}/recorder.sock`;
    await this.ovs.ofctl(["-O", "OpenFlow15", "--no-names", `del-${noun}`, socket]);
    reset.push(...this.recorder.take().filter(isMod));
    for (const { sent } of await this.record(command, before)) reset.push(sent!);
    const recorded = await this.record(command, lines);
    const verdicts = recorded.map(({ said }): Verdict => ({ words: said, dump: "" }));
    const replies: Buffer[] = [];
    for (const [i, { sent }] of recorded.entries()) {
      if (sent === null) continue;
      if (wouldHang(sent)) {
        verdicts[i]!.words = CRASHED;
        continue;
      }
      await this.connection.send(reset);
      const errors = await this.connection.send([sent]);
      for (const reply of [...errors, ...(await this.connection.send([dump]))]) {
        reply.writeUInt32BE(i, 4);
        replies.push(reply);
      }
    }
    const file = join(this.ovs.dir, "replies");
    writeFileSync(file, Buffer.concat(replies));
    let at = -1;
    for (const said of (await this.ovs.ofctl(["--no-names", "ofp-parse", file])).split("\n")) {
      const header = /^(?:OFPT_ERROR|OFPST_\w+ reply) .*\(xid=0x([0-9a-f]+)\):(?: (\w+))?/.exec(said);
      if (header === null) {
        // Behind an error comes the message that it is about.
        if (said.startsWith("OFP")) at = -1;
        if (at >= 0 && said !== "" && !/^[0-9a-f]{8} /.test(said)) verdicts[at]!.dump += `${said}\n`;
        continue;
      }
      at = Number.parseInt(header[1]!, 16);
      if (header[2] !== undefined) {
        verdicts[at]!.words = header[2];
        at = -1;
      }
    }
    return verdicts;
  }
}

const GROUP_MOD = 15;
const INSERT_BUCKET = 3;

/** OVS 3.1.0 never comes back from an insertion of no buckets. */
function wouldHang(sent: Buffer): boolean {
  return (
    sent.readUInt8(1) === GROUP_MOD && sent.readUInt16BE(8) === INSERT_BUCKET && sent.readUInt16BE(16) === 0
  );
}

/** Without tunnel options: there is no map of them here. */
function withoutOptions(line: string): string {
  return line.replace(/tun_metadata\d+/gi, "tun_id");
}

/** A meter is an argument of ovs-ofctl: no option, and no comment in it. */
function argument(line: string): string {
  return line.replace(/^-+/, "").replaceAll("#", "");
}

function sortedLines(text: string): string {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .sort()
    .join("\n");
}

function ours(run: (pipeline: Pipeline) => string): Verdict {
  const ports = new PortTable(
    [
      { no: 1, name: "p1" },
      { no: 2, name: "p2" },
    ],
    { anyNumber: true },
  );
  const pipeline = new Pipeline({ ports, failMode: "secure", seed: 1 });
  pipeline.applyGroups(parseGroupFile(GROUPS.join("\n")), 0);
  pipeline.applyMeters(parseMeterFile(METERS.join("\n")), 0);
  try {
    return { words: "", dump: run(pipeline) };
  } catch (error) {
    assert(error instanceof MegaflowError, String(error));
    return { words: error.message, dump: "" };
  }
}

function differences(lines: readonly string[], our: readonly Verdict[], their: readonly Verdict[]): string[] {
  const found: string[] = [];
  for (const [i, line] of lines.entries()) {
    const [a, b] = [our[i]!, their[i]!];
    // For a line that says nothing ovs-ofctl sends nothing.
    if (b.words === CRASHED || (line.replace(/#.*/, "").trim() === "" && a.words === "")) continue;
    if (a.words === b.words && (a.words !== "" || sortedLines(a.dump) === sortedLines(b.dump))) continue;
    found.push(`${line}\n  ours:   ${a.words || a.dump}\n  theirs: ${b.words || b.dump}`);
  }
  return found;
}

test("random group lines and meters are judged as OVS judges them", { skip: ovsSkip }, async (t) => {
  t.diagnostic(`MEGAFLOW_SEED=${SEED} MEGAFLOW_LINES=${LINES}`);
  const ovs = await requireOvs();
  try {
    await ovs.addBridge("br0", { ports: [{ no: 1 }, { no: 2 }] });
    const recorder = await RecordingSwitch.start(join(ovs.dir, "recorder.sock"));
    const connection = await OpenFlowConnection.open(join(ovs.dir, "br0.mgmt"), 6);
    const oracle = new Oracle(ovs, recorder, connection);
    const maker = new GroupLineMaker(SEED);
    const random = Array.from({ length: LINES }, () => withoutOptions(maker.group()));
    const groupLines = [...GROUP_LINES, ...random];
    const meterLines = Array.from({ length: LINES }, () => argument(maker.meter()));
    const theirGroups = await oracle.judge("add-groups", groupLines, GROUPS, DUMP_GROUPS);
    const theirMeters = await oracle.judge("add-meter", meterLines, METERS, DUMP_METERS);
    recorder.close();
    connection.close();
    const ourGroups = groupLines.map((line) =>
      ours((pipeline) => {
        pipeline.applyGroups(parseGroupFile(line), 0);
        return pipeline.groups.list.map((group) => formatGroup(group.mod)).join("\n");
      }),
    );
    const ourMeters = meterLines.map((line) =>
      ours((pipeline) => {
        pipeline.applyMeters(parseMeterFile(line), 0);
        return formatMeters(pipeline.meters.list.map((meter) => meter.mod)).replace(/^OFPST.*\n/, "");
      }),
    );
    const found = [
      ...differences(groupLines, ourGroups, theirGroups),
      ...differences(meterLines, ourMeters, theirMeters),
    ];
    const refused = (list: readonly Verdict[]): number => list.filter((v) => v.words !== "").length;
    t.diagnostic(
      `${groupLines.length} group lines, ${refused(theirGroups)} refused; ${LINES} meters, ${refused(theirMeters)} refused; ${found.length} differ`,
    );
    assert(refused(theirGroups) < groupLines.length / 2, "too few groups are good");
    assert(refused(theirMeters) < LINES / 2, "too few meters are good");
    assert.equal(found.slice(0, SHOWN).join("\n"), "");
  } finally {
    await ovs.stop();
  }
});
