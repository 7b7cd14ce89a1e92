// Checks everything: `npm run check`. Format and lint, types and build, the tree (import direction, dead files, leftovers: they are
// tests too), all tests, every bench for a moment so that none rots, and that none got slower. Stops at the first step that fails.
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);

function step(name, file, ...args) {
  console.log(`== ${name}`);
  const begin = Date.now();
  const { status } = spawnSync(process.execPath, [file, ...args], { cwd: root, stdio: "inherit" });
  if (status !== 0) {
    console.error(`check: ${name} failed`);
    process.exit(1);
  }
  console.log(`== ${name}: ${((Date.now() - begin) / 1000).toFixed(1)} s`);
}

step("format and lint", require.resolve("@biomejs/biome/bin/biome"), "check", "--error-on-warnings", ".");
step("types, build and tests", join(root, "scripts/test.mjs"));
step("benches, a moment each", join(root, "dist/src/cli/main.js"), "bench", "--smoke");
step("speed, against the baseline", join(root, "dist/src/cli/main.js"), "bench", "--check");
console.log("check: all is well");
