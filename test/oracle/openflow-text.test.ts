// OpenFlow text against real ovs-ofctl: the same files in both; what comes out, or what is said against them, must agree.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, test } from "node:test";
import { parseFlowFile, readFlowFile } from "../../src/control/openflow/flow-file.ts";
import { parseGroupFile, readGroupFile } from "../../src/control/openflow/group-file.ts";
import { parseMeterFile, readMeterFile } from "../../src/control/openflow/meter-file.ts";
import { MegaflowError } from "../../src/lib/errors.ts";
import { formatActions } from "../../src/pipeline/action-text.ts";
import { formatRule } from "../../src/pipeline/flow-dump.ts";
import { formatGroup } from "../../src/pipeline/group-dump.ts";
import { formatMeters } from "../../src/pipeline/meter-dump.ts";
import { Tables } from "../../src/pipeline/tables.ts";
import { type Ovs, ovsSkip, requireOvs } from "./ovs.ts";

const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000);
const RANDOM_LINES = Number(process.env.LINES ?? 3000);
const ALL_VERSIONS = "OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15";

/** Our tables' dump of a flow file, statistics as those of a switch that has just started, in no particular order. */
function ourDump(text: string): string[] {
  const tables = new Tables();
  tables.apply(parseFlowFile(text, "flows", { portByName }), 0);
  return [...tables.rules()].map((rule) => formatRule(rule, 0)).sort();
}

function portByName(name: string): number | undefined {
  return /^p\d$/.test(name) ? Number(name.slice(1)) : undefined;
}

/** A dump's lines without what the clock decides. */
function withoutTime(lines: readonly string[]): string[] {
  return lines
    .map((line) => line.replace(/duration=[0-9.]+s/, "duration=0.000s").replace(/idle_age=\d+/, "idle_age=0"))
    .sort();
}

async function theirDump(ovs: Ovs, text: string, versions = "OpenFlow15"): Promise<string[]> {
  const file = join(ovs.dir, "test.flows");
  writeFileSync(file, text);
  await ovs.ofctl(["-O", "OpenFlow15", "del-flows", "br0"]);
  await ovs.ofctl(["-O", versions, "add-flows", "br0", file]);
  const dump = await ovs.ofctl(["-O", "OpenFlow15", "dump-flows", "br0", "--no-names"]);
  // Commands before ours sort anyway.
  return withoutTime(dump.split("\n").filter((line) => line.startsWith(" ")));
}

let shared: Ovs | null = null;
after(() => shared?.stop());

/** Runs with the one switch of this file, emptied first. */
async function withOvs(run: (ovs: Ovs) => Promise<void>): Promise<void> {
  if (shared === null) {
    shared = await requireOvs();
    await shared.addBridge("br0", { ports: [{ no: 1 }, { no: 2 }] });
  }
  for (const command of ["del-flows", "del-groups", "del-meters"]) {
    await shared.ofctl(["-O", "OpenFlow15", command, "br0"]);
  }
  await run(shared);
}

test("Antrea's flows, groups and meters load and dump as in OVS", { skip: ovsSkip }, async () => {
  await withOvs(async (ovs) => {
    const dir = resolve("test/fixtures/antrea");
    for (const line of readFileSync(`${dir}/antrea-v2-node1.meters`, "utf8").trim().split("\n")) {
      await ovs.ofctl(["-O", "OpenFlow15", "add-meter", "br0", line]);
    }
    const meters = readMeterFile(`${dir}/antrea-v2-node1.meters`);
    assert.equal(formatMeters(meters), await ovs.ofctl(["-O", "OpenFlow15", "dump-meters", "br0"]));

    const groups = readGroupFile(`${dir}/antrea-v2-node1.groups`);
    await ovs.ofctl(["-O", "OpenFlow15", "add-groups", "br0", `${dir}/antrea-v2-node1.groups`]);
    const groupDump = await ovs.ofctl(["-O", "OpenFlow15", "dump-groups", "br0"]);
    assert.deepEqual(groups.map(formatGroup).sort(), groupDump.trimEnd().split("\n").slice(1).sort());

    for (const [file, version] of [
      [`${dir}/antrea-v2-node1.flows`, "OpenFlow15"],
      [resolve("pcap-fixtures/antrea/antrea-v0.6-node1.flows"), "OpenFlow13"],
    ] as const) {
      assert.ok(readFlowFile(file).length > 60);
      const text = readFileSync(file, "utf8");
      assert.deepEqual(ourDump(text), await theirDump(ovs, text, version), file);
    }
  });
});

