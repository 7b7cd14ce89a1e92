// A bridge described once, as our YAML's keys, and given to both switches: to ours through the configuration reader, to real
// OVS through ovs-vsctl and ovs-ofctl. Frames then go through both, each with a trace before it; what every port sends, and
// what the traces say, must be the same.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Bridge, type FrameSink } from "../../src/bridge/bridge.ts";
import { parseTraceArguments } from "../../src/cli/trace-arguments.ts";
import { type BridgeConfig, parseLab } from "../../src/control/config/lab.ts";
import { parseFlowFile } from "../../src/control/openflow/flow-file.ts";
import { OFPP_LOCAL } from "../../src/pipeline/action.ts";
import { PortTable } from "../../src/pipeline/port-table.ts";
import type { Ovs } from "./ovs.ts";

const BRIDGE = "br0";
/** OVS's dummy datapath gives the bridge's own port this number. */
const LOCAL_DATAPATH_PORT = "100";
const START_MS = 1_000_000;

/** Keys of a port as the YAML has them. */
export interface LabPort {
  readonly no: number;
  readonly name: string;
  readonly [key: string]: unknown;
}

/** Keys of a bond. */
export interface LabBond {
  readonly name: string;
  readonly members: readonly LabPort[];
  readonly [key: string]: unknown;
}

export interface LabCase {
  readonly ports: readonly LabPort[];
  readonly bonds?: readonly LabBond[];
  /** More keys of the bridge. */
  readonly bridge?: Readonly<Record<string, unknown>>;
  readonly flows: readonly string[];
  readonly frames: readonly LabFrame[];
}

export interface LabFrame {
  readonly port: number;
  readonly hex: string;
}

/** What became of a frame: `port hex` each, in order of ports; and the trace's text. */
export interface LabResult {
  readonly sent: readonly string[];
  readonly trace: string;
}

/** Everything that a frame can come in on and go out on, but the bridge itself. */
export const interfacesOf = (c: LabCase): readonly LabPort[] => [
  ...c.ports,
  ...(c.bonds ?? []).flatMap((bond) => bond.members),
];

/** Columns that OVS keeps in other_config, by their keys here. */
const PORT_OTHER_CONFIG = new Set(["priority_tags", "qinq_ethtype"]);
const BRIDGE_OTHER_CONFIG = new Set(["mac_table_size", "mac_aging_time", "forward_bpdu"]);
/** `ovs-ofctl mod-port` words: set and cleared. */
const PORT_FLAGS: Readonly<Record<string, readonly [string, string]>> = {
  no_flood: ["no-flood", "flood"],
  no_forward: ["no-forward", "forward"],
  no_receive: ["no-receive", "receive"],
};
const PORT_COLUMNS = ["tag", "trunks", "vlan_mode", "cvlans"];

const columnValue = (value: unknown): string => (Array.isArray(value) ? `[${value.join()}]` : String(value));

/** Gives OVS's bridge (which exists, with the ports) the case's settings and flows, and forgets those of the case before. */
export async function configureOvs(ovs: Ovs, c: LabCase): Promise<void> {
  const args: string[] = ["clear", "bridge", BRIDGE, "other_config", "mirrors", "flood_vlans"];
  const { vlan_limit, mirrors = [], ...bridge } = c.bridge ?? {};
  args.push("--", "set", "Open_vSwitch", ".", `other_config:vlan-limit=${vlan_limit ?? 1}`);
  for (const [key, value] of Object.entries(bridge)) {
    const column = BRIDGE_OTHER_CONFIG.has(key) ? `other_config:${key.replaceAll("_", "-")}` : key;
    args.push("--", "set", "bridge", BRIDGE, `${column}=${columnValue(value)}`);
  }
  for (const port of c.ports) {
    args.push("--", "clear", "port", port.name, "other_config", ...PORT_COLUMNS);
    args.push("--", "set", "port", port.name, "protected=false");
    for (const [key, value] of Object.entries(port)) {
      if (key === "no" || key === "name" || key in PORT_FLAGS || key === "link_state") continue;
      const column = PORT_OTHER_CONFIG.has(key) ? `other_config:${key.replaceAll("_", "-")}` : key;
      args.push("--", "set", "port", port.name, `${column}=${columnValue(value)}`);
    }
  }
  await ovs.vsctl(args);
  // One at a time: OVS numbers mirrors as they come, and takes them in that order.
  for (const mirror of mirrors as readonly Record<string, unknown>[]) {
    const create: string[] = ["--", "--id=@mirror", "create", "mirror"];
    const refs = new Set<string>();
    for (const [key, value] of Object.entries(mirror)) {
      const isRef = key.endsWith("_port");
      if (isRef) for (const name of [value].flat()) refs.add(String(name));
      const text = isRef ? [value].flat().map((name) => `@${name}`) : value;
      create.push(`${key}=${columnValue(text)}`);
    }
    const gets = [...refs].flatMap((name) => ["--", `--id=@${name}`, "get", "port", name]);
    await ovs.vsctl([...gets, ...create, "--", "add", "bridge", BRIDGE, "mirrors", "@mirror"]);
  }
  for (const port of c.ports) {
    for (const [key, [on, off]] of Object.entries(PORT_FLAGS)) {
      await ovs.ofctl(["mod-port", BRIDGE, String(port.no), port[key] === true ? on : off]);
    }
    await ovs.appctl("netdev-dummy/set-admin-state", port.name, port.link_state === "down" ? "down" : "up");
  }
  const file = join(ovs.dir, "lab.flows");
  writeFileSync(file, `${c.flows.join("\n")}\n`);
  await ovs.ofctl(["del-flows", BRIDGE]);
  await ovs.ofctl(["add-flows", BRIDGE, file]);
  await ovs.appctl("fdb/flush", BRIDGE);
  await ovs.settle();
  await ovs.round();
  for (const name of [...c.ports.map((p) => p.name), BRIDGE]) ovs.takeSent(name);
}

