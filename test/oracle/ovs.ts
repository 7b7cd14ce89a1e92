// A private, unprivileged Open vSwitch for a test to compare with (DESIGN D8): its own directory, database and control
// socket, the userspace datapath on dummy ports. Any number of them run side by side.
//
//   test("...", { skip: ovsSkip }, async () => {
//     const ovs = await startOvs();
//     try {
//       await ovs.addBridge("br0", { ports: [{ no: 1 }, { no: 2 }] });
//       await ovs.ofctl(["add-flow", "br0", "in_port=1,actions=output:2"]);
//       await ovs.receive("p1", frame);
//       ovs.sent("p2");
//     } finally { await ovs.stop(); }
//   });
//
// The processes die with the test process whatever ends it (a parent-death signal); directories that a killed test left
// behind are removed by the next start.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, isAbsolute, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Unixctl } from "./unixctl.ts";

const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";
const PROGRAM_DIRS = ["/usr/sbin", "/usr/bin", "/sbin", ...(process.env.PATH ?? "").split(delimiter)];
const DIR_PREFIX = "megaflow-ovs-";
const PCAP_HEADER = 24;
const START_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 5_000;
/** The main loop takes at most ten control requests a round, so eleven more mean that it went round at least once. */
const CALLS_FOR_ONE_ROUND = 11;

function program(name: string): string | null {
  if (isAbsolute(name)) return name;
  for (const dir of PROGRAM_DIRS) {
    const path = join(dir, name);
    if (dir !== "" && existsSync(path)) return path;
  }
  return null;
}

const installed =
  existsSync(SCHEMA) &&
  ["ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl", "ovs-ofctl"].every((p) => program(p) !== null);

/** For node:test's `skip` option: false when OVS is installed, else the reason. */
export const ovsSkip: false | string = installed ? false : "skipped: openvswitch-switch is not installed";

export interface OvsPort {
  /** OpenFlow port number. */
  readonly no: number;
  /** Default `pNO`, for which OVS's datapath port number is NO too. */
  readonly name?: string;
  /** The Interface's type; default dummy. */
  readonly type?: string;
  /** More of the Interface's options. */
  readonly options?: Readonly<Record<string, string>>;
}

export interface BridgeOptions {
  /** Default secure: no flow but those the test adds. */
  readonly failMode?: "secure" | "standalone";
  readonly ports?: readonly OvsPort[];
  /** More columns for ovs-vsctl: `["other_config:mac-aging-time=10"]`. */
  readonly set?: readonly string[];
}

export interface RunOptions {
  /** Standard input. */
  readonly input?: string;
}

/** One running switch. Everything rejects with OVS's own error text. */
export interface Ovs {
  /** Its private directory (OVS_RUNDIR); gone after stop(). A place for a test's own files. */
  readonly dir: string;
  readonly version: string;
  /** Runs `ovs-ofctl ARGS`; gives its standard output. A bridge is named as usual. */
  ofctl(args: readonly string[], options?: RunOptions): Promise<string>;
  /** Runs `ovs-vsctl ARGS`, waiting until the switch has done it. */
  vsctl(args: readonly string[]): Promise<string>;
  /** `ovs-appctl METHOD PARAMS` without starting a program. */
  appctl(method: string, ...params: string[]): Promise<string>;
  addBridge(name: string, options?: BridgeOptions): Promise<void>;
  /** A frame arrives on a port (its name); resolves when it has been forwarded. At least 14 bytes (OVS's rule here). */
  receive(port: string, frame: Uint8Array): Promise<void>;
  /** The frames sent on a port (its name; the bridge's own name is LOCAL) since it was made, in order. */
  sent(port: string): Uint8Array[];
  /** The frames sent on a port since the last takeSent of it. */
  takeSent(port: string): Uint8Array[];
  /** Stops the switch's clock; from then on only warp() moves it. */
  stopClock(): Promise<void>;
  /** Moves the stopped clock (stops it first) by `ms`, in steps of at most `stepMs`, running what is due. */
  warp(ms: number, stepMs?: number): Promise<void>;
  /** Waits until the switch's main loop has gone round. */
  round(): Promise<void>;
  /** After a change of flows: throws away all megaflows (their counts reach the flows), so that none is stale. */
  settle(): Promise<void>;
  /** `ovs-ofctl -O OpenFlow15 dump-flows --no-names BRIDGE` and further arguments: its lines, without the reply header, counts up to date. */
  dumpFlows(bridge: string, ...more: string[]): Promise<string[]>;
  /** `ovs-appctl dpctl/dump-flows`: its lines, without the thread headers. */
  dumpMegaflows(...more: string[]): Promise<string[]>;
  /** `ovs-appctl dpctl/dump-conntrack`, its lines. */
  dumpConntrack(...more: string[]): Promise<string[]>;
  /** `ovs-appctl ofproto/trace BRIDGE FLOW...`. */
  trace(bridge: string, ...params: string[]): Promise<string>;
  /**
   * Becomes a controller of the bridge: `ovs-ofctl -O OpenFlow15 monitor BRIDGE`. The call it gives: lines printed so far; with
   * `bytes`, each packet's in hexadecimal too.
   */
  monitor(bridge: string, options?: { readonly bytes?: boolean }): Promise<() => Promise<string[]>>;
  /** What the switch logged so far. */
  log(): string;
  /** Why the switch is no more: the assertion that failed, else the signal or status it ended with; null while it runs. */
  ended(): string | null;
  stop(): Promise<void>;
}

