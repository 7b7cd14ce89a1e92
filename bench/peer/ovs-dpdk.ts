// The switch to beat: real Open vSwitch with DPDK on this machine, given a bench's own frames and flows. Its capture driver reads
// the frames into huge pages once and hands them out round and round on one core (the second), so that nothing but the driver,
// the lookup and the actions is measured; what it sends goes to null ports.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CaptureWriter } from "../../src/port/capture-writer.ts";
import { type Ovs, ovsSkip, startOvs } from "../../test/oracle/ovs.ts";
import { measureDriver } from "./driver.ts";

/** Frames that arrive on a port, over and over. */
export interface PeerTraffic {
  readonly port: number;
  readonly frames: readonly Uint8Array[];
}

/** What the peer is asked to do: a bench's workload. */
export interface PeerCase {
  /** Text of a flow file. */
  readonly flows: string;
  /** Texts of a group and a meter file. */
  readonly groups?: string;
  readonly meters?: string;
  /** OpenFlow numbers of all ports. */
  readonly ports: readonly number[];
  readonly traffic: PeerTraffic;
  /** Where replies come from while connections are opened, before the measurement; none otherwise. */
  readonly replies?: PeerTraffic;
  /** Whether the replies go on, and are measured too. */
  readonly keepReplies?: boolean;
  /** Whether every flow may enter the exact-match cache, or none; its own choice when not given. */
  readonly exactMatch?: boolean;
  /**
   * Measure upcalls that installed a megaflow, and only until OVS's flow limit (10,000 at first) is reached: beyond it OVS
   * translates and installs nothing.
   */
  readonly upcalls?: boolean;
}

export interface PeerResult {
  readonly name: string;
  /** The median of the runs, as OVS counts received frames. */
  readonly mframes_per_s: number;
  readonly runs: readonly number[];
  /** Nanoseconds of a frame that its capture driver takes alone (driver.ts); null where that could not be measured. */
  readonly driver_ns: number | null;
}

const VSWITCHD = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk";
const DRIVERS = "/usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0";
const HUGE_PAGES = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
const HUGE_PAGES_WANTED = 1200;
const MEMORY_MIB = 2048;
const RUNS = 5;
const RUN_MS = 1000;
const UPCALL_RUN_MS = 10;
const SETTLE_MS = 1500;
const OPENING_MS_MAX = 30_000;

/** Null when the peer can be measured here; else what is missing. */
export function peerMissing(): string | null {
  if (ovsSkip !== false) return "openvswitch-switch is not installed";
  if (!existsSync(VSWITCHD)) return "openvswitch-switch-dpdk is not installed";
  for (const driver of ["librte_net_pcap.so.23", "librte_net_null.so.23"]) {
    if (!existsSync(join(DRIVERS, driver)))
      return `${driver} is not installed (librte-net-null23, librte-net-pcap23)`;
  }
  if (cpus().length < 2) return "a core for OVS's packet thread beside the first is wanted";
  return reserveHugePages();
}

/** Asks the system for huge pages if there are too few; gives what went wrong. */
function reserveHugePages(): string | null {
  const have = () => Number(readFileSync(HUGE_PAGES, "utf8"));
  try {
    if (have() < HUGE_PAGES_WANTED) writeFileSync(HUGE_PAGES, String(HUGE_PAGES_WANTED));
    const now = have();
    return now >= HUGE_PAGES_WANTED
      ? null
      : `${HUGE_PAGES_WANTED} huge pages of 2 MiB are wanted, there are ${now}`;
  } catch {
    return `${HUGE_PAGES_WANTED} huge pages of 2 MiB are wanted (sysctl vm.nr_hugepages=${HUGE_PAGES_WANTED}, as root)`;
  }
}

/** Measures OVS with DPDK: five runs of a second. Throws with OVS's words when it does not come up. */
export async function measurePeer(workload: PeerCase): Promise<PeerResult> {
  // Before OVS takes the huge pages.
  const driverNs = workload.upcalls ? null : await driverOf(workload.traffic.frames);
  const sources = [workload.traffic, ...(workload.replies === undefined ? [] : [workload.replies])];
  const ovs = await startOvs({
    vswitchd: VSWITCHD,
    args: ["--disable-system"],
    set: [
      "other_config:dpdk-init=true",
      "other_config:pmd-cpu-mask=0x2",
      `other_config:dpdk-extra="-m ${MEMORY_MIB} --no-pci --in-memory"`,
      "other_config:max-idle=3600000",
      ...(workload.exactMatch === undefined
        ? []
        : [`other_config:emc-insert-inv-prob=${workload.exactMatch ? 1 : 0}`]),
    ],
  });
  if (ovs === null) throw new Error(String(ovsSkip));
  try {
    await ovs.vsctl([
      "add-br",
      "br0",
      "--",
      "set",
      "bridge",
      "br0",
      "datapath_type=netdev",
      "fail_mode=secure",
      "protocols=OpenFlow10,OpenFlow15",
    ]);
    const flows = join(ovs.dir, "flows.txt");
    writeFileSync(flows, workload.flows);
    const version: string[] = workload.groups ? ["-O", "OpenFlow15"] : [];
    for (const meter of (workload.meters ?? "").split("\n").filter((line) => line !== ""))
      await ovs.ofctl([...version, "add-meter", "br0", meter]);
    if (workload.groups) await ovs.ofctl([...version, "add-groups", "br0", "-"], { input: workload.groups });
    await ovs.ofctl([...version, "add-flows", "br0", flows]);
    // Ports that receive come last, when all others are there.
    const receiving = new Set(sources.map((source) => source.port));
    for (const no of workload.ports) if (!receiving.has(no)) await addPort(ovs, no, `eth_null${no},no-rx=1`);
    for (const source of [...sources].reverse()) {
      const file = join(ovs.dir, `in-${source.port}.pcap`);
      writeCapture(file, source.frames);
      await addPort(ovs, source.port, `eth_pcap${source.port},rx_pcap=${file},infinite_rx=1`);
    }
    if (workload.replies !== undefined) {
      await opened(ovs, workload.traffic.frames.length);
    }
    if (workload.replies !== undefined && workload.keepReplies !== true) {
      const { port } = workload.replies;
      await ovs.vsctl(["del-port", "br0", `d${port}`]);
      await addPort(ovs, port, `eth_null${port},no-rx=1`);
    }
    if (workload.upcalls) return resultOf(await upcallsPerMs(ovs), driverNs);
    await sleep(SETTLE_MS);
    const runs: number[] = [];
    for (let run = 0; run < RUNS; run++) runs.push(await framesPerMs(ovs));
    return resultOf(runs, driverNs);
  } finally {
    await ovs.stop();
  }
}

