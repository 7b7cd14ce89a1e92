// A switch between namespaces, by TAPs or by veths: `megaflow run`, or Open vSwitch's userspace datapath in its place.
import { chmodSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { connect, ip, type Lab, oneBridge, up } from "./lab.ts";
import { type Ovs, requireOvs } from "./oracle/ovs.ts";

/** What Open vSwitch may take of memory. */
const OVS_KB_MAX = 6_000_000;

export type SwitchName = "Megaflow" | "OVS";
export type PortKind = "tap" | "veth";

/** A namespace with a device at a port of the switch: OpenFlow port 1 and 10.78.0.1 for the first, and so on. */
export interface End {
  readonly no: number;
  readonly name: string;
  readonly netns: string;
  readonly device: string;
  readonly address: string;
  readonly mac: string;
}

export interface LiveNode {
  readonly ends: readonly End[];
  /** The process that moves the frames. */
  readonly pid: number;
  /** Before the lab's end. */
  stop(): Promise<void>;
}

export interface NodeOptions {
  readonly by: SwitchName;
  readonly kind: PortKind;
  readonly names: readonly string[];
  /** A flow file's text. */
  readonly flows: string;
}

/** Makes the namespaces and starts the switch between them; the devices are not up yet. */
export async function startNode(lab: Lab, { by, kind, names, flows }: NodeOptions): Promise<LiveNode> {
  const at = lab.namespace("switch");
  const ends = names.map((name, i) => ({
    no: i + 1,
    name,
    netns: lab.namespace(name),
    device: kind === "tap" ? name : "eth",
    address: `10.78.0.${i + 1}`,
    mac: `02:00:00:00:00:0${i + 1}`,
  }));
  if (kind === "veth") for (const { netns, name } of ends) connect(at, name, netns);
  const file = lab.write("br0.flows", flows);
  if (by === "OVS") return { ends, ...(await startTheirs(lab, at, kind, ends, file)) };
  const ports = ends.map(({ no, name, netns }) =>
    kind === "tap"
      ? `{ no: ${no}, name: ${name}, type: tap, netns: ${netns} }`
      : `{ no: ${no}, name: ${name}, type: af-packet }`,
  );
  const running = await lab.run(at, oneBridge(ports));
  return { ends, pid: running.process.pid!, stop: async () => void (await running.stop()) };
}

/** Turns an end's device on, with its addresses. */
export function turnOn({ netns, device, address, mac }: End): void {
  ip("-n", netns, "link", "set", device, "address", mac);
  up(netns, device, address);
}

/** Open vSwitch's userspace datapath, whose devices are those of a namespace. */
export async function ovsIn(lab: Lab, netns: string): Promise<{ readonly ovs: Ovs; readonly pid: number }> {
  const program = lab.write(
    "vswitchd",
    `#!/bin/sh\nulimit -v ${OVS_KB_MAX}\nexec ip netns exec ${netns} ovs-vswitchd "$@"\n`,
  );
  chmodSync(program, 0o755);
  const pidfile = join(lab.dir, "ovs.pid");
  const ovs = await requireOvs({ vswitchd: program, args: ["--disable-system", `--pidfile=${pidfile}`] });
  return { ovs, pid: Number(readFileSync(pidfile, "utf8")) };
}

async function startTheirs(
  lab: Lab,
  at: string,
  kind: PortKind,
  ends: readonly End[],
  file: string,
): Promise<Pick<LiveNode, "pid" | "stop">> {
  const { ovs, pid } = await ovsIn(lab, at);
  try {
    const netdev = ["datapath_type=netdev", "fail_mode=secure"];
    await ovs.vsctl(["add-br", "br0", "--", "set", "bridge", "br0", ...netdev]);
    for (const { no, name } of ends) {
      const type = kind === "tap" ? ["type=tap"] : [];
      await ovs.vsctl([
        "add-port",
        "br0",
        name,
        "--",
        "set",
        "interface",
        name,
        `ofport_request=${no}`,
        ...type,
      ]);
    }
    await ovs.ofctl(["-O", "OpenFlow15", "add-flows", "br0", file]);
    if (kind === "tap") for (const { netns, name } of ends) ip("-n", at, "link", "set", name, "netns", netns);
  } catch (error) {
    await ovs.stop();
    throw error;
  }
  return { pid, stop: () => ovs.stop() };
}