/** The orders in which OVS floods, which come of hash tables: by NORMAL, and by FLOOD and ALL. Of a bridge as it was made. */
export interface FloodOrder {
  readonly normal: readonly number[];
  readonly flood: readonly number[];
}

/** Asks OVS; the bridge has no settings yet. */
export async function floodOrderOf(ovs: Ovs): Promise<FloodOrder> {
  const orderOf = async (action: string): Promise<number[]> => {
    await ovs.ofctl(["add-flow", BRIDGE, `actions=${action}`]);
    const ports = async (from: number) => {
      const text = await ovs.trace(
        BRIDGE,
        `in_port=${from},dl_src=02:00:00:00:00:99,dl_dst=02:00:00:00:00:98`,
      );
      const numbers = /^Datapath actions: ([0-9,]+)$/m.exec(text)![1]!.split(",");
      return numbers.map((no) => (no === LOCAL_DATAPATH_PORT ? OFPP_LOCAL : Number(no)));
    };
    // A port is not flooded to from itself: of three lists, one at least has any two ports.
    const lists = [await ports(1), await ports(2), await ports(3)];
    return [...new Set(lists.flat())].sort((a, b) => {
      const both = lists.find((list) => list.includes(a) && list.includes(b))!;
      return both.indexOf(a) - both.indexOf(b);
    });
  };
  return { normal: await orderOf("NORMAL"), flood: await orderOf("ALL") };
}

export async function runTheirs(ovs: Ovs, c: LabCase, frame: LabFrame): Promise<LabResult> {
  const name = interfacesOf(c).find(({ no }) => no === frame.port)?.name ?? BRIDGE;
  const trace = await ovs.trace(BRIDGE, `in_port=${frame.port}`, frame.hex);
  await ovs.settle();
  await ovs.receive(name, Buffer.from(frame.hex, "hex"));
  const sent: string[] = [];
  for (const { no, name } of [...interfacesOf(c), { no: OFPP_LOCAL, name: BRIDGE }]) {
    for (const bytes of ovs.takeSent(name)) sent.push(`${no} ${Buffer.from(bytes).toString("hex")}`);
  }
  return { sent, trace: normalizeLabTrace(trace, frame.hex, hasMirrors(c)) };
}

/** Packets and bytes through each mirror, by name. */
export type MirrorCounts = Readonly<Record<string, readonly [packets: number, bytes: number]>>;

/** OVS writes the counts into its database now and then. */
const STATS_INTERVAL_MS = 6_000;

export async function mirrorCountsOfOvs(ovs: Ovs): Promise<MirrorCounts> {
  await ovs.settle();
  await ovs.warp(STATS_INTERVAL_MS, 1_000);
  const text = await ovs.vsctl(["--format=json", "--columns=name,statistics", "list", "mirror"]);
  const { data } = JSON.parse(text) as { data: [name: string, stats: ["map", [string, number][]]][] };
  return Object.fromEntries(
    data.map(([name, [, stats]]) => {
      const of = new Map(stats);
      return [name, [of.get("tx_packets") ?? 0, of.get("tx_bytes") ?? 0]];
    }),
  );
}

/** The case as our configuration: JSON is YAML. */
export function configOf(c: LabCase): BridgeConfig {
  const keys = { fail_mode: "secure", ...c.bridge, ports: [...c.ports, ...(c.bonds ?? [])] };
  return parseLab(JSON.stringify({ bridges: { [BRIDGE]: keys } }), "lab.yaml").bridges[0]!;
}

/** Our switch, made from the configuration. */
export class OurLab {
  readonly bridge: Bridge;
  readonly #case: LabCase;
  readonly #vlanLimit: number;
  nowMs = START_MS;

