// Random input for the trace comparison: flows for the Antrea pipelines, and small pipelines with flows for them.

/** A number from 0 to below - 1. */
export type Random = (below: number) => number;

export function random(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) % below;
  };
}

function pick<T>(rnd: Random, list: readonly T[]): T {
  return list[rnd(list.length)]!;
}

const CT_STATES = ["trk,new", "trk,est", "trk,est,rpl", "trk,inv", "trk,new,rel", "trk,rel,est"];

function ctNext(rnd: Random): string[] {
  const words: string[] = [];
  for (let n = rnd(3); n > 0; n--) words.push("--ct-next", pick(rnd, CT_STATES));
  return words;
}

const ANTREA_MACS = ["01:01", "01:02", "01:03", "01:04", "01:05", "02:01"].map((m) => `0e:5a:10:60:${m}`);
const ANTREA_ADDRESSES = [
  "100.96.1.1",
  "100.96.1.2",
  "100.96.1.3",
  "100.96.1.4",
  "100.96.1.5",
  "100.96.2.5",
  "100.96.2.3",
  "100.96.3.5",
  "100.96.0.7",
  "100.70.238.176",
  "100.64.0.1",
  "100.66.10.10",
  "100.67.7.7",
  "169.254.0.253",
  "8.8.8.8",
];

/** Words for ofproto/trace: something that may pass through an Antrea node. */
export function antreaFlow(rnd: Random, version: "v0.6" | "v2"): string[] {
  // Where the tunnel, the gateway and the Pods are: Pods count from 100.96.1.2.
  const [tunnel, gateway, firstPod] = version === "v2" ? [32768, 32769, 1] : [1, 2, 3];
  const port = pick(rnd, [tunnel, gateway, firstPod, firstPod + 1, firstPod + 2, firstPod + 3]);
  const pod = rnd(4) > 0 && port >= firstPod && port < firstPod + 4;
  const host = port - firstPod + 2;
  const src = pod ? `0e:5a:10:60:01:0${host}` : pick(rnd, ANTREA_MACS);
  const parts = [`in_port=${port}`];
  if (port === tunnel && rnd(2) === 0) {
    parts.push("tun_id=0", "tun_src=192.168.100.12", "tun_dst=192.168.100.11");
  }
  if (rnd(8) === 0) {
    const sender = pick(rnd, ANTREA_ADDRESSES);
    parts.push(
      "arp",
      `dl_src=${src}`,
      "dl_dst=ff:ff:ff:ff:ff:ff",
      `arp_op=${1 + rnd(2)}`,
      `arp_spa=${sender}`,
    );
    parts.push(`arp_tpa=100.96.${rnd(4)}.1`, `arp_sha=${src}`);
    return [parts.join(",")];
  }
  const proto = pick(rnd, ["tcp", "tcp", "udp", "icmp", "sctp"]);
  const nwSrc = pod ? `100.96.1.${host}` : pick(rnd, ANTREA_ADDRESSES);
  if (rnd(3) === 0) parts.push(`dp_hash=${1 + rnd(99)}`);
  if (rnd(9) === 0) parts.push("pkt_mark=0x80000000");
  parts.push(proto, `dl_src=${src}`, `dl_dst=${pick(rnd, [...ANTREA_MACS, "aa:bb:cc:dd:ee:ff"])}`);
  parts.push(
    `nw_src=${nwSrc}`,
    `nw_dst=${pick(rnd, ANTREA_ADDRESSES)}`,
    `nw_ttl=${pick(rnd, [64, 64, 63, 1, 2])}`,
  );
  if (proto === "icmp") parts.push("icmp_type=8");
  else parts.push(`${proto}_src=${40000 + rnd(100)}`, `${proto}_dst=${pick(rnd, [80, 443, 53, 9153])}`);
  return [parts.join(","), ...ctNext(rnd)];
}

// --- small random pipelines ----------------------------------------------------------------------------------------