/** Actions that OVS takes with the match beside them; every family of ovs-actions(7). */
const ACTIONS: readonly (readonly [match: string, actions: readonly string[]])[] = [
  [
    "",
    [
      "output:1",
      "output:NXM_NX_REG1[0..15]",
      "output:reg1",
      "output(port=1,max_len=100)",
      "1",
      "p1",
      "LOCAL",
      "in_port",
      "normal",
      "flood",
      "all",
      "controller",
      "CONTROLLER:100",
      "controller(id=5)",
      "controller()",
      "drop",
      "controller(reason=no_match,max_len=65535,id=32776,userdata=04)",
      "controller(userdata=0102,pause)",
      "enqueue:1:2",
      "enqueue(1,2)",
      "set_queue:5",
      "pop_queue",
      "set_queue:4294967296",
      "bundle(symmetric_l4,60,hrw,ofport,members:1,2,LOCAL)",
      "bundle(eth_src,0,active_backup,ofport,slaves:1,2)",
      "bundle_load(symmetric_l4,60,hrw,ofport,NXM_NX_REG0[],members:1,2)",
      "multipath(eth_src,50,modulo_n,1,0,NXM_NX_REG0[0..15])",
      "multipath(nw_dst,1 modulo_n 5 0 reg0[1..16])",
      "mod_vlan_vid:5",
      "mod_vlan_pcp:5",
      "mod_vlan_vid:0x10,mod_vlan_pcp:3,strip_vlan",
      "push_vlan:0x8100,set_vlan_vid:5",
      "push_vlan:0x88a8,set_field:4101->vlan_vid,set_field:1->vlan_pcp",
      "push_vlan:33024,pop_vlan",
      "mod_dl_src:00:11:22:33:44:55",
      "mod_dl_dst:00:11:22:33:44:55",
      "set_tunnel:5",
      "set_tunnel:0",
      "set_tunnel64:5",
      "set_tunnel:0x1ffffffff",
      "move:NXM_NX_REG0[0..5]->NXM_NX_REG1[3..8]",
      "move:eth_src->eth_dst",
      "load:5->NXM_NX_REG0[]",
      "load:5->NXM_NX_REG0[5..9]",
      "load:010->reg0",
      "load:0->metadata",
      "load:1.2.3.4->NXM_NX_REG0[]",
      "load:0xffffffffffffffffffff->NXM_NX_XXREG0[]",
      "load:1->OXM_OF_PKT_REG0[]",
      "load:1->NXM_OF_IN_PORT[]",
      "load:1->NXM_NX_TUN_IPV4_DST[]",
      "load:1->NXM_NX_TUN_FLAGS[]",
      "load:3->NXM_NX_TUN_GBP_ID[]",
      "push:NXM_NX_REG0[]",
      "push:reg0[3..5]",
      "pop:NXM_NX_REG0[]",
      "set_field:5->reg0",
      "set_field:5/0xf->reg0",
      "set_field:0/0->reg0",
      "set_field:*->reg0",
      "set_field:00:11:22:33:44:55->eth_src",
      "set_field:1.2.3.4->tun_dst",
      "set_field:00:11:22:00:00:00/ff:ff:ff:00:00:00->eth_src",
      "set_field:0x1234567890abcdef1234567890abcdef->xxreg0",
      "set_field:LOCAL->in_port",
      "set_field:oam->tun_flags",
      "set_field:5->pkt_mark",
      "set_field:0xff/0xff->xreg0",
      "resubmit:1",
      "resubmit(,5)",
      "resubmit(1,5)",
      "resubmit(1,)",
      "resubmit(in_port,5)",
      "resubmit(1,255)",
      "resubmit:p1",
      "learn(table=1,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])",
      "learn",
      "learn(in_port,eth_src)",
      "learn(table=5,idle_timeout=10,hard_timeout=20,priority=5,cookie=0x5,fin_idle_timeout=4,fin_hard_timeout=5,send_flow_rem,delete_learned,limit=5,result_dst=NXM_NX_REG0[0],eth_type=0x800,nw_proto=6,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:5->NXM_NX_REG0[],load:NXM_NX_REG1[]->NXM_NX_REG2[],output:NXM_NX_REG3[])",
      "learn(table=1,in_port=5,load:0x12345678901234567890->NXM_NX_XXREG0[])",
      "learn(table=1,priority=70000)",
      "learn(table=1,eth_type=0x800,nw_proto=6,tcp_src=5)",
      "learn(table=1,in_port=LOCAL,reg0[0..3]=5,reg1=0)",
      "learn(table=1,eth_src=00:11:22:33:44:55,NXM_NX_REG1[0..3]=NXM_NX_REG2[0..3],vlan_tci=5)",
      "exit",
      "exit,exit",
      "clone(output:1,set_field:5->reg0)",
      "clone()",
      "ct_clear",
      "conjunction(1,1/2)",
      "conjunction(1,1/2),conjunction(2,1/3),note:01",
      "conjunction(-1,64/64)",
      "note:01.02.03",
      "note:",
      "note:01.02.03.04.05.06.07",
      "sample(probability=5,collector_set_id=1,obs_domain_id=2,obs_point_id=3)",
      "sample(probability=5)",
      "sample(probability=5,sampling_port=1,egress)",
      "check_pkt_larger(1500)->NXM_NX_REG0[0]",
      "clear_actions",
      "write_actions(output:1,set_field:5->reg0)",
      "write_actions()",
      "write_metadata:5",
      "write_metadata:0x5/0xf",
      "write_metadata:0/0",
      "goto_table:5",
      "output:1,clear_actions,write_actions(group:5),write_metadata:1,goto_table:3",
      "encap(ethernet)",
      "encap(nsh(md_type=1))",
      "encap(nsh(md_type=2,tlv(0x1000,10,0x12345678)))",
      "encap(mpls)",
      "decap",
      "decap(packet_type(ns=1,type=0x8847))",
      "output:1, output:2",
      "output:1 output:2",
      "RESUBMIT(,5)",
      ",output:1,",
    ],
  ],
  [
    "tcp",
    [
      "mod_nw_src:1.2.3.4",
      "mod_nw_dst:1.2.3.4",
      "mod_nw_tos:4",
      "mod_nw_ecn:2",
      "mod_nw_ttl:5",
      "mod_tp_src:5",
      "mod_tp_dst:5",
      "dec_ttl",
      "dec_ttl()",
      "dec_ttl(1,2)",
      "dec_ttl(0)",
      "load:0x01020304->NXM_OF_IP_SRC[]",
      "load:0x1->OXM_OF_IP_DSCP[]",
      "load:0x4->NXM_OF_IP_TOS[]",
      "load:1->NXM_NX_IP_ECN[]",
      "load:1->NXM_NX_IP_TTL[]",
      "load:0->NXM_OF_IP_SRC[0..7]",
      "set_field:1.2.3.4->nw_src",
      "set_field:1.2.0.0/16->ip_src",
      "set_field:1.0.3.0/255.0.255.0->ip_src",
      "set_field:2->tcp_src",
      "set_field:2->nw_ttl",
      "set_field:3->ip_dscp",
      "set_field:3->ip_ecn",
      "set_field:4->nw_tos",
      "fin_timeout(idle_timeout=5,hard_timeout=6)",
      "fin_timeout()",
      "ct",
      "ct(commit)",
      "ct(commit,force)",
      "ct(zone=5)",
      "ct(zone=0)",
      "ct(zone=NXM_NX_REG0[0..15])",
      "ct(table=5,zone=5,commit)",
      "ct(commit,alg=ftp)",
      "ct(nat)",
      "ct(commit,nat(src))",
      "ct(commit,nat(src=))",
      "ct(commit,nat(src=1.2.3.4-1.2.3.8:5-10,random))",
      "ct(commit,nat(dst=1.2.3.4-1.2.3.8:5,hash,persistent))",
      "ct(commit,nat(dst=1.2.3.4-1.2.3.4:5-5))",
      "ct(commit,nat(src=1.2.3.4:70000))",
      "ct(commit,nat(random,src=1.2.3.4))",
      "ct(commit,exec(set_field:5->ct_mark,load:5->NXM_NX_CT_MARK[],set_field:0x5/0xf->ct_label,move:NXM_NX_REG0[]->NXM_NX_CT_MARK[]))",
      "ct(commit,exec(load:0x20->NXM_NX_CT_MARK[0..7]),exec(load:1->NXM_NX_CT_LABEL[0..3]))",
      "ct(commit,nat,exec(set_field:1->ct_mark))",
      "clone(ct(commit,exec(set_field:5->ct_mark)),output:2)",
      "ct(commit),output:1,goto_table:5",
      "push_mpls:0x8847,set_field:4->mpls_label,set_mpls_label:5,set_mpls_tc:5,set_mpls_ttl:5,dec_mpls_ttl,pop_mpls:0x800",
    ],
  ],
  [
    "udp6",
    [
      "mod_tp_src:5",
      "ct(commit,alg=tftp)",
      "ct(commit,nat(dst=[fe80::1]-[fe80::5]:7-9))",
      "ct(commit,nat(dst=fe80::1))",
      "set_field:fe80::1->ipv6_src",
      "set_field:5->udp_dst",
      "set_field:3->ipv6_label",
    ],
  ],
  [
    "arp",
    [
      "set_field:2->arp_op",
      "load:2->NXM_OF_ARP_OP[]",
      "set_field:1.2.3.4->arp_spa",
      "set_field:00:11:22:33:44:55->arp_sha",
    ],
  ],
  ["mpls", ["set_mpls_label(5)", "pop_mpls:0x800", "dec_mpls_ttl", "set_field:1->mpls_tc"]],
  [
    "vlan_tci=0x1000/0x1000",
    [
      "mod_vlan_vid:6",
      "set_vlan_vid:6",
      "strip_vlan,mod_vlan_vid:6",
      "load:5->OXM_OF_VLAN_PCP[]",
      "set_field:4101/0x100f->vlan_vid",
      "load:1->NXM_OF_VLAN_TCI[12]",
      "pop_vlan",
    ],
  ],
];

