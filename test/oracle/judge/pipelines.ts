// Random pipelines: groups and flows. No two flows of a table that can match one frame have the same priority, but for the
// clauses of a conjunction.

import type { Prng } from "../../../src/lib/prng.ts";
import { makeActionList, makeActions, type Surroundings } from "./actions.ts";
import type { CaseFrame } from "./case.ts";
import { hex, oneIn } from "./hosts.ts";
import { ANY, anyKind, makeMatch } from "./matches.ts";

class Priorities {
  readonly #r: Prng;
  readonly #used: Set<number>[];

  constructor(r: Prng, tables: number) {
    this.#r = r;
    this.#used = Array.from({ length: tables }, () => new Set([0]));
  }

  take(table: number): number {
    const used = this.#used[table]!;
    let priority = 1 + this.#r.below(200);
    while (used.has(priority)) priority++;
    used.add(priority);
    return priority;
  }
}

export interface Pipeline {
  /** Whether flows may expire while frames come. */
  readonly mortal: boolean;
  readonly vlanLimit: 1 | 2;
  readonly meters: string[];
  readonly groups: string[];
  readonly flows: string[];
}

/** Lines may be refused by either switch; the judge asks both. */
export function makePipeline(r: Prng, tablesMax: number): Pipeline {
  // As many with few tables as with many.
  const tables = 1 + r.below(oneIn(r, 2) ? Math.min(tablesMax, 6) : tablesMax);
  const priorities = new Priorities(r, tables);
  const mortal = oneIn(r, 6);
  let cookie = 0;
  const freshCookie = () => hex(++cookie);
  const groupIds = oneIn(r, 3) ? Array.from({ length: 1 + r.below(3) }, (_, i) => i + 1) : [];
  const meterIds = oneIn(r, 4) ? Array.from({ length: 1 + r.below(3) }, (_, i) => i + 1) : [];
  const meters = meterIds.map((id) => makeMeter(r, id));
  const around = (table: number, groups: readonly number[]): Surroundings => ({
    meters: meterIds,
    mortal,
    table,
    tables,
    groups,
    freshPriority: (t) => priorities.take(t),
    freshCookie,
  });
  // A bucket may lead to a group made before.
  const groups = groupIds.map((id) =>
    makeGroup(
      r,
      id,
      around(
        0,
        groupIds.filter((other) => other < id && oneIn(r, 4)),
      ),
    ),
  );

  const flows: string[] = [];
  for (let table = 0; table < tables; table++) {
    for (let n = 2 + r.below(9); n > 0; n--) {
      if (oneIn(r, 25)) {
        flows.push(...makeConjunction(r, table, priorities, freshCookie, around(table, groupIds)));
        continue;
      }
      // One in four is broad and goes on, so that much is done to many frames.
      const broad = table + 1 < tables && oneIn(r, 4);
      const m = makeMatch(r, anyKind(r), broad ? 1 : 3);
      const match = m.text === "" ? "" : `,${m.text}`;
      const actions = broad
        ? [...makeActions(r, m, around(table, groupIds), 1 + r.below(3)), `resubmit(,${table + 1})`].join(",")
        : makeActionList(r, m, around(table, groupIds));
      // Without a tag left only OpenFlow 1.0 takes it.
      if (/(pop_vlan|strip_vlan)(?!.*push_vlan).*(pop_vlan|strip_vlan|set_vlan|->vlan)/.test(actions))
        continue;
      if (/ip_frag=(yes|later|first)/.test(match) && /mod_tp_|->(tcp|udp|sctp|icmp|nd)/.test(actions))
        continue;
      // OVS ends when it tells that such a flow has gone.
      const life = match.includes("tun_metadata")
        ? lifetime(r, mortal).replace(",send_flow_rem", "")
        : lifetime(r, mortal);
      flows.push(
        `cookie=${freshCookie()},table=${table},priority=${priorities.take(table)}${life}${match},actions=${actions}`,
      );
    }
    if (!oneIn(r, 4)) {
      const m = makeMatch(r, ANY, 0);
      const last = table + 1 === tables;
      const actions = oneIn(r, 3)
        ? makeActionList(r, m, around(table, groupIds))
        : last
          ? "NORMAL"
          : `resubmit(,${table + 1})`;
      flows.push(`cookie=${freshCookie()},table=${table},priority=0,actions=${actions}`);
    }
  }
  return withoutRecirculatingSets(
    r,
    withoutForgottenHeaders(r, { mortal, vlanLimit: oneIn(r, 8) ? 2 : 1, meters, groups, flows }),
  );
}

/**
 * A second tag and then a packet-in make OVS lose the network header (differences.md): leaves the pipeline one of them, where it
 * has both.
 */
