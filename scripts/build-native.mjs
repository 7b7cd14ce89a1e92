// Sees to it that native-shim/, for live ports, can be loaded: by the prebuilt binary where one of these sources fits this machine, else
// builds it with node-gyp. Without a C++ toolchain everything else still works, so a failure here is one line on standard error
// and never a failed build. Run by scripts/build.mjs and when the package is installed; does nothing when nothing has changed, and after
// a failure tries again only in `npm ci`. MEGAFLOW_BUILD_NATIVE=1 builds although there is a prebuilt one.
import { spawnSync } from "node:child_process";
import { existsSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { currentPrebuild, folder, sources } from "./native-source.mjs";

const product = join(folder, "build/Release/shim.node");
const failure = join(folder, "build-failed.log");

/** Whether the prebuilt binary can be loaded here; then an older one that was built here goes, as it would be preferred. */
function isPrebuilt() {
  const path = process.env.MEGAFLOW_BUILD_NATIVE === "1" ? null : currentPrebuild();
  if (path === null) return false;
  try {
    createRequire(import.meta.url)(path);
  } catch {
    return false; // another libc
  }
  rmSync(join(folder, "build"), { recursive: true, force: true });
  rmSync(failure, { force: true });
  return true;
}

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
  if (
    done === undefined ||
    (done === failure && ["install", "prepare"].includes(process.env.npm_lifecycle_event))
  )
    return false;
  const newest = sources().map((name) => statSync(join(folder, name)).mtimeMs);
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

if (existsSync(folder) && !isPrebuilt() && !upToDate()) {
  const why = build();
  if (why !== null)
    console.error(`build: native-shim is not built (${why}): live ports will not work, all else does`);
}
