// Random actions that go with a match's kind.
import type { Prng } from "../../../src/lib/prng.ts";
import { ctActions } from "./ct-actions.ts";
import { anyPort, hex, IPV4, IPV6, MACS, type Make, oneIn, VIDS } from "./hosts.ts";
import type { Kind, MadeMatch } from "./matches.ts";
import { encapActions, nshActions } from "./nsh-actions.ts";
import { neighbourActions, rareActions, rareIpActions } from "./rare-actions.ts";
import { registerActions } from "./register-actions.ts";

/** What the pipeline around an action offers. */
export interface Surroundings {
  readonly table: number;
  readonly tables: number;
  readonly groups: readonly number[];
  readonly meters: readonly number[];
  /** Whether flows expire while frames come. */
  readonly mortal: boolean;
  /** A priority that no other flow of the table has: for learned flows. */
  readonly freshPriority: (table: number) => number;
  readonly freshCookie: () => string;
}

/** OVS refuses bits of a value that the mask leaves out. */
function maskedHex(r: Prng, value: number, masks: readonly number[]): string {
  const mask = r.pick(masks);
  return `${hex(value & mask)}/${hex(mask)}`;
}

const outputs: readonly Make[] = [
  (r) => `output:${1 + r.below(4)}`,
  (r) => `output:${1 + r.below(4)}`,
  (r) => `output:${1 + r.below(4)}`,
  () => "IN_PORT",
  () => "LOCAL",
  () => "output:NXM_NX_REG0[0..15]",
  () => "output:NXM_NX_REG1[]",
  () => "output:7",
  (r) => `set_queue:${r.below(3)},output:${1 + r.below(4)},pop_queue`,
  (r) => `output(port=${1 + r.below(4)},max_len=${r.pick([30, 40, 60, 100])})`,
  (r) => `controller(max_len=${r.pick([0, 64])})`,
  () => "CONTROLLER:128",
];

const floods: readonly Make[] = [() => "NORMAL", () => "NORMAL", () => "FLOOD", () => "ALL"];

const registers: readonly Make[] = [
  (r) => `load:${1 + r.below(4)}->NXM_NX_REG${r.below(3)}[]`,
  (r) => `load:${r.below(16)}->NXM_NX_REG${r.below(3)}[${r.pick(["0..3", "4..7", "28..31", "0..15"])}]`,
  (r) => `set_field:${maskedHex(r, r.below(256), [0xff, 1, 3, 0xf0])}->reg${r.below(3)}`,
  (r) => `set_field:${hex(r.below(4))}->metadata`,
  (r) => `set_field:${hex(r.below(4))}/0x3->metadata`,
  (r) => `set_field:${hex(r.below(4))}->pkt_mark`,
  (r) => `set_field:${hex(r.below(4))}->xxreg0`,
  (r) => `set_field:${hex(r.below(4))}/0x3->xreg0`,
  (r) =>
    `move:NXM_NX_REG${r.below(3)}[0..${r.pick([0, 3, 15])}]->NXM_NX_REG${r.below(3)}[16..${16 + 15}]`.replace(
      /\[0\.\.(\d+)\]->(\S+)\[16\.\.31\]/,
      (_, n: string, d: string) => `[0..${n}]->${d}[${16}..${16 + Number(n)}]`,
    ),
  () => "move:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15]",
  () => "move:NXM_OF_ETH_DST[0..1]->NXM_NX_REG1[0..1]",
  () => "move:NXM_NX_REG0[]->NXM_NX_PKT_MARK[]",
  (r) => `push:NXM_NX_REG${r.below(3)}[]`,
  (r) => `pop:NXM_NX_REG${r.below(3)}[]`,
  () => "push:NXM_OF_ETH_SRC[],push:NXM_OF_ETH_DST[],pop:NXM_OF_ETH_SRC[],pop:NXM_OF_ETH_DST[]",
  (r) => `load:${1 + r.below(4)}->NXM_OF_IN_PORT[]`,
  (r) => `set_queue:${r.below(3)}`,
  () => "pop_queue",
];

const ethernet: readonly Make[] = [
  (r) => `mod_dl_src:${r.pick(MACS)}`,
  (r) => `mod_dl_dst:${r.pick(MACS)}`,
  (r) => `set_field:${r.pick(MACS)}->eth_dst`,
  (r) => `set_field:00:00:00:00:00:0${r.below(8)}/00:00:00:00:00:0f->eth_src`,
  (r) => `load:${r.below(4)}->NXM_OF_ETH_DST[0..1]`,
  () => "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
  (r) => `move:NXM_NX_REG0[0..7]->NXM_OF_ETH_DST[${r.pick(["0..7", "8..15"])}]`,
];

