// Whole flow files against real OVS, sent one by one and as a bundle: files that mix commands, comments, blank lines, names,
// carriage returns and zero bytes. The same flows after them, or the same words with the same line, and then nothing at all.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseFlowFile } from "../../src/control/openflow/flow-file.ts";
import { MegaflowError } from "../../src/lib/errors.ts";
import { Prng } from "../../src/lib/prng.ts";
import { formatRuleWithoutStatistics } from "../../src/pipeline/flow-dump.ts";
import { FlowModError, Tables } from "../../src/pipeline/tables.ts";
import { ovsSkip, requireOvs } from "./ovs.ts";

const SEED = Number(process.env.MEGAFLOW_SEED ?? 1);
const FILES = Number(process.env.MEGAFLOW_FILES ?? 60);

function portByName(name: string): number | undefined {
  return name === "br0" ? 0xfffe : /^p[12]$/.test(name) ? Number(name.slice(1)) : undefined;
}

function makeFile(r: Prng): string {
  const lines: string[] = [];
  for (let n = 1 + r.below(14); n > 0; n--) lines.push(makeLine(r));
  return lines.join("") + (r.below(4) === 0 ? "" : "\n");
}

function makeLine(r: Prng): string {
  const end = r.below(30) === 0 ? "\r\n" : "\n";
  const odd = r.below(40);
  if (odd === 0) return `  \t${end}`;
  if (odd === 1) return `# ${makeFlow(r)}${end}`;
  if (odd === 2) return `${makeFlow(r)} # more${end}`;
  if (odd === 3) return `${makeFlow(r)}\0junk${end}`;
  if (odd === 4) return `${makeFlow(r)} \\${end}`;
  if (odd === 5) return `table=1,${"reg0=1,".repeat(3000)}actions=${"output:1,".repeat(3)}${end}`;
  if (odd === 6)
    return `${r.pick(["foo", "foo=1,actions=drop", "table=300,actions=drop", "actions=output:x"])}${end}`;
  return `${makeFlow(r)}${end}`;
}

function makeFlow(r: Prng): string {
  const command = r.pick([
    "",
    "",
    "",
    "add ",
    "modify ",
    "modify_strict ",
    "delete ",
    "delete_strict ",
    "mod ",
    "del ",
  ]);
  const isDelete = command.startsWith("del");
  const parts: string[] = [];
  if (r.below(3) !== 0) parts.push(`table=${r.pick(["0", "1", "1", isDelete ? "all" : "2", "255"])}`);
  if (!/^(delete|modify|mod|del) /.test(command) && r.below(2) === 0)
    parts.push(`priority=${1 + r.below(3)}`);
  if (isDelete && r.below(4) === 0) parts.push("cookie=1/-1");
  if (!isDelete && r.below(4) === 0) parts.push(`cookie=${r.below(3)}`);
  if (r.below(8) === 0) parts.push(r.pick(["in_port=p1", "in_port=br0", 'in_port="p2"', "in_port=nosuch"]));
  if (r.below(2) === 0) parts.push(`reg0=${r.below(3)}`);
  if (r.below(6) === 0 && !isDelete) parts.push("check_overlap");
  const match = parts.join(r.pick([",", " "]));
  if (isDelete) return command + match;
  return `${command}${match}${match === "" ? "" : ","}actions=${r.pick(["drop", "output:p1", "output:2", "p2,br0", "group:9"])}`;
}

/** The flows, or what is said against the file: `LINE: WORDS`, or the switch's error alone. */
interface Outcome {
  said: string;
  flows: string[];
}

function ours(text: string, bundle: boolean): Outcome {
  const tables = new Tables({
    checkActions: (mod) => {
      if (mod.actions.some((a) => a.type === "group"))
        throw new MegaflowError("ETEXT", "OFPBAC_BAD_OUT_GROUP");
    },
  });
  let said = "";
  try {
    const mods = parseFlowFile(text, undefined, { portByName });
    if (bundle) tables.apply(mods, 0);
    else for (const mod of mods) tables.apply([mod], 0);
  } catch (error) {
    assert(error instanceof MegaflowError, String(error));
    said = error instanceof FlowModError ? error.message : `${error.place.line}: ${error.message}`;
  }
  return { said, flows: [...tables.rules()].map((rule) => formatRuleWithoutStatistics(rule)).sort() };
}

test("flow files do what they do in OVS, one by one and as a bundle", { skip: ovsSkip }, async (t) => {
  t.diagnostic(`MEGAFLOW_SEED=${SEED} MEGAFLOW_FILES=${FILES}`);
  const r = new Prng(SEED);
  const ovs = await requireOvs();
  try {
    await ovs.addBridge("br0", { ports: [{ no: 1 }, { no: 2 }] });
    const file = join(ovs.dir, "some.flows");
    let taken = 0;
    for (let i = 0; i < FILES; i++) {
      const text = makeFile(r);
      const bundle = r.below(2) === 0;
      writeFileSync(file, text);
      await ovs.ofctl(["-O", "OpenFlow15", "del-flows", "br0"]);
      const args = ["-O", "OpenFlow15", ...(bundle ? ["--bundle"] : []), "add-flows", "br0", file];
      let said = "";
      try {
        await ovs.ofctl(args);
      } catch (error) {
        const words = String(error);
        said =
          /some\.flows:(\d+: .*)/.exec(words)?.[1] ??
          /\b(?:OFP(?!T_)[A-Z]*|NX[A-Z]*)_[A-Z_]+/.exec(words)?.[0] ??
          words;
      }
      const dump = await ovs.ofctl(["-O", "OpenFlow15", "--no-names", "--no-stats", "dump-flows", "br0"]);
      const flows = dump
        .split("\n")
        .filter((line) => line.startsWith(" "))
        .sort();
      if (said === "") taken++;
      assert.deepEqual(
        ours(text, bundle),
        { said, flows },
        `${bundle ? "bundle" : "one by one"}\n${text.replace(/(reg0=1,)+/g, "reg0=1,")}`,
      );
    }
    t.diagnostic(`${FILES} files, ${taken} taken`);
  } finally {
    await ovs.stop();
  }
});
