import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ReplayOutput } from "./replay-output.ts";

test("a folder used again keeps no port's capture of the run before, and all that is not ours", () => {
  const dir = mkdtempSync(join(tmpdir(), "megaflow-output-"));
  try {
    for (const name of ["port-9.pcap", "port-x.pcap", "notes.txt"]) writeFileSync(join(dir, name), "old");
    new ReplayOutput(dir, [1]).close();
    assert.deepEqual(readdirSync(dir).sort(), [
      "flow-removed.txt",
      "notes.txt",
      "port-1.pcap",
      "port-x.pcap",
      "verdicts.jsonl",
    ]);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
