// A case through real Open vSwitch: one switch for many cases, emptied between them. Every frame meets a switch without
// megaflows, so that none is stale: what is compared is what OVS makes of the tables, not how soon it notices a change.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { OFPP_LOCAL } from "../../../src/pipeline/action.ts";
import { type Ovs, requireOvs } from "../ovs.ts";
import { type Case, type CaseFrame, connectionsComparable, type Outcome, PORTS } from "./case.ts";
import { normalizeFlows, normalizeTrace } from "./normalize.ts";

const BRIDGE = "br0";
/** Control requests that the switch takes in one round of its main loop; a frame sent with so many others is alone in its round. */
const REQUESTS_A_ROUND = 10;

/** The switch ended on a case: an assertion or a crash of its own. A new one has been started. */
export class OvsEnded extends Error {}

/** The listening ovs-ofctl ended, which prints what the packets have. */
class ListenerEnded extends Error {}

export class Theirs {
  ovs: Ovs;

  #told: () => Promise<string[]>;

  private constructor(ovs: Ovs, told: () => Promise<string[]>) {
    this.ovs = ovs;
    this.#told = told;
  }

  static async start(): Promise<Theirs> {
    const ovs = await startSwitch();
    return new Theirs(ovs, await listen(ovs));
  }

  stop(): Promise<void> {
    return this.ovs.stop();
  }

  /** Runs a case from an empty switch; `traced` frames are traced afterwards. */
  run(c: Case, traced: readonly CaseFrame[] = []): Promise<Outcome> {
    return this.#guarded(() => this.#run(c, traced));
  }

  /** Starts a new switch where this one ended on the way; throws OvsEnded. */
  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const alive = await this.ovs.appctl("version").catch(() => null);
      if (alive !== null && !(error instanceof ListenerEnded)) throw error;
      await this.ovs.stop();
      this.ovs = await startSwitch();
      this.#told = await listen(this.ovs);
      throw new OvsEnded(String(error));
    }
  }

  async #run(c: Case, traced: readonly CaseFrame[]): Promise<Outcome> {
    const { ovs } = this;
    await this.#empty();
    const refused = await this.#load(c);
    if (refused !== null)
      return { refused: [refused], sent: [], controller: [], flows: [], connections: [], traces: [] };
    const calls: Promise<unknown>[] = [];
    const call = (method: string, ...params: string[]) => {
      const answer = ovs.appctl(method, ...params);
      answer.catch(() => {}); // told by the one below that waits for all
      calls.push(answer);
    };
    for (const frame of c.frames) {
      if (frame.afterMs > 0) await ovs.warp(frame.afterMs);
      if (frame.mods !== undefined) {
        await Promise.all(calls);
        await this.#add(frame.mods);
      }
      call("revalidator/purge");
      call("netdev-dummy/receive", frame.port === OFPP_LOCAL ? BRIDGE : `p${frame.port}`, frame.hex);
      for (let i = 0; i < REQUESTS_A_ROUND; i++) call("version");
    }
    await Promise.all(calls);
    await ovs.settle();
    const sent: string[] = [];
    for (const [no, name] of [...PORTS.map((n) => [n, `p${n}`] as const), [OFPP_LOCAL, BRIDGE] as const]) {
      for (const frame of ovs.takeSent(name)) sent.push(`${no} ${Buffer.from(frame).toString("hex")}`);
    }
    const controller = packetIns(await this.#told());
    const dump = await ovs.ofctl(["-O", "OpenFlow15", "--no-names", "dump-flows", BRIDGE]);
    const connections = await ovs.dumpConntrack();
    const traces: string[] = [];
    for (const f of traced) traces.push(normalizeTrace(await ovs.trace(BRIDGE, `in_port=${f.port}`, f.hex)));
    return {
      refused: [],
      sent,
      controller,
      flows: normalizeFlows(dump.split("\n").slice(1, -1)),
      connections: connectionsComparable(c) ? connections.sort() : [],
      traces,
    };
  }

  /** OVS's complaint about a line, null when it takes it. Empties the switch. */
  verdict(kind: "flow" | "group", line: string, groups: readonly string[]): Promise<string | null> {
    return this.#guarded(async () => {
      await this.#empty();
      return this.#load(
        kind === "flow" ? { groups, flows: [line], frames: [] } : { groups: [line], flows: [], frames: [] },
      );
    });
  }

  async #empty(): Promise<void> {
    const { ovs } = this;
    await ovs.ofctl(["-O", "OpenFlow15", "del-groups", BRIDGE]);
    await ovs.ofctl(["del-flows", BRIDGE]);
    await Promise.all([
      ovs.settle(),
      ovs.appctl("dpctl/flush-conntrack"),
      ovs.appctl("fdb/flush", BRIDGE),
      ovs.round(),
      this.#told(),
    ]);
    for (const name of [...PORTS.map((n) => `p${n}`), BRIDGE]) ovs.takeSent(name);
  }

  async #add(flows: readonly string[]): Promise<void> {
    const file = join(this.ovs.dir, "flows.txt");
    writeFileSync(file, `${flows.join("\n")}\n`);
    await this.ovs.ofctl(["-O", "OpenFlow15", "--bundle", "add-flows", BRIDGE, file]);
  }

  async #load(c: Case): Promise<string | null> {
    const { ovs } = this;
    const file = join(ovs.dir, "case.txt");
    try {
      if (c.groups.length > 0) {
        writeFileSync(file, `${c.groups.join("\n")}\n`);
        await ovs.ofctl(["-O", "OpenFlow15", "--bundle", "add-groups", BRIDGE, file]);
      }
      await this.#add(c.flows);
      return null;
    } catch (error) {
      await ovs.round(); // throws where the switch has ended
      return String(error)
        .replace(/^Error: (ovs-ofctl: )?(\S+:\d+: )?/, "")
        .split("\n")[0]!
        .replace(/\(xid=0x[0-9a-f]+\)/, "");
    }
  }
}

