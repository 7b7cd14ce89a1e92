// Compares Megaflow with real Open vSwitch on random pipelines, as long as wanted.
// Each disagreement is printed shrunk to the fewest flows and frames, ready to be kept in test/oracle/regressions/.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";

const USAGE = `npm run oracle -- [--pipelines N] [--seed S] ...

Random pipelines and frames through Megaflow and through a private Open vSwitch 3.1; what differs is printed shrunk to the fewest
flows and frames, ready to be kept in test/oracle/regressions/. Pipeline i has the seed S + i, and can be judged alone by it.

  --pipelines N   how many (1000)          --seed S      of the first (random, printed)
  --frames N      of each (100)            --tables N    at most (20)
  --traces N      frames traced (5)        --tries N     runs for shrinking one disagreement (400)
  --max N         disagreements, then stop (20)
  --verdicts      ask about each line that is refused, too
  --flips N       without Open vSwitch: flips bits outside the masks of megaflows; no action may change
  --no-build      take dist/ as it is

Exit status: 0 no disagreement; 1 some, or Open vSwitch is not installed; 2 bad arguments.

  npm run oracle -- --pipelines 10000 --seed 7
  npm run oracle -- --pipelines 1 --seed 110003249
  npm run oracle -- --flips 100000000`;

const root = join(import.meta.dirname, "..");
const { values } = readArguments({
  options: {
    help: { type: "boolean", default: false },
    pipelines: { type: "string", default: "1000" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 1e9)) },
    frames: { type: "string", default: "100" },
    tables: { type: "string", default: "20" },
    traces: { type: "string", default: "5" },
    tries: { type: "string", default: "400" },
    flips: { type: "string" },
    max: { type: "string", default: "20" },
    verdicts: { type: "boolean", default: false },
    "no-build": { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
if (!values["no-build"]) {
  const built = spawnSync(process.execPath, [join(root, "scripts/build.mjs")], { stdio: "inherit" });
  if (built.status !== 0) process.exit(1);
}
const { judge } = await import("../dist/test/oracle/judge/judge.js");
const { Theirs } = await import("../dist/test/oracle/judge/theirs.js");
const { ovsSkip } = await import("../dist/test/oracle/ovs.js");
const flips = values.flips === undefined ? null : Number(values.flips);
if (flips === null && ovsSkip !== false) {
  console.error(ovsSkip);
  process.exit(1);
}
console.log(`seed ${values.seed}`);
const startMs = Date.now();
const summary = (result) =>
  `${result.pipelines} pipelines, ${result.frames} frames in, ${result.sent} frames out, ${result.flips} bit patterns flipped, ` +
  `${result.disagreements.length} disagreements, ${((Date.now() - startMs) / 1000).toFixed(1)} s`;
let toldMs = startMs;
const theirs = flips === null ? await Theirs.start() : null;
try {
  const result = await judge(theirs, {
    seed: Number(values.seed),
    pipelines: flips === null ? Number(values.pipelines) : Number.POSITIVE_INFINITY,
    ...(flips === null ? {} : { flipsMax: flips, flipsPerMegaflow: 1000 }),
    frames: Number(values.frames),
    tablesMax: Number(values.tables),
    traces: Number(values.traces),
    shrinkTries: Number(values.tries),
    disagreementsMax: Number(values.max),
    verdicts: values.verdicts,
    report: (text) => console.log(`\n${text}`),
    progress: (result) => {
      if (Date.now() - toldMs < 60_000) return;
      toldMs = Date.now();
      console.error(summary(result));
    },
  });
  const refused = [...result.refused].sort((a, b) => b[1] - a[1]).map(([why, n]) => `  ${n} ${why}`);
  console.log(`lines left out, by Megaflow's reason:\n${refused.slice(0, 30).join("\n")}`);
  console.log(summary(result));
  for (const text of result.unsteady) console.log(text);
  for (const [why, seeds] of result.ended)
    console.log(`Open vSwitch ended on ${seeds.length} pipelines, seeds ${seeds.join(", ")}: ${why}`);
  if (result.ended.size > 0)
    console.log(`${result.rest} of these were judged without the flows that it ended on`);
  process.exitCode = result.disagreements.length === 0 ? 0 : 1;
} finally {
  await theirs?.stop();
}

function readArguments(config) {
  try {
    const read = parseArgs(config);
    for (const [name, value] of Object.entries(read.values))
      if (typeof value === "string" && !/^\d+$/.test(value))
        throw new Error(`--${name} wants a whole number, not ${value}`);
    return read;
  } catch (error) {
    console.error(`oracle: ${error.message}\n\n${USAGE}`);
    process.exit(2);
  }
}