test("every action dumps as OVS dumps it", { skip: ovsSkip }, async () => {
  const lines: string[] = [];
  for (const [match, list] of ACTIONS) {
    for (const actions of list) {
      lines.push(`cookie=${lines.length},table=1,priority=${lines.length + 1},${match} actions=${actions}`);
    }
  }
  await withOvs(async (ovs) => {
    await ovs.ofctl(["-O", "OpenFlow15", "add-group", "br0", "group_id=5,type=all"]);
    // Lines of table 1: goto_table:5 is forward.
    const text = lines.join("\n").replaceAll("goto_table:3", "goto_table:6");
    assert.deepEqual(ourDump(text), await theirDump(ovs, text, "OpenFlow15"));
  });
});

type Random = (below: number) => number;

function generator(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) % below;
  };
}

/** What ovs-ofctl says against a flow, without its own prefix; "" when it takes it. */
async function theirError(ovs: Ovs, line: string): Promise<string> {
  const file = join(ovs.dir, "bad.flows");
  writeFileSync(file, `${line}\n`);
  return new Promise((resolve) => {
    const env = { ...process.env, OVS_RUNDIR: ovs.dir };
    execFile(
      "ovs-ofctl",
      ["-O", ALL_VERSIONS, "parse-flows", file],
      { env, timeout: 10_000 },
      (_error, _out, stderr) => {
        const said = stderr.split("\n").find((l) => l.startsWith("ovs-ofctl: ")) ?? "";
        resolve(said.replace(/^ovs-ofctl: /, "").replace(`${file}:1: `, ""));
      },
    );
  });
}

