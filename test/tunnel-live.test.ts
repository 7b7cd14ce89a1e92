// Tunnels of `megaflow run` between network namespaces: with Linux's own devices, with real Open vSwitch, and between two switches.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { hasLink, ip, Lab, missing, oneBridge, ping, transfer, tunnelNode, twoNodes, up } from "./lab.ts";
import { ovsSkip } from "./oracle/ovs.ts";
import { ovsNode } from "./ovs-node.ts";

const skip = missing("tcpdump");
const skipVxlan =
  skip ||
  (hasLink("vxlan", "id", "1", "dstport", "4789") ? false : "skipped: this machine's kernel has no vxlan");
const gretap = ["local", "10.0.0.1", "remote", "10.0.0.2"];
const skipGretap =
  skip || (hasLink("gretap", ...gretap) ? false : "skipped: this machine's kernel has no gretap");
const skipOvs = skip || ovsSkip;

/** Inner MTU that fits the cable with the largest headers. */
const MTU = 1400;

async function withLab(name: string, body: (lab: Lab) => Promise<void>): Promise<void> {
  const lab = new Lab(name);
  try {
    await body(lab);
  } finally {
    await lab.end();
  }
}

/** What tcpdump prints of the first packet that fits the filter while `body` runs. */
async function firstPacket(netns: string, filter: string, body: () => void): Promise<string> {
  const dump = spawn("ip", ["netns", "exec", netns, "tcpdump", "-i", "under", "-nvvlc", "1", filter], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let printed = "";
  const listening = new Promise((resolve) => dump.stderr.on("data", resolve));
  dump.stdout.on("data", (data: Buffer) => (printed += data.toString()));
  const closed = new Promise((resolve) => dump.once("close", resolve));
  await listening;
  try {
    body();
    await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 5000).unref())]);
  } finally {
    dump.kill();
  }
  return printed;
}

test("VXLAN: a switch talks to Linux's vxlan devices, ports share a socket", { skip: skipVxlan }, () =>
  withLab("vxlan", async (lab) => {
    const [node, linux, pod] = [lab.namespace("node"), lab.namespace("linux"), lab.namespace("pod")];
    lab.cable(node, linux);
    const ends = ["remote", "10.99.0.1", "local", "10.99.0.2", "dstport", "4789"];
    ip("-n", linux, "link", "add", "vx42", "type", "vxlan", "id", "42", ...ends);
    ip("-n", linux, "link", "add", "vx43", "type", "vxlan", "id", "43", ...ends);
    up(linux, "vx42", "10.78.0.2");
    up(linux, "vx43", "10.79.0.2");
    lab.write(
      "br0.flows",
      `priority=1,actions=drop
in_port=1,ip,nw_dst=10.79.0.0/24,actions=set_field:43->tun_id,set_field:10.99.0.2->tun_dst,output:3
in_port=1,arp,arp_tpa=10.79.0.0/24,actions=set_field:43->tun_id,set_field:10.99.0.2->tun_dst,output:3
in_port=1,ip,nw_dst=10.78.0.0/24,actions=output:2
in_port=1,arp,arp_tpa=10.78.0.0/24,actions=output:2
in_port=2,tun_id=42,tun_src=10.99.0.2,tun_dst=10.99.0.1,actions=output:1
in_port=3,tun_id=43,tun_src=10.99.0.2,tun_dst=10.99.0.1,actions=output:1
`,
    );
    const megaflow = await lab.run(
      node,
      oneBridge([
        `{ no: 1, name: mfpod, type: tap, netns: ${pod} }`,
        "{ no: 2, name: fixed, type: vxlan, remote_ip: 10.99.0.2, local_ip: 10.99.0.1, key: 42, ttl: 33, tos: 0x20, record: tunnel.pcap }",
        "{ no: 3, name: flow, type: vxlan, remote_ip: flow, key: flow, csum: true, df_default: false }",
      ]),
    );
    up(pod, "mfpod", "10.78.0.1", MTU);
    ip("-n", pod, "addr", "add", "10.79.0.1/24", "dev", "mfpod");
    for (const other of ["10.78.0", "10.79.0"]) {
      ping(pod, `${other}.2`);
      ping(linux, `${other}.1`);
      await transfer(pod, linux, `${other}.2`);
      await transfer(linux, pod, `${other}.1`);
    }
    const asked = await firstPacket(linux, "src 10.99.0.1 and udp port 4789", () => ping(pod, "10.78.0.2"));
    assert.match(asked, /tos 0x20, ttl 33,.* flags \[DF\], proto UDP/);
    assert.match(asked, /VXLAN, flags \[I\] \(0x08\), vni 42/);
    assert.match(asked, /\[no cksum\]/);
    const flow = await firstPacket(linux, "src 10.99.0.1 and udp port 4789", () => ping(pod, "10.79.0.2"));
    assert.match(flow, /tos 0x0, ttl 64,.* flags \[none\], proto UDP/);
    assert.match(flow, /udp sum ok|bad udp cksum/); // veth leaves it to a card that there is not
    const congested = await firstPacket(linux, "src 10.99.0.1 and udp port 4789", () =>
      ping(pod, "10.78.0.2", "-Q", "1"),
    );
    assert.match(congested, /tos 0x21,ECT\(1\), ttl 33/);
    const { fixed } = await megaflow.counters();
    assert.ok(fixed!.rxFrames > 100 && fixed!.txFrames > 100);
    assert.equal(fixed!.txDropped, 0);
    assert.equal(await megaflow.stop(), 0, megaflow.said);
    const recorded = readFileSync(join(lab.dir, "tunnel.pcap"));
    assert.ok(recorded.length > 10_000_000, "inner frames of both directions");
  }),
);