function withoutForgottenHeaders(r: Prng, p: Pipeline): Pipeline {
  const all = [...p.groups, ...p.flows].join("\n");
  if (!all.includes("push_vlan") || !/controller|CONTROLLER|dec_ttl|dec_mpls_ttl/.test(all)) return p;
  const others = p.flows.filter((line) => !line.includes("push_vlan"));
  if (!p.groups.join().includes("push_vlan") && oneIn(r, 2)) return { ...p, flows: others };
  const sane = (line: string) =>
    line
      .replace(/controller\([^)]*\)|CONTROLLER:\d+/g, "output:1")
      .replace(/\bdec_ttl\b(\([\d,]*\))?/g, "mod_nw_ttl:9")
      .replace(/\bdec_mpls_ttl\b/g, "set_mpls_ttl(9)");
  return { ...p, groups: p.groups.map(sane), flows: p.flows.map(sane) };
}

/** What makes a frame go through the datapath once more. */
const RECIRCULATES = /\bct\([^)]*table=|pop_mpls|decap|pause/;

/**
 * OVS ends on an assertion when a frame that has an action set recirculates (differences.md): leaves the pipeline sets only in
 * tables behind all that recirculate, or nothing that recirculates where there may be a set.
 */
function withoutRecirculatingSets(r: Prng, p: Pipeline): Pipeline {
  const all = p.groups.join();
  const groupsDo = RECIRCULATES.test(all) || all.includes("dp_hash");
  const recirculates = (line: string) => RECIRCULATES.test(line) || (groupsDo && line.includes("group:"));
  const tableOf = (line: string) => Number(/\btable=(\d+)/.exec(line)![1]);
  const firstSet = Math.min(...p.flows.filter((l) => l.includes("write_actions")).map(tableOf));
  const lastRecirculation = Math.max(...p.flows.filter(recirculates).map(tableOf));
  if (firstSet > lastRecirculation) return p;
  if (oneIn(r, 2)) {
    const without = (line: string) =>
      line
        .replace(/,write_actions\((?:[^()]|\([^()]*\))*\)(?=,|$)/, "")
        .replace(/=write_actions\((?:[^()]|\([^()]*\))*\)/, "=drop")
        .replace("=drop,", "=");
    return { ...p, flows: p.flows.map((l) => (tableOf(l) <= lastRecirculation ? without(l) : l)) };
  }
  const sane = (line: string) =>
    line
      .replace(/\bct\([^)]*table=(?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)/g, "ct_clear")
      .replace(/\bpop_mpls:0x\w+/g, "output:1")
      .replace(/\bclone\(decap\(\)(?:[^()]|\([^()]*\))*\)/g, "output:1")
      .replace(/group:\d+/g, groupsDo ? "output:2" : "$&");
  return { ...p, flows: p.flows.map((line) => (tableOf(line) >= firstSet ? sane(line) : line)) };
}

/** Timeouts and flags, printed back by dump-flows: longer than any case lasts, if the pipeline is not mortal. */
function lifetime(r: Prng, mortal: boolean): string {
  if (mortal && oneIn(r, 3)) {
    const short = () => 1 + r.below(5);
    const time = r.pick([
      `idle_timeout=${short()}`,
      `hard_timeout=${short()}`,
      `idle_timeout=${short()},hard_timeout=${short()}`,
    ]);
    return `,${time}${oneIn(r, 3) ? "" : ",send_flow_rem"}`;
  }
  if (!oneIn(r, 10)) return "";
  return `,${r.pick(["idle_timeout=3600", "hard_timeout=7200", "idle_timeout=3600,hard_timeout=7200", "importance=5", "send_flow_rem", "no_packet_counts", "no_byte_counts"])}`;
}

/** Now and then, changes of the flows between the frames. */
export function withChanges(r: Prng, flows: readonly string[], frames: readonly CaseFrame[]): CaseFrame[] {
  if (!oneIn(r, 3)) return [...frames];
  return frames.map((f) => {
    if (!oneIn(r, 25)) return f;
    return { ...f, mods: [makeChange(r, flows)] };
  });
}