function ourError(line: string): string {
  try {
    parseFlowFile(line);
    return "";
  } catch (error) {
    assert(error instanceof MegaflowError, `${line}: ${String(error)}`);
    return error.message;
  }
}

const BAD_ACTIONS: readonly string[] = [
  "foo",
  "foo:1",
  "output",
  "output:",
  "output:foo",
  "output:70000",
  "output:65280",
  "output:0xffff",
  "none",
  "output(port=1)",
  "output(port=1,max_len=5)",
  "output(port=1,max_len=100,x=5)",
  "output(port=ALL,max_len=100)",
  "output:reg1[",
  "output:ip_src[]",
  "controller:5x",
  "controller(foo)",
  "controller(id=70000)",
  "controller(reason=foo)",
  "controller(userdata=xyz)",
  "enqueue:1",
  "enqueue:foo:2",
  "enqueue:1:x",
  "enqueue:ALL:2",
  "set_queue",
  "set_queue:x",
  "bundle(foo)",
  "bundle(eth_src,0,foo,ofport,members:1)",
  "bundle(foo,0,hrw,ofport,members:1)",
  "bundle(eth_src,0,hrw,foo,members:1)",
  "bundle(eth_src,0,hrw,ofport,foo:1)",
  "bundle(eth_src,0,hrw,ofport,members:foo)",
  "multipath(foo)",
  "multipath(foo,50,modulo_n,1,0,NXM_NX_REG0[0..15])",
  "multipath(eth_src,50,foo,1,0,NXM_NX_REG0[0..15])",
  "multipath(eth_src,50,modulo_n,0,0,NXM_NX_REG0[0..15])",
  "multipath(eth_src,50,modulo_n,70,0,NXM_NX_REG0[0..2])",
  "mod_vlan_vid:5000",
  "mod_vlan_vid:x",
  "mod_vlan_pcp:9",
  "mod_dl_src:foo",
  "mod_nw_tos:3",
  "mod_nw_tos:256",
  "mod_nw_ecn:9",
  "mod_nw_ttl:256",
  "mod_tp_src:70000",
  "mod_tp_dst:x",
  "push_vlan:0x800",
  "push_vlan:x",
  "pop_mpls:x",
  "set_tunnel:x",
  "move:NXM_NX_REG0[]",
  "move:NXM_NX_REG0[]->",
  "move:NXM_NX_REG0[]->foo",
  "move:foo->NXM_NX_REG0[]",
  "move:NXM_NX_REG0[]->NXM_NX_REG1[0..5]",
  "move:NXM_NX_REG0[5..3]->NXM_NX_REG1[]",
  "move:NXM_NX_REG0[0..32]->NXM_NX_REG1[]",
  "move:NXM_NX_REG0[0..3x]->NXM_NX_REG1[]",
  "load:5",
  "load:->NXM_NX_REG0[]",
  "load:x->NXM_NX_REG0[]",
  "load:8->NXM_NX_REG0[0..1]",
  "load:0x1ffffffff->NXM_NX_REG0[]",
  "load:5->NXM_NX_CT_MARK[]",
  "load:5->NXM_NX_REG0[]x",
  "push:foo",
  "push:NXM_NX_REG0[]x",
  "pop:NXM_OF_ETH_TYPE[]",
  "set_field:5",
  "set_field:5->",
  "set_field:5->foo",
  "set_field:5->reg0[0..3]",
  "set_field:->reg0",
  "set_field:x->reg0",
  "set_field:5/x->reg0",
  "set_field:0x1ffffffff->reg0",
  "set_field:5->eth_type",
  "set_field:5->ct_mark",
  "set_field:5->nw_proto",
  "set_field:foo->eth_src",
  "set_field:2->tcp_src",
  "set_field:1.2.3->nw_src",
  "set_field:5->nw_tos",
  "set_field:256->nw_ttl",
  "set_field:0x3/0x3->nw_ecn",
  "set_field:1->tun_ttl",
  "fin_timeout(x)",
  "fin_timeout(idle_timeout=x)",
  "resubmit",
  "resubmit:foo",
  "resubmit()",
  "resubmit(,256)",
  "resubmit(,1,foo)",
  "resubmit(,5,ct)",
  "learn(foo)",
  "learn(table=1,foo=1)",
  "learn(table=256)",
  "learn(table=255)",
  "learn(table=1,tcp_src=5)",
  "learn(table=1,load:5)",
  "learn(table=1,load:5->foo)",
  "learn(table=1,NXM_OF_ETH_DST[]=NXM_OF_VLAN_TCI[])",
  "learn(table=1,load:NXM_NX_REG0[]->NXM_NX_REG1[0..3])",
  "learn(table=1,load:5->NXM_OF_ETH_TYPE[])",
  "learn(table=1,eth_src=5)",
  "learn(table=1,result_dst=NXM_NX_REG0[])",
  "learn(table=1,NXM_NX_REG0[0..3]=0x55)",
  "learn(table=1,reg0=5/5)",
  "clone(foo)",
  "clone(goto_table:5)",
  "clone(meter:5)",
  "ct",
  "ct(foo)",
  "ct(zone=70000)",
  "ct(table=255)",
  "ct(table=256)",
  "ct(commit,exec(output:1))",
  "ct(commit,exec(set_field:5->reg0))",
  "ct(commit,nat(foo))",
  "ct(force)",
  "ct(commit,nat(src=1.2.3.4,dst=1.2.3.4))",
  "ct(commit,nat(src=1.2.3.8-1.2.3.4))",
  "ct(commit,nat(src=1.2.3.4:10-5))",
  "ct(commit,nat(src=foo))",
  "ct(commit,nat(src=1.2.3.4,hash,random))",
  "ct(commit,nat(hash))",
  "ct(commit,alg=xx)",
  "conjunction(1)",
  "conjunction(1,0/2)",
  "conjunction(1,3/2)",
  "conjunction(1,1/65)",
  "conjunction(1,1/1)",
  "conjunction(1,1/2),output:1",
  "load:1->reg0,conjunction(1,1/2)",
  "note:x",
  "note:00.0",
  "sample(foo)",
  "sample(probability=0)",
  "sample()",
  "check_pkt_larger(x)->NXM_NX_REG0[0]",
  "check_pkt_larger(100)",
  "check_pkt_larger(100)->NXM_NX_REG0[0..1]",
  "delete_field:reg0",
  "delete_field:foo",
  "meter:x",
  "meter:0",
  "group:x",
  "goto_table:x",
  "goto_table:256",
  "write_metadata:x",
  "write_actions(goto_table:1)",
  "encap(foo)",
  "encap()",
  "decap(x)",
  "decap(packet_type(ns=1))",
  "apply_actions(output:1)",
  "goto_table:5,output:1",
  "goto_table:5,goto_table:6",
  "drop,output:1",
  "nat",
  "unroll_xlate(5,6)",
  "push_vlan:0x8100,push_vlan:0x8100,push_vlan:0x8100",
];

