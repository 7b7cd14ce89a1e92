// iperf3 through a switch: TCP both ways and UDP, by TAPs and by veths as they come.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, Lab, missing, oneBridge, Program, ping, received, up, within } from "./lab.ts";

const SECONDS = "1";
const SERVER = "10.78.0.2";
/** What must pass on the slowest of machines, bits a second. */
const TCP_MIN = 100e6;
const UDP_RATE = 20e6;
const ARRIVED_MIN = 0.95;
const TRIES = 50;

interface Sum {
  readonly bits_per_second: number;
  readonly lost_packets?: number;
  readonly packets?: number;
}
interface Report {
  readonly error?: string;
  readonly end: { readonly sum_received: Sum; readonly sum: Sum };
}

for (const kind of ["tap", "tap, queues: 4", "af-packet"] as const) {
  const type = kind === "af-packet" ? kind : "tap";
  test(`iperf3 through ports of type ${kind}`, { skip: missing("iperf3") }, async (t) => {
    const lab = new Lab("iperf");
    let server: Program | null = null;
    try {
      const node = lab.namespace("node");
      const [red, blue] = ["red", "blue"].map((name) => lab.namespace(name)) as [string, string];
      const ends = [
        { no: 1, name: "red", netns: red, device: type === "tap" ? "red" : "eth", address: "10.78.0.1" },
        { no: 2, name: "blue", netns: blue, device: type === "tap" ? "blue" : "eth", address: SERVER },
      ];
      if (type === "af-packet") for (const { name, netns } of ends) connect(node, name, netns);
      lab.write("br0.flows", "actions=NORMAL\n");
      const run = await lab.run(
        node,
        oneBridge(
          ends.map(
            ({ no, name, netns }) =>
              `{ no: ${no}, name: ${name}, type: ${kind}${type === "tap" ? `, netns: ${netns}` : ""} }`,
          ),
        ),
      );
      for (const { netns, device, address } of ends) up(netns, device, address);
      ping(red, SERVER);
      server = new Program(blue, "iperf3", "-s", "--forceflush");
      await server.until("listening");
      const iperf = async (...options: string[]): Promise<Report["end"]> => {
        for (let i = 0; ; i++) {
          const { stdout, stderr } = within(red, "iperf3", "-c", SERVER, "-t", SECONDS, "--json", ...options);
          const report = JSON.parse(stdout) as Report;
          if (report.error === undefined) return report.end;
          // The server may not be done with the client before.
          assert.ok(report.error.includes("busy") && i < TRIES, `${report.error} ${stderr}`);
          await sleep(100);
        }
      };
      for (const options of [[], ["-R"], ["-P", "4"]]) {
        const { bits_per_second } = (await iperf(...options)).sum_received;
        t.diagnostic(`TCP ${options.join(" ")}: ${(bits_per_second / 1e9).toFixed(2)} Gbit/s`);
        assert.ok(bits_per_second > TCP_MIN, `${bits_per_second} bit/s`);
      }
      for (const options of [[], ["-R"]]) {
        const udp = ["-u", "-b", String(UDP_RATE), "-l", "1000"];
        const { netns, device } = ends[options.length === 0 ? 1 : 0]!;
        const before = received(netns, device);
        const { packets, lost_packets } = (await iperf(...udp, ...options)).sum;
        const arrived = received(netns, device) - before;
        t.diagnostic(
          `UDP ${options.join(" ")}: ${packets} sent, ${arrived} frames arrived, ${lost_packets} lost`,
        );
        assert.ok(packets! >= UDP_RATE / 8 / 1000 / 2, `${packets} sent`);
        // What iperf3 is too late for is not the switch's.
        assert.ok(arrived >= packets! * ARRIVED_MIN, `${arrived} of ${packets} arrived`);
        assert.ok(lost_packets! < packets!);
      }
      for (const { txTooLong } of (await run.statistics()).ports) assert.equal(txTooLong, 0);
    } finally {
      await server?.stop();
      await lab.end();
    }
  });
}
