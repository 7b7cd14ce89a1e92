// Open vSwitch's userspace datapath in Megaflow's place: the same programs have the same conversation, and the hosts receive the same.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { utimesSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { framesOf } from "../antrea-story.ts";
import { Lab, missing, Program, within } from "../lab.ts";
import { type End, type PortKind, type SwitchName, startNode, turnOn } from "../live-node.ts";
import { Web } from "../web.ts";
import { ovsSkip } from "./ovs.ts";
import { wireLines } from "./wire-capture.ts";

const skip = missing("tcpdump", "nginx", "curl", "ethtool") || ovsSkip;

const RED = "10.78.0.1";
const BLUE = "10.78.0.2";
/** An address that blue's web server has on the switch alone. */
const SERVICE = "10.78.0.100";
const BLUE_MAC = "02:00:00:00:00:02";
/** When whatever is on its way has arrived. */
const SETTLED_MS = 400;
const NAMES = ["red", "blue", "green"] as const;

/** A service behind NAT, answers to ARP, a TTL that goes down, connections that are refused, and a copy of pings in a VLAN for green. */
const FLOWS = `
table=0,priority=200,arp,arp_op=1,arp_tpa=${SERVICE} actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],mod_dl_src:${BLUE_MAC},load:2->NXM_OF_ARP_OP[],move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],set_field:${BLUE_MAC}->arp_sha,set_field:${SERVICE}->arp_spa,IN_PORT
table=0,priority=100,arp,in_port=1 actions=2
table=0,priority=100,arp,in_port=2 actions=1
table=0,priority=100,ip actions=ct(zone=5,nat,table=1)
table=1,priority=100,ip,ct_state=+trk+est actions=resubmit(,2)
table=1,priority=100,ip,ct_state=+trk+rel actions=resubmit(,2)
table=1,priority=90,tcp,ct_state=+trk+new,nw_dst=${SERVICE},tp_dst=80 actions=ct(commit,zone=5,nat(dst=${BLUE}),table=2)
table=1,priority=90,tcp,ct_state=+trk+new,tp_dst=81 actions=ct(commit,zone=5,table=2)
table=1,priority=90,udp,ct_state=+trk+new actions=ct(commit,zone=5,table=2)
table=1,priority=90,icmp,ct_state=+trk+new actions=ct(commit,zone=5,table=2)
table=2,priority=100,icmp,icmp_type=8 actions=clone(push_vlan:0x8100,set_field:4103->vlan_vid,output:3),dec_ttl,resubmit(,3)
table=2,priority=10,ip actions=dec_ttl,mod_nw_tos:32,resubmit(,3)
table=3,in_port=1 actions=output:2
table=3,in_port=2 actions=output:1
`;

/** Answers every datagram with as many bytes. */
const ECHO = `
const socket = require("node:dgram").createSocket("udp4");
socket.on("message", (data, from) => socket.send(data.map((byte) => byte ^ 255), from.port, from.address));
socket.bind(4000, () => console.log("listening"));`;
/** Sends some, the last of them in fragments, and waits for the answers. */
const ASK = `
const socket = require("node:dgram").createSocket("udp4");
let left = 3;
socket.on("message", () => { if (--left === 0) process.exit(0); });
socket.bind(4001, () => { for (const size of [1, 100, 3000]) socket.send(Buffer.alloc(size, size), 4000, "${BLUE}"); });
setTimeout(() => process.exit(1), 3000);`;
/** To a port where nobody is: an ICMP error comes back. */
const ASK_NOBODY = `
const socket = require("node:dgram").createSocket("udp4");
socket.bind(4002, () => socket.connect(4009, "${BLUE}", () => socket.send("anybody?")));
socket.on("error", () => process.exit(0));
setTimeout(() => process.exit(1), 3000);`;