const BAD_FLOWS: readonly string[] = [
  "priority=5",
  "foo,actions=drop",
  "table=256,actions=drop",
  "table=x,actions=drop",
  "table=0xa,actions=drop",
  "priority=70000,actions=drop",
  "priority,actions=drop",
  "cookie=5/5,actions=drop",
  "cookie=x,actions=drop",
  "cookie=,actions=drop",
  "out_port=5,actions=drop",
  "importance=70000,actions=drop",
  "table=0 foo=1 actions=drop",
  "ip,nw_src=foo,actions=drop",
  "reg0[0..3]=55,actions=drop",
  "actions",
  "table=3,actions=goto_table:3",
  "duration,actions=drop",
];

test("errors are OVS's, word for word", { skip: ovsSkip }, async () => {
  await withOvs(async (ovs) => {
    const lines = [...BAD_FLOWS, ...BAD_ACTIONS.map((actions) => `actions=${actions}`)];
    const differences: string[] = [];
    for (let i = 0; i < lines.length; i += 1) {
      const line = lines[i]!;
      const theirs = await theirError(ovs, line);
      const ours = ourError(line);
      if (ours !== theirs) differences.push(`${line}\n  ours:   ${ours}\n  theirs: ${theirs}`);
    }
    assert.equal(differences.join("\n"), "");
  });
});

