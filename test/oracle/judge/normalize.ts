// Takes out of both switches' texts what may differ from run to run: durations, recirculation ids, the datapath's number of the
// bridge's own port, and the order of a flood (OVS floods in the order of a hash table).
import { OFPP_LOCAL } from "../../../src/pipeline/action.ts";

/** OVS's dummy datapath gives the bridge's own port this number. */
const LOCAL_DATAPATH_PORT = "100";

/** One line of dump-flows. */
function normalizeFlow(line: string): string {
  return line
    .trim()
    .replace(/duration=[^,]*, /, "")
    .replace(/(idle|hard)_age=\d+, /g, "");
}

/**
 * A whole dump. Flows of one priority stand in no certain order where their masks differ: the clauses of a conjunction may. A learned
 * flow whose timeouts a FIN has shortened goes behind its equals in OVS whenever it is learned anew by a frame that no megaflow takes.
 */
export function normalizeFlows(lines: readonly string[]): string[] {
  const all = lines.map(normalizeFlow);
  if (all.some((line) => line.includes("conjunction("))) return all.sort();
  const moves = (line: string) => line.includes("actions=fin_timeout(");
  return [...all.filter((line) => !moves(line)), ...all.filter(moves).sort()];
}

/** One OFPT_FLOW_REMOVED. */
export function normalizeRemoval(line: string): string {
  return line.replace(/^OFPT_FLOW_REMOVED \(OF1\.5\) \(xid=0x0\): */, "").replace(/ duration[0-9.]+s/, "");
}

/** dump-group-stats and meter-stats: a line for each group and meter, sorted. */
export function normalizeStatistics(groups: string, meters: string): string[] {
  const rest = (text: string) => text.slice(`${text}\n`.indexOf("\n") + 1);
  const each = [...rest(groups).split("\n"), ...rest(meters).split(/\n\n|\n(?=meter:)/)];
  return each
    .map((x) =>
      x
        .trim()
        .replace(/\n/g, " ")
        .replace(/,?\bduration[:=][0-9.]+s ?/, ""),
    )
    .filter((x) => x !== "")
    .sort();
}

/**
 * Their dump with the counts that OVS loses (differences.md): when one frame's way leads twice through a learn whose flow's actions
 * depend on a register, the flow is replaced twice, and what is counted for the first goes to the second alone, not to the third.
 */
export function mendCounts(
  theirs: readonly string[],
  ours: readonly string[],
  flows: readonly string[],
): string[] {
  const cookies = new Set<string>();
  for (const line of flows)
    for (const [learn] of line.matchAll(/learn\([^()]*\)/g))
      if (/output:NXM_NX_REG/.test(learn)) cookies.add(/cookie=(0x[0-9a-f]+)/.exec(learn)?.[1] ?? "0x0");
  return theirs.map((line, i) => {
    const other = ours[i];
    if (other === undefined || !cookies.has(/^cookie=(0x[0-9a-f]+)/.exec(line)?.[1] ?? "")) return line;
    return uncounted(line) === uncounted(other) && packets(line) < packets(other) ? other : line;
  });
}

const COUNTS = /n_packets=(\d+), n_bytes=\d+/;
const uncounted = (line: string) => line.replace(COUNTS, "");
const packets = (line: string) => Number(COUNTS.exec(line)?.[1]);

