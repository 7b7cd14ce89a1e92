// Builds native-shim/ with node-gyp, for live ports. Without a C++ toolchain everything else still works, so a failure here is one
// line on standard error and never a failed build. Run by scripts/build.mjs; does nothing when nothing has changed, and after a failure
// tries again only in `npm ci`.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const folder = join(dirname(dirname(fileURLToPath(import.meta.url))), "native-shim");
const product = join(folder, "build/Release/shim.node");
const failure = join(folder, "build-failed.log");

/** The node-gyp that npm uses itself: npm says where when it runs a script; otherwise it lies beside npm. */
function nodeGyp() {
  const prefix = dirname(dirname(process.execPath));
  return [
    process.env.npm_config_node_gyp,
    join(prefix, "lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js"),
    resolve("/usr/share/nodejs/node-gyp/bin/node-gyp.js"),
  ].find((path) => path !== undefined && existsSync(path));
}

/** Headers installed beside Node need no download. */
function headers() {
  const prefix = dirname(dirname(process.execPath));
  return existsSync(join(prefix, "include/node/node_api.h")) ? [`--nodedir=${prefix}`] : [];
}

function upToDate() {
  const done = [product, failure].find((path) => existsSync(path));
  if (done === undefined || (done === failure && process.env.npm_lifecycle_event === "prepare")) return false;
  const newest = readdirSync(folder)
    .filter((name) => /\.(c|h|gyp)$/.test(name))
    .map((name) => statSync(join(folder, name)).mtimeMs);
  return statSync(done).mtimeMs >= Math.max(...newest);
}

/** Why it cannot be built or was not, or null. */
function build() {
  if (process.platform !== "linux") return "it is for Linux";
  const gyp = nodeGyp();
  if (gyp === undefined) return "there is no node-gyp";
  rmSync(failure, { force: true });
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [gyp, "rebuild", ...headers()], {
    cwd: folder,
    encoding: "utf8",
    timeout: 300_000,
  });
  if (status === 0 && existsSync(product)) return null;
  writeFileSync(failure, `${error ?? ""}${stdout}${stderr}`);
  return "needs make, g++ and python3; see native-shim/build-failed.log";
}

if (existsSync(folder) && !upToDate()) {
  const why = build();
  if (why !== null)
    console.error(`build: native-shim is not built (${why}): live ports will not work, all else does`);
}