test("mangled actions are judged as OVS judges them", { skip: ovsSkip }, async (t) => {
  // Another seed may meet one of the differences listed in differences.md.
  const seed = Number(process.env.SEED ?? 77);
  t.diagnostic(`SEED=${seed}`);
  const random = generator(seed);
  const whole = ACTIONS.flatMap(([, list]) => list).filter((a) => !/ |decap|vlan/.test(a) && a.length < 120);
  const letters = "0159xf:=,()[]->./_ ab";
  await withOvs(async (ovs) => {
    const differences: string[] = [];
    for (let i = 0; i < 100; i++) {
      let text = whole[random(whole.length)]!;
      for (let n = 1 + random(2); n > 0; n--) {
        const at = random(text.length);
        const letter = letters[random(letters.length)]!;
        const kept = random(3);
        text = text.slice(0, at) + (kept === 0 ? "" : letter) + text.slice(kept === 1 ? at : at + 1);
      }
      const line = `${random(2) === 0 ? "tcp," : ""}actions=${text}`;
      const theirs = await theirError(ovs, line);
      const ours = ourError(line);
      if (ours !== theirs) differences.push(`${line}\n  ours:   ${ours}\n  theirs: ${theirs}`);
    }
    assert.equal(differences.join("\n"), "");
  });
});

