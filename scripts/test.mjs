// Builds, then runs the tests: all of them, or those whose path contains one of the arguments.
//   npm test                    everything
//   npm test -- pcapng oracle   files whose path contains "pcapng" or "oracle"
// The last line is `N passed, N failed`. With CI=true or MEGAFLOW_CI=1 a skipped test counts as failed: there, everything a test
// needs is installed, and a test that says it is not has not tested anything. Only what installing cannot give (a reason that begins
// "skipped: this machine": no TAP driver, no right to make namespaces) is forgiven, aloud.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const wanted = process.argv.slice(2);
const strict = process.env.CI === "true" || process.env.MEGAFLOW_CI === "1";
const built = spawnSync(process.execPath, [join(root, "scripts/build.mjs")], { stdio: "inherit" });
if (built.status !== 0) {
  console.log("0 passed, 1 failed");
  process.exit(1);
}

const files = readdirSync(join(root, "dist"), { recursive: true })
  .map(String)
  .filter((f) => f.endsWith(".test.js"))
  // A test whose source is gone stays in dist until somebody empties it.
  .filter((f) => existsSync(join(root, f.replace(/\.js$/, ".ts"))))
  .filter((f) => wanted.length === 0 || wanted.some((w) => f.includes(w)))
  .sort()
  .map((f) => join(root, "dist", f));
if (files.length === 0) {
  console.error(`no test file matches ${wanted.join(", ")}`);
  process.exit(1);
}
// The oracle tests start real switches and measure nothing; two files at a time fill two cores.
const args = ["--enable-source-maps", "--test", "--test-reporter=spec", "--test-concurrency=2", ...files];
const child = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
let tail = "";
child.stdout.on("data", (chunk) => {
  process.stdout.write(chunk);
  tail = (tail + chunk).slice(-1_000_000);
});
child.on("close", (code) => {
  // The summary's lines stand after all tests' output, but before the failures are told again: the last of each counts.
  const count = (name) => Number([...tail.matchAll(new RegExp(`^ℹ ${name} (\\d+)$`, "gm"))].at(-1)?.[1] ?? 0);
  const skipped = count("skipped") + count("todo");
  const forgiven = new Set(tail.match(/^\s*﹣ .*# skipped: this machine.*$/gm)).size;
  const unforgiven = strict ? Math.max(0, skipped - forgiven) : 0;
  const failed = count("fail") + count("cancelled") + unforgiven;
  if (skipped > 0)
    console.log(`${skipped} skipped${unforgiven > 0 ? `, ${unforgiven} of them count as failed` : ""}`);
  console.log(`${count("pass")} passed, ${failed || code === 0 ? failed : 1} failed`);
  process.exit(failed > 0 ? 1 : (code ?? 1));
});
