// Real Open vSwitch with its userspace datapath as a node of a lab: bridge br-phy has the cable and the node's address, br-int the tunnels.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ip, type Lab } from "./lab.ts";

const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";

export function missingOvs(): string | false {
  return existsSync(SCHEMA) ? false : "skipped: openvswitch-switch is not installed";
}

export class OvsNode {
  readonly #netns: string;
  readonly #dir: string;

  /** In a namespace with one end of a cable, whose address 10.99.0.2 it takes over. */
  constructor(lab: Lab, netns: string) {
    this.#netns = netns;
    this.#dir = join(lab.dir, "ovs");
    mkdirSync(this.#dir);
    const d = this.#dir;
    const daemon = ["--pidfile", "--detach", "--no-chdir", "--log-file"];
    this.#run("ovsdb-tool", "create", `${d}/conf.db`, SCHEMA);
    this.#run(
      "ovsdb-server",
      `${d}/conf.db`,
      `--remote=punix:${d}/db.sock`,
      `--unixctl=${d}/db.ctl`,
      ...daemon,
    );
    this.vsctl("--no-wait", "init");
    this.#run(
      "ovs-vswitchd",
      `unix:${d}/db.sock`,
      `--unixctl=${d}/vswitchd.ctl`,
      "--disable-system",
      ...daemon,
    );
    const netdev = ["datapath_type=netdev"];
    this.vsctl("add-br", "br-phy", "--", "set", "bridge", "br-phy", ...netdev);
    this.vsctl("add-br", "br-int", "--", "set", "bridge", "br-int", ...netdev, "fail_mode=secure");
    this.vsctl("add-port", "br-phy", "under");
    ip("-n", netns, "addr", "flush", "dev", "under");
    ip("-n", netns, "addr", "add", "10.99.0.2/24", "dev", "br-phy");
    ip("-n", netns, "link", "set", "br-phy", "up");
  }

  vsctl(...args: string[]): void {
    this.#run("ovs-vsctl", `--db=unix:${this.#dir}/db.sock`, "--timeout=10", ...args);
  }

  ofctl(...args: string[]): string {
    return this.#run("ovs-ofctl", "-O", "OpenFlow15", ...args);
  }

  /** To be called before the lab's end. */
  stop(): void {
    for (const name of ["ovs-vswitchd", "ovsdb-server"]) {
      const file = join(this.#dir, `${name}.pid`);
      if (existsSync(file)) process.kill(Number(readFileSync(file, "utf8")), "SIGTERM");
    }
  }

  #run(command: string, ...args: string[]): string {
    const d = this.#dir;
    const env = { ...process.env, OVS_RUNDIR: d, OVS_LOGDIR: d, OVS_DBDIR: d, OVS_SYSCONFDIR: d };
    const { status, stdout, stderr } = spawnSync("ip", ["netns", "exec", this.#netns, command, ...args], {
      encoding: "utf8",
      env,
    });
    assert.equal(status, 0, `${command} ${args.join(" ")}: ${stderr}`);
    return stdout;
  }
}
