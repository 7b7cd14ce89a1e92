// Tunnel ports against real OVS. OVS's userspace datapath encapsulates by itself, so that its trace ends in
// `tnl_push(...)` with the whole outer header where ours has `set(tunnel(...))` as for OVS's kernel datapath: both are
// brought to one form, a line per output with what the outer header says. The rest of the trace must be the same text.
// And frames that arrive from tunnels must be taken for the same port.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseTraceArguments } from "../../src/cli/trace-arguments.ts";
import { parseFlowMod } from "../../src/control/openflow/flow-text.ts";
import { parseFlow } from "../../src/flow/flow-text.ts";
import { TlvMap } from "../../src/flow/tlv-map.ts";
import { Pipeline } from "../../src/pipeline/pipeline.ts";
import { TunnelPorts } from "../../src/pipeline/tunnel-ports.ts";
import { ovsSkip } from "./ovs.ts";
import { random } from "./trace-cases.ts";
import { ourPorts, PLAIN, REMOTES, SENDING, TLV_MAP, TUNNELS, theirSwitch } from "./tunnel-switch.ts";

const SEED = Number(process.env.SEED ?? 21);
const FLOWS = Number(process.env.FLOWS ?? 60);
const ARRIVALS = Number(process.env.ARRIVALS ?? 150);

/** Splits at the commas outside parentheses and braces. */
function splitActions(text: string): string[] {
  const items: string[] = [];
  let depth = 0;
  let from = 0;
  for (let i = 0; i <= text.length; i++) {
    const c = text[i];
    if (c === "(" || c === "{") depth++;
    else if (c === ")" || c === "}") depth--;
    else if (i === text.length || (c === "," && depth === 0)) {
      items.push(text.slice(from, i));
      from = i + 1;
    }
  }
  return items;
}

const hex = (text: string | undefined): string => (text === undefined ? "0" : String(Number(text)));

/** Each output with what its outer header says, other actions as they are. `typeOf`: of a port of ours. */
function ourOutputs(actions: string): string[] {
  let tunnel = "";
  const out: string[] = [];
  for (const action of splitActions(actions)) {
    const set = /^set\(tunnel\((.*)\)\)$/.exec(action);
    const port = TUNNELS.find(([no]) => String(no) === action);
    if (set !== null) tunnel = set[1]!;
    else if (port !== undefined) {
      const part = (name: string): string | undefined =>
        new RegExp(`(?:^|,)${name}=([^,]*)`).exec(tunnel)?.[1];
      const flags = /flags\((.*?)\)/.exec(tunnel)?.[1]?.split("|") ?? [];
      const key = port[1] === "gre" && !flags.includes("key") ? "none" : hex(part("tun_id"));
      const options = /geneve\((.*?)\)/.exec(tunnel)?.[1] ?? "";
      const src = part("src") ?? "1.1.1.1";
      out.push(
        `${port[1]} ${src}>${part("dst")}:${part("tp_dst") ?? 0} tos ${hex(part("tos"))} ttl ${part("ttl")} key ${key}` +
          `${flags.includes("df") ? " df" : ""}${flags.includes("csum") ? " csum" : ""}${port[1] === "geneve" && flags.includes("oam") ? " oam" : ""} ${options}`,
      );
    } else out.push(action);
  }
  return out;
}

const PUSH =
  /^tnl_push\(tnl_port\(\d+\),header\(size=\d+,type=\d+,eth\([^)]*\),ipv4\(src=([\d.]+),dst=([\d.]+),proto=\d+,tos=(\w+),ttl=(\d+),frag=(\w+)\),(?:udp\(src=0,dst=(\d+),csum=(\w+)\),)?(\w+)\((.*)\)\),out_port\(\d+\)\)$/;

