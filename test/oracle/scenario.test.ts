// The pipelines of scenarios/, things that people really use a switch for, with the recorded captures through `megaflow
// replay` and real Open vSwitch. A scenario's first lines say how it is played:
//
//   # captures: vlan.pcap ipv6.pcap      of pcap-fixtures/; each is one run
//   # ports: 1 2 3                       a capture's endpoints, in order of their first frames, sit at the first ports
//   # fail-mode: standalone              default secure
//   # at: +1.5 firewall-later.flows      changes on the way; repeatable
//
// NAME.groups and NAME.meters are loaded when they exist. SCENARIO=NAME plays only that one, SCENARIO_CAPTURES="a b" other captures.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { CaptureReader } from "../../src/port/capture-reader.ts";
import { CaptureWriter } from "../../src/port/capture-writer.ts";
import { FIXTURES } from "../antrea-story.ts";
import { megaflowSkip } from "../megaflow.ts";
import { ovsSkip, requireOvs } from "./ovs.ts";
import { assertSameOutcome, playMegaflow, playOvs, type Scenario } from "./scenario.ts";

const FOLDER = fileURLToPath(new URL("../../../test/oracle/scenarios/", import.meta.url));
const dir = mkdtempSync(join(tmpdir(), "megaflow-scenario-"));
after(() => rmSync(dir, { recursive: true }));

/** A capture taken on a link, as one capture per endpoint (source address), whole frames. */
async function splitBySource(name: string, out: string): Promise<string[]> {
  const writers = new Map<string, CaptureWriter>();
  const paths: string[] = [];
  const reader = await CaptureReader.open(join(FIXTURES, name));
  for (let batch = await reader.next(); batch !== null; batch = await reader.next()) {
    for (let i = 0; i < batch.count; i++) {
      const at = batch.offset[i]!;
      const length = batch.length[i]!;
      const source = Buffer.from(batch.data.subarray(at + 6, at + 12)).toString("hex");
      if (!writers.has(source)) {
        const path = join(out, `in-${writers.size + 1}.pcap`);
        writers.set(source, CaptureWriter.open(path));
        paths.push(path);
      }
      // What the snaplen cut is gone: a real switch is given the short frame.
      writers.get(source)!.write(batch.sec[i]!, batch.nsec[i]!, batch.data, at, length, length);
    }
  }
  reader.close();
  for (const writer of writers.values()) writer.close();
  return paths;
}

const values = (text: string, key: string): string[] =>
  [...text.matchAll(new RegExp(`^# ${key}: (.*)$`, "gm"))].map((m) => m[1]!.trim());

function ifThere(path: string): string | undefined {
  return existsSync(path) ? path : undefined;
}

const wanted = process.env.SCENARIO;
for (const file of readdirSync(FOLDER).sort()) {
  const name = file.replace(/\.flows$/, "");
  const flows = join(FOLDER, file);
  const text = readFileSync(flows, "utf8");
  const captures = (process.env.SCENARIO_CAPTURES ?? values(text, "captures").join(" ")).split(" ");
  if (!file.endsWith(".flows") || values(text, "captures").length === 0) continue;
  if (wanted !== undefined && wanted !== name) continue;
  for (const capture of captures) {
    test(`${name}: ${capture}`, { skip: ovsSkip || megaflowSkip }, async () => {
      const run = join(dir, `${name}-${capture.replaceAll("/", "-")}`);
      mkdirSync(run);
      const numbers = (values(text, "ports")[0] ?? "1 2").split(" ").map(Number);
      const sources = await splitBySource(capture, run);
      const scenario: Scenario = {
        flows,
        groups: ifThere(join(FOLDER, `${name}.groups`)),
        meters: ifThere(join(FOLDER, `${name}.meters`)),
        ports: numbers.map((no) => ({ no, name: `p${no}` })),
        failMode: values(text, "fail-mode")[0] === "standalone" ? "standalone" : "secure",
        inputs: sources.slice(0, numbers.length).map((path, i) => ({ port: numbers[i]!, capture: path })),
        at: values(text, "at").map((line) => {
          const [seconds, later] = line.split(" ");
          return { seconds: seconds!.replace("+", ""), file: join(FOLDER, later!) };
        }),
      };
      const ours = await playMegaflow(scenario, join(run, "out"));
      const ovs = await requireOvs();
      try {
        assertSameOutcome(ours, await playOvs(ovs, scenario), name);
      } finally {
        await ovs.stop();
      }
    });
  }
}