interface Kind {
  readonly word: string;
  readonly transport: boolean;
  readonly v6: boolean;
  readonly arp: boolean;
}

const KINDS: readonly Kind[] = [
  { word: "", transport: false, v6: false, arp: false },
  { word: "ip", transport: false, v6: false, arp: false },
  { word: "tcp", transport: true, v6: false, arp: false },
  { word: "udp", transport: true, v6: false, arp: false },
  { word: "icmp", transport: false, v6: false, arp: false },
  { word: "ipv6", transport: false, v6: true, arp: false },
  { word: "tcp6", transport: true, v6: true, arp: false },
  { word: "icmp6", transport: false, v6: true, arp: false },
  { word: "arp", transport: false, v6: false, arp: true },
];

const mac = (rnd: Random): string => `00:00:00:00:00:0${1 + rnd(4)}`;
const ip = (rnd: Random): string => `10.0.${rnd(2)}.${1 + rnd(3)}`;
const ip6 = (rnd: Random): string => `fd00::${1 + rnd(3)}`;
const isIp = (kind: Kind): boolean => kind.word !== "" && !kind.arp;

/** A group file: ids 1 to 5, one of each kind. */
export function makeGroups(rnd: Random): string {
  const output = (): string => `output:${1 + rnd(5)}`;
  const change = (): string =>
    pick(rnd, [
      output(),
      `set_field:${mac(rnd)}->eth_src,${output()}`,
      `set_field:${rnd(4)}->reg0,resubmit(,3)`,
      `set_field:${mac(rnd)}->eth_dst,resubmit(,2)`,
      "set_field:1->reg1",
    ]);
  const weighted = (): string => `weight=${1 + rnd(4)},actions=${change()}`;
  return [
    `group_id=1,type=all,bucket=actions=${change()},bucket=actions=${change()},bucket=actions=${change()}`,
    `group_id=2,type=indirect,bucket=actions=${change()}`,
    `group_id=3,type=select,bucket=${weighted()},bucket=${weighted()},bucket=${weighted()}`,
    `group_id=4,type=fast_failover,bucket=watch_port=${pick(rnd, [1, 2, 77])},actions=${change()},bucket=watch_port=3,actions=${change()}`,
    `group_id=5,type=select,selection_method=hash,fields(${pick(rnd, ["eth_dst", "ip_src,ip_dst", "eth_src=ff:ff:ff:00:00:00,nw_ttl"])}),bucket=${weighted()},bucket=${weighted()}`,
  ]
    .join("\n")
    .concat("\n");
}

/** A flow file of up to four tables; `groups`: it may use those of makeGroups. */
export function makePipeline(rnd: Random, groups = false): string {
  const lines: string[] = [];
  let priority = 1;
  for (let table = 0; table < 4; table++) {
    for (let n = 2 + rnd(5); n > 0; n--) {
      const kind = pick(rnd, KINDS);
      const cookie = rnd(2) === 0 ? "" : `cookie=0x${(rnd(0xffff) + 1).toString(16)},`;
      const match = makeMatch(rnd, kind);
      let actions = makeActions(rnd, kind, table);
      if (groups && rnd(3) === 0) actions = `group:${1 + rnd(5)},${actions}`;
      // OVS wants the tag in the match.
      if (/dl_vlan=5|vlan_tci=0x1000/.test(match) && rnd(2) === 0)
        actions = `${pick(rnd, ["pop_vlan", "set_field:2->vlan_pcp"])},${actions}`;
      lines.push(`${cookie}table=${table},priority=${priority++}${match} actions=${actions}`);
    }
  }
  // OVS 3.1 stops on an assertion when it recirculates with an action set: never both in one pipeline.
  const text = `${lines.join("\n")}\n`;
  return text.includes("write_actions")
    ? text.replace(/ct\((?:[^()]|\([^()]*\))*table=(?:[^()]|\([^()]*\))*\)/g, "note:03")
    : text;
}

