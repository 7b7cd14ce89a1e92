// Builds everything into dist/: the AssemblyScript kernel, then the TypeScript. Run by `npm ci` (prepare) and `npm run build`.
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);

function run(what, file, args) {
  const r = spawnSync(process.execPath, [file, ...args], { cwd: root, stdio: "inherit" });
  if (r.status !== 0) {
    console.error(`build: ${what} failed`);
    process.exit(1);
  }
}

const binOf = (pkg, name) => {
  const manifestPath = join(packageRoot(pkg), "package.json");
  const manifest = require(manifestPath);
  const bin = typeof manifest.bin === "string" ? manifest.bin : manifest.bin[name];
  return join(dirname(manifestPath), bin);
};

/** The folder of an installed package, found upwards from here (its `exports` may hide package.json). */
function packageRoot(pkg) {
  for (const base of require.resolve.paths(pkg) ?? []) {
    try {
      require(join(base, pkg, "package.json"));
      return join(base, pkg);
    } catch {}
  }
  console.error(`build: the package ${pkg} is not installed; run npm ci`);
  process.exit(1);
}

mkdirSync(join(root, "dist/src/kernel"), { recursive: true });
run("the kernel", binOf("assemblyscript", "asc"), ["--target", "release"]);
// The same over a memory that threads share, for the shards.
run("the shared kernel", binOf("assemblyscript", "asc"), ["--target", "shared"]);
run("TypeScript", binOf("typescript", "tsc"), ["-p", "."]);
// npx makes it executable only the first time that it meets this folder.
chmodSync(join(root, "dist/src/cli/main.js"), 0o755);
await import("./build-native.mjs");