async function driverOf(frames: readonly Uint8Array[]): Promise<number | null> {
  const folder = mkdtempSync(join(tmpdir(), "megaflow-driver-"));
  try {
    const file = join(folder, "in.pcap");
    writeCapture(file, frames);
    return await measureDriver(file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function addPort(ovs: Ovs, no: number, devargs: string): Promise<void> {
  const name = `d${no}`;
  const set = ["type=dpdk", `ofport_request=${no}`, `options:dpdk-devargs=${devargs}`];
  await ovs.vsctl(["add-port", "br0", name, "--", "set", "interface", name, ...set]);
  const error = (await ovs.vsctl(["get", "interface", name, "error"])).trim();
  if (error !== "[]") throw new Error(`port ${name} (${devargs}): ${error}\n${ovs.log()}`);
}

/** Waits until as many connections are open as the traffic has. */
async function opened(ovs: Ovs, count: number): Promise<void> {
  const deadline = Date.now() + OPENING_MS_MAX;
  for (;;) {
    const total = Number(/Total: (\d+)/.exec(await ovs.appctl("dpctl/ct-stats-show"))?.[1] ?? 0);
    const open =
      total < count ? 0 : (await ovs.dumpConntrack()).filter((c) => c.includes("state=ESTABLISHED")).length;
    if (open >= count) return;
    if (Date.now() > deadline) throw new Error(`${open} of ${count} connections were opened in OVS`);
    await sleep(200);
  }
}

/** Megaflows installed per millisecond in short runs, until one is refused. */
async function upcallsPerMs(ovs: Ovs): Promise<number[]> {
  const runs: number[] = [];
  let [before, beforeNs] = [await packetThread(ovs), process.hrtime.bigint()];
  for (;;) {
    await sleep(UPCALL_RUN_MS);
    const [after, afterNs] = [await packetThread(ovs), process.hrtime.bigint()];
    if (after.refused > before.refused && runs.length > 0) return runs;
    runs.push((after.installed - before.installed) / (Number(afterNs - beforeNs) / 1e6));
    [before, beforeNs] = [after, afterNs];
  }
}

/** Of the packet thread, over a run. */
async function framesPerMs(ovs: Ovs): Promise<number> {
  const [before, beforeNs] = [await packetThread(ovs), process.hrtime.bigint()];
  await sleep(RUN_MS);
  const [after, afterNs] = [await packetThread(ovs), process.hrtime.bigint()];
  return (after.received - before.received) / (Number(afterNs - beforeNs) / 1e6);
}

/** What the packet thread has counted. */
async function packetThread(ovs: Ovs): Promise<{ received: number; installed: number; refused: number }> {
  const text = await ovs.appctl("dpif-netdev/pmd-stats-show");
  const pmd = text.slice(text.indexOf("pmd thread"));
  const count = (words: string) => Number(new RegExp(`${words}: (\\d+)`).exec(pmd)?.[1] ?? Number.NaN);
  const received = count("packets received");
  if (Number.isNaN(received)) throw new Error(`no packet thread in:\n${text}`);
  return {
    received,
    installed: count("miss with success upcall"),
    refused: count("miss with failed upcall"),
  };
}

function resultOf(runs: readonly number[], driverNs: number | null): PeerResult {
  const sorted = [...runs].sort((a, b) => a - b);
  const perMs = sorted[sorted.length >> 1]!;
  const millions = (value: number) => Number((value / 1000).toPrecision(4));
  return {
    name: "ovs-dpdk",
    mframes_per_s: millions(perMs),
    runs: runs.map(millions),
    driver_ns: driverNs === null ? null : Number(driverNs.toPrecision(3)),
  };
}

function writeCapture(path: string, frames: readonly Uint8Array[]): void {
  const writer = CaptureWriter.open(path);
  for (const frame of frames) writer.write(0, 0, frame, 0, frame.length, frame.length);
  writer.close();
}
