// Results as text, JSON and a table's row; what the driver costs is taken off the peer's time, not off its speed.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { BenchResult } from "./harness.ts";
import { driverNs } from "./peer/driver.ts";
import { jsonReport, MARKDOWN_HEAD, markdownReport, textReport } from "./report.ts";

const result: BenchResult = { unit: "frame", nsPerUnit: [20, 25, 50], count: 3, hash: "00" };
const peer = { name: "ovs-dpdk", mframes_per_s: 10, runs: [9, 10, 12], driver_ns: 20 };
const measured = { name: "forward", result, peer, floorNs: 2 };

test("as text", () => {
  assert.deepEqual(textReport(measured), [
    "forward              40.000 M frames/s  25.0 ns (20.0-50.0)  00  12.5 floors",
    "                     ovs-dpdk 10 M frames/s (9 to 12): 4.00 times its speed; 12.5 without its driver's 20 ns: 3.20 times",
  ]);
});

test("as a line of JSON", () => {
  assert.deepEqual(JSON.parse(jsonReport(measured)[0]!), {
    workload: "forward",
    mframes_per_s: 40,
    ns_per_frame: 25,
    frames: 3,
    runs: [50, 40, 20],
    hash: "00",
    peer,
  });
});

test("as a row of the table", () => {
  const [row] = markdownReport(measured);
  assert.equal(
    row,
    "| `forward` | 40.0 (20 to 50) | 25.0 | 12.5 | 10.0 (9 to 12) | 4.00 | 12.5 | 3.20 | 5 |",
  );
  const cells = (line: string) => line.split("|").length;
  assert.equal(cells(row!), cells(MARKDOWN_HEAD[0]!));
  const alone = markdownReport({ ...measured, peer: null, floorNs: null })[0]!;
  assert.equal(cells(alone), cells(row!));
});

test("without a known driver there is nothing less it", () => {
  const unknown = { ...measured, peer: { ...peer, driver_ns: null } };
  assert.doesNotMatch(textReport(unknown)[1]!, /driver/);
  assert.match(markdownReport(unknown)[0]!, /\| 4\.00 \| {2}\| {2}\| 5 \|$/);
});

test("the driver's time is read from what testpmd prints each second", () => {
  const second = (rx: number, tx: number) =>
    `  Rx-pps: ${rx}  Rx-bps: 1\n  Tx-pps:            ${tx}   Tx-bps: 9\n`;
  assert.equal(
    driverNs(second(9, 0) + second(0, 50_000_000) + second(0, 100_000_000) + second(0, 200_000_000)),
    10,
  );
  assert.equal(driverNs("no ports"), null);
});
