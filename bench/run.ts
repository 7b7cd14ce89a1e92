// Runs benches: node dist/bench/run.js [NAME...] [--smoke] [--json | --markdown] [--seed N] [--ms N] [--peer ovs-dpdk]
//   --ms N           length of a run of frames, in place of a second
//   --markdown       the table of README.md
//   --check, --update-baseline [--baseline FILE]   against bench/baseline.json or another file, which is kept (baseline.ts)
//   --heap [--frames N]   nothing but what the JavaScript heap does (heap-check.ts)
import { readdirSync } from "node:fs";
import { cpus } from "node:os";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { checkBaseline, readBaseline, updateBaseline } from "./baseline.ts";
import { type Bench, median } from "./harness.ts";
import { checkHeap } from "./heap-check.ts";
import { measurePeer, peerMissing } from "./peer/ovs-dpdk.ts";
import { jsonReport, MARKDOWN_HEAD, markdownReport, textReport } from "./report.ts";

const SEED = 1;
const FLOOR = "memory-floor";

/** The benches of this folder, by name. */
export async function loadBenches(): Promise<Bench[]> {
  const files = readdirSync(new URL(".", import.meta.url)).filter((file) => file.endsWith(".bench.js"));
  const benches: Bench[] = [];
  for (const file of files.sort()) {
    const found = (await import(new URL(file, import.meta.url).href)) as
      | Bench
      | { benches: readonly Bench[] };
    benches.push(...("benches" in found ? found.benches : [found]));
  }
  // The floor first: the others are told in terms of it.
  return benches.sort((a, b) => Number(b.name === FLOOR) - Number(a.name === FLOOR));
}

/** Runs what the arguments ask for and prints it; gives the exit status. */
export async function runBenches(
  args: readonly string[],
  print: (line: string) => void,
  complain = print,
): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      smoke: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      seed: { type: "string", default: String(SEED) },
      ms: { type: "string", default: "1000" },
      markdown: { type: "boolean", default: false },
      peer: { type: "string" },
      check: { type: "boolean", default: false },
      "update-baseline": { type: "boolean", default: false },
      baseline: { type: "string" },
      heap: { type: "boolean", default: false },
      frames: { type: "string", default: "100000000" },
    },
  });
  const all = await loadBenches();
  const unknown = positionals.filter((name) => !all.some((bench) => bench.name === name));
  if (unknown.length > 0) {
    const names = all.map((bench) => bench.name).join(", ");
    complain(`no such bench: ${unknown.join(", ")}; there are ${names}`);
    return 2;
  }
  const chosen = positionals.length === 0 ? all : all.filter((bench) => positionals.includes(bench.name));
  const seed = Number(values.seed);
  const named = (rest: (bench: Bench) => boolean) => (positionals.length === 0 ? all.filter(rest) : chosen);
  if (values["update-baseline"]) {
    updateBaseline([all[0]!, ...named(isSteady)], seed, print, values.baseline);
    return 0;
  }
  if (values.check) {
    const baseline = readBaseline(values.baseline);
    return checkBaseline([all[0]!, ...named(() => true)], { seed, baseline, print }).length > 0 ? 1 : 0;
  }
  if (values.heap) return (await checkHeap(named(isSteady), Number(values.frames), seed, print)) ? 0 : 1;
  const noPeer = values.peer === undefined ? "" : peerMissing();
  if (noPeer !== null && noPeer !== "") complain(`no peer: ${noPeer}`);
  const report = values.json ? jsonReport : values.markdown ? markdownReport : textReport;
  const processor = `${cpus()[0]?.model ?? "unknown processor"}, Node ${process.version}, seed ${values.seed}`;
  if (values.markdown) for (const line of [`${processor}, ${today()}`, "", ...MARKDOWN_HEAD]) print(line);
  else if (!values.json) print(processor);
  let floorNs: number | null = null;
  for (const bench of chosen) {
    const result = bench.run({ seed, smoke: values.smoke, runMs: Number(values.ms) });
    if (bench.name === FLOOR) floorNs = median(result.nsPerUnit);
    const peer = noPeer === null && bench.peer !== undefined ? await measurePeer(bench.peer(seed)) : null;
    for (const line of report({ name: bench.name, result, peer, floorNs })) print(line);
  }
  return 0;
}

const today = () => new Date().toISOString().slice(0, 10);

/** Frames that the caches answer, and nothing else. */
function isSteady(bench: Bench): boolean {
  return bench.peer !== undefined && bench.allocates !== true;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = await runBenches(process.argv.slice(2), console.log, console.error);
}
