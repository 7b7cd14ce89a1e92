// The command as a user runs it.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../src/cli/main.js", import.meta.url));

/** For node:test's `skip` option, while there is no command. */
export const megaflowSkip: false | string = existsSync(MAIN) ? false : "skipped: there is no command yet";

export interface MegaflowResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `megaflow ARGS` to its end. */
export function megaflow(...args: readonly string[]): MegaflowResult {
  const options = { encoding: "utf8", maxBuffer: 1 << 28 } as const;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["--enable-source-maps", MAIN, ...args],
    options,
  );
  return { status, stdout, stderr };
}