export interface StartOptions {
  /** Path of another build of ovs-vswitchd. */
  readonly vswitchd?: string;
  /** Its arguments beside database, control socket and log; as a rule the dummy datapath in place of all others. */
  readonly args?: readonly string[];
  /** Columns of the Open_vSwitch table, as ovs-vsctl sets them, before the switch starts. */
  readonly set?: readonly string[];
}

/** Starts a private switch; null when OVS is not installed (a test then says so with `ovsSkip`). */
export async function startOvs(options: StartOptions = {}): Promise<Ovs | null> {
  if (!installed) return null;
  removeLeftovers();
  const running = new RunningOvs();
  try {
    await running.start(options);
    return running;
  } catch (error) {
    const log = running.log();
    await running.stop();
    throw new Error(`OVS did not start: ${String(error)}\n${log}`);
  }
}

/** As startOvs, for tests that have already skipped when OVS is absent. */
export async function requireOvs(options: StartOptions = {}): Promise<Ovs> {
  const ovs = await startOvs(options);
  if (ovs === null) throw new Error(String(ovsSkip));
  return ovs;
}

const alive = new Set<RunningOvs>();
process.on("exit", () => {
  for (const ovs of alive) ovs.kill();
});

class RunningOvs implements Ovs {
  readonly dir = mkdtempSync(join(tmpdir(), `${DIR_PREFIX}${process.pid}-`));
  version = "";
  readonly #env: NodeJS.ProcessEnv;
  readonly #children: ChildProcess[] = [];
  readonly #taken = new Map<string, number>();
  #ctl: Unixctl | null = null;
  #switch: ChildProcess | null = null;
  #clockStopped = false;

  constructor() {
    alive.add(this);
    const d = this.dir;
    this.#env = { ...process.env, OVS_RUNDIR: d, OVS_LOGDIR: d, OVS_DBDIR: d, OVS_SYSCONFDIR: d };
  }