function makeMatch(rnd: Random, kind: Kind): string {
  const parts: string[] = kind.word === "" ? [] : [kind.word];
  const maybe = (text: () => string): void => {
    if (rnd(4) === 0) parts.push(text());
  };
  maybe(() => `in_port=${1 + rnd(5)}`);
  maybe(() => `dl_dst=${mac(rnd)}`);
  maybe(() => pick(rnd, ["dl_dst=01:00:00:00:00:00/01:00:00:00:00:00", `dl_src=${mac(rnd)}`]));
  maybe(() => pick(rnd, ["vlan_tci=0/0x1000", "dl_vlan=5", "vlan_tci=0x1000/0x1000"]));
  maybe(() => `reg${rnd(3)}=${rnd(3)}`);
  maybe(() => `metadata=${rnd(2)}/1`);
  if (isIp(kind) && !kind.v6) {
    maybe(() => `nw_src=${pick(rnd, [ip(rnd), "10.0.0.0/24", "10.0.1.0/24"])}`);
    maybe(() => `nw_dst=${pick(rnd, [ip(rnd), "10.0.0.0/16"])}`);
  }
  if (kind.v6) maybe(() => `ipv6_dst=${pick(rnd, [ip6(rnd), "fd00::/64"])}`);
  if (isIp(kind)) {
    maybe(() => pick(rnd, ["ct_state=+trk", "ct_state=-trk", "ct_state=+new+trk", "ct_mark=1"]));
    maybe(() => pick(rnd, ["nw_tos=32", "nw_ttl=64", "ip_frag=no", "nw_ecn=1"]));
  }
  if (kind.transport) maybe(() => `tp_dst=${pick(rnd, ["80", "0x50/0xfff0", "443"])}`);
  if (kind.arp) maybe(() => pick(rnd, ["arp_op=1", `arp_tpa=${ip(rnd)}`]));
  return parts.map((p) => `,${p}`).join("");
}

/** A list of actions that goes with the match's kind. */
function makeActions(rnd: Random, kind: Kind, table: number): string {
  const list: string[] = [];
  for (let n = rnd(5); n > 0; n--) list.push(makeAction(rnd, kind, table, 0));
  if (table < 3 && rnd(2) === 0) {
    if (rnd(3) === 0)
      list.push(
        `write_actions(${pick(rnd, ["output:2", "set_field:1->reg0,output:3", "dec_ttl,output:1"].slice(0, isIp(kind) ? 3 : 2))})`,
      );
    if (rnd(3) === 0) list.push(`write_metadata:${pick(rnd, ["0x1", "0x3/0x3"])}`);
    list.push(`goto_table:${table + 1}`);
  } else {
    list.push(
      pick(rnd, [
        `output:${1 + rnd(6)}`,
        "IN_PORT",
        "NORMAL",
        "FLOOD",
        "LOCAL",
        "output:NXM_NX_REG0[0..15]",
        "CONTROLLER:128",
      ]),
    );
  }
  return list.join(",");
}

