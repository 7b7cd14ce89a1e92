// Flow-mods, group-mods and meter-mods against real OVS: random changes, alone and in bundles, with frames and waits between
// them, in tables that have room, refuse or evict. After each the same flows in the same order with the same counts, ages and
// flags, the same groups and meters and their statistics; at the end the controller was told of the same flows that went.
//
// By hand: SEED=n STEPS=3000 node --test dist/test/oracle/flow-mod.test.js
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { Bridge, type FrameSink } from "../../src/bridge/bridge.ts";
import {
  flowLines,
  groupLines,
  groupStatsLines,
  meterLines,
  meterStatsLines,
} from "../../src/bridge/dump.ts";
import { parseFlowMod } from "../../src/control/openflow/flow-text.ts";
import { parseGroupMod } from "../../src/control/openflow/group-text.ts";
import { parseMeterMod } from "../../src/control/openflow/meter-file.ts";
import { MegaflowError } from "../../src/lib/errors.ts";
import { Prng } from "../../src/lib/prng.ts";
import type { GroupMod, MeterMod } from "../../src/pipeline/action.ts";
import { formatFlowRemoval } from "../../src/pipeline/flow-removal.ts";
import { PortTable } from "../../src/pipeline/port-table.ts";
import {
  EVICTING_TABLE,
  FLOW_LIMIT,
  GRID_MS,
  PORTS,
  REFUSING_TABLE,
  randomStep,
  type Step,
} from "./flow-mod-maker.ts";
import { type Ovs, ovsSkip, requireOvs } from "./ovs.ts";

const SEED = Number(process.env.SEED ?? 11);
const STEPS = Number(process.env.STEPS ?? 150);
/** OVS sorts its subtables a moment after flows went. */
const RETRIES = 5;
const RETRY_MS = 50;
const OF15 = ["-O", "OpenFlow15", "--no-names"];

const GROUP_COMMANDS: Readonly<Record<string, GroupMod["command"]>> = {
  "add-group": "add",
  "mod-group": "modify",
  "del-groups": "delete",
  "insert-buckets": "insert_bucket",
  "remove-buckets": "remove_bucket",
};
const METER_COMMANDS: Readonly<Record<string, MeterMod["command"]>> = {
  "add-meter": "add",
  "mod-meter": "modify",
  "del-meter": "delete",
};

const DEAF: FrameSink = { port() {}, userspace() {}, verdict() {} };

/** What a switch holds, in OVS's words; groups and meters in no order. */
interface State {
  readonly flows: readonly string[];
  readonly groups: readonly string[];
  readonly meters: readonly string[];
}

class Ours {
  readonly removed: string[] = [];
  readonly #bridge: Bridge;
  #nowMs = 0;

  constructor() {
    const ports = new PortTable(PORTS.map((no) => ({ no, name: `p${no}` })));
    const flowTables = new Map([
      [EVICTING_TABLE, { flowLimit: FLOW_LIMIT, overflowPolicy: "evict" }],
      [REFUSING_TABLE, { flowLimit: FLOW_LIMIT }],
    ] as const);
    this.#bridge = new Bridge({ ports, failMode: "secure", settings: { flowTables } });
    this.#bridge.onFlowRemoved = (removal) => this.removed.push(formatFlowRemoval(removal));
  }

