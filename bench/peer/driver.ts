// What the peer's capture driver costs alone: testpmd hands the frames of a capture from one port to another and looks at nothing.
// The peer's own figure includes it, and ours has no such thing: its frames lie in memory.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const TESTPMD = "/usr/bin/dpdk-testpmd";
const SECONDS = 5;
const MEMORY_MIB = 1024;

/** Nanoseconds of a frame (median of a few seconds), read from a capture file round and round; null without testpmd (dpdk-dev). */
export async function measureDriver(capture: string): Promise<number | null> {
  if (!existsSync(TESTPMD)) return null;
  const ports = [`net_pcap0,rx_pcap=${capture},infinite_rx=1`, "net_null1,no-rx=1"];
  const child = spawn(
    TESTPMD,
    [
      ...["--no-pci", "--in-memory", "-l", "0,1", "-m", String(MEMORY_MIB)],
      ...ports.map((port) => `--vdev=${port}`),
      ...["--", "--forward-mode=io", "--stats-period=1"],
    ],
    { stdio: ["ignore", "pipe", "ignore"] },
  );
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  const ended = once(child, "exit");
  await Promise.race([sleep((SECONDS + 1.5) * 1000), ended]);
  child.kill("SIGINT");
  await ended;
  return driverNs(text);
}

/** Of what testpmd prints each second about the port that sends. */
export function driverNs(text: string): number | null {
  const perSecond = [...text.matchAll(/^\s*Tx-pps:\s+(\d+)/gm)]
    .map((found) => Number(found[1]))
    .filter((frames) => frames > 0)
    .sort((a, b) => a - b);
  const median = perSecond[perSecond.length >> 1];
  return median === undefined ? null : 1e9 / median;
}
