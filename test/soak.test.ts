// A switch under steady traffic through TAPs and a tunnel: every frame is accounted for, and memory stays as it is. Twenty seconds here;
// for long, and at another rate (frames a second that are offered):
//   MEGAFLOW_SOAK_SECONDS=3600 MEGAFLOW_SOAK_RATE=50000 npm test -- soak
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Lab, MEMORY_OPTIONS, type Memory, missing, twoNodes } from "./lab.ts";

const SECONDS = Number(process.env.MEGAFLOW_SOAK_SECONDS ?? 20);
const RATE = Number(process.env.MEGAFLOW_SOAK_RATE ?? 4000);
/** When memory is looked at: as soon as connections, which last CONNECTION_S, end as fast as they begin, and so often till the end. */
const SAMPLES = 10;
const FIRST_SAMPLE = 4;
const CONNECTION_S = 3;
/** What JavaScript holds after a collection may differ by so much: code that was compiled, strings that were made. */
const HEAP_GROWTH = 500_000;
/** Resident memory says something after a while only: until then code is compiled and the collector finds its sizes. */
const SECONDS_FOR_RESIDENT = 180;
const RESIDENT_GROWTH = 1.1;

/** UDP, half of it from ports that change, so that connections come and go: at most 4,000 frames a second, the rest is of one flow. */
const SENDER = `
const { createSocket } = require("node:dgram");
const data = Buffer.alloc(200), rate = Number(process.argv[1]);
const steady = createSocket("udp4");
let last = performance.now(), due = 0;
setInterval(() => {
  const now = performance.now();
  due += Math.min(now - last, 50) * rate / 1000;
  last = now;
  const socket = createSocket("udp4");
  let left = Math.min(20, Math.floor(due / 2));
  due -= left;
  const next = () => left-- > 0 ? socket.send(data, 1000 + left, "10.78.0.2", next) : socket.close();
  next();
  for (; due >= 1; due--) steady.send(data, 2000, "10.78.0.2");
}, 5);`;

test(`received = sent + dropped after ${SECONDS} s, memory flat`, {
  skip: missing(),
  timeout: (SECONDS + 60) * 1000,
}, async (t) => {
  const lab = new Lab("soak");
  try {
    lab.nodeOptions = MEMORY_OPTIONS;
    lab.write(
      "br0.flows",
      `priority=9,udp,tp_dst=1003,actions=drop
priority=5,udp,in_port=1,actions=ct(commit,table=1)
priority=1,in_port=1,actions=output:2
priority=1,in_port=2,actions=output:1
table=1,actions=output:2
`,
    );
    const { pods, switches } = await twoNodes(
      lab,
      ({ v4 }) => `name: vx0, type: vxlan, remote_ip: ${v4}, key: 1`,
      1400,
      `conntrack: { zones: { 0: { timeouts: { udp_first: ${CONNECTION_S} } } } }`,
    );
    const sender = spawn("ip", ["netns", "exec", pods[0], process.execPath, "-e", SENDER, String(RATE)], {
      stdio: "ignore",
    });
    const memory: Memory[][] = switches.map(() => []);
    for (let i = 0; i < SAMPLES; i++) {
      await sleep((SECONDS * 1000) / SAMPLES);
      for (const [k, one] of switches.entries()) memory[k]!.push(await one.memory());
    }
    sender.kill();
    await sleep(300);
    for (const one of switches) {
      const { ports, drops, connections } = await one.statistics();
      const sum = (key: "rxFrames" | "txFrames" | "txDropped") =>
        ports.reduce((total, port) => total + port[key], 0);
      const dropped = Object.values(drops).reduce((a, b) => a + b, 0);
      const received = sum("rxFrames");
      t.diagnostic(
        `${received} received, ${sum("txFrames")} sent, ${sum("txDropped")} not sent, ${dropped} dropped, ${connections} connections`,
      );
      assert.ok(received > SECONDS * 500, `${received} frames`);
      assert.ok(dropped > 0 || one === switches[1]);
      assert.equal(received, sum("txFrames") + sum("txDropped") + dropped);
      assert.ok(connections < (CONNECTION_S + 3) * 4000, `${connections} connections`);
    }
    for (const samples of memory) {
      const kb = (key: keyof Memory) => samples.map((m) => Math.round(m[key] / 1000)).join(" ");
      t.diagnostic(`kB: heap ${kb("heapUsed")}, external ${kb("external")}, resident ${kb("rss")}`);
      const [first, last] = [samples[FIRST_SAMPLE]!, samples.at(-1)!];
      assert.ok(last.heapUsed < first.heapUsed + HEAP_GROWTH, `heap, kB: ${kb("heapUsed")}`);
      assert.ok(last.external < first.external + HEAP_GROWTH, `external, kB: ${kb("external")}`);
      if (SECONDS < SECONDS_FOR_RESIDENT) continue;
      assert.ok(last.rss < first.rss * RESIDENT_GROWTH, `resident, kB: ${kb("rss")}`);
    }
  } finally {
    await lab.end();
  }
});
