// Thousands of random flow lines, half of them broken, against real ovs-ofctl: the same verdict, in the same words.
//
//   MEGAFLOW_LINES=100000 MEGAFLOW_SEED=5 npm test -- flow-lines
//
// ovs-ofctl stops at a file's first error, so the lines go to it some at a time: the error is the verdict on its line, and
// the next run starts behind it.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseFlowFile } from "../../src/control/openflow/flow-file.ts";
import { MegaflowError } from "../../src/lib/errors.ts";
import { FlowLineMaker } from "./flow-line-maker.ts";
import { type Ovs, ovsSkip, requireOvs } from "./ovs.ts";

const SEED = Number(process.env.MEGAFLOW_SEED ?? 1);
const LINES = Number(process.env.MEGAFLOW_LINES ?? 600);
const ALL_VERSIONS = "OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15";
const BATCH = 40;
/** How many of the lines that ovs-ofctl takes go on to a switch. */
const ANSWERS = Number(process.env.MEGAFLOW_ANSWERS ?? 40);
const SHOWN = Number(process.env.MEGAFLOW_SHOWN ?? 30);

/** A line that no ovs-ofctl takes: behind it nothing is sent, so that only the text is judged. */
const SENTINEL = "actions=end_of_batch";

/** A file's first error: the line's index and the message; index -1 when there is none, null when ovs-ofctl died of it. */
function firstError(
  ovs: Ovs,
  file: string,
  lines: readonly string[],
): Promise<{ index: number; message: string } | null> {
  writeFileSync(file, `${lines.join("\n")}\n${SENTINEL}\n`);
  return new Promise((resolve) => {
    const options = { timeout: 20_000, maxBuffer: 64 << 20, env: { ...process.env, OVS_RUNDIR: ovs.dir } };
    execFile("ovs-ofctl", ["-O", ALL_VERSIONS, "add-flows", "br0", file], options, (_error, _out, stderr) => {
      for (const said of stderr.split("\n")) {
        const m = PLACE.exec(said);
        if (m === null || m[1] !== file) continue;
        const index = Number(m[2]) - 1;
        return resolve(index === lines.length ? { index: -1, message: "" } : { index, message: m[3]! });
      }
      resolve(null);
    });
  });
}

/** What is said here of a deletion that no version of OpenFlow can carry (ovs-ofctl lists its versions). */
const NO_VERSION = "actions are invalid with specified match (OFPBAC_MATCH_INCONSISTENT)";

/**
 * What depends on the switch's groups, meters and other flows, of which there are none here, and, at 1.5, value bits outside
 * the mask of a set_field (differences.md).
 */
const OF_THE_SWITCH = /^(OFPBAC_BAD_OUT_GROUP|OFPMMFC_INVALID_METER|OFPFMFC_OVERLAP|OFPBMC_BAD_WILDCARDS)$/;

const PLACE = /^ovs-ofctl: ([^:]*):(\d+): (.*)$/;

/** ovs-ofctl's verdict on every line: "" for a flow it takes, else its words; null where it crashed. */
async function theirVerdicts(ovs: Ovs, file: string, lines: readonly string[]): Promise<(string | null)[]> {
  const verdicts: (string | null)[] = [];
  let size = BATCH;
  while (verdicts.length < lines.length) {
    const batch = lines.slice(verdicts.length, verdicts.length + size);
    const error = await firstError(ovs, file, batch);
    if (error === null && batch.length > 1) {
      size = 1;
      continue;
    }
    if (error === null) verdicts.push(null);
    else if (error.index < 0) for (const _ of batch) verdicts.push("");
    else {
      for (let i = 0; i < error.index; i++) verdicts.push("");
      verdicts.push(error.message);
    }
    if (verdicts.length % BATCH === 0) size = BATCH;
  }
  return verdicts;
}

/** What a switch answers to a line: "" when it takes it over OpenFlow 1.0 (ovs-ofctl's default) or over 1.5. */
async function theirAnswer(ovs: Ovs, file: string, line: string): Promise<string> {
  writeFileSync(file, `${line.replace("check_overlap", "send_flow_rem")}\n`);
  let answer = "";
  // OpenFlow 1.0 has no action set, and drops what is meant for it.
  const versions = /write_actions|clear_actions/.test(line) ? ["OpenFlow15"] : ["OpenFlow10", "OpenFlow15"];
  for (const version of versions) {
    const said = await ovs.ofctl(["-O", version, "add-flows", "br0", file]).then(
      () => "",
      (error: Error) => error.message,
    );
    if (said === "") return "";
    answer = /OFPT_ERROR.*: ([A-Z_0-9]+)/.exec(said)?.[1] ?? answer;
    if (/usable flow formats \(none\)/.test(said)) answer = NO_VERSION;
  }
  return answer;
}

function portByName(name: string): number | undefined {
  return name === "br0" ? 0xfffe : /^p[12]$/.test(name) ? Number(name.slice(1)) : undefined;
}

function ourVerdict(line: string): string {
  try {
    parseFlowFile(line, undefined, { portByName });
    return "";
  } catch (error) {
    assert(error instanceof MegaflowError, `${line}: ${String(error)}`);
    return error.message;
  }
}

test("random flow lines are judged as OVS judges them", { skip: ovsSkip }, async (t) => {
  t.diagnostic(`MEGAFLOW_SEED=${SEED} MEGAFLOW_LINES=${LINES}`);
  const ovs = await requireOvs();
  try {
    await ovs.addBridge("br0", { ports: [{ no: 1 }, { no: 2 }] });
    const maker = new FlowLineMaker(SEED);
    const lines = Array.from({ length: LINES }, () => maker.line());
    const half = Math.ceil(lines.length / 2);
    const [one, two] = await Promise.all([
      theirVerdicts(ovs, join(ovs.dir, "a"), lines.slice(0, half)),
      theirVerdicts(ovs, join(ovs.dir, "b"), lines.slice(half)),
    ]);
    const theirs = [...one, ...two];
    const differences: string[] = [];
    let refused = 0;
    let crashes = 0;
    let answered = 0;
    for (const [i, line] of lines.entries()) {
      if (theirs[i] === null) crashes++;
      else if (theirs[i] !== "") refused++;
      const ours = ourVerdict(line);
      // Without a sentinel the line goes to the switch.
      if (theirs[i] === "" && (ours !== "" || answered < ANSWERS)) {
        answered++;
        theirs[i] = await theirAnswer(ovs, join(ovs.dir, "one"), line);
      }
      if (ours === "" && OF_THE_SWITCH.test(theirs[i] ?? "")) continue;
      if (theirs[i] !== null && ours !== theirs[i]) {
        differences.push(`${line}\n  ours:   ${ours}\n  theirs: ${theirs[i]}`);
      }
    }
    t.diagnostic(
      `${lines.length} lines, ${refused} refused, ${crashes} crashed ovs-ofctl, ${differences.length} differ`,
    );
    assert.equal(differences.slice(0, SHOWN).join("\n"), "");
  } finally {
    await ovs.stop();
  }
});
