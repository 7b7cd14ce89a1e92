// One table lookup of the slow path, its mask collected: what an upcall does several times.
import { readFlowFile } from "../src/control/openflow/flow-file.ts";
import { Flow } from "../src/flow/flow.ts";
import * as L from "../src/flow/layout.ts";
import { Prng } from "../src/lib/prng.ts";
import { Tables } from "../src/pipeline/tables.ts";
import { ANTREA_FLOWS } from "./fixtures.ts";
import { type BenchContext, type BenchResult, hashOf, measureOperation } from "./harness.ts";

export const name = "classifier";
export const question =
  "How fast is a lookup in the tables of a current Antrea node, with the mask that it costs?";

const FLOWS = 256;
/** Tables of the most rules. */
const TABLES = 4;

export function run(context: BenchContext): BenchResult {
  const tables = new Tables();
  tables.apply(readFlowFile(ANTREA_FLOWS), 0);
  const sizes = new Map<number, number>();
  for (const rule of tables.rules()) sizes.set(rule.tableId, (sizes.get(rule.tableId) ?? 0) + 1);
  const largest = [...sizes].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, TABLES);

  const rng = new Prng(context.seed);
  const flows = Array.from({ length: FLOWS }, () => tcpFlow(rng));
  const wc = new Flow();
  const masks: Uint8Array[] = [];
  const found: string[] = [];
  for (const [table] of largest) {
    for (const flow of flows) {
      wc.clear();
      found.push(String(tables.lookup(table, flow, wc)?.priority));
      masks.push(wc.bytes.slice());
    }
  }
  const call = () => {
    for (const [table] of largest) {
      for (let i = 0; i < FLOWS; i++) {
        wc.clear();
        tables.lookup(table, flows[i]!, wc);
      }
    }
  };
  return measureOperation(context, FLOWS * largest.length, call, hashOf(found.join(), ...masks));
}

/** A tracked TCP flow between pods, some of them known to the tables. */
function tcpFlow(rng: Prng): Flow {
  const flow = new Flow();
  flow.set32(L.O_IN_PORT, 1 + rng.below(4));
  flow.set16(L.O_DL_TYPE, 0x0800);
  flow.set8(L.O_NW_PROTO, 6);
  flow.set32(L.O_NW_SRC, 0x0a0a0000 + rng.below(16));
  flow.set32(L.O_NW_DST, rng.below(2) === 0 ? 0x0a0a0000 + rng.below(16) : 0x0a600001 + rng.below(4));
  flow.set16(L.O_TP_SRC, rng.below(65536));
  flow.set16(L.O_TP_DST, rng.pick([53, 80, 443]));
  flow.set8(L.O_NW_TTL, 64);
  flow.set8(L.O_CT_STATE, L.CS_TRACKED | rng.pick([L.CS_NEW, L.CS_ESTABLISHED]));
  return flow;
}
