// Builds, then runs the tests: all of them, or those whose path contains one of the arguments.
//   npm test                    everything
//   npm test -- pcapng oracle   files whose path contains "pcapng" or "oracle"
import { spawn, spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const wanted = process.argv.slice(2);
const built = spawnSync(process.execPath, [join(root, "scripts/build.mjs")], { stdio: "inherit" });
if (built.status !== 0) process.exit(1);

const files = readdirSync(join(root, "dist"), { recursive: true })
  .map(String)
  .filter((f) => f.endsWith(".test.js"))
  .filter((f) => wanted.length === 0 || wanted.some((w) => f.includes(w)))
  .sort()
  .map((f) => join(root, "dist", f));
if (files.length === 0) {
  console.error(`no test file matches ${wanted.join(", ")}`);
  process.exit(1);
}
// The oracle tests start real switches and measure nothing; two files at a time fill two cores.
const args = ["--enable-source-maps", "--test", "--test-concurrency=2", ...files];
const child = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
let tail = "";
child.stdout.on("data", (chunk) => {
  process.stdout.write(chunk);
  tail = (tail + chunk).slice(-4000);
});
child.on("close", (code) => {
  const count = (name) => Number(tail.match(new RegExp(`^(?:#|ℹ) ${name} (\\d+)`, "m"))?.[1] ?? 0);
  const failed = count("fail") + count("cancelled");
  const skipped = count("skipped") + count("todo");
  console.log(`${count("pass")} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ""}`);
  process.exit(code ?? 1);
});