test("GRE: a switch talks to Linux's gretap device", { skip: skipGretap }, () =>
  withLab("gretap", async (lab) => {
    const [node, linux, pod] = [lab.namespace("node"), lab.namespace("linux"), lab.namespace("pod")];
    lab.cable(node, linux);
    ip(
      "-n",
      linux,
      "link",
      "add",
      "gt",
      "type",
      "gretap",
      "remote",
      "10.99.0.1",
      "local",
      "10.99.0.2",
      "key",
      "7",
    );
    up(linux, "gt", "10.78.0.2", MTU);
    lab.write(
      "br0.flows",
      "in_port=1,actions=output:2\nin_port=2,tun_id=7,tun_src=10.99.0.2,actions=output:1\n",
    );
    await lab.run(node, tunnelNode(pod, GRE));
    up(pod, "mfpod", "10.78.0.1", MTU);
    ping(pod, "10.78.0.2");
    ping(linux, "10.78.0.1");
    await transfer(pod, linux, "10.78.0.2");
    await transfer(linux, pod, "10.78.0.1");
  }),
);

const GRE = "name: gre0, type: gre, remote_ip: 10.99.0.2, key: 7, ttl: 33, csum: true";

test("GRE: a switch talks to Open vSwitch", { skip: skipOvs }, () =>
  withLab("greovs", async (lab) => {
    const [node, other, pod] = [lab.namespace("node"), lab.namespace("ovs"), lab.namespace("pod")];
    lab.cable(node, other);
    const ovs = await ovsNode(lab, other);
    try {
      const gre = [
        "type=gre",
        "ofport_request=1",
        "options:remote_ip=10.99.0.1",
        "options:key=7",
        "options:csum=true",
      ];
      await ovs.vsctl(["add-port", "br-int", "gre0", "--", "set", "interface", "gre0", ...gre]);
      await ovs.ofctl(["add-flow", "br-int", "in_port=1,tun_id=7,tun_src=10.99.0.1,actions=LOCAL"]);
      await ovs.ofctl(["add-flow", "br-int", "in_port=LOCAL,actions=1"]);
      up(other, "br-int", "10.78.0.2", MTU);
      lab.write(
        "br0.flows",
        "in_port=1,actions=output:2\nin_port=2,tun_id=7,tun_src=10.99.0.2,actions=output:1\n",
      );
      await lab.run(node, tunnelNode(pod, GRE));
      up(pod, "mfpod", "10.78.0.1", MTU);
      ping(pod, "10.78.0.2");
      ping(other, "10.78.0.1");
      await transfer(pod, other, "10.78.0.2");
      await transfer(other, pod, "10.78.0.1");
      const packet = await firstPacket(other, "src 10.99.0.1 and proto gre", () => ping(pod, "10.78.0.2"));
      assert.match(packet, /ttl 33,.* flags \[DF\], proto GRE/);
      assert.match(packet, /key=0x7/);
    } finally {
      await ovs.stop();
    }
  }),
);

test("Geneve: options and ids go to Open vSwitch and come back", { skip: skipOvs }, () =>
  withLab("geneve", async (lab) => {
    const [node, other, pod] = [lab.namespace("node"), lab.namespace("ovs"), lab.namespace("pod")];
    lab.cable(node, other);
    const ovs = await ovsNode(lab, other);
    try {
      const geneve = ["type=geneve", "ofport_request=1", "options:remote_ip=flow", "options:key=flow"];
      await ovs.vsctl(["add-port", "br-int", "gnv0", "--", "set", "interface", "gnv0", ...geneve]);
      await ovs.ofctl(["add-tlv-map", "br-int", "{class=0x102,type=0x80,len=4}->tun_metadata0"]);
      for (const flow of [
        "in_port=1,tun_id=77,tun_src=10.99.0.1,tun_metadata0=0x1234,actions=LOCAL",
        "in_port=LOCAL,actions=set_field:88->tun_id,set_field:10.99.0.1->tun_dst,set_field:0xabcd->tun_metadata0,output:1",
      ])
        await ovs.ofctl(["-O", "OpenFlow15", "add-flow", "br-int", flow]);
      up(other, "br-int", "10.78.0.2", MTU);
      lab.write(
        "br0.flows",
        `in_port=1,actions=set_field:77->tun_id,set_field:10.99.0.2->tun_dst,set_field:0x1234->tun_metadata0,output:2
in_port=2,tun_id=88,tun_src=10.99.0.2,tun_metadata0=0xabcd,actions=output:1
`,
      );
      await lab.run(
        node,
        tunnelNode(
          pod,
          "name: gnv0, type: geneve, remote_ip: flow, key: flow",
          'tlv_map: "{class=0x102,type=0x80,len=4}->tun_metadata0"',
        ),
      );
      up(pod, "mfpod", "10.78.0.1", MTU);
      ping(pod, "10.78.0.2");
      ping(other, "10.78.0.1");
      await transfer(pod, other, "10.78.0.2");
      await transfer(other, pod, "10.78.0.1");
    } finally {
      await ovs.stop();
    }
  }),
);

for (const [type, family] of [
  ["gre", "v4"],
  ["geneve", "v6"],
  ["vxlan", "v6"],
] as const) {
  test(`${type}: two switches, by IP${family}`, { skip }, () =>
    withLab(`two${type}`, async (lab) => {
      lab.write("br0.flows", "in_port=1,actions=output:2\nin_port=2,tun_id=9,actions=output:1\n");
      const { pods } = await twoNodes(
        lab,
        (remote) => `name: tun0, type: ${type}, remote_ip: "${remote[family]}", key: 9, csum: true`,
        MTU,
      );
      ping(pods[0], "10.78.0.2");
      await transfer(pods[0], pods[1], "10.78.0.2");
      await transfer(pods[1], pods[0], "10.78.0.1");
    }),
  );
}
