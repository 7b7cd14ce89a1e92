// The recorded Antrea story through `megaflow replay`, compared with what real Open vSwitch did when it was recorded: the frames it
// gave to each port, and its connections. (Its counters are compared in test/oracle/replay-story.test.ts, in the dump's own words.)
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import {
  ANTREA_RECORDED,
  flowCounts,
  framesOf,
  recordedConnections,
  recordedFlows,
  replayArguments,
  switchedCapture,
} from "./antrea-story.ts";
import { megaflow, megaflowSkip as skip } from "./megaflow.ts";

const dir = mkdtempSync(join(tmpdir(), "megaflow-story-"));
after(() => rmSync(dir, { recursive: true }));

const linesOf = (path: string) =>
  readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "");

for (const part of ["before-policy", "policy"] as const) {
  test(`a replay does what the real switch did: ${part}`, { skip }, async () => {
    const out = join(dir, part);
    const { status, stderr } = megaflow(...replayArguments(part), "--out-dir", out);
    assert.equal(status, 0, stderr);
    for (const port of ANTREA_RECORDED) {
      const sent = await framesOf(join(out, `port-${port}.pcap`));
      // Frames of two endpoints may have met in another order on the recorded port.
      assert.deepEqual(
        sent.sort(),
        (await framesOf(switchedCapture(part, port))).sort(),
        `frames on port ${port}`,
      );
    }
    assert.deepEqual(linesOf(join(out, "conntrack.txt")).sort(), recordedConnections(part));
    // The recording's dump is OpenFlow 1.3's, whose words differ from 1.5's in the actions alone.
    const counts = (flows: ReturnType<typeof flowCounts>) =>
      flows
        .map(({ flow, packets, bytes }) => `${flow.replace(/ actions=.*/, "")} ${packets} ${bytes}`)
        .sort();
    assert.deepEqual(
      counts(flowCounts(readFileSync(join(out, "flows.txt"), "utf8"))),
      counts(recordedFlows(part)),
    );
  });

  test(`without caches a replay gives the same: ${part}`, { skip }, () => {
    const [cached, plain] = ["", "--no-cache"].map((option) => {
      const out = join(dir, `${part}${option}`);
      const args = [...replayArguments(part), "--out-dir", out, ...(option ? [option] : [])];
      const { status, stderr } = megaflow(...args);
      assert.equal(status, 0, stderr);
      return out;
    });
    // What caches are there for differs: the megaflows, and their counters and the speed in the summary.
    const files = readdirSync(cached).filter((name) => name !== "megaflows.txt" && name !== "summary.json");
    assert.ok(
      files.includes("port-4.pcap") && files.includes("verdicts.jsonl") && files.includes("flows.txt"),
    );
    for (const name of files) {
      assert.deepEqual(readFileSync(join(plain, name)), readFileSync(join(cached, name)), name);
    }
    const summaryOf = (out: string) => {
      const { cache, seconds, mpps, ...rest } = JSON.parse(readFileSync(join(out, "summary.json"), "utf8"));
      assert.ok(cache !== undefined && seconds !== undefined && mpps !== undefined);
      return rest;
    };
    assert.deepEqual(summaryOf(plain), summaryOf(cached));
  });
}

test("after the policy each SYN of the new connection is dropped in table 100, and the download never", {
  skip,
}, () => {
  const out = join(dir, "verdicts");
  const { status, stderr } = megaflow(...replayArguments("policy"), "--out-dir", out);
  assert.equal(status, 0, stderr);
  interface Verdict {
    readonly in_port: number;
    readonly outputs: readonly number[];
    readonly drop: { readonly table: number; readonly cookie: string } | null;
  }
  const verdicts = linesOf(join(out, "verdicts.jsonl")).map((line): Verdict => JSON.parse(line));
  const dropped = verdicts.filter(({ drop }) => drop !== null);
  // Three SYNs and a ping: three come back through gw0, the ping straight from busybox.
  assert.deepEqual(
    dropped.map(({ in_port, drop }) => [in_port, drop?.table, drop?.cookie]),
    [
      [2, 100, "0x1000000000000"],
      [2, 100, "0x1000000000000"],
      [2, 100, "0x1000000000000"],
      [4, 100, "0x1000000000000"],
    ],
  );
});
