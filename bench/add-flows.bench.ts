// How long a big flow file takes from text to tables, and what its flows weigh there.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Bridge } from "../src/bridge/bridge.ts";
import { flowsText } from "../src/bridge/dump.ts";
import { readFlowFile } from "../src/control/openflow/flow-file.ts";
import { Prng } from "../src/lib/prng.ts";
import { PortTable } from "../src/pipeline/port-table.ts";
import { ruleFile } from "./flow-rules.ts";
import { type BenchContext, type BenchResult, hashOf } from "./harness.ts";
import { bytesHeld, settle } from "./heap.ts";

export const name = "add-flows";
export const question =
  "How long does a flow of a file of 100,000 take into the tables, and how many bytes there?";

const FLOWS = 100_000;
const SMOKE_FLOWS = 2_000;
const RUNS = 3;

export function run(context: BenchContext): BenchResult {
  const count = context.smoke ? SMOKE_FLOWS : FLOWS;
  const dir = mkdtempSync(join(tmpdir(), "megaflow-bench-"));
  try {
    const file = join(dir, "rules.flows");
    writeFileSync(file, ruleFile(count, new Prng(context.seed)));
    const ports = new PortTable([{ no: 2, name: "p2" }]);
    const nsPerUnit: number[] = [];
    let hash = "";
    let note = "";
    for (let run = 0; run < (context.smoke ? 1 : RUNS); run++) {
      const bridge = new Bridge({ ports, failMode: "secure", connectionsMax: 1024, megaflowsMax: 1024 });
      settle();
      const before = bytesHeld();
      const begin = process.hrtime.bigint();
      load(bridge, file);
      const ns = Number(process.hrtime.bigint() - begin);
      settle();
      const bytes = (bytesHeld() - before) / count;
      nsPerUnit.push(ns / count);
      note = `${count} flows in ${(ns / 1e9).toFixed(2)} s, ${bytes.toFixed(0)} bytes a flow`;
      hash = hashOf(flowsText(bridge));
    }
    return { unit: "operation", nsPerUnit, count: nsPerUnit.length * count, hash, note };
  } finally {
    rmSync(dir, { recursive: true });
  }
}

/** A function of its own, or the parsed flows would still be held by the caller's frame when memory is measured. */
function load(bridge: Bridge, file: string): void {
  bridge.addFlows(readFlowFile(file), 0);
}
