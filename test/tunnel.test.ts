// Tunnels of `megaflow run` between network namespaces: with Linux's own devices, with real Open vSwitch, and between two switches.
import { test } from "node:test";
import { hasLink, ip, Lab, missing, ping, transfer, up } from "./lab.ts";

const skip = missing();

test("VXLAN: a switch talks to Linux's vxlan device", {
  skip:
    skip || (hasLink("vxlan", "id", "1", "dstport", "4789") ? false : "skipped: this kernel has no vxlan"),
}, async () => {
  const lab = new Lab("vxlan");
  try {
    const [node, linux, pod] = [lab.namespace("node"), lab.namespace("linux"), lab.namespace("pod")];
    lab.cable(node, linux);
    ip(
      "-n",
      linux,
      "link",
      "add",
      "vx",
      "type",
      "vxlan",
      "id",
      "42",
      "dstport",
      "4789",
      "remote",
      "10.99.0.1",
      "local",
      "10.99.0.2",
    );
    up(linux, "vx", "10.78.0.2");
    lab.write(
      "br0.flows",
      "priority=1,actions=NORMAL\nin_port=2,tun_id=0x2a,tun_src=10.99.0.2,priority=9,actions=NORMAL\nin_port=2,priority=5,actions=drop\n",
    );
    await lab.run(
      node,
      `
bridges:
  br0:
    fail_mode: secure
    flows: br0.flows
    ports:
      - { no: 1, name: mfpod, type: tap, netns: ${pod} }
      - { no: 2, name: vx0, type: vxlan, remote_ip: 10.99.0.2, key: 42 }
`,
    );
    up(pod, "mfpod", "10.78.0.1", 1450);
    ping(pod, "10.78.0.2");
    ping(linux, "10.78.0.1");
    await transfer(pod, linux, "10.78.0.2");
    await transfer(linux, pod, "10.78.0.1");
  } finally {
    await lab.end();
  }
});