/** Records what arrives at a host. */
async function record(lab: Lab, { netns, device, name }: End): Promise<[ChildProcess, string]> {
  const file = join(lab.dir, `${name}.pcap`);
  const options = [
    "-Z",
    "root",
    "-i",
    device,
    "-Q",
    "in",
    "-U",
    "--immediate-mode",
    "-s",
    "0",
    "-w",
    file,
    "not ip6",
  ];
  const dump = spawn("ip", ["netns", "exec", netns, "tcpdump", ...options], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  await new Promise((resolve) => dump.stderr!.once("data", resolve));
  return [dump, file];
}

/** What each of the hosts received. */
async function conversation(by: SwitchName, kind: PortKind): Promise<Record<string, string[]>> {
  const lab = new Lab("wire");
  const ended: (() => Promise<unknown>)[] = [];
  try {
    const node = await startNode(lab, { by, kind, names: NAMES, flows: FLOWS });
    ended.push(node.stop);
    for (const end of node.ends) {
      const { netns, device } = end;
      within(netns, "sh", "-c", `echo 1 >/proc/sys/net/ipv6/conf/${device}/disable_ipv6`);
      // Open vSwitch sends on what a veth's sender has left to it as it is, unfinished.
      if (kind === "veth") assert.equal(within(netns, "ethtool", "-K", device, "tx", "off").status, 0);
      turnOn(end);
      within(netns, "sh", "-c", `echo 60 >/proc/sys/net/ipv4/neigh/${device}/delay_first_probe_time`);
    }
    const [red, blue] = node.ends.map(({ netns }) => netns) as [string, string, string];
    const web = await Web.start(lab, blue);
    ended.push(() => web.stop());
    utimesSync(web.write("small", "a small file\n".repeat(70)), 1_600_000_000, 1_600_000_000);
    const echo = Program.node(blue, ECHO);
    ended.push(() => echo.stop());
    await echo.until("listening");
    const recorded = [];
    for (const end of node.ends) recorded.push(await record(lab, end));
    await sleep(SETTLED_MS);

    const does = (netns: string, status: number, command: string, ...args: string[]) => {
      const done = within(netns, command, ...args);
      assert.equal(done.status, status, `${by}: ${command} ${args.join(" ")}: ${done.stdout}${done.stderr}`);
    };
    const ping = ["-s", "8", "-i", "0.1", "-W", "2"];
    const curl = ["-sS", "-o", "/dev/null", "-H", "User-Agent: test", "--max-time"];
    does(red, 0, "ping", ...ping, "-c", "3", "-e", "77", BLUE);
    does(blue, 0, "ping", ...ping, "-c", "2", "-e", "78", RED);
    does(red, 0, process.execPath, "-e", ASK);
    does(red, 0, process.execPath, "-e", ASK_NOBODY);
    does(red, 0, "curl", ...curl, "5", "--local-port", "40001", `http://${SERVICE}/small`);
    does(red, 7, "curl", ...curl, "5", "--local-port", "40002", `http://${BLUE}:81/`); // refused by blue
    does(red, 28, "curl", ...curl, "0.5", "--local-port", "40003", `http://${BLUE}:82/`); // by the switch
    await sleep(SETTLED_MS);
    for (const [dump] of recorded) {
      const closed = new Promise((resolve) => dump.once("close", resolve));
      dump.kill("SIGINT");
      await closed;
    }
    const lines: Record<string, string[]> = {};
    for (const [i, [, file]] of recorded.entries()) lines[NAMES[i]!] = wireLines(await framesOf(file));
    return lines;
  } finally {
    for (const end of ended.reverse()) await end();
    await lab.end();
  }
}

for (const kind of ["tap", "veth"] as const) {
  test(`${kind}: hosts receive the same by Megaflow as by Open vSwitch`, { skip }, async (t) => {
    const ours = await conversation("Megaflow", kind);
    const theirs = await conversation("OVS", kind);
    assert.deepEqual(ours, theirs);
    const { red, blue, green } = ours as { [name in (typeof NAMES)[number]]: string[] };
    t.diagnostic(
      `${red.length} packets and connections at red, ${blue.length} at blue, ${green.length} at green`,
    );
    assert.equal(green.length, 5, "pings in a VLAN");
    assert.ok(red.some((line) => line.includes(`${SERVICE}>${RED}`) && line.includes("a small file")));
    assert.ok(blue.some((line) => line.includes("GET /small")));
    assert.ok(!JSON.stringify(ours).includes("[bad"), "every checksum is right");
  });
}
