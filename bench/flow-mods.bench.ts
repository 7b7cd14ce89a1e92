// Tables that change while frames pass: flow-mods at a steady rate during exact-1k. Each adds a rule for a network that none of
// the connections talks to, or takes it away again, so that every megaflow is asked about and none becomes untrue.
import { parseFlowFile } from "../src/control/openflow/flow-file.ts";
import { assert } from "../src/lib/assert.ts";
import { aclCase } from "./acl.ts";
import { type Bench, type BenchContext, type BenchResult, cpuNs, measureFrames } from "./harness.ts";
import { BenchSwitch } from "./switch.ts";

const RATES = [1, 10, 100, 1000];
const CONNECTIONS = 1_000;
const RULE = "table=1, priority=350, tcp, nw_dst=10.4.0.0/24, tp_dst=443";

export const benches: readonly Bench[] = RATES.map((rate) => ({
  name: `flow-mods-${rate}`,
  question: `How fast are the frames of exact-1k while ${rate} flow-mods a second change the tables?`,
  allocates: true,
  run: (context: BenchContext) => measureChanged(context, rate),
}));

function measureChanged(given: BenchContext, rate: number): BenchResult {
  // A second is one that this process had a processor: else other work on the machine would count as that of the flow-mods.
  const context = { ...given, cpuTime: true };
  const { flows, traffic } = aclCase(context.seed, CONNECTIONS);
  const bench = new BenchSwitch(flows, { seed: context.seed });
  bench.load(traffic.frames, traffic.port);
  bench.pass();
  const hash = bench.hash();
  const still = measureFrames(context, () => bench.batch(), hash);

  const { bridge } = bench;
  const steps = [parseFlowFile(`${RULE} actions=output:3\n`), parseFlowFile(`delete_strict ${RULE}\n`)];
  let mods = 0;
  let batches = 0;
  const begin = cpuMs();
  const change = () => {
    bridge.applyFlows(steps[mods & 1]!, bridge.nowMs);
    mods++;
  };
  const result = measureFrames(
    context,
    () => {
      if ((batches++ & 15) === 0 && cpuMs() >= begin + (mods * 1000) / rate) change();
      return bench.batch();
    },
    hash,
  );
  const perS = (1000 * mods) / (cpuMs() - begin);
  assert(bench.hash() === hash, "the flow-mods leave these frames alone");
  const share = (100 * Math.min(...still.nsPerUnit)) / Math.min(...result.nsPerUnit);
  const { size } = bridge.datapath.megaflows;
  return {
    ...result,
    note: `${share.toFixed(1)} % of the speed without; ${perS.toFixed(0)} flow-mods a second, ${size} megaflows`,
  };
}

const cpuMs = (): number => Number(cpuNs()) / 1e6;