  /** The error's name, "" when there was none. */
  do(step: Step): string {
    const bridge = this.#bridge;
    try {
      switch (step.kind) {
        case "flows":
          bridge.applyFlows(
            step.lines.map((line) => parseFlowMod(line)),
            this.#nowMs,
          );
          break;
        case "group":
          bridge.applyGroups([parseGroupMod(step.line, {}, GROUP_COMMANDS[step.command]!)], this.#nowMs);
          break;
        case "meter":
          bridge.applyMeters([parseMeterMod(step.line, METER_COMMANDS[step.command]!)], this.#nowMs);
          break;
        case "frame":
          bridge.datapath.stage(step.frame, 0, step.frame.length, step.frame.length, step.port, this.#nowMs);
          bridge.run(DEAF);
          this.#wait(GRID_MS);
          break;
        case "wait":
          this.#wait(step.ms);
          break;
      }
    } catch (error) {
      if (!(error instanceof MegaflowError)) throw error;
      return error.message;
    }
    return "";
  }

  state(): State {
    const bridge = this.#bridge;
    return {
      flows: [...flowLines(bridge)].slice(1),
      groups: [...groupLines(bridge), ...groupStatsLines(bridge)].sort(),
      meters: blocks([...meterLines(bridge), "", ...meterStatsLines(bridge)].join("\n")),
    };
  }

  #wait(ms: number): void {
    this.#nowMs += ms;
    this.#bridge.advance(this.#nowMs);
  }
}

class Theirs {
  readonly #ovs: Ovs;

  constructor(ovs: Ovs) {
    this.#ovs = ovs;
  }

  async start(): Promise<void> {
    const ovs = this.#ovs;
    await ovs.addBridge("br0", { ports: PORTS.map((no) => ({ no })) });
    const table = (no: number, policy: string) => [
      "--",
      `--id=@t${no}`,
      "create",
      "Flow_Table",
      `flow_limit=${FLOW_LIMIT}`,
      `overflow_policy=${policy}`,
    ];
    await ovs.vsctl([
      ...table(EVICTING_TABLE, "evict").slice(1),
      ...table(REFUSING_TABLE, "refuse"),
      ...["--", "set", "bridge", "br0", `flow_tables={${EVICTING_TABLE}=@t1,${REFUSING_TABLE}=@t2}`],
    ]);
    await ovs.stopClock();
  }

  async do(step: Step): Promise<string> {
    const ovs = this.#ovs;
    switch (step.kind) {
      case "frame":
        await ovs.receive(`p${step.port}`, step.frame);
        await ovs.settle();
        await ovs.warp(GRID_MS);
        return "";
      case "wait":
        await ovs.warp(step.ms);
        return "";
      default:
    }
    const input = step.kind === "flows" ? { input: step.lines.join("\n") } : {};
    const args =
      step.kind === "flows"
        ? [...OF15, ...(step.bundle ? ["--bundle"] : []), "add-flows", "br0", "-"]
        : [...OF15, step.command, "br0", step.line];
    try {
      await ovs.ofctl(args, input);
    } catch (error) {
      return String(error).match(/OFP\w+C_\w+/)?.[0] ?? String(error);
    }
    return "";
  }

  async state(): Promise<State> {
    const dump = (what: string) => this.#ovs.ofctl([...OF15, what, "br0"]);
    await this.#ovs.settle();
    return {
      flows: lines(await dump("dump-flows")).slice(1),
      groups: [...lines(await dump("dump-groups")), ...lines(await dump("dump-group-stats"))].sort(),
      meters: blocks(`${await dump("dump-meters")}\n${await dump("meter-stats")}`),
    };
  }
}

const lines = (text: string): string[] => text.split("\n").filter((line) => line !== "");

/** The meters of dumps, sorted; headers are as good as meters. */
const blocks = (text: string): string[] =>
  text
    .replace(/^OFPST.*$/gm, "$&\n")
    .split("\n\n")
    .map((block) => block.trim())
    .filter((block) => block !== "")
    .sort();

const show = (step: Step): string => JSON.stringify(step.kind === "frame" ? { ...step, frame: "" } : step);

test("changes leave the same flows, groups and meters, and are refused alike", {
  skip: ovsSkip,
}, async () => {
  console.log(`seed ${SEED}`);
  const random = new Prng(SEED);
  const ovs = await requireOvs();
  try {
    const ours = new Ours();
    const theirs = new Theirs(ovs);
    await theirs.start();
    const monitor = await ovs.monitor("br0");
    const done: string[] = [];
    for (let i = 0; i < STEPS; i++) {
      const step = randomStep(random);
      done.push(show(step));
      const what = `step ${i} of\n${done.slice(-12).join("\n")}`;
      const theirError = await theirs.do(step);
      const ourError = ours.do(step);
      // A refused flow outside a bundle is printed, but ovs-ofctl ends well.
      if (!(step.kind === "flows" && !step.bundle && theirError === ""))
        assert.equal(ourError, theirError, what);
      const ourState = ours.state();
      let theirState = await theirs.state();
      for (let again = 0; again < RETRIES && !isDeepStrictEqual(ourState, theirState); again++) {
        await setTimeout(RETRY_MS);
        theirState = await theirs.state();
      }
      assert.deepEqual(ourState, theirState, what);
    }
    const removed = (await monitor()).filter((line) => line.includes("FLOW_REMOVED"));
    assert.deepEqual(ours.removed.sort(), removed.sort());
    console.log(`${removed.length} flows removed aloud`);
  } finally {
    await ovs.stop();
  }
});