/** A flow-mod about one of the flows. */
function makeChange(r: Prng, flows: readonly string[]): string {
  const line = r.pick(flows);
  const at = line.indexOf(",actions=");
  const match = line
    .slice(0, at)
    .replace(/cookie=\w+,/, "")
    .replace(/,(idle_timeout=\d+|hard_timeout=\d+|importance=\d+|send_flow_rem|no_\w+_counts)/g, "");
  const loose = match.replace(/priority=\d+,?/, "").replace(/,$/, "");
  const actions = r.pick(["drop", "NORMAL", "output:1", "output:2", line.slice(at + 9)]);
  switch (r.below(7)) {
    case 0:
      return `delete ${loose}`;
    case 1:
    case 2:
      return `delete_strict ${match}`;
    case 3:
      return `modify ${loose},actions=${actions}`;
    case 4:
      return `modify_strict ${match},actions=${actions}`;
    case 5:
      return `modify_strict ${match}${match.endsWith(",") ? "" : ","}reset_counts,actions=${actions}`;
    default:
      return `add ${oneIn(r, 3) ? "reset_counts," : ""}${line.slice(0, at)},actions=${actions}`;
  }
}

/** One that a few frames fill: rates are small, and what frames come at once may be more than a burst. */
function makeMeter(r: Prng, id: number): string {
  const unit = r.pick(["pktps", "pktps", "kbps"]);
  const bursts = oneIn(r, 2);
  const bands = Array.from(
    { length: 1 + r.below(3) },
    () => `type=drop,rate=${1 + r.below(20)}${bursts ? `,burst_size=${1 + r.below(12)}` : ""}`,
  );
  return `meter=${id},${unit}${bursts ? ",burst" : ""}${oneIn(r, 2) ? ",stats" : ""},bands=${bands.join(",")}`;
}

function makeGroup(r: Prng, id: number, s: Surroundings): string {
  const type = r.pick(["all", "select", "select", "indirect", "ff"]);
  const count = type === "indirect" ? 1 : 1 + r.below(4);
  const method =
    type === "select"
      ? r.pick([
          "",
          "",
          ",selection_method=dp_hash",
          ",selection_method=dp_hash,selection_method_param=1",
          ",selection_method=hash",
          ",selection_method=hash,fields(ip_dst=255.255.255.0,nw_proto)",
          ",selection_method=hash,fields(ipv6_src,in_port),selection_method_param=7",
          ",selection_method=hash,fields(eth_src,eth_dst)",
          ",selection_method=hash,fields(ip_src,ip_dst,tcp_src)",
        ])
      : "";
  const buckets: string[] = [];
  for (let i = 0; i < count; i++) {
    const m = makeMatch(r, ANY, 0);
    const actions = makeActions(r, m, { ...s, table: s.tables - 1 }, 1 + r.below(2), 1).filter(
      (a) => !/^(clone|exit|note|learn|group|check_pkt_larger)/.test(a),
    );
    const weight = type === "select" && oneIn(r, 2) ? `weight:${r.pick([0, 1, 2, 3, 20, 100])},` : "";
    const watch = type === "ff" || (type === "select" && oneIn(r, 5)) ? makeWatch(r, s) : "";
    buckets.push(
      `bucket=${weight}${watch}actions=${actions.length === 0 ? `output:${1 + r.below(4)}` : actions.join(",")}`,
    );
  }
  return `group_id=${id},type=${type}${method},${buckets.join(",")}`;
}

/** Port 7 is not there. */
function makeWatch(r: Prng, s: Surroundings): string {
  if (s.groups.length > 0 && oneIn(r, 3)) return `watch_group:${r.pick(s.groups)},`;
  return `watch_port:${r.pick([1, 2, 3, 4, 7])},`;
}

function makeConjunction(
  r: Prng,
  table: number,
  priorities: Priorities,
  freshCookie: () => string,
  s: Surroundings,
): string[] {
  const id = 1 + r.below(1000);
  const clauses = 2 + r.below(oneIn(r, 3) ? 4 : 2);
  const priority = priorities.take(table);
  const flows: string[] = [];
  const kind = anyKind(r);
  for (let clause = 1; clause <= clauses; clause++) {
    for (let n = 1 + r.below(2); n > 0; n--) {
      const m = makeMatch(r, kind, 2);
      const match = m.text === "" ? "" : `,${m.text}`;
      // A flow may be of two conjunctions, or of two dimensions of one.
      const more = oneIn(r, 4)
        ? `,conjunction(${oneIn(r, 2) ? id : id + 1},${1 + r.below(clauses)}/${clauses})`
        : "";
      flows.push(
        `cookie=${freshCookie()},table=${table},priority=${priority}${match},actions=conjunction(${id},${clause}/${clauses})${more}`,
      );
    }
  }
  for (const conjunction of oneIn(r, 3) ? [id, id + 1] : [id]) {
    const m = makeMatch(r, kind, 0);
    const match = m.text === "" ? "" : `,${m.text}`;
    flows.push(
      `cookie=${freshCookie()},table=${table},priority=${priorities.take(table)},conj_id=${conjunction}${match},actions=${makeActionList(r, m, s)}`,
    );
  }
  return flows;
}
