// megaflow demo (`npm start`): a recorded Kubernetes node and its NetworkPolicy, told by the flow tables.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { Bridge } from "../bridge/bridge.ts";
import { ConnectionReport, connectionTable } from "../bridge/connection-report.ts";
import { flowsText } from "../bridge/dump.ts";
import { Replay } from "../bridge/replay.ts";
import { readFlowFile } from "../control/openflow/flow-file.ts";
import { PortTable } from "../pipeline/port-table.ts";
import { CaptureMerge } from "../port/capture-merge.ts";

const FIXTURES = fileURLToPath(new URL("../../../pcap-fixtures/antrea/", import.meta.url));
const PORTS: readonly (readonly [no: number, name: string, address: string])[] = [
  [1, "tun0", "the tunnel to the other nodes"],
  [2, "gw0", "100.96.1.1, the node itself, with kube-proxy's rules"],
  [3, "coredns--cfa77e", "100.96.1.2"],
  [4, "busybox--52b29c", "100.96.1.3"],
  [5, "busybox--cdc91c", "100.96.1.4"],
  [6, "nginx-85-804507", "100.96.1.5"],
];
const RECORDED = [2, 3, 4, 6];
const INGRESS_RULE = 90;

export function register(program: Command): void {
  program
    .command("demo")
    .summary("replay a recorded Kubernetes node and its NetworkPolicy")
    .description(
      "Replays captures of real programs (wget, curl, ping, nginx, dnsmasq) through the OpenFlow pipeline of an Antrea v0.6 " +
        "node. On the way the NetworkPolicy nginx-allow is applied: what is established lives on, what is new is dropped.",
    )
    .action(demo);
}

async function demo(): Promise<void> {
  const before = readFlowFile(`${FIXTURES}antrea-v0.6-node1-before-policy.flows`);
  const policy = readFlowFile(`${FIXTURES}antrea-v0.6-node1-policy-only.flows`);
  const policyAt = Number(readFileSync(`${FIXTURES}policy/policy-at.txt`, "utf8"));
  const ports = new PortTable(PORTS.map(([no, name]) => ({ no, name })));
  const bridge = new Bridge({ ports, failMode: "standalone" });

  console.log(`A Kubernetes node (Antrea v0.6), ${before.length} flows, ports:`);
  for (const [no, name, address] of PORTS) console.log(`  ${no} ${name.padEnd(16)} ${address}`);

  const report = new ConnectionReport();
  let reportedAtPolicy = 0;
  const policyEvent = {
    afterNs: policyAt * 1e9,
    apply(nowMs: number) {
      console.log(`\nTable IngressRule before the policy (antctl get ovsflows -T IngressRule):`);
      console.log(ingressRule(bridge));
      reportedAtPolicy = report.rows().length;
      bridge.applyFlows(policy, nowMs);
      console.log(
        `After ${policyAt} s NetworkPolicy nginx-allow is applied: ${policy.length} flows, as one bundle.\n`,
      );
    },
  };
  const merge = await CaptureMerge.open(RECORDED.map((no) => `${FIXTURES}policy/port-${no}.pcap`));
  const replay = new Replay(bridge, null, [policyEvent], (frame, inPort, wireLength, verdict) =>
    report.add(frame, wireLength, inPort, verdict),
  );
  let batch = await merge.next();
  if (batch !== null) bridge.addFlows(before, batch.sec[0]! * 1000 + Math.floor(batch.nsec[0]! / 1e6));
  for (; batch !== null; batch = await merge.next()) replay.batch(batch, RECORDED);
  replay.finish();
  merge.close();

  const rows = report.rows();
  console.log("Connections that began before the policy:");
  console.log(connectionTable(rows.slice(0, reportedAtPolicy)));
  console.log("Connections that began after it:");
  console.log(connectionTable(rows.slice(reportedAtPolicy)));
  console.log("Table IngressRule after the policy:");
  console.log(ingressRule(bridge));
  console.log("All flows that counted a frame (ovs-ofctl dump-flows):");
  process.stdout.write(
    flowsText(bridge)
      .split("\n")
      .filter((line, i) => i > 0 && line !== "" && !line.includes("n_packets=0,"))
      .map((line) => `${line}\n`)
      .join(""),
  );
  const { packets, forwarded, dropped } = replay.counts;
  const { exact, megaflow, upcall } = bridge.cacheCounters();
  console.log(
    `\n${packets} frames: ${forwarded} forwarded, ${dropped} dropped; lookups: ${exact} exact-match, ${megaflow} megaflow, ${upcall} upcalls.`,
  );
}

/** The table as `antctl get ovsflows -T IngressRule` shows it: without cookie and ages, padded to one width. */
function ingressRule(bridge: Bridge): string {
  const flows = flowsText(bridge, INGRESS_RULE)
    .split("\n")
    .slice(1)
    .filter((line) => line !== "")
    .map((line) => line.slice(line.indexOf("table=")).replace(/(idle|hard)_age=\d+, /g, ""));
  const rows = ["FLOW", ...flows];
  const width = Math.max(...rows.map((row) => row.length));
  return rows.map((row) => `${row.padEnd(width)}\n`).join("");
}