/** `shown`: dpif/show, which knows the datapath's number of a plain port. */
function theirOutputs(actions: string, shown: string): string[] {
  const out: string[] = [];
  const items = splitActions(actions);
  for (let i = 0; i < items.length; i++) {
    let action = items[i]!;
    const clone = /^clone\((tnl_push.*),\d+\)$/.exec(action);
    if (clone !== null) action = clone[1]!;
    const m = PUSH.exec(action);
    if (m === null) {
      out.push(new RegExp(` p(\\d+) \\d+/${action}:`).exec(shown)?.[1] ?? action);
      continue;
    }
    if (clone === null) i++; // the port of the underlay
    const [, src, dst, tos, ttl, frag, dstPort, udpCsum, type, rest] = m as unknown as string[];
    const gre = /^\(flags=(\w+),proto=0x6558\)(?:,csum=\w+)?(?:,key=(\w+))?$/.exec(rest!);
    const key =
      type === "gre" ? (gre![2] === undefined ? "none" : hex(gre![2])) : hex(/vni=(\w+)/.exec(rest!)![1]);
    const csum = type === "gre" ? (Number(gre![1]) & 0x8000) !== 0 : udpCsum === "0xffff";
    const options = /options\((.*)\)/.exec(rest!)?.[1] ?? "";
    out.push(
      `${type} ${src}>${dst}:${dstPort ?? 0} tos ${hex(tos)} ttl ${ttl} key ${key}` +
        `${frag === "0x4000" ? " df" : ""}${csum ? " csum" : ""}${/^oam/.test(rest!) ? " oam" : ""} ${options}`,
    );
  }
  return out;
}

function ourText(trace: string): string {
  return trace
    .replace(/^Datapath actions: (.*)$/gm, (_, actions: string) => ourOutputs(actions).join("\n"))
    .replace(/^Megaflow: .*$/gm, known)
    .trimEnd();
}

function theirText(trace: string, shown: string): string {
  return trace
    .replace(
      /\n\n *bridge\("br-u"\)\n *-+\n *0\. priority 0\n *NORMAL\n *-> no learned MAC for destination, flooding/g,
      "",
    )
    .replace(
      /-> output to native tunnel\n *>> native tunnel routing failed/g,
      ">> Tunneling decided against output",
    )
    .replace(/-> output to native tunnel/g, "-> output to kernel tunnel")
    .replace(/\n *-> tunneling (?:to|from) .*/g, "")
    .replace(/^Datapath actions: (.*)$/gm, (_, actions: string) => theirOutputs(actions, shown).join("\n"))
    .replace(/^Megaflow: .*$/gm, known)
    .trimEnd();
}

/** Without what OVS 3.1 forgets to match: the protocol of rewritten headers, and what is passed on from tunnel to tunnel. */
function known(line: string): string {
  return line
    .replace(/,(?:tcp|udp),/, ",ip,")
    .replace(",tcp6,", ",ipv6,")
    .replace(/,(?:tun_metadata\d+|tun_gbp_\w+|tun_flags|tun_erspan_\w+|gtpu_\w+)(?:=[^,]*)?/g, "");
}

