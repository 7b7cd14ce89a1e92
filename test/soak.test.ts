// A switch under steady traffic through TAPs and a tunnel: every frame is accounted for, and memory stays as it is. Seconds here; for long:
//   MEGAFLOW_SOAK_SECONDS=600 npm test -- soak
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Lab, missing, type Switch, up } from "./lab.ts";

const SECONDS = Number(process.env.MEGAFLOW_SOAK_SECONDS ?? 4);
/** In the first two minutes connections fill their table as far as they will (they last 60 s): shorter runs say nothing of memory. */
const SECONDS_FOR_MEMORY = 180;
const GROWTH_MAX = 1.1;

/** UDP from ports that change, so that flows and connections come and go, a few thousand frames a second. */
const SENDER = `
const { createSocket } = require("node:dgram");
const data = Buffer.alloc(200);
setInterval(() => {
  const socket = createSocket("udp4");
  let left = 20;
  const next = () => left-- > 0 ? socket.send(data, 1000 + left, "10.78.0.2", next) : socket.close();
  next();
}, 5);`;

function residentKb(of: Switch): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${of.process.pid}/status`, "utf8"))![1]);
}

test(`received = sent + dropped after ${SECONDS} s, memory flat`, {
  skip: missing(),
  timeout: (SECONDS + 60) * 1000,
}, async (t) => {
  const lab = new Lab("soak");
  try {
    const nodes = [lab.namespace("node1"), lab.namespace("node2")] as const;
    const pods = [lab.namespace("pod1"), lab.namespace("pod2")] as const;
    lab.cable(...nodes);
    lab.write(
      "br0.flows",
      `priority=9,udp,tp_dst=1003,actions=drop
priority=5,udp,in_port=1,actions=ct(commit,table=1)
priority=1,in_port=1,actions=output:2
priority=1,in_port=2,actions=output:1
table=1,actions=output:2
`,
    );
    const switches: Switch[] = [];
    for (const [i, node] of nodes.entries()) {
      const yaml = `
bridges:
  br0:
    fail_mode: secure
    flows: br0.flows
    ports:
      - { no: 1, name: mfpod, type: tap, netns: ${pods[i]} }
      - { no: 2, name: vx0, type: vxlan, remote_ip: 10.99.0.${2 - i}, key: 1 }
`;
      switches.push(await lab.run(node, yaml));
      up(pods[i]!, "mfpod", `10.78.0.${i + 1}`, 1400);
    }
    const sender = spawn("ip", ["netns", "exec", pods[0], process.execPath, "-e", SENDER], {
      stdio: "ignore",
    });
    const sizes: number[] = [];
    for (let i = 0; i < 10; i++) {
      await sleep(SECONDS * 100);
      sizes.push(residentKb(switches[0]!));
    }
    sender.kill();
    await sleep(300);
    for (const one of switches) {
      const { ports, drops } = await one.statistics();
      const sum = (key: "rxFrames" | "txFrames" | "txDropped") =>
        ports.reduce((total, port) => total + port[key], 0);
      const dropped = Object.values(drops).reduce((a, b) => a + b, 0);
      const received = sum("rxFrames");
      t.diagnostic(
        `${received} received, ${sum("txFrames")} sent, ${sum("txDropped")} not sent, ${dropped} dropped`,
      );
      assert.ok(received > SECONDS * 500, `${received} frames`);
      assert.ok(dropped > 0 || one === switches[1]);
      assert.equal(received, sum("txFrames") + sum("txDropped") + dropped);
    }
    t.diagnostic(`resident, kB: ${sizes.join(" ")}`);
    if (SECONDS >= SECONDS_FOR_MEMORY) {
      const half = Math.max(...sizes.slice(4, 6));
      assert.ok(sizes.at(-1)! < half * GROWTH_MAX, `resident, kB: ${sizes.join(" ")}`);
    }
  } finally {
    await lab.end();
  }
});
