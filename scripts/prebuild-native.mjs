// Builds native-shim/prebuilds/ anew, after a change of its sources: `npm run prebuild-native`. Wants gcc and, for arm64, Debian's
// gcc-aarch64-linux-gnu with libc6-dev-arm64-cross. Node-API, so that one binary fits every Node; nothing but libc is linked.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { folder, hashFile, prebuilds, sourceHash, sources } from "./native-source.mjs";

const COMPILERS = { "linux-x64": "x86_64-linux-gnu-gcc", "linux-arm64": "aarch64-linux-gnu-gcc" };
const FLAGS =
  "-shared -fPIC -std=gnu11 -O3 -Wall -Wextra -Werror -fvisibility=hidden -DNAPI_VERSION=8 -D_GNU_SOURCE -s -Wl,-z,relro,-z,now";
/** In which the paths of this machine do not stand. */
const INCLUDE = join(dirname(dirname(process.execPath)), "include/node");

if (!existsSync(join(INCLUDE, "node_api.h"))) {
  console.error(`prebuild: there are no headers of Node in ${INCLUDE}`);
  process.exit(1);
}
for (const [target, compiler] of Object.entries(COMPILERS)) {
  const product = join(prebuilds, target, "shim.node");
  mkdirSync(dirname(product), { recursive: true });
  const files = sources().filter((name) => name.endsWith(".c"));
  const args = [...FLAGS.split(" "), "-DNODE_GYP_MODULE_NAME=shim", `-I${INCLUDE}`, "-o", product, ...files];
  const { status, error } = spawnSync(compiler, args, { cwd: folder, stdio: "inherit" });
  if (status !== 0) {
    console.error(`prebuild: ${target}: ${error?.message ?? `${compiler} failed`}`);
    process.exit(1);
  }
  console.log(`${target}: ${statSync(product).size.toLocaleString("en")} bytes`);
}
writeFileSync(hashFile, `${sourceHash()}\n`);
