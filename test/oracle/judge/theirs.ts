// A case through real Open vSwitch: one switch for many cases, emptied between them. Every frame meets a switch without
// megaflows, so that none is stale: what is compared is what OVS makes of the tables, not how soon it notices a change.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { OFPP_LOCAL } from "../../../src/pipeline/action.ts";
import { type Ovs, requireOvs } from "../ovs.ts";
import {
  type Case,
  type CaseFrame,
  connectionsComparable,
  type Outcome,
  PORTS,
  refusal,
  TLV_MAP,
} from "./case.ts";
import { keepsFragments } from "./fragments.ts";
import { normalizeFlows, normalizeRemoval, normalizeStatistics, normalizeTrace } from "./normalize.ts";

const BRIDGE = "br0";
/** No case has one there. */
const LAST_TABLE = 253;
/** Its flows matter to nobody: a change of them makes the switch look at all. */
const NUDGED = "nudge";
/** After a minute without a word OVS hangs up on a controller. */
const WARP_MS = 20_000;
/** A switch that is silent for so long goes round for ever. */
const SILENCE_MS = 30_000;
/** Control requests that the switch takes in one round of its main loop; a frame sent with so many others is alone in its round. */
const REQUESTS_A_ROUND = 10;

/** The switch ended on a case: an assertion or a crash of its own. A new one has been started. */
export class OvsEnded extends Error {}

/** The switch runs, and hears nothing. */
class Silence extends Error {}

/** The listening ovs-ofctl ended, which prints what the packets have. */
class ListenerEnded extends Error {}

export class Theirs {
  ovs: Ovs;

