// The tree itself (DESIGN section 5): imports point left only, every file is used, none is too long, nothing was left lying about.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
/** Longer files are where readers get lost. */
const LINES_MAX = 700;

const sources = ["src", "test", "bench", "scripts"]
  .filter((folder) => existsSync(join(root, folder)))
  .flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true })
      .map((name) => join(folder, String(name)))
      .filter((name) => /\.(ts|mjs)$/.test(name)),
  )
  .sort();

const textOf = (file: string) => readFileSync(join(root, file), "utf8");

/** What a file names of the project: imports, exports from, dynamic imports, and modules started by their URL. */
function importsOf(file: string): string[] {
  const text = textOf(file);
  const patterns = [
    /(?:from|import)\s+"(\.[^"]+)"/g,
    /import\(\s*"(\.[^"]+)"\s*\)/g,
    /new URL\(\s*"(\.[^"]+\.[tj]s)",\s*import\.meta\.url/g,
  ];
  return patterns
    .flatMap((pattern) => [...text.matchAll(pattern)].map((match) => match[1]))
    .map((name) => relative(root, resolve(root, dirname(file), name.replace(/\.js$/, ".ts"))))
    .map((name) => name.replace(/^dist\//, "")) // what a script loads is compiled
    .map((name) => (name.endsWith(".ts") || name.endsWith(".mjs") ? name : `${name}.ts`));
}

const imports = new Map(sources.map((file) => [file, importsOf(file)]));
const isTest = (file: string) => !file.startsWith("src/") || file.endsWith(".test.ts");

/** How far right a folder of src stands; it may import itself and what stands further left. */
const RANK: Readonly<Record<string, number>> = {
  lib: 0,
  packet: 1,
  flow: 2,
  datapath: 3,
  port: 4,
  worker: 4,
  pipeline: 5,
  bridge: 6,
  control: 7,
  cluster: 7,
  cli: 8,
};

const folderOf = (file: string) => file.split("/")[1];

/** Why `from` must not import `to`, or null. */
function objection(from: string, to: string): string | null {
  const source = folderOf(from);
  const target = folderOf(to);
  if (source === "kernel") {
    const shared = ["src/flow/layout.ts", "src/datapath/abi.ts"];
    return target === "kernel" || shared.includes(to) ? null : "the kernel imports only what both compile";
  }
  if (target === "kernel") return "the kernel is compiled apart: talk to it through src/datapath/kernel.ts";
  if (source === target) {
    const door = (file: string) => (source === "control" ? file.split("/").slice(2, -1)[0] : undefined);
    const known = door(to) === undefined || door(from) === door(to);
    return known ? null : "no door to a bridge knows another";
  }
  if (RANK[source] === undefined) return `the folder src/${source} has no place in the order`;
  return RANK[target] < RANK[source] ? null : `src/${target} does not stand left of src/${source}`;
}

test("imports point left only", () => {
  const wrong: string[] = [];
  for (const [file, targets] of imports) {
    if (isTest(file)) continue;
    for (const target of targets) {
      const why = target.startsWith("src/") ? objection(file, target) : "src imports only src";
      if (why !== null) wrong.push(`${file} imports ${target}: ${why}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test("the order of the folders objects to what it should", () => {
  assert.notEqual(objection("src/lib/a.ts", "src/flow/b.ts"), null);
  assert.notEqual(objection("src/port/a.ts", "src/worker/b.ts"), null);
  assert.notEqual(objection("src/control/openflow/a.ts", "src/control/ovsdb/b.ts"), null);
  assert.notEqual(objection("src/kernel/a.ts", "src/lib/b.ts"), null);
  assert.notEqual(objection("src/datapath/a.ts", "src/kernel/b.ts"), null);
  assert.notEqual(objection("src/utils/a.ts", "src/lib/b.ts"), null);
  assert.equal(objection("src/kernel/a.ts", "src/datapath/abi.ts"), null);
  assert.equal(objection("src/cli/a.ts", "src/lib/b.ts"), null);
  assert.equal(objection("src/control/openflow/a.ts", "src/control/door.ts"), null);
});

test("every import names a file", () => {
  const missing = [...imports].flatMap(([file, targets]) =>
    targets.filter((target) => !existsSync(join(root, target))).map((target) => `${file} imports ${target}`),
  );
  assert.deepEqual(missing, []);
});

const MAIN = "src/cli/main.ts";
const skip = sources.includes(MAIN) ? false : "skipped: there is no command yet";

test("every file is reached from a command, the kernel's entry, a test or a bench", { skip }, () => {
  const kernelEntries: string[] = JSON.parse(textOf("asconfig.json")).entries;
  const entries = sources.filter(
    (file) =>
      file === MAIN ||
      kernelEntries.includes(file) ||
      file.endsWith(".test.ts") ||
      file.startsWith("bench/") ||
      file.startsWith("scripts/"),
  );
  const reached = new Set<string>();
  const visit = (file: string) => {
    if (reached.has(file)) return;
    reached.add(file);
    for (const target of imports.get(file) ?? []) visit(target);
  };
  for (const entry of entries) visit(entry);
  const dead = sources.filter((file) => !reached.has(file) && !file.endsWith(".d.ts"));
  assert.deepEqual(dead, []);
});

test(`no file has more than ${LINES_MAX} lines`, () => {
  const long = sources
    .map((file) => ({ file, lines: textOf(file).split("\n").length - 1 }))
    .filter(({ lines }) => lines > LINES_MAX)
    .map(({ file, lines }) => `${file}: ${lines}`);
  assert.deepEqual(long, []);
});

test("nothing was left lying about", () => {
  // Written in two parts, so that this file does not find itself.
  const leftovers = ["TO" + "DO", "FIX" + "ME", "debug" + "ger;", "\\.on" + "ly\\("];
  const pattern = new RegExp(`\\b(?:${leftovers.slice(0, 3).join("|")})|${leftovers[3]}`);
  const found = sources.flatMap((file) =>
    textOf(file)
      .split("\n")
      .flatMap((line, i) => (pattern.test(line) ? [`${file}:${i + 1}: ${line.trim()}`] : [])),
  );
  assert.deepEqual(found, []);
});

test("the lock file lists every package, those of other platforms too, as npm ci demands", () => {
  interface Locked {
    readonly dependencies?: Record<string, string>;
    readonly optionalDependencies?: Record<string, string>;
  }
  const packages: Record<string, Locked> = JSON.parse(textOf("package-lock.json")).packages;
  const missing = Object.entries(packages).flatMap(([from, { dependencies, optionalDependencies }]) =>
    Object.keys({ ...dependencies, ...optionalDependencies })
      .filter(
        (name) => !(`node_modules/${name}` in packages) && !(`${from}/node_modules/${name}` in packages),
      )
      .map((name) => `${from} needs ${name}`),
  );
  assert.deepEqual(missing, []);
});