  /** Floods in `order`, when it is given: what a mirror adds depends on who comes first. */
  constructor(c: LabCase, cache = true, order: FloodOrder | null = null) {
    const { ports, settings, vlanLimit } = configOf(c);
    this.#vlanLimit = vlanLimit;
    const table = new PortTable(ports);
    if (table.get(OFPP_LOCAL) === null) table.add({ no: OFPP_LOCAL, name: BRIDGE });
    this.#case = c;
    this.bridge = new Bridge({
      ports: table,
      failMode: "secure",
      settings,
      vlanLimit,
      cache,
      connectionsMax: 1024,
      megaflowsMax: 8192,
    });
    if (order !== null) {
      const { bundles, ports: portTable } = this.bridge.pipeline;
      sortList(bundles, bundles.list, order.normal);
      sortList(portTable, portTable.list, order.flood);
    }
    this.bridge.applyFlows(parseFlowFile(c.flows.join("\n")), START_MS);
  }

  mirrorCounts(): MirrorCounts {
    this.bridge.pushStats();
    const { list } = this.bridge.pipeline.mirrors;
    return Object.fromEntries(list.map((m) => [m.options.name, [m.txPackets, m.txBytes]]));
  }

  run(frame: LabFrame): LabResult {
    const { pipeline, datapath } = this.bridge;
    const request = parseTraceArguments(
      [`in_port=${frame.port}`, frame.hex],
      pipeline.ports,
      null,
      this.#vlanLimit,
    );
    const trace = pipeline.trace({ ...request, nowMs: this.nowMs });
    const found = new Map<number, string[]>();
    const sink: FrameSink = {
      port(port, memory, offset, length) {
        const hex = Buffer.from(memory.subarray(offset, offset + length)).toString("hex");
        found.set(port, [...(found.get(port) ?? []), `${port} ${hex}`]);
      },
      userspace() {},
      verdict() {},
    };
    const bytes = Buffer.from(frame.hex, "hex");
    datapath.stage(bytes, 0, bytes.length, bytes.length, frame.port, this.nowMs);
    this.bridge.run(sink);
    const order = [...interfacesOf(this.#case).map(({ no }) => no), OFPP_LOCAL];
    return {
      sent: order.flatMap((no) => found.get(no) ?? []),
      trace: normalizeLabTrace(trace, frame.hex, hasMirrors(this.#case)),
    };
  }
}

/** Puts a table's list into another order. */
function sortList(table: object, list: readonly { readonly no: number }[], order: readonly number[]): void {
  const sorted = [...list].sort((a, b) => order.indexOf(a.no) - order.indexOf(b.no));
  Object.defineProperty(table, "list", { value: sorted });
}

const hasMirrors = (c: LabCase): boolean => c.bridge?.mirrors !== undefined;

/**
 * The text of a trace without what may differ: the datapath's number of the bridge's own port, the order of a flood (OVS floods
 * in the order of a hash table, tagging on the way: each output is told with the tags it goes out with), and what OVS
 * leaves out of its mask (differences.md): the priority of a priority tag; VLAN and destination that a mirror looks at.
 */
function normalizeLabTrace(text: string, hex: string, mirrored: boolean): string {
  return text
    .replace(mirrored ? /(?<=^Megaflow: .*),(dl_vlan|vlan_tci|dl_vlan_pcp|dl_dst)=[^,\n]*/gm : /(?!)/g, "")
    .replace(
      /^Datapath actions: (.*)$/gm,
      (_, actions: string) => `Datapath actions: ${perPort(actions, hex)}`,
    )
    .replace(/^(Megaflow: .*\bdl_vlan1?=\d+),dl_vlan_pcp1?=\d/gm, "$1")
    .replace(/(^ .*skipping output\.?\n)+/gm, (run) =>
      run.split("\n").sort().join("\n").slice(1).concat("\n"),
    )
    .trimEnd();
}

function perPort(actions: string, hex: string): string {
  const tags: string[] = [];
  for (let at = 24; /^(8100|88a8)/.test(hex.slice(at)); at += 8) {
    const tci = Number.parseInt(hex.slice(at + 4, at + 8), 16);
    const tpid = hex.startsWith("88a8", at) ? "tpid=0x88a8," : "";
    tags.unshift(`push_vlan(${tpid}vid=${tci & 0xfff},pcp=${tci >> 13})`);
  }
  const out: string[] = [];
  let set = "";
  let trunc = "";
  const walk = (text: string): void => {
    for (const [action, name, inside = ""] of text.matchAll(
      /([a-z_]+|\d+)(\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))?/g,
    )) {
      if (action === "pop_vlan") tags.pop();
      else if (name === "push_vlan") tags.push(action);
      else if (name === "set") set = action;
      else if (name === "trunc") trunc = action;
      else if (name === "clone") {
        const before = [...tags];
        const setBefore = set;
        walk(inside.slice(1, -1));
        tags.splice(0, tags.length, ...before);
        set = setBefore;
      } else {
        const port = action === LOCAL_DATAPATH_PORT ? String(OFPP_LOCAL) : action;
        out.push([port.padStart(5), trunc, set, ...tags].filter((word) => word !== "").join(" "));
        trunc = "";
      }
    }
  };
  walk(actions);
  return out.sort().join("; ");
}
