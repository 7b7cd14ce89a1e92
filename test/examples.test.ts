// Every example does what it says, with real programs.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { missing } from "./lab.ts";

const EXAMPLES = fileURLToPath(new URL("../../examples/", import.meta.url));
const folders = readdirSync(EXAMPLES).filter((name) => existsSync(join(EXAMPLES, name, "run.sh")));
const skip = missing("busybox", "bash");

for (const name of folders) {
  test(`examples/${name}`, { skip, timeout: 120_000 }, async () => {
    const child = spawn("bash", [join(EXAMPLES, name, "run.sh")], { stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (data: Buffer) => (said += data.toString()));
    const status = await new Promise((resolve) => child.once("exit", resolve));
    assert.equal(status, 0, said);
    assert.match(said, /^all is well$/m);
  });
}

test("the examples' list has them all", () => {
  const listed = readFileSync(join(EXAMPLES, "README.md"), "utf8");
  assert.ok(folders.length >= 4);
  for (const name of folders) assert.ok(listed.includes(`\`${name}\``), name);
});