/** Recirculation ids by order of appearance; the bridge's own port by its OpenFlow number; runs of outputs sorted. */
export function normalizeTrace(text: string): string {
  const seen = new Map<string, string>();
  return text
    .replace(/^Megaflow: .*(?=\nDatapath actions: drop\nTranslation failed)/gm, withoutTunnel)
    .replace(/(ipv6_label=0x[0-9a-f]+)\/0xfffff\b/g, "$1") // all 20 bits, whether a flow looked at them or an action did
    .replace(/\b(recirc_id=|recirc\()(0x[0-9a-f]+|[1-9][0-9]*)\b/g, (_, head: string, id: string) => {
      const key = Number(id).toString();
      if (!seen.has(key)) seen.set(key, `#${seen.size + 1}`);
      return head + seen.get(key)!;
    })
    .replace(/^Datapath actions: .*$/gm, (line) =>
      line
        .replace(/(?<=[ ,(])\d+(?=$|[,)])/g, (port) =>
          port === LOCAL_DATAPATH_PORT ? `${OFPP_LOCAL}` : port,
        )
        .replace(/(?<=[ ,(])\d+(,\d+)+(?=$|[,)])/g, (run) =>
          run
            .split(",")
            .map(Number)
            .sort((a, b) => a - b)
            .join(","),
        ),
    )
    .trimEnd();
}

/** No frame here comes by a tunnel: OVS takes such fields out of a megaflow when it has been translated, and leaves them when that failed. */
const withoutTunnel = (megaflow: string): string => megaflow.replace(/,tun_\w+(=[^,]*)?/g, "");

/** Protocols, and what a megaflow calls a frame whose protocol it does not look at. */
const BASE: Readonly<Record<string, string>> = {
  tcp: "ip",
  udp: "ip",
  sctp: "ip",
  icmp: "ip",
  igmp: "ip",
  tcp6: "ipv6",
  udp6: "ipv6",
  sctp6: "ipv6",
  icmp6: "ipv6",
};

/**
 * Their trace as it would be without the faults of OVS 3.1 that differences.md lists, where ours shows it so: a megaflow of ours
 * may look at more, in these fields, and at no less. (The protocol or opcode of a header that is written; the label entry that is
 * written, whole; the priority of a priority tag that NORMAL sends on; a tag that is taken off and put on again; the mark or label that
 * a connection's are moved from.)
 */
export function mendTrace(theirs: string, ours: string): string {
  const mended = mendLines(theirs, ours, /^Megaflow: .*$/gm, looksAtMore);
  return /\bnsh_mdtype=(?!1,)/.test(theirs)
    ? mendLines(mended, ours, /^Datapath actions: .*$/gm, setsNoContext)
    : mended;
}

/** Their lines, but ours where `mends` holds of the two in one place. */
function mendLines(
  theirs: string,
  ours: string,
  which: RegExp,
  mends: (ours: string, theirs: string) => boolean,
): string {
  const lines = ours.match(which) ?? [];
  let i = 0;
  return theirs.replace(which, (line) => {
    const other = lines[i++];
    return other !== undefined && mends(other, line) ? other : line;
  });
}

/** Ours sets the context of an NSH header that has none, which does nothing (differences.md, 10). */
function setsNoContext(ours: string, theirs: string): boolean {
  const nothing = /(,?)set\(nsh\([^()]*\)\)(,?)/g;
  const rest = (line: string) =>
    line
      .replace(nothing, (_, before: string, after: string) => (before !== "" && after !== "" ? "," : ""))
      .replace(/: $/, ": drop");
  return rest(ours) === theirs;
}

function looksAtMore(ours: string, theirs: string): boolean {
  const a = ours.split(",");
  const left = new Set(theirs.split(","));
  const more: string[] = [];
  for (const part of a) if (!left.delete(part) && !left.delete(BASE[part] ?? "")) more.push(part);
  // What is left of theirs has to be there in ours, with more bits.
  const less = [...left];
  for (const group of MORE) {
    const wide = maskedValue(more, group);
    const narrow = maskedValue(less, group);
    if ((narrow.mask & ~wide.mask) !== 0n || ((narrow.value ^ wide.value) & narrow.mask) !== 0n) return false;
  }
  return [...more, ...less].every((part) => MORE.some((group) => group.test(part)));
}

/** Fields of which ours may look at more. */
const MORE = [
  /^nw_proto=/,
  /^arp_op=/,
  /^mpls_\w+=/,
  /^(dl_vlan|dl_vlan_pcp|vlan_tci)=/,
  /^(dl_vlan1|dl_vlan_pcp1|vlan_tci1)=/,
  /^ct_mark=/,
  /^ct_label=/,
];
const EXACT = (1n << 128n) - 1n;

/** The bits that the parts of a group say: of a VLAN as the tag control information has them. */
function maskedValue(parts: readonly string[], group: RegExp): { value: bigint; mask: bigint } {
  const out = { value: 0n, mask: 0n };
  for (const part of parts) {
    if (!group.test(part)) continue;
    const [name, text] = part.split("=") as [string, string];
    const [v, m] = text.split("/").map((x) => BigInt(x)) as [bigint, bigint | undefined];
    if (/^dl_vlan1?$/.test(name)) or(out, v | 0x1000n, m === undefined ? 0x1fffn : m | 0x1000n);
    else if (/^dl_vlan_pcp1?$/.test(name)) or(out, (v << 13n) | 0x1000n, 0xf000n);
    else or(out, v, m ?? EXACT);
  }
  return out;
}

function or(to: { value: bigint; mask: bigint }, value: bigint, mask: bigint): void {
  to.value |= value;
  to.mask |= mask;
}

/**
 * For NORMAL, which in OVS floods in the order of a hash table, tagging and untagging on the way: what each port gets, in order of
 * ports.
 */
export function perPort(text: string): string {
  const tag = /^Flow: .*\bdl_vlan=(\d+),dl_vlan_pcp=(\d+)/.exec(text);
  return text.replace(/^Datapath actions: (.*)$/gm, (_, actions: string) => {
    const tags = tag === null ? [] : [`push_vlan(vid=${tag[1]},pcp=${tag[2]})`];
    const out: string[] = [];
    for (const action of actions.match(/[a-z_]+(\([^)]*\))?|\d+/g) ?? []) {
      if (action === "pop_vlan") tags.pop();
      else if (action.startsWith("push_vlan")) tags.push(action.replace("tpid=0x88a8,", ""));
      else out.push(`${action.padStart(5)} ${tags.join()}`);
    }
    return `Datapath actions: ${out.sort().join("; ")}`;
  });
}
