// The sources of native-shim/ in one number: with it a prebuilt binary says what it was built from.
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const folder = join(dirname(dirname(fileURLToPath(import.meta.url))), "native-shim");
export const prebuilds = join(folder, "prebuilds");
/** Where the number of the prebuilt binaries' sources stands. */
export const hashFile = join(prebuilds, "source.sha256");

/** In the order of their names. */
export function sources() {
  return readdirSync(folder)
    .filter((name) => /\.(c|h|gyp)$/.test(name))
    .sort();
}

export function sourceHash() {
  const hash = createHash("sha256");
  for (const name of sources())
    hash
      .update(`${name}\0`)
      .update(readFileSync(join(folder, name)))
      .update("\0");
  return hash.digest("hex");
}

/** The prebuilt binary for this machine, if there is one and it is of these sources; else null. */
export function currentPrebuild() {
  const path = join(prebuilds, `${process.platform}-${process.arch}`, "shim.node");
  if (!existsSync(path) || !existsSync(hashFile)) return null;
  return readFileSync(hashFile, "utf8").trim() === sourceHash() ? path : null;
}
