// Every recorded capture, and mutated frames, through a pipeline that does something with every kind of frame: the output folder
// is the same with and without caches, less what the caches say of themselves.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Prng } from "../src/lib/prng.ts";
import { CaptureWriter } from "../src/port/capture-writer.ts";
import { FIXTURES } from "./antrea-story.ts";
import { megaflow } from "./megaflow.ts";
import { mutatedFrame } from "./support/frames.ts";

const FLOWS = fileURLToPath(new URL("../../test/fixtures/everything.flows", import.meta.url));
const SEED = Number(process.env.MEGAFLOW_SEED ?? 1);
const RANDOM_FRAMES = 5_000;

const dir = mkdtempSync(join(tmpdir(), "megaflow-fixtures-"));
after(() => rmSync(dir, { recursive: true }));

const captures = readdirSync(FIXTURES)
  .filter((name) => /\.pcap(ng)?(\.gz)?$/.test(name))
  .sort()
  .map((name) => ({ name, path: join(FIXTURES, name) }));

function randomCapture(port: number): string {
  const random = new Prng(SEED + port);
  const path = join(dir, `random-${port}.pcap`);
  const writer = CaptureWriter.open(path);
  let nsec = port * 1000;
  let sec = 1_600_000_000;
  for (let i = 0; i < RANDOM_FRAMES; i++) {
    const frame = mutatedFrame(random);
    // Pauses let megaflows, connections and MACs age on the way.
    nsec += random.below(random.below(200) === 0 ? 4e9 : 5e6);
    sec += Math.floor(nsec / 1e9);
    nsec %= 1e9;
    writer.write(
      sec,
      nsec,
      frame,
      0,
      frame.length,
      frame.length + (random.below(9) === 0 ? random.below(99) : 0),
    );
  }
  writer.close();
  return path;
}

function compareModes(name: string, inputs: readonly string[]): void {
  const ports = Array.from({ length: 12 }, (_, i) => ["--port", `${i + 1}=p${i + 1}`]).flat();
  const folders = ["cached", "plain"].map((mode) => {
    const out = join(dir, `${name}-${mode}`);
    const cache = mode === "plain" ? ["--no-cache"] : [];
    const args = [
      "replay",
      "--flows",
      FLOWS,
      ...ports,
      ...inputs.flatMap((i) => ["--in", i]),
      "--out-dir",
      out,
      ...cache,
    ];
    const { status, stderr } = megaflow(...args);
    assert.equal(stderr, "");
    assert.equal(status, 0);
    return out;
  }) as [string, string];
  const [cached, plain] = folders;
  assert.deepEqual(readdirSync(plain), readdirSync(cached));
  for (const file of readdirSync(cached)) {
    if (file === "megaflows.txt") continue;
    if (file === "summary.json") {
      const counts = (out: string) => {
        const { cache, seconds, mpps, ...rest } = JSON.parse(readFileSync(join(out, file), "utf8"));
        assert.ok(cache !== undefined && seconds !== undefined && mpps !== undefined);
        return rest;
      };
      assert.deepEqual(counts(plain), counts(cached));
    } else {
      assert.ok(
        readFileSync(join(plain, file)).equals(readFileSync(join(cached, file))),
        `${name}: ${file} differs`,
      );
    }
  }
}

for (const { name, path } of captures) {
  test(`${name}: the same with and without caches`, () => {
    compareModes(name, [`1=${path}`]);
  });
}

test(`mutated frames on three ports: the same with and without caches (seed ${SEED})`, () => {
  compareModes(
    "random",
    [1, 2, 3].map((port) => `${port}=${randomCapture(port)}`),
  );
});