async function startSwitch(): Promise<Ovs> {
  const ovs = await requireOvs();
  try {
    await ovs.addBridge(BRIDGE, { ports: PORTS.map((no) => ({ no })) });
    await ovs.stopClock();
    return ovs;
  } catch (error) {
    await ovs.stop();
    throw error;
  }
}

/** Becomes a controller. The call it gives: what was printed since it was last called. */
async function listen(ovs: Ovs): Promise<() => Promise<string[]>> {
  const printed = await ovs.monitor(BRIDGE, { bytes: true });
  let seen = 0;
  return async () => {
    const all = await printed().catch((error: unknown) => {
      throw new ListenerEnded(String(error));
    });
    const more = all.slice(seen);
    seen = all.length;
    return more;
  };
}

/** The packet-ins among printed messages, as Outcome has them. */
function packetIns(lines: readonly string[]): string[] {
  const out: { head: string; userdata: string; hex: string }[] = [];
  for (const line of lines) {
    const start =
      /PACKET_IN2? \(OF1\.5\) \(xid=0x0\): (?:table_id=(\d+) )?(?:cookie=(0x[0-9a-f]+) )?.*\(via (\w+)\)/.exec(
        line,
      );
    if (start !== null) {
      out.push({ head: `${start[1] ?? 0} ${start[2] ?? "0x0"} ${start[3]}`, userdata: "-", hex: "" });
      continue;
    }
    const last = out.at(-1);
    if (last === undefined) continue;
    const userdata = /^ userdata=([0-9a-f.]+)/.exec(line);
    if (userdata !== null) last.userdata = userdata[1]!.replaceAll(".", "");
    const bytes = /^[0-9a-f]{8} {2}((?:[0-9a-f]{2}[ -]?){1,16})/.exec(line);
    if (bytes !== null) last.hex += bytes[1]!.replace(/[ -]/g, "");
  }
  return out.map((x) => `${x.head} ${x.userdata} ${x.hex}`);
}
