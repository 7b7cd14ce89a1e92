// Runs benches: node dist/bench/run.js [NAME...] [--smoke] [--json] [--seed N] [--ms N] [--save FILE] [--compare FILE [--tolerance X]] [--peer ovs-dpdk]
//   --ms N           length of a run of frames, in place of a second
//   --save FILE      keep the medians (nanoseconds) as a baseline
//   --check, --update-baseline   against bench/baseline.json, which is kept (baseline.ts)
//   --heap [--frames N]   nothing but what the JavaScript heap does (heap-check.ts)
//   --compare FILE   hold them against a baseline; exit status 1 when one is slower by more than the tolerance (0.25)
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { checkBaseline, updateBaseline } from "./baseline.ts";
import { type Bench, median, resultLine } from "./harness.ts";
import { checkHeap } from "./heap-check.ts";
import { measurePeer, type PeerResult, peerMissing } from "./peer/ovs-dpdk.ts";

const SEED = 1;
const TOLERANCE = 0.25;
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
      save: { type: "string" },
      compare: { type: "string" },
      tolerance: { type: "string", default: String(TOLERANCE) },
      peer: { type: "string" },
      check: { type: "boolean", default: false },
      "update-baseline": { type: "boolean", default: false },
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
    updateBaseline([all[0]!, ...named(isSteady)], seed, print);
    return 0;
  }
  if (values.check) return checkBaseline([all[0]!, ...named(() => true)], { seed, print }).length > 0 ? 1 : 0;
  if (values.heap) return (await checkHeap(named(isSteady), Number(values.frames), seed, print)) ? 0 : 1;
  const baseline: Record<string, number> =
    values.compare === undefined ? {} : JSON.parse(readFileSync(values.compare, "utf8"));
  const noPeer = values.peer === undefined ? "" : peerMissing();
  if (noPeer !== null && noPeer !== "") complain(`no peer: ${noPeer}`);
  const medians: Record<string, number> = {};
  let slower = 0;

  if (!values.json)
    print(`${cpus()[0]?.model ?? "unknown processor"}, Node ${process.version}, seed ${values.seed}`);
  for (const bench of chosen) {
    const result = bench.run({ seed, smoke: values.smoke, runMs: Number(values.ms) });
    const ns = median(result.nsPerUnit);
    medians[bench.name] = ns;
    let verdict = "";
    const before = baseline[bench.name];
    if (before !== undefined) {
      verdict = `  ${(before / ns).toFixed(2)} times the baseline's speed`;
      if (ns > before * (1 + Number(values.tolerance))) {
        slower++;
        verdict += " (too slow)";
      }
    }
    const peer = noPeer === null && bench.peer !== undefined ? await measurePeer(bench.peer(seed)) : null;
    if (values.json) print(JSON.stringify(resultLine(bench.name, result, peer)));
    else {
      const spread = `${Math.min(...result.nsPerUnit).toFixed(1)}-${Math.max(...result.nsPerUnit).toFixed(1)}`;
      const speed = `${(1000 / ns).toFixed(3)} M ${result.unit}s/s  ${ns.toFixed(1)} ns (${spread})`;
      const floor = medians[FLOOR];
      if (floor !== undefined && result.unit === "frame") verdict += `  ${(ns / floor).toFixed(1)} floors`;
      print(`${bench.name.padEnd(20)} ${speed}  ${result.hash}${verdict}`);
      if (result.note !== undefined) print(`${"".padEnd(20)} ${result.note}`);
      if (peer !== null) print(`${"".padEnd(20)} ${peerWords(peer, 1000 / ns)}`);
    }
  }
  if (values.save !== undefined) writeFileSync(values.save, JSON.stringify(medians, null, 2) + "\n");
  return slower > 0 ? 1 : 0;
}

/** Frames that the caches answer, and nothing else. */
function isSteady(bench: Bench): boolean {
  return bench.peer !== undefined && bench.allocates !== true;
}

function peerWords(peer: PeerResult, mframesPerS: number): string {
  const range = `${Math.min(...peer.runs)}-${Math.max(...peer.runs)}`;
  return `${peer.name} ${peer.mframes_per_s} M frames/s (${range}): ${(mframesPerS / peer.mframes_per_s).toFixed(2)} times its speed`;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = await runBenches(process.argv.slice(2), console.log, console.error);
}