test("output to tunnels says of the outer header what OVS writes", {
  skip: ovsSkip,
  timeout: 300_000,
}, async () => {
  console.log(`SEED=${SEED}`);
  const rnd = random(SEED);
  const pick = <T>(list: readonly T[]): T => list[rnd(list.length)]!;
  const ovs = await theirSwitch();
  try {
    const shown = await ovs.appctl("dpif/show");
    for (let i = 0; i < FLOWS; i++) {
      const actions = Array.from({ length: 2 + rnd(5) }, () =>
        pick([
          () => `set_field:${pick(REMOTES)}->tun_dst`,
          () => `set_field:${rnd(0x10000)}->tun_id`,
          () => `set_field:${rnd(0x10000)}->tun_metadata${rnd(2)}`,
          () => `load:${rnd(16)}->NXM_NX_TUN_METADATA1[${rnd(60)}..63]`,
          () => "delete_field:tun_metadata0",
          () => "set_field:oam->tun_flags",
          () => "set_field:02:00:00:00:00:01->eth_src",
          () => "set_field:6->pkt_mark",
          () => `output:${pick(PLAIN)}`,
          () => `output:${pick(SENDING)[0]}`,
          () => `output:${pick(SENDING)[0]}`,
        ])(),
      );
      const line = `actions=${actions.join(",")},output:${pick(SENDING)[0]}`.replace(
        /load:(\d+)->NXM_NX_TUN_METADATA1\[(\d+)\.\.63\]/,
        (_, value: string, from: string) =>
          `load:${Number(value) & (2 ** (64 - Number(from)) - 1)}->NXM_NX_TUN_METADATA1[${from}..63]`,
      );
      const tunnelled = rnd(3) === 0;
      const type = pick(["udp", "tcp", "tcp6", "arp", "dl_type=0x1234"]);
      let flow = `in_port=${tunnelled ? pick(TUNNELS)[0] : 1},${type}`;
      if (type === "udp" || type.startsWith("tcp"))
        flow += `,nw_tos=${4 * rnd(64)},nw_ecn=${rnd(4)},nw_ttl=${1 + rnd(255)}`;
      if (tunnelled) {
        flow += `,tun_id=${rnd(9)},tun_src=${pick(REMOTES)},tun_dst=1.1.1.1,tun_ttl=${rnd(256)},tun_metadata0=${rnd(9)}`;
        if (rnd(3) === 0) flow += ",tun_flags=oam";
      }
      const ports = ourPorts();
      const tlvMap = TlvMap.parse(TLV_MAP);
      const pipeline = new Pipeline({ ports, failMode: "secure", seed: 0, tlvMap });
      pipeline.applyFlows([parseFlowMod(line, { tlvMap })], 0);
      await ovs.ofctl(["del-flows", "br0"]);
      await ovs.ofctl(["-O", "OpenFlow13", "add-flow", "br0", line]);
      const ours = pipeline.trace({ ...parseTraceArguments([flow], ports, tlvMap), nowMs: 0 });
      const theirs = await ovs.trace("br0", flow);
      assert.equal(
        ourText(ours),
        theirText(theirs, shown),
        `SEED=${SEED}, ${i}: ${line}\n${flow}\n${ours}\n${theirs}`,
      );
    }
  } finally {
    await ovs.stop();
  }
});

test("a frame that arrives belongs to the port that OVS says", {
  skip: ovsSkip,
  timeout: 300_000,
}, async () => {
  console.log(`SEED=${SEED}`);
  const rnd = random(SEED);
  const pick = <T>(list: readonly T[]): T => list[rnd(list.length)]!;
  const ovs = await theirSwitch();
  try {
    const tunnels = new TunnelPorts(ourPorts());
    const shown = await ovs.appctl("dpif/show");
    let found = 0;
    for (let i = 0; i < ARRIVALS; i++) {
      const [no, type, options] = pick(TUNNELS);
      const datapathPort = new RegExp(`t${no} ${no}/(\\d+):`).exec(shown)![1]!;
      const outer =
        `tunnel(tun_id=0x${pick([0, 1, 5, 5, 7, 0x99]).toString(16)},src=${pick([...REMOTES, "9.9.9.9"])},` +
        `dst=${pick(["1.1.1.1", "1.1.1.1", "1.1.1.2"])},ttl=64,flags(key))`;
      const rest = "eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02),eth_type(0x1234)";
      const theirs = await ovs.trace("ovs-dummy", `${outer},in_port(${datapathPort}),${rest}`).catch(String);
      const theirPort = /^Flow: .*\bin_port=(\d+)/m.exec(theirs)?.[1] ?? null;
      const dstPort = type === "gre" ? 0 : Number(options.dst_port ?? { geneve: 6081, vxlan: 4789 }[type]);
      const ourPort = tunnels.receive(type, dstPort, parseFlow(`${outer},in_port(1),${rest}`));
      assert.equal(
        ourPort === null ? null : String(ourPort.no),
        theirPort,
        `SEED=${SEED}, ${i}: ${type} ${outer}\n${theirs}`,
      );
      if (theirPort !== null) found++;
    }
    assert.ok(found > ARRIVALS / 4, `only ${found} of ${ARRIVALS} frames found a port`);
  } finally {
    await ovs.stop();
  }
});
