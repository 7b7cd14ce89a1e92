// Large rule sets in one table of the slow path: what an upcall pays for them, and what it costs to build and to change them.
import { Bridge } from "../src/bridge/bridge.ts";
import { parseFlowFile } from "../src/control/openflow/flow-file.ts";
import { Flow } from "../src/flow/flow.ts";
import * as L from "../src/flow/layout.ts";
import { Prng } from "../src/lib/prng.ts";
import { PortTable } from "../src/pipeline/port-table.ts";
import { type Bench, type BenchContext, type BenchResult, hashOf, measureOperation } from "./harness.ts";
import { bytesHeld, settle } from "./heap.ts";
import { hit, makeRules, RULE_SETS, type RuleSet, ruleLine } from "./rule-sets.ts";

const SMOKE_RULES = 500;
const FLOWS = 1024;
const UPDATES = 500;

export const benches: readonly Bench[] = [10_000, 100_000].map((count) => ({
  name: `rules-${count / 1000}k`,
  question: `How fast is a lookup, its mask collected, in access lists, firewalls and IP chains of ${count} rules?`,
  run: (context: BenchContext) => measureRules(context, context.smoke ? SMOKE_RULES : count),
}));

interface Loaded {
  readonly bridge: Bridge;
  readonly flows: readonly Flow[];
  readonly buildMs: number;
  readonly bytesPerRule: number;
  readonly updatesPerS: number;
}

/** The first rule's is the highest; where there are more rules than priorities, neighbours share one. */
function priorityOf(i: number, count: number): number {
  return Math.ceil(((count - i) * Math.min(count, 0xffff)) / count);
}

/** One after the other, so that a set's memory is measured alone; the lookups go through all three in turn. */
function measureRules(context: BenchContext, count: number): BenchResult {
  const sets = RULE_SETS.map((set) => loadRules(set, count, new Prng(context.seed)));
  const wc = new Flow();
  const masks: Uint8Array[] = [];
  const found: string[] = [];
  for (const { bridge, flows } of sets) {
    for (const flow of flows) {
      wc.clear();
      found.push(String(bridge.pipeline.tables.lookup(0, flow, wc)?.priority));
      masks.push(wc.bytes.slice());
    }
  }
  const pass = (mask: Flow | null) => {
    for (const { bridge, flows } of sets) {
      const { tables } = bridge.pipeline;
      for (const flow of flows) {
        mask?.clear();
        tables.lookup(0, flow, mask);
      }
    }
  };
  const lookups = sets.length * FLOWS;
  const begin = process.hrtime.bigint();
  pass(null);
  const plainNs = Number(process.hrtime.bigint() - begin) / lookups;
  const result = measureOperation(context, lookups, () => pass(wc), hashOf(found.join(), ...masks));
  const words = sets.map(({ buildMs, bytesPerRule, updatesPerS }, i) => {
    const built = `${(buildMs / 1000).toFixed(2)} s, ${bytesPerRule.toFixed(0)} bytes a rule`;
    return `${RULE_SETS[i]}: ${built}, ${updatesPerS.toFixed(0)} updates/s`;
  });
  return { ...result, note: `${words.join("; ")}; without a mask ${plainNs.toFixed(0)} ns a lookup` };
}

function loadRules(set: RuleSet, count: number, rng: Prng): Loaded {
  const rules = makeRules(set, count, rng);
  const text = rules.map((rule, i) => ruleLine(rule, priorityOf(i, count))).join("\n");
  const bridge = new Bridge({
    ports: new PortTable([{ no: 2, name: "p2" }], { anyNumber: true }),
    failMode: "secure",
    connectionsMax: 1024,
    megaflowsMax: 1024,
  });
  settle();
  const before = bytesHeld();
  const buildMs = build(bridge, text);
  settle();
  const bytesPerRule = (bytesHeld() - before) / count;
  const flows = Array.from({ length: FLOWS }, () => flowOf(hit(rng.pick(rules), rng)));
  return { bridge, flows, buildMs, bytesPerRule, updatesPerS: updates(bridge, rules, rng) };
}

/** A function of its own, or the parsed flows would still be held by the caller's frame when memory is measured. */
function build(bridge: Bridge, text: string): number {
  const begin = process.hrtime.bigint();
  bridge.applyFlows(parseFlowFile(text), 0);
  return Number(process.hrtime.bigint() - begin) / 1e6;
}

/** A random rule goes and comes back, each a flow-mod of its own; leaves the table as it was, but for the order of equals. */
function updates(bridge: Bridge, rules: readonly ReturnType<typeof makeRules>[number][], rng: Prng): number {
  const mods = Array.from({ length: UPDATES }, () => {
    const i = rng.below(rules.length);
    const line = ruleLine(rules[i]!, priorityOf(i, rules.length));
    const strict = `delete_strict ${line.slice(0, line.indexOf(",actions="))}`;
    return [parseFlowFile(strict), parseFlowFile(line)];
  }).flat();
  const begin = process.hrtime.bigint();
  for (const mod of mods) bridge.applyFlows(mod, 0);
  return mods.length / (Number(process.hrtime.bigint() - begin) / 1e9);
}

function flowOf({ src, dst, srcPort, dstPort, protocol }: ReturnType<typeof hit>): Flow {
  const flow = new Flow();
  flow.set32(L.O_IN_PORT, 1);
  flow.set16(L.O_DL_TYPE, 0x0800);
  flow.set8(L.O_NW_PROTO, protocol);
  flow.set32(L.O_NW_SRC, src);
  flow.set32(L.O_NW_DST, dst);
  flow.set16(L.O_TP_SRC, srcPort);
  flow.set16(L.O_TP_DST, dstPort);
  flow.set8(L.O_NW_TTL, 64);
  return flow;
}