test("random flows dump as OVS dumps them", { skip: ovsSkip }, async (t) => {
  t.diagnostic(`SEED=${SEED}`);
  const random = generator(SEED);
  const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;
  const hex = (bits: number): string => `0x${random(2 ** bits).toString(16)}`;
  const simple = ACTIONS[0]![1].filter(
    (a) => !/conjunction|drop|note|write_|goto_|clear_actions|vlan|encap|decap|^,|exit|learn$/.test(a),
  );
  const lines: string[] = [];
  for (let i = 0; i < RANDOM_LINES; i++) {
    const parts = [`cookie=${hex(30)}`, `table=${random(100)}`, `priority=${random(65536)}`, `reg15=${i}`];
    if (random(4) === 0) parts.push(`idle_timeout=${random(65536)}`);
    if (random(4) === 0) parts.push(`hard_timeout=${random(65536)}`);
    if (random(6) === 0) parts.push(`importance=${random(65536)}`);
    if (random(6) === 0)
      parts.push(
        pick(["send_flow_rem", "check_overlap", "reset_counts", "no_packet_counts", "no_byte_counts"]),
      );
    const isTcp = random(3) === 0;
    if (isTcp) parts.push("tcp");
    if (random(3) === 0) parts.push(`reg${random(15)}=${hex(30)}/${hex(30)}`);
    const actions: string[] = [];
    for (let n = random(5); n >= 0; n--) {
      switch (random(isTcp ? 7 : 5)) {
        case 0: {
          const from = random(32);
          const bits = 1 + random(Math.min(29, 32 - from));
          actions.push(`load:${random(2 ** bits)}->NXM_NX_REG${random(16)}[${from}..${from + bits - 1}]`);
          break;
        }
        case 1: {
          const mask = random(2 ** 30);
          actions.push(`set_field:${random(2 ** 30) & mask}/0x${mask.toString(16)}->reg${random(16)}`);
          break;
        }
        case 2:
          actions.push(`resubmit(${pick(["", "1", "LOCAL"])},${random(255)})`);
          break;
        case 5:
          actions.push(pick(ACTIONS[1]![1].filter((a) => !a.includes("goto") && !a.includes("mpls"))));
          break;
        case 6:
          actions.push(
            `ct(commit,zone=${random(65536)},nat(src=10.0.0.${random(256)}:${1 + random(60000)}))`,
          );
          break;
        default:
          actions.push(pick(simple));
      }
    }
    if (random(5) === 0) actions.push(`goto_table:${100 + random(150)}`);
    lines.push(`${parts.join(",")} actions=${actions.join(",")}`);
  }
  const text = lines.join("\n");
  await withOvs(async (ovs) => {
    assert.deepEqual(ourDump(text), await theirDump(ovs, text));
  });
});

test("what dump-flows prints reads back as itself", () => {
  const text = ACTIONS.flatMap(([match, list]) =>
    list.map((a) => `${match} actions=${a.replaceAll("goto_table:3", "goto_table:6")}`),
  );
  for (const line of text) {
    const [mod] = parseFlowFile(line, undefined, { portByName });
    const printed = formatActions(mod!.actions);
    // OVS does not read what it prints itself for no bit at all (ANY), nor masks on fields that take none.
    if (/ANY|0x3f->ip_dscp|0x3->nw_ecn|0x7->vlan_pcp/.test(printed)) continue;
    const match = line.slice(0, line.indexOf(" actions="));
    const [again] = parseFlowFile(`${match} actions=${printed}`, undefined, { portByName });
    assert.equal(formatActions(again!.actions), printed, line);
  }
});