const vlan: readonly Make[] = [
  (r) => `push_vlan:0x8100,set_field:${hex(0x1000 | r.pick(VIDS))}->vlan_vid`,
  (r) => `push_vlan:${r.pick(["0x8100", "0x88a8"])}`,
  (r) => `push_vlan:0x8100,output:${1 + r.below(4)},strip_vlan`,
];

const tagged: readonly Make[] = [
  () => "pop_vlan",
  () => "strip_vlan",
  () => "strip_vlan",
  (r) => `set_field:${hex(0x1000 | r.pick(VIDS))}->vlan_vid`,
  (r) => `set_field:${r.below(8)}->vlan_pcp`,
  (r) => `mod_vlan_vid:${r.pick(VIDS)}`,
  (r) => `mod_vlan_pcp:${r.below(8)}`,
  (r) => `set_vlan_vid:${r.pick(VIDS)}`,
  () => "move:OXM_OF_VLAN_VID[0..11]->NXM_NX_REG1[0..11]",
  () => "move:NXM_OF_VLAN_TCI[]->NXM_NX_REG0[0..15]",
];

function ipActions(k: Kind): Make[] {
  const out: Make[] = [
    () => "dec_ttl",
    () => "dec_ttl",
    (r) => `mod_nw_ttl:${r.pick([1, 2, 64])}`,
    (r) => `mod_nw_tos:${r.pick([0, 32, 184])}`,
    (r) => `set_field:${r.below(4)}->nw_ecn`,
    (r) => `set_field:${r.pick([0, 8, 46])}->ip_dscp`,
    () => "move:NXM_NX_IP_TTL[]->NXM_NX_REG0[0..7]",
    ...rareIpActions,
  ];
  if (k.ip === 4) {
    out.push(
      (r) => `mod_nw_src:${r.pick(IPV4)}`,
      (r) => `mod_nw_dst:${r.pick(IPV4)}`,
      (r) => `set_field:0.0.0.${1 + r.below(4)}/0.0.0.255->ip_dst`,
      (r) => `load:${r.below(4)}->NXM_OF_IP_SRC[0..1]`,
      () => "move:NXM_OF_IP_SRC[]->NXM_NX_REG2[]",
      () => "push:NXM_OF_IP_SRC[],push:NXM_OF_IP_DST[],pop:NXM_OF_IP_SRC[],pop:NXM_OF_IP_DST[]",
    );
  } else {
    out.push(
      (r) => `set_field:${r.pick(IPV6)}->ipv6_src`,
      (r) => `set_field:${r.pick(IPV6)}->ipv6_dst`,
      (r) => `set_field:::${1 + r.below(4)}/::ff->ipv6_dst`,
      (r) => `set_field:${hex(r.below(3))}->ipv6_label`,
      () => "move:NXM_NX_IPV6_SRC[0..31]->NXM_NX_REG2[]",
      () => "move:NXM_NX_IPV6_SRC[]->NXM_NX_XXREG0[]",
    );
  }
  switch (k.l4) {
    case "tcp":
    case "udp":
    case "sctp":
      out.push(
        (r) => `set_field:${anyPort(r)}->${k.l4}_src`,
        (r) => `set_field:${anyPort(r)}->${k.l4}_dst`,
        (r) => `set_field:${hex(r.below(256))}/0xff->${k.l4}_dst`,
      );
      if (k.l4 !== "sctp")
        out.push(
          (r) => `mod_tp_dst:${anyPort(r)}`,
          (r) => `mod_tp_src:${anyPort(r)}`,
        );
      if (k.l4 === "tcp")
        out.push(
          (r) => `fin_timeout(idle_timeout=${1 + r.below(3)}${oneIn(r, 2) ? ",hard_timeout=4" : ""})`,
          () => "move:NXM_OF_TCP_SRC[]->NXM_OF_TCP_DST[]",
          () => "move:NXM_OF_TCP_DST[]->NXM_NX_REG1[0..15]",
        );
      break;
    case "icmp":
      out.push(
        (r) => `set_field:${r.pick([0, 8])}->icmp_type`,
        (r) => `set_field:${r.below(2)}->icmp_code`,
      );
      break;
    case "icmp6":
      out.push(
        (r) => `set_field:${r.pick([128, 129])}->icmpv6_type`,
        (r) => `set_field:${r.below(2)}->icmpv6_code`,
      );
      break;
    case "ns":
      out.push(
        (r) => `set_field:${r.pick(IPV6)}->nd_target`,
        (r) => `set_field:${r.pick(MACS)}->nd_sll`,
        ...neighbourActions,
      );
      break;
    case "na":
      out.push(
        (r) => `set_field:${r.pick(IPV6)}->nd_target`,
        (r) => `set_field:${r.pick(MACS)}->nd_tll`,
        ...neighbourActions,
      );
      break;
    default:
  }
  return out;
}