  async start(options: StartOptions): Promise<void> {
    const d = this.dir;
    await this.#run("ovsdb-tool", ["create", `${d}/conf.db`, SCHEMA]);
    this.#spawn("ovsdb-server", [
      `${d}/conf.db`,
      `--remote=punix:${d}/db.sock`,
      `--unixctl=${d}/ovsdb.ctl`,
      `--log-file=${d}/ovsdb-server.log`,
    ]);
    // The socket is there a moment before it is listened on: hence --retry.
    await this.#until(() => existsSync(`${d}/db.sock`));
    await this.#run("ovs-vsctl", [`--db=unix:${d}/db.sock`, "--retry", "--timeout=20", "--no-wait", "init"]);
    if (options.set !== undefined) {
      await this.#run("ovs-vsctl", [
        `--db=unix:${d}/db.sock`,
        "--no-wait",
        "set",
        "Open_vSwitch",
        ".",
        ...options.set,
      ]);
    }
    this.#switch = this.#spawn(options.vswitchd ?? "ovs-vswitchd", [
      `unix:${d}/db.sock`,
      ...(options.args ?? ["--enable-dummy=override", "--disable-system"]),
      `--unixctl=${d}/vswitchd.ctl`,
      `--log-file=${d}/ovs-vswitchd.log`,
    ]);
    await this.#until(async () => {
      this.#ctl = await Unixctl.connect(`${d}/vswitchd.ctl`).catch(() => null);
      return this.#ctl !== null;
    });
    this.version = (await this.appctl("version")).split("\n")[0]!;
  }

  ofctl(args: readonly string[], options: RunOptions = {}): Promise<string> {
    return this.#run("ovs-ofctl", args, options.input);
  }

  vsctl(args: readonly string[]): Promise<string> {
    return this.#run("ovs-vsctl", [`--db=unix:${this.dir}/db.sock`, "--timeout=20", ...args]);
  }

  appctl(method: string, ...params: string[]): Promise<string> {
    if (this.#ctl === null) return Promise.reject(new Error("the switch is not running"));
    return this.#ctl.call(method, ...params);
  }

  async addBridge(name: string, options: BridgeOptions = {}): Promise<void> {
    const args = ["add-br", name, "--", "set", "bridge", name, "datapath_type=dummy"];
    args.push(`fail_mode=${options.failMode ?? "secure"}`, ...(options.set ?? []));
    args.push("protocols=OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15");
    args.push("--", "set", "interface", name, `options:tx_pcap=${this.#pcap(name)}`);
    for (const port of options.ports ?? []) {
      const portName = port.name ?? `p${port.no}`;
      args.push("--", "add-port", name, portName, "--", "set", "interface", portName);
      args.push(`type=${port.type ?? "dummy"}`, `ofport_request=${port.no}`);
      if (port.type === undefined) args.push(`options:tx_pcap=${this.#pcap(portName)}`);
      for (const [key, value] of Object.entries(port.options ?? {})) args.push(`options:${key}=${value}`);
    }
    await this.vsctl(args);
  }

  async receive(port: string, frame: Uint8Array): Promise<void> {
    // OVS takes as much memory for the frame as the text is long: the spaces leave room for what makes a frame longer.
    const room = " ".repeat(256);
    await this.appctl("netdev-dummy/receive", port, Buffer.from(frame).toString("hex") + room);
    await this.round();
  }

  sent(port: string): Uint8Array[] {
    const file = this.#pcap(port);
    return existsSync(file) ? recordsOf(readFileSync(file).subarray(PCAP_HEADER)).frames : [];
  }

  takeSent(port: string): Uint8Array[] {
    const file = this.#pcap(port);
    if (!existsSync(file)) return [];
    // Only what was added is read: a switch that serves many cases has sent a great deal.
    const from = this.#taken.get(port) ?? PCAP_HEADER;
    const fd = openSync(file, "r");
    try {
      const added = Buffer.alloc(Math.max(0, fstatSync(fd).size - from));
      const { frames, size } = recordsOf(added.subarray(0, readSync(fd, added, 0, added.length, from)));
      this.#taken.set(port, from + size);
      return frames;
    } finally {
      closeSync(fd);
    }
  }

  async stopClock(): Promise<void> {
    if (this.#clockStopped) return;
    await this.appctl("time/stop");
    this.#clockStopped = true;
  }

  async warp(ms: number, stepMs = ms): Promise<void> {
    await this.stopClock();
    await this.appctl("time/warp", String(ms), String(stepMs));
    await this.round();
  }

  async round(): Promise<void> {
    const calls: Promise<string>[] = [];
    for (let i = 0; i < CALLS_FOR_ONE_ROUND; i++) calls.push(this.appctl("version"));
    await Promise.all(calls);
  }

  async settle(): Promise<void> {
    await this.appctl("revalidator/purge");
  }

  async dumpFlows(bridge: string, ...more: string[]): Promise<string[]> {
    await this.appctl("revalidator/wait"); // megaflows' counts reach the flows; takes half a second
    const text = await this.ofctl(["-O", "OpenFlow15", "--no-names", "dump-flows", bridge, ...more]);
    return lines(text).filter((line) => !line.startsWith("OFPST_FLOW reply"));
  }

  async dumpMegaflows(...more: string[]): Promise<string[]> {
    const text = await this.appctl("dpctl/dump-flows", ...more);
    return lines(text).filter((line) => !line.startsWith("flow-dump from"));
  }

  async dumpConntrack(...more: string[]): Promise<string[]> {
    return lines(await this.appctl("dpctl/dump-conntrack", ...more));
  }

  trace(bridge: string, ...params: string[]): Promise<string> {
    return this.appctl("ofproto/trace", bridge, ...params);
  }

  async monitor(
    bridge: string,
    options: { readonly bytes?: boolean } = {},
  ): Promise<() => Promise<string[]>> {
    const file = join(this.dir, `monitor-${bridge}.txt`);
    const socket = join(this.dir, `monitor-${bridge}.ctl`);
    const output = openSync(file, "w");
    const more = options.bytes === true ? ["-m"] : [];
    const args = [...more, "-O", "OpenFlow15", `--unixctl=${socket}`, "monitor", bridge, "65534"];
    this.#spawn("ovs-ofctl", args, output);
    closeSync(output);
    let control: Unixctl | null = null;
    await this.#until(async () => {
      control = await Unixctl.connect(socket).catch(() => null);
      return control !== null;
    });
    const printed = async () => {
      // What the switch sent before its answer to the barrier has been printed.
      await control!.call("ofctl/barrier");
      return lines(readFileSync(file, "utf8"));
    };
    await printed();
    return printed;
  }

  log(): string {
    const file = join(this.dir, "ovs-vswitchd.log");
    return existsSync(file) ? readFileSync(file, "utf8") : "";
  }

  ended(): string | null {
    const child = this.#switch;
    if (child === null || (child.exitCode === null && child.signalCode === null)) return null;
    const assertion = /\|EMER\|(.*)$/m.exec(this.log());
    return assertion?.[1] ?? child.signalCode ?? `status ${child.exitCode}`;
  }

  async stop(): Promise<void> {
    this.#ctl?.close();
    this.#ctl = null;
    for (const child of this.#children.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
      await gone;
      clearTimeout(timer);
    }
    this.kill();
  }

  /** At once, for the process's end. */
  kill(): void {
    alive.delete(this);
    for (const child of this.#children) {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    }
    rmSync(this.dir, { recursive: true, force: true });
  }

  #pcap(port: string): string {
    return join(this.dir, `tx-${port}.pcap`);
  }

  #spawn(name: string, args: readonly string[], output: number | "ignore" = "ignore"): ChildProcess {
    // setpriv (util-linux) asks the system to end the program when this process ends.
    const setpriv = program("setpriv");
    const command = setpriv === null ? program(name)! : setpriv;
    const all = setpriv === null ? args : ["--pdeathsig", "KILL", program(name)!, ...args];
    const child = spawn(command, all, {
      env: this.#env,
      cwd: this.dir,
      stdio: ["ignore", output, output],
    });
    child.unref();
    this.#children.push(child);
    return child;
  }

  #run(name: string, args: readonly string[], input?: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const options = { env: this.#env, cwd: this.dir, maxBuffer: 1 << 28 };
      const child = execFile(program(name)!, args, options, (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(new Error(stderr.trimEnd() || error.message));
      });
      child.stdin?.on("error", () => {});
      child.stdin?.end(input ?? "");
    });
  }

  async #until(condition: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!(await condition())) {
      const dead = this.#children.find((c) => c.exitCode !== null || c.signalCode !== null);
      if (dead !== undefined) throw new Error(`${dead.spawnargs.join(" ")} ended (${dead.exitCode})`);
      if (Date.now() > deadline) throw new Error("timed out");
      await sleep(10);
    }
  }
}

/** The frames in the records of a classic little-endian pcap, as OVS writes it here; a record still being written is left out. */
function recordsOf(records: Buffer): { frames: Uint8Array[]; size: number } {
  const frames: Uint8Array[] = [];
  let at = 0;
  while (at + 16 <= records.length) {
    const size = records.readUInt32LE(at + 8);
    if (at + 16 + size > records.length) break;
    frames.push(new Uint8Array(records.subarray(at + 16, at + 16 + size)));
    at += 16 + size;
  }
  return { frames, size: at };
}

function lines(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}

/** Removes directories of test processes that were killed. */
function removeLeftovers(): void {
  for (const name of readdirSync(tmpdir())) {
    if (!name.startsWith(DIR_PREFIX)) continue;
    const pid = Number(name.slice(DIR_PREFIX.length).split("-")[0]);
    if (!isRunning(pid)) rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