const GROUPS: readonly string[] = [
  "group_id=1,type=all",
  "group_id=2,type=select,bucket=actions=output:1,output:2,bucket=weight=5,output:1",
  "group_id=3,type=select,bucket=weight:5,bucket_id:7,watch_port:1,watch_group:2,actions=output:1",
  "group_id=4,type=fast_failover,bucket=watch_group:1,output:1",
  "group_id=5,type=indirect,bucket=output:1",
  "group_id=0xffffff00,type=all",
  "group_id=6,type=all,bucket=drop",
  "group_id=7,type=select,selection_method=hash,bucket=output:1",
  "group_id=8,type=select,selection_method=hash,fields(ip_src,tcp_dst=0xff),bucket=output:1",
  "group_id=9,type=select,selection_method=dp_hash,selection_method_param=5,bucket=output:1",
  "group_id=10,type=select,selection_method=hash,fields=ip_src,bucket=output:1",
  "group_id=11,type=select,selection_method=hash,selection_method_param=7,fields(eth_src,eth_dst,ip_src,ip_dst,reg0=0xf),bucket=output:1",
  "group_id=12,type=all,bucket=mod_dl_src:00:11:22:33:44:55,output:1",
  "group_id=13 type=all bucket=output:1 bucket=output:2",
  "group_id=14,type=all,bucket=bucket_id:3,output:1,bucket=output:2,bucket=bucket_id:0,output:1",
  "add group_id=15,type=all,bucket=load:5->NXM_NX_REG0[0..3],resubmit(,5)",
  "group_id=16,type=select,bucket=weight:0,actions=output:1",
];
const BAD_GROUPS: readonly string[] = [
  "group_id=1",
  "type=all",
  "group_id=1,type=foo",
  "group_id=x,type=all",
  "group_id=1,type=all,bucket=foo",
  "group_id=1,type=all,bucket=weight=5,output:1",
  "group_id=1,type=all,bucket=",
  "group_id=1,type=all,bucket",
  "group_id=1,type=indirect,bucket=output:1,bucket=output:2",
  "group_id=1,type=select,bucket=weight=foo,output:1",
  "group_id=1,type=select,bucket=watch_port=foo,output:1",
  "group_id=1,type=select,bucket=bucket_id=4294967295,output:1",
  "group_id=1,type=select,fields(ip_src),bucket=output:1",
  "group_id=1,type=select,selection_method_param=5,bucket=output:1",
  "group_id=1,type=select,selection_method=hash,fields(foo),bucket=output:1",
  "group_id=1,type=all,foo=5,bucket=output:1",
  "group_id=1,type=all,bucket=output:1,goto_table:5",
  "command_bucket_id=5,group_id=1,type=all",
  "group_id=1,type=ff,bucket=output:1",
  "delete group_id=1,type=all",
  "insert_bucket group_id=1,bucket=output:1",
  "insert_bucket group_id=1,command_bucket_id=all,bucket=output:1",
  "remove_bucket group_id=1,command_bucket_id=2,bucket=output:1",
];
const METERS: readonly string[] = [
  "meter=1,kbps,bands=type=drop,rate=5",
  "meter=2,pktps,burst,stats,bands=type=drop,rate=5,burst_size=7",
  "meter=slowpath,kbps,bands=type=drop,rate=5",
  "meter=3 kbps band=type=drop rate=5,type=drop,rate=9",
];
const BAD_METERS: readonly string[] = [
  "meter=1,bands=type=drop,rate=5",
  "meter=1,kbps",
  "kbps,bands=type=drop,rate=5",
  "meter=x,kbps,bands=type=drop,rate=5",
  "meter=0,kbps,bands=type=drop,rate=5",
  "meter=1,kbps,bands=",
  "meter=1,kbps,bands=type=foo,rate=5",
  "meter=1,kbps,bands=rate=5",
  "meter=1,kbps,bands=type=drop",
  "meter=1,kbps,bands=type=drop,rate=x",
  "meter=1,kbps,bands=type=drop,rate=5,foo=6",
  "meter=1,kbps,foo,bands=type=drop,rate=5",
  "meter=1,kbps,bands=type=drop,rate=5,burst_size=7",
  "meter=1,kbps,burst,bands=type=drop,rate=5",
  "meter=1,kbps,bands=type=drop,rate=5,prec_level=1",
  "meter=1,kbps=5,bands=type=drop,rate=5",
];

test("groups and meters dump, and are refused, as in OVS", { skip: ovsSkip }, async () => {
  await withOvs(async (ovs) => {
    const file = join(ovs.dir, "test.groups");
    writeFileSync(file, GROUPS.join("\n"));
    await ovs.ofctl(["-O", "OpenFlow15", "add-groups", "br0", file]);
    const dump = await ovs.ofctl(["-O", "OpenFlow15", "dump-groups", "br0"]);
    const ours = parseGroupFile(GROUPS.join("\n")).map(formatGroup);
    assert.deepEqual(ours.sort(), dump.trimEnd().split("\n").slice(1).sort());

    for (const line of METERS) await ovs.ofctl(["-O", "OpenFlow15", "add-meter", "br0", line]);
    const blocks = (text: string): string[] =>
      text
        .trimEnd()
        .replace(/^.*:\n/, "")
        .split("\n\n")
        .sort();
    const meterDump = await ovs.ofctl(["-O", "OpenFlow15", "dump-meters", "br0"]);
    assert.deepEqual(blocks(formatMeters(parseMeterFile(METERS.join("\n")))), blocks(meterDump));

    const differences: string[] = [];
    const compare = async (
      line: string,
      args: readonly string[],
      parse: (text: string) => unknown,
    ): Promise<void> => {
      writeFileSync(file, `${line}\n`);
      const theirs = await ovs.ofctl(["-O", "OpenFlow15", ...args]).then(
        () => "",
        (error: Error) => error.message,
      );
      let ours = "";
      try {
        parse(line);
      } catch (error) {
        ours = (error as Error).message;
      }
      if (ours === "" || !theirs.trimEnd().endsWith(`: ${ours}`))
        differences.push(`${line}\n  ours:   ${ours}\n  theirs: ${theirs}`);
    };
    for (const line of BAD_GROUPS) await compare(line, ["add-groups", "br0", file], parseGroupFile);
    for (const line of BAD_METERS) await compare(line, ["add-meter", "br0", line], parseMeterFile);
    assert.equal(differences.join("\n"), "");
  });
});