const arpActions: readonly Make[] = [
  (r) => `set_field:${1 + r.below(2)}->arp_op`,
  (r) => `load:${1 + r.below(2)}->NXM_OF_ARP_OP[]`,
  (r) => `set_field:${r.pick(IPV4)}->arp_spa`,
  (r) => `set_field:${r.pick(IPV4)}->arp_tpa`,
  (r) => `set_field:${r.pick(MACS)}->arp_sha`,
  () => "move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[]",
  () => "move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[]",
];

const mplsActions: readonly Make[] = [
  (r) => `set_field:${r.below(200)}->mpls_label`,
  (r) => `set_field:${r.below(8)}->mpls_tc`,
  (r) => `set_mpls_ttl(${1 + r.below(64)})`,
  () => "dec_mpls_ttl",
  () => "move:OXM_OF_MPLS_LABEL[]->NXM_NX_REG0[0..19]",
];

/** `learn(...)` for a match's kind. */
function makeLearn(r: Prng, k: Kind, s: Surroundings): string {
  const table = r.below(s.tables);
  const specs: string[] = [];
  const add = (text: string) => {
    if (oneIn(r, 2)) specs.push(text);
  };
  add("NXM_OF_IN_PORT[]");
  add("NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[]");
  add("NXM_OF_ETH_SRC[]");
  if (oneIn(r, 3)) specs.push("NXM_OF_VLAN_TCI[0..11]");
  if (k.ip === 4 && oneIn(r, 2))
    specs.push("eth_type=0x800", r.pick(["NXM_OF_IP_DST[]=NXM_OF_IP_SRC[]", "NXM_OF_IP_SRC[]"]));
  else if (k.l4 === "tcp" && oneIn(r, 2)) {
    specs.push(
      `eth_type=${k.ip === 4 ? "0x800" : "0x86dd"}`,
      "nw_proto=6",
      r.pick(["NXM_OF_TCP_DST[]=NXM_OF_TCP_SRC[]", "NXM_OF_TCP_DST[]"]),
    );
  }
  add(`load:${hex(1 + r.below(3))}->NXM_NX_REG${r.below(3)}[0..7]`);
  add("load:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15]");
  add(r.pick(["output:NXM_OF_IN_PORT[]", "output:NXM_NX_REG0[0..15]"]));
  // Longer than any case lasts, or not.
  const timeouts = ["idle_timeout=", "hard_timeout=", "fin_idle_timeout=", "fin_hard_timeout="];
  const more = timeouts
    .map((name, i) => name + (s.mortal ? 1 + r.below(4) : 3600 + i))
    .concat("send_flow_rem")
    .concat(["delete_learned", `limit=${1 + r.below(2)}`, `limit=2,result_dst=NXM_NX_REG1[${r.below(4)}]`])
    .filter(() => oneIn(r, s.mortal ? 4 : 12));
  const both = more.filter(
    (x, i) => !x.startsWith("limit") || more.findIndex((y) => y.startsWith("limit")) === i,
  );
  specs.unshift(...both);
  return `learn(table=${table},priority=${s.freshPriority(table)},cookie=${s.freshCookie()}${specs.map((x) => `,${x}`).join("")})`;
}