function makeAction(rnd: Random, kind: Kind, table: number, depth: number): string {
  const choices: (() => string)[] = [
    () => `output:${1 + rnd(5)}`,
    () => `load:${rnd(5)}->NXM_NX_REG${rnd(3)}[]`,
    () => `load:${rnd(16)}->NXM_NX_REG${rnd(3)}[4..7]`,
    () => `set_field:0x${rnd(256).toString(16)}/0xff->reg${rnd(3)}`,
    () => `set_field:${mac(rnd)}->eth_src`,
    () => `set_field:${mac(rnd)}->eth_dst`,
    () => `set_field:${mac(rnd)}/00:00:00:00:00:0f->eth_dst`,
    () => "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
    () => "move:NXM_NX_REG0[0..15]->NXM_NX_REG1[16..31]",
    () => "move:NXM_OF_IN_PORT[]->NXM_NX_REG1[0..15]",
    () => "push:NXM_NX_REG0[]",
    () => "pop:NXM_NX_REG2[]",
    () => `resubmit(,${Math.min(3, table + rnd(3))})`,
    () => `resubmit(${1 + rnd(5)},${Math.min(3, table + 1)})`,
    () => "push_vlan:0x8100,set_field:4103->vlan_vid,set_field:3->vlan_pcp",
    () => "push_vlan:0x88a8",
    () => "push_vlan:0x8100,pop_vlan",
    () => `set_field:0x${rnd(4)}->pkt_mark`,
    () => `set_field:${ip(rnd)}->tun_dst`,
    () => `set_field:${rnd(9)}->tun_id`,
    () => "note:01.02",
    () => "controller(max_len=64,id=3)",
  ];
  if (rnd(6) === 0) choices.push(() => "exit");
  if (rnd(3) === 0) {
    const fields = (): string =>
      pick(rnd, [
        "eth_src",
        "symmetric_l4",
        "nw_src",
        "nw_dst",
        ...(isIp(kind) ? ["symmetric_l3l4", "symmetric_l3l4+udp"] : []),
      ]);
    const link = (): string => pick(rnd, ["modulo_n", "hash_threshold", "hrw", "iter_hash"]);
    choices.push(
      () => `set_queue:${rnd(5)}`,
      () => "pop_queue",
      () => `set_queue:${rnd(3)},output:${1 + rnd(5)},pop_queue`,
      () => `multipath(${fields()},${rnd(9)},${link()},${1 + rnd(5)},${rnd(7)},NXM_NX_REG${rnd(3)}[0..7])`,
      () => `bundle(${fields()},${rnd(9)},hrw,ofport,members:1,2,77,3)`,
      () => `bundle(${fields()},${rnd(9)},active_backup,ofport,members:77,4,5)`,
      () => `bundle_load(${fields()},${rnd(9)},hrw,ofport,NXM_NX_REG0[0..15],members:1,2,3)`,
      () => `output(port=${1 + rnd(5)},max_len=${60 + rnd(9)})`,
      () => `check_pkt_larger(${100 + rnd(9)})->NXM_NX_REG${rnd(3)}[${rnd(4)}]`,
    );
  }
  if (isIp(kind)) {
    choices.push(
      () => "dec_ttl",
      () => "set_field:1->nw_ecn",
      () => "set_field:9->nw_ttl",
      () => `ct(commit,zone=${rnd(3)},exec(load:0x${1 + rnd(3)}->NXM_NX_CT_MARK[]))`,
      () => `ct(table=${Math.min(3, table + 1)},zone=${1 + rnd(2)})`,
      () => `ct(commit,table=${Math.min(3, table + 1)},zone=NXM_NX_REG0[0..15])`,
      () =>
        "ct(commit,zone=4,exec(set_field:0x5/0xf->ct_label,move:NXM_NX_REG0[0..3]->NXM_NX_CT_MARK[0..3]))",
      () => "ct_clear",
    );
  }
  if (isIp(kind) && !kind.v6) {
    choices.push(
      () => `set_field:${ip(rnd)}->ip_src`,
      () => `set_field:0.0.0.${rnd(9)}/0.0.0.255->ip_dst`,
      () => `ct(commit,table=${Math.min(3, table + 1)},nat(src=${ip(rnd)}))`,
    );
  }
  if (kind.v6) choices.push(() => `set_field:${ip6(rnd)}->ipv6_src`);
  if (kind.word === "tcp" || kind.word === "tcp6") choices.push(() => `set_field:${rnd(99)}->tcp_dst`);
  if (kind.word === "udp") choices.push(() => `set_field:${rnd(99)}->udp_src`);
  if (kind.word === "icmp") choices.push(() => `set_field:${rnd(9)}->icmp_type`);
  if (kind.arp) {
    choices.push(
      () => "set_field:2->arp_op",
      () => `set_field:${ip(rnd)}->arp_spa`,
    );
  }
  if (depth < 2) {
    choices.push(() => {
      const inner = [makeAction(rnd, kind, table, depth + 1), makeAction(rnd, kind, table, depth + 1)];
      return `clone(${inner.join(",")})`;
    });
  }
  return pick(rnd, choices)();
}

