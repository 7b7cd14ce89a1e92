import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";

const ROOT = new URL("../../../", import.meta.url);
const PREBUILDS = new URL("native-shim/prebuilds/", ROOT);
/** ELF's numbers of machines (e_machine). */
const MACHINES = { "linux-arm64": 183, "linux-x64": 62 };
const SIZE_MAX = 100_000;
const AGAIN = "npm run prebuild-native builds them again";

const bytesOf = (target: string) => readFileSync(new URL(`${target}/shim.node`, PREBUILDS));

test("the prebuilt binaries are of the sources that are here", async () => {
  const script = new URL("scripts/native-source.mjs", ROOT).href;
  const { sourceHash } = (await import(script)) as { sourceHash: () => string };
  const built = readFileSync(new URL("source.sha256", PREBUILDS), "utf8").trim();
  assert.equal(built, sourceHash(), `native-shim has changed since: ${AGAIN}`);
});

test("each is for its machine, small, and wants an old libc", () => {
  const targets = readdirSync(PREBUILDS).filter((name) => statSync(new URL(name, PREBUILDS)).isDirectory());
  assert.deepEqual(targets.sort(), Object.keys(MACHINES));
  for (const [target, machine] of Object.entries(MACHINES)) {
    const binary = bytesOf(target);
    assert.equal(binary.toString("latin1", 1, 4), "ELF");
    assert.equal(binary.readUInt16LE(18), machine, target);
    assert.ok(binary.length < SIZE_MAX, `${target}: ${binary.length} bytes`);
    const versions = binary.toString("latin1").matchAll(/GLIBC_2\.(\d+)/g);
    for (const [name, minor] of versions) assert.ok(Number(minor) <= 17, `${target}: ${name}`);
  }
});

test("this machine's can be loaded and has every function, the others name them", {
  skip: process.platform === "linux" ? false : "skipped: this machine is no Linux",
}, () => {
  const declared = readFileSync(new URL("native-shim/shim.c", ROOT), "latin1");
  const names = [...declared.matchAll(/^ {6}\{"(\w+)", NULL, shim_/gm)].map(([, name]) => name!);
  assert.ok(names.length >= 13);
  for (const target of Object.keys(MACHINES)) {
    const text = bytesOf(target).toString("latin1");
    for (const name of names) assert.ok(text.includes(`${name}\0`), `${target}: ${name}`);
    if (target !== `${process.platform}-${process.arch}`) continue;
    const shim = createRequire(import.meta.url)(new URL(`${target}/shim.node`, PREBUILDS).pathname) as Record<
      string,
      unknown
    >;
    for (const name of names) assert.equal(typeof shim[name], "function", name);
  }
});