function makeAction(r: Prng, m: MadeMatch, s: Surroundings, depth: number): string {
  const k = m.kind;
  const d = r.below(44);
  if (d < 8) return r.pick(outputs)(r);
  if (d === 8) return r.pick(floods)(r);
  if (d < 14) return r.pick(registers)(r);
  if (d < 17) return r.pick(ethernet)(r);
  if (d < 20) return r.pick(m.tagged && oneIn(r, 2) ? tagged : vlan)(r);
  if (d === 20 || d === 40) return r.pick(rareActions)(r);
  if (d === 41 || d === 42) return r.pick(registerActions)(r);
  if (d === 43 && oneIn(r, 3) && !k.nsh && !k.mpls) return r.pick(encapActions)(r);
  if (d === 21 && depth === 0) return makeLearn(r, k, s);
  if (d < 24 && s.groups.length > 0) return `group:${r.pick(s.groups)}`;
  if (d < 27 && s.table + 1 < s.tables) {
    const table = s.table + 1 + r.below(Math.min(2, s.tables - s.table - 1));
    if (k.ip !== 0 && oneIn(r, 12)) return `resubmit(,${table},ct)`;
    return r.below(4) === 0 ? `resubmit(${1 + r.below(4)},${table})` : `resubmit(,${table})`;
  }
  if (d === 27 && depth < 2) return `clone(${makeActions(r, m, s, 1 + r.below(3), depth + 1).join(",")})`;
  if (d === 28 && oneIn(r, 3)) return `resubmit:${1 + r.below(4)}`;
  if (d === 29 && k.ip !== 0 && oneIn(r, 2)) {
    const larger = oneIn(r, 3) ? `check_pkt_larger(${r.pick([58, 62, 64])})->NXM_NX_REG0[0],` : "";
    return `push_mpls:0x8847,set_mpls_label:${r.pick([5, 100])},${larger}output:${1 + r.below(4)},pop_mpls:${k.ip === 4 ? "0x0800" : "0x86dd"}`;
  }
  if (k.ip !== 0 && d < 35) {
    const later = (x: Prng) => Math.min(s.tables - 1, s.table + 1 + x.below(2));
    return r.pick(ctActions(k, s.table + 1 < s.tables ? later : null))(r);
  }
  if (k.ip !== 0) return r.pick(ipActions(k))(r);
  if (k.arp) return r.pick(arpActions)(r);
  if (k.mpls) return r.pick(mplsActions)(r);
  if (k.nsh) return r.pick(nshActions)(r);
  return r.pick([...registers, ...outputs, ...ethernet])(r);
}

export function makeActions(r: Prng, m: MadeMatch, s: Surroundings, count: number, depth = 0): string[] {
  const list = Array.from({ length: count }, () => makeAction(r, m, s, depth));
  // What may follow a popped label depends on OpenFlow's version.
  const end = list.findIndex((action) => action.includes("pop_mpls"));
  return end < 0 ? list : list.slice(0, end + 1);
}

function makeActionSet(r: Prng, m: MadeMatch, s: Surroundings): string {
  const list: string[] = [];
  if (oneIn(r, 2)) list.push(`set_field:${r.pick(MACS)}->eth_dst`);
  if (oneIn(r, 3)) list.push(`load:${r.below(4)}->NXM_NX_REG1[]`);
  if (oneIn(r, 4)) list.push(`push_vlan:0x8100`);
  if (m.kind.ip !== 0 && oneIn(r, 2)) list.push("dec_ttl");
  if (m.kind.ip === 4 && oneIn(r, 3)) list.push(`set_field:${r.pick(IPV4)}->ip_dst`);
  if (s.groups.length > 0 && oneIn(r, 3)) list.push(`group:${r.pick(s.groups)}`);
  if (oneIn(r, 12)) list.push(`set_queue:${r.below(3)}`);
  if (oneIn(r, 12)) list.push("CONTROLLER:128");
  if (m.tagged && oneIn(r, 3)) list.push("pop_vlan");
  if (m.kind.l4 === "udp" && oneIn(r, 3)) list.push(`set_field:${anyPort(r)}->udp_dst`);
  if (list.length === 0 || oneIn(r, 2)) list.push(`output:${1 + r.below(4)}`);
  return `write_actions(${list.join(",")})`;
}

/** The text after `actions=`: actions, then instructions in their order. */
export function makeActionList(r: Prng, m: MadeMatch, s: Surroundings): string {
  const list = makeActions(r, m, s, r.below(4));
  if (oneIn(r, 12)) list.push("clear_actions");
  if (oneIn(r, 6) && !list.join().includes("mpls")) list.push(makeActionSet(r, m, s));
  if (oneIn(r, 10)) list.push(`write_metadata:${hex(r.below(4))}${oneIn(r, 2) ? "/0x3" : ""}`);
  if (s.table + 1 < s.tables && oneIn(r, 2))
    list.push(`goto_table:${s.table + 1 + r.below(Math.min(2, s.tables - s.table - 1))}`);
  else if (oneIn(r, 2)) list.unshift(r.pick(oneIn(r, 6) ? floods : outputs)(r));
  if (s.meters.length > 0 && oneIn(r, 4)) list.unshift(`meter:${r.pick(s.meters)}`);
  return list.length === 0 ? "drop" : list.join(",");
}
