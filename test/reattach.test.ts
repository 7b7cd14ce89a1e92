// Interfaces that are removed and made again while frames pass: the switch attaches them again each time, the other ports lose nothing,
// and neither processor time nor memory nor descriptors are left behind. A few rounds here; for long:
//   MEGAFLOW_ROUNDS=100 npm test -- reattach
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, ip, Lab, MEMORY_OPTIONS, missing, oneBridge, type Switch, up, within } from "./lab.ts";

const ROUNDS = Number(process.env.MEGAFLOW_ROUNDS ?? 8);
/** Rounds after which memory is looked at first: most code has been compiled by then (nothing else grew in a heap snapshot). */
const WARM_ROUNDS = Math.floor(ROUNDS / 2);
/** What JavaScript may hold more at the end than after those. */
const HEAP_GROWTH = 500_000;
/** Requests without an answer when a ping ends. */
const ON_THE_WAY_MAX = 3;
/** Of a processor, at 200 frames a second and a port that comes and goes. */
const BUSY_MAX = 0.5;
const IDLE_MAX = 0.25;
const BLUE_MAC = "02:00:00:00:00:02";

/** How the port in question comes to be, and what makes it again. */
const KINDS = {
  tap: {
    port: (netns: string) => `{ no: 3, name: blue, type: tap, netns: ${netns} }`,
    device: "blue",
    make: () => {},
    /** The switch makes a TAP itself. */
    remove: (_node: string, netns: string) => ip("-n", netns, "link", "del", "blue"),
  },
  "tap of four queues": {
    port: (netns: string) => `{ no: 3, name: blue, type: tap, netns: ${netns}, queues: 4 }`,
    device: "blue",
    make: () => {},
    remove: (_node: string, netns: string) => ip("-n", netns, "link", "del", "blue"),
  },
  "af-packet": {
    port: () => "{ no: 3, name: blue, type: af-packet }",
    device: "eth",
    make: (node: string, netns: string) => connect(node, "blue", netns),
    remove: (node: string) => ip("-n", node, "link", "del", "blue"),
  },
} as const;

/** Pings until it is told to stop; gives how many went out and how many came back. */
class Pinger {
  readonly #child: ChildProcess;
  #said = "";

  constructor(netns: string, address: string, seconds: string) {
    this.#child = spawn("ip", ["netns", "exec", netns, "ping", "-q", "-i", seconds, address], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    this.#child.stdout!.on("data", (data: Buffer) => (this.#said += data.toString()));
  }

  async stop(): Promise<{ readonly sent: number; readonly received: number }> {
    const closed = new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.kill("SIGINT");
    await closed;
    const found = /(\d+) packets transmitted, (\d+) received/.exec(this.#said);
    assert.ok(found, this.#said);
    return { sent: Number(found[1]), received: Number(found[2]) };
  }
}

for (const [type, { port, device, make, remove }] of Object.entries(KINDS)) {
  test(`${type}: removed and made again under traffic, ${ROUNDS} times`, {
    skip: missing(),
    timeout: 60_000 + ROUNDS * 5000,
  }, async (t) => {
    const lab = new Lab("again");
    const pingers: Pinger[] = [];
    try {
      const [node, red, blue, still] = ["node", "red", "blue", "still"].map((name) => lab.namespace(name));
      make(node!, blue!);
      lab.write("br0.flows", "actions=NORMAL\n");
      lab.nodeOptions = MEMORY_OPTIONS;
      const run: Switch = await lab.run(
        node!,
        oneBridge([
          `{ no: 1, name: red, type: tap, netns: ${red} }`,
          `{ no: 2, name: still, type: tap, netns: ${still} }`,
          port(blue!),
        ]),
      );
      up(red!, "red", "10.78.0.1");
      up(still!, "still", "10.78.0.3");
      const turnOn = () => {
        ip("-n", blue!, "link", "set", device, "address", BLUE_MAC);
        up(blue!, device, "10.78.0.2");
      };
      turnOn();
      ip("-n", red!, "neigh", "add", "10.78.0.2", "lladdr", BLUE_MAC, "dev", "red");
      within(red!, "ping", "-c", "1", "-w", "5", "10.78.0.3");
      pingers.push(new Pinger(red!, "10.78.0.3", "0.01"), new Pinger(red!, "10.78.0.2", "0.01"));

      const before = await run.counters(); // until a device is on, nothing is sent there
      let memory = await run.memory();
      let descriptors = run.descriptors();
      let [ticks, sinceMs] = [run.cpuTicks(), Date.now()];
      for (let round = 0; round < ROUNDS; round++) {
        const from = run.said.length;
        remove(node!, blue!);
        // Made again at once, too: then the new interface has the old one's name before it is missed.
        if (type !== "af-packet" || round % 2 === 0) await run.until(/blue: is gone: /, from);
        make(node!, blue!);
        await run.until(/blue: is back/, from);
        turnOn();
        const { status, stdout } = within(blue!, "ping", "-c", "1", "-i", "0.05", "-w", "5", "10.78.0.1");
        assert.equal(status, 0, `round ${round}: ${stdout}`);
        assert.equal([...run.said.slice(from).matchAll(/is gone|is back/g)].length, 2, run.said.slice(from));
        await sleep(50);
        if (round !== WARM_ROUNDS) continue;
        memory = await run.memory();
        descriptors = run.descriptors();
        [ticks, sinceMs] = [run.cpuTicks(), Date.now()];
      }
      const busy = (run.cpuTicks() - ticks) / 100 / ((Date.now() - sinceMs) / 1000);
      const [others, gone] = await Promise.all(pingers.splice(0).map((pinger) => pinger.stop()));
      const [idleTicks] = [run.cpuTicks(), await sleep(1000)];
      const idle = (run.cpuTicks() - idleTicks) / 100;
      const after = await run.memory();
      t.diagnostic(
        `${others!.received} of ${others!.sent} between the others, ${gone!.received} of ${gone!.sent} to the port; ` +
          `processor ${busy.toFixed(2)}, idle ${idle.toFixed(2)}; heap ${memory.heapUsed} to ${after.heapUsed}, external ` +
          `${memory.external} to ${after.external}, resident ${memory.rss} to ${after.rss} bytes; ${descriptors} descriptors`,
      );
      assert.ok(others!.received >= others!.sent - ON_THE_WAY_MAX, "the other ports lose nothing");
      assert.ok(gone!.received > 0 && gone!.received < gone!.sent);
      assert.equal(run.descriptors(), descriptors);
      assert.ok(after.heapUsed < memory.heapUsed + HEAP_GROWTH);
      assert.ok(after.external < memory.external + HEAP_GROWTH);
      assert.ok(busy < BUSY_MAX, `it spins: ${busy}`);
      assert.ok(idle < IDLE_MAX, `it spins when idle: ${idle}`);
      const { ports, drops } = await run.statistics();
      for (const { name, txDropped } of ports)
        if (name !== "blue") assert.equal(txDropped, before[name]!.txDropped, name);
      const sum = (key: "rxFrames" | "txFrames" | "txDropped") => ports.reduce((all, p) => all + p[key], 0);
      assert.equal(run.process.exitCode, null);
      t.diagnostic(
        JSON.stringify({ rx: sum("rxFrames"), tx: sum("txFrames"), lost: sum("txDropped"), drops }),
      );
    } finally {
      for (const pinger of pingers) await pinger.stop();
      await lab.end();
    }
  });
}
