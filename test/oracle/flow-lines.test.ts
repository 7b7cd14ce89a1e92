// Thousands of random flow lines, half of them broken, against real OVS: the same verdict in the same words, and the same
// flows from those that it takes.
//
//   MEGAFLOW_LINES=100000 MEGAFLOW_SEED=5 npm test -- flow-lines
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFlowFile } from "../../src/control/openflow/flow-file.ts";
import { parseGroupMod } from "../../src/control/openflow/group-text.ts";
import { parseMeterMod } from "../../src/control/openflow/meter-file.ts";
import { MegaflowError } from "../../src/lib/errors.ts";
import { formatRule } from "../../src/pipeline/flow-dump.ts";
import { GroupTable } from "../../src/pipeline/group.ts";
import { MeterTable } from "../../src/pipeline/meter.ts";
import { checkSupported } from "../../src/pipeline/support.ts";
import { Tables } from "../../src/pipeline/tables.ts";
import { FlowLineMaker } from "./flow-line-maker.ts";
import { FLOW_LINES } from "./line-cases.ts";
import { LineOracle, UNPRINTABLE } from "./line-oracle.ts";
import { ovsSkip, requireOvs } from "./ovs.ts";

const SEED = Number(process.env.MEGAFLOW_SEED ?? 1);
const LINES = Number(process.env.MEGAFLOW_LINES ?? 1000);
const SHOWN = Number(process.env.MEGAFLOW_SHOWN ?? 30);
/** Groups 0 to 127 and meters 1 to 127 exist on both sides, others do not. */
const IDS = 128;

const groups = new GroupTable();
const meters = new MeterTable();
for (let id = 0; id < IDS; id++) {
  groups.apply([parseGroupMod(groupLine(id))], 0);
  if (id > 0) meters.apply([parseMeterMod(meterLine(id))], 0);
}

function groupLine(id: number): string {
  return `group_id=${id},type=all`;
}

function meterLine(id: number): string {
  return `meter=${id},pktps,bands=type=drop,rate=1`;
}

interface OurVerdict {
  words: string;
  dump: string;
}

function ourVerdict(line: string): OurVerdict {
  try {
    const mods = parseFlowFile(line);
    const tables = new Tables({ checkActions: (mod) => checkSupported(mod.actions, groups, meters) });
    tables.apply(mods, 0);
    return { words: "", dump: [...tables.rules()].map((rule) => formatRule(rule, 0)).join("\n") };
  } catch (error) {
    assert(error instanceof MegaflowError, `${line}: ${String(error)}`);
    return { words: error.message, dump: "" };
  }
}

test("random flow lines are judged as OVS judges them", { skip: ovsSkip }, async (t) => {
  t.diagnostic(`MEGAFLOW_SEED=${SEED} MEGAFLOW_LINES=${LINES}`);
  const ovs = await requireOvs();
  try {
    await ovs.addBridge("br0", { ports: [{ no: 1 }, { no: 2 }] });
    const some = Array.from({ length: IDS }, (_, id) => id);
    await ovs.ofctl(["-O", "OpenFlow15", "add-groups", "br0", "-"], {
      input: some.map(groupLine).join("\n"),
    });
    for (const id of some.slice(1)) await ovs.ofctl(["-O", "OpenFlow15", "add-meter", "br0", meterLine(id)]);
    const oracle = await LineOracle.start(ovs, "br0");
    const maker = new FlowLineMaker(SEED);
    const lines = [...FLOW_LINES, ...Array.from({ length: LINES }, () => maker.line())];
    const ours = lines.map(ourVerdict);
    const good = new Map(lines.map((line, i) => [line, /^(|OFP\w+|NX\w+)$/.test(ours[i]!.words)]));
    const theirs = await oracle.judge(lines, (line) => good.get(line)!);
    oracle.close();
    const differences: string[] = [];
    let refused = 0;
    let crashes = 0;
    for (const [i, line] of lines.entries()) {
      const their = theirs[i]!;
      const our = ours[i]!;
      if (their.crashed) crashes++;
      else if (their.words !== "") refused++;
      const sameDump = our.dump === their.dump || (their.dump === UNPRINTABLE && our.dump !== "");
      const sameWords = our.words === their.words || (our.words !== "" && our.words === their.words10);
      if (their.crashed || (sameWords && sameDump)) continue;
      const shown = (v: OurVerdict): string => v.words || v.dump;
      differences.push(`${line}\n  ours:   ${shown(our)}\n  theirs: ${shown(their)}`);
    }
    const taken = lines.length - refused - crashes;
    t.diagnostic(
      `${lines.length} lines, ${taken} taken, ${refused} refused, ${crashes} crashed ovs-ofctl, ${differences.length} differ`,
    );
    assert(taken > lines.length / 3, "too few lines are good");
    assert(refused > lines.length / 3, "too few lines are bad");
    assert.equal(differences.slice(0, SHOWN).join("\n"), "");
  } finally {
    await ovs.stop();
  }
});