  #told: () => Promise<string[]>;
  /** Whether fragments may wait in the switch, which nothing but its end gets out. */
  #holds = false;
  #vlanLimit = 1;
  /** The case before. */
  #before: Pick<Case, "flows"> = { flows: [] };

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
      return await this.#unlessSilent(work());
    } catch (error) {
      const alive = !(error instanceof Silence) && (await this.#answers());
      if (alive && !(error instanceof ListenerEnded)) throw error;
      const why = (await endOf(this.ovs)) ?? (error instanceof Error ? error.message : String(error));
      await this.#renew();
      throw new OvsEnded(why);
    }
  }

  #answers(): Promise<boolean> {
    return this.ovs.appctl("version").then(
      () => true,
      () => false,
    );
  }

  async #unlessSilent<T>(work: Promise<T>): Promise<T> {
    work.catch(() => {});
    const stop = new AbortController();
    const late = () => sleep(SILENCE_MS, null, { signal: stop.signal }).catch(() => null);
    try {
      for (;;) {
        const done = await Promise.race([work.then((value) => ({ value })), late()]);
        if (done !== null) return done.value;
        if ((await Promise.race([this.#answers(), late()])) === null)
          throw new Silence("the switch does not answer");
      }
    } finally {
      stop.abort();
    }
  }

  async #renew(): Promise<void> {
    await this.ovs.stop();
    this.ovs = await startSwitch();
    this.#told = await listen(this.ovs);
    this.#holds = false;
    this.#vlanLimit = 1;
  }

  async #run(c: Case, traced: readonly CaseFrame[]): Promise<Outcome> {
    await this.#empty();
    this.#holds = keepsFragments(c);
    this.#before = c;
    const { ovs } = this;
    if (c.vlanLimit !== this.#vlanLimit) {
      await ovs.vsctl(["set", "Open_vSwitch", ".", `other_config:vlan-limit=${c.vlanLimit}`]);
      this.#vlanLimit = c.vlanLimit;
    }
    const refused = await this.#load(c);
    if (refused !== null) return refusal(refused);
    const mortal = /(idle|hard)_timeout=\d{1,2}\b/.test(c.flows.join());
    const calls: Promise<unknown>[] = [];
    const call = (method: string, ...params: string[]) => {
      const answer = ovs.appctl(method, ...params);
      answer.catch(() => {}); // told by the one below that waits for all
      calls.push(answer);
    };
    const told: string[] = [];
    for (const frame of c.frames) {
      if (frame.afterMs > 0) {
        if (mortal) {
          // What a frame does to a learned flow is done when it is counted.
          await Promise.all(calls);
          await ovs.settle();
        }
        for (let ms = frame.afterMs; ms > 0; ms -= WARP_MS) {
          await ovs.warp(Math.min(ms, WARP_MS));
          told.push(...(await this.#told()));
        }
        if (mortal) await this.#bury();
      }
      if (frame.mods !== undefined) {
        await Promise.all(calls);
        await ovs.settle(); // a flow that goes is told of with its counts
        await this.#add(frame.mods);
      }
      call("revalidator/purge");
      call("netdev-dummy/receive", frame.port === OFPP_LOCAL ? BRIDGE : `p${frame.port}`, frame.hex);
      for (let i = 0; i < REQUESTS_A_ROUND; i++) call("version");
    }
    await Promise.all(calls);
    await ovs.settle();
    if (mortal) await this.#bury(); // what the last frame has ended
    const sent: string[] = [];
    for (const [no, name] of [...PORTS.map((n) => [n, `p${n}`] as const), [OFPP_LOCAL, BRIDGE] as const]) {
      for (const frame of ovs.takeSent(name)) sent.push(`${no} ${Buffer.from(frame).toString("hex")}`);
    }
    told.push(...(await this.#allTold(c)));
    const dump = await ovs.ofctl(["-O", "OpenFlow15", "--no-names", "dump-flows", BRIDGE]);
    const connections = await ovs.dumpConntrack();
    const statistics = await this.#statistics(c); // which a trace changes
    const traces: string[] = [];
    for (const f of traced) traces.push(normalizeTrace(await ovs.trace(BRIDGE, `in_port=${f.port}`, f.hex)));
    return {
      refused: [],
      sent,
      controller: packetIns(told),
      flows: normalizeFlows(dump.split("\n").slice(1, -1)),
      removed: told
        .filter((line) => line.startsWith("OFPT_FLOW_REMOVED"))
        .map(normalizeRemoval)
        .sort(),
      statistics,
      connections: connectionsComparable(c) ? connections.sort() : [],
      traces,
    };
  }

  /** Lets flows go whose time has come: they are looked for when the megaflows have been looked at. */
  async #bury(): Promise<void> {
    await this.ovs.ofctl(["add-flow", NUDGED, "actions=drop"]);
    await this.ovs.appctl("revalidator/wait");
    await this.ovs.round();
  }

  /** What a controller was told. Flows that have gone are told of in the switch's own time: one more, which goes last, says when. */
  async #allTold(c: Pick<Case, "flows">): Promise<string[]> {
    const told = await this.#told();
    if (!c.flows.join().includes("send_flow_rem")) return told;
    const { ovs } = this;
    await ovs.ofctl(["add-flow", BRIDGE, `table=${LAST_TABLE},send_flow_rem,actions=drop`]);
    await ovs.ofctl(["del-flows", BRIDGE, `table=${LAST_TABLE}`]);
    for (;;) {
      told.push(...(await this.#told()));
      const last = told.findIndex((line) => line.includes(`table_id=${LAST_TABLE} `));
      if (last >= 0) return told.slice(0, last);
      await ovs.round();
    }
  }

  async #statistics(c: Case): Promise<string[]> {
    const ask = (about: readonly string[], what: string) =>
      about.length === 0 ? "" : this.ovs.ofctl(["-O", "OpenFlow15", what, BRIDGE]);
    return normalizeStatistics(await ask(c.groups, "dump-group-stats"), await ask(c.meters, "meter-stats"));
  }

  /** OVS's complaint about a line, null when it takes it. Empties the switch. */
  verdict(kind: "flow" | "group", line: string, c: Case): Promise<string | null> {
    return this.#guarded(async () => {
      await this.#empty();
      const { meters, groups } = c;
      return kind === "flow"
        ? this.#load({ meters, groups, flows: [line] })
        : this.#load({ meters, groups: [line], flows: [] });
    });
  }

  async #empty(): Promise<void> {
    if (this.#holds) await this.#renew();
    const { ovs } = this;
    // In this order: OVS ends where a group goes that one flow names twice.
    await ovs.ofctl(["del-flows", BRIDGE]);
    await ovs.ofctl(["-O", "OpenFlow15", "del-groups", BRIDGE]);
    await ovs.ofctl(["-O", "OpenFlow15", "del-meters", BRIDGE]);
    await Promise.all([
      ovs.settle(),
      ovs.appctl("dpctl/flush-conntrack"),
      ovs.appctl("fdb/flush", BRIDGE),
      ovs.round(),
    ]);
    await this.#allTold(this.#before);
    for (const name of [...PORTS.map((n) => `p${n}`), BRIDGE]) ovs.takeSent(name);
  }

  async #add(flows: readonly string[]): Promise<void> {
    const file = join(this.ovs.dir, "flows.txt");
    writeFileSync(file, `${flows.join("\n")}\n`);
    await this.ovs.ofctl(["-O", "OpenFlow15", "--bundle", "add-flows", BRIDGE, file]);
  }

  async #load(c: Pick<Case, "meters" | "groups" | "flows">): Promise<string | null> {
    const { ovs } = this;
    const file = join(ovs.dir, "case.txt");
    try {
      for (const meter of c.meters) await ovs.ofctl(["-O", "OpenFlow15", "add-meter", BRIDGE, meter]);
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

/** Why the switch ended, which it may take a moment to do after its last answer. */
async function endOf(ovs: Ovs): Promise<string | null> {
  for (let i = 0; i < 100 && ovs.ended() === null; i++) await sleep(10);
  return ovs.ended();
}

async function startSwitch(): Promise<Ovs> {
  const ovs = await requireOvs();
  try {
    await ovs.addBridge(BRIDGE, { ports: PORTS.map((no) => ({ no })) });
    await ovs.addBridge(NUDGED);
    for (const name of [BRIDGE, ...PORTS.map((no) => `p${no}`)])
      await ovs.vsctl(["set", "interface", name, "mtu_request=9000"]);
    await ovs.ofctl(["add-tlv-map", BRIDGE, TLV_MAP]);
    await ovs.stopClock();
    // Else it would trace, now and then, a frame whose translation goes too deep, and a controller would be sent what the trace is.
    await ovs.appctl("vlog/set", "ofproto_dpif_upcall:ANY:off");
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
    if (line.startsWith("OFPT_FLOW_REMOVED")) continue;
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