/** Words for ofproto/trace: a flow that fits the small pipelines. */
export function makeTraceFlow(rnd: Random): string[] {
  const kind = pick(rnd, [...KINDS.slice(1), KINDS[2]!, KINDS[2]!]);
  const parts = [`in_port=${1 + rnd(5)}`];
  if (rnd(3) === 0) parts.push(`dp_hash=${1 + rnd(99)}`);
  if (rnd(4) === 0) parts.push("dl_vlan=5", `dl_vlan_pcp=${rnd(8)}`);
  parts.push(
    kind.word,
    `dl_src=${mac(rnd)}`,
    `dl_dst=${pick(rnd, [mac(rnd), "ff:ff:ff:ff:ff:ff", "01:80:c2:00:00:00"])}`,
  );
  if (kind.arp) {
    parts.push(`arp_op=${1 + rnd(2)}`, `arp_spa=${ip(rnd)}`, `arp_tpa=${ip(rnd)}`, `arp_sha=${mac(rnd)}`);
    return [parts.join(",")];
  }
  if (kind.v6) parts.push(`ipv6_src=${ip6(rnd)}`, `ipv6_dst=${ip6(rnd)}`);
  else parts.push(`nw_src=${ip(rnd)}`, `nw_dst=${ip(rnd)}`);
  parts.push(`nw_ttl=${pick(rnd, [64, 2, 1])}`, `nw_tos=${pick(rnd, [0, 32])}`);
  if (kind.transport) {
    const name = kind.word.replace("6", "");
    parts.push(`${name}_src=${1000 + rnd(9)}`, `${name}_dst=${pick(rnd, [80, 81, 443])}`);
  }
  return [parts.filter((p) => p !== "").join(","), ...ctNext(rnd)];
}

/** Words for ofproto/trace: a frame for a learning switch of six ports. */
export function makeSwitchedFrame(rnd: Random): string[] {
  const address = (): string => `02000000000${1 + rnd(6)}`;
  const dst = pick(rnd, [
    address(),
    address(),
    address(),
    "ffffffffffff",
    "01005e000001",
    "0180c2000003",
    "01000ccccccc",
  ]);
  const tag = pick(rnd, ["", "", "81000005", "8100a006", "81000007", "81004000", "88a80005"]);
  const arp = `0806000108000604000${1 + rnd(2)}${address()}0a00000${rnd(2)}0000000000000a00000${rnd(2)}`;
  const ipv4 = "080045000014000000004000000000000a0000010a000002";
  return [`in_port=${1 + rnd(6)}`, `${dst}${address()}${tag}${pick(rnd, [arp, ipv4])}`];
}

/** Words for ofproto/trace: an ARP, TCP or UDP frame between a few hosts. */
export function makeLearnedFrame(rnd: Random): string[] {
  const host = (): string => `0200000000${pick(rnd, ["01", "02", "03"])}`;
  const address = (): string => `0a0000${pick(rnd, ["01", "02", "03", "04", "05"])}`;
  const tag = pick(rnd, ["", "", "81000005"]);
  const ethernet = `${host()}${host()}${tag}`;
  const port = `in_port=${1 + rnd(3)}`;
  if (rnd(3) === 0)
    return [port, `${ethernet}08060001080006040001${host()}${address()}000000000000${address()}`];
  const tcp = rnd(2) === 0;
  const ports = `040${rnd(3)}0050`;
  const l4 = tcp
    ? `${ports}00000001000000025${pick(rnd, ["002", "010", "011", "004"])}200000000000`
    : `${ports}00080000`;
  const length = (20 + l4.length / 2).toString(16).padStart(4, "0");
  return [
    port,
    `${ethernet}08004500${length}0000400040${tcp ? "06" : "11"}0000${address()}${address()}${l4}`,
  ];
}
