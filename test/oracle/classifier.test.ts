// The classifier against real OVS: the same random flows in both; for random frames `ofproto/trace` names the matching flow
// of each table and the megaflow, which must be ours, bit for bit.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fieldByName } from "../../src/flow/field.ts";
import { Flow, KEY_WORDS, type Match } from "../../src/flow/flow.ts";
import * as L from "../../src/flow/layout.ts";
import type { Action, FlowMod } from "../../src/pipeline/action.ts";
import { BLANK_FLOW_MOD } from "../../src/pipeline/flow-mod.ts";
import { Tables } from "../../src/pipeline/tables.ts";
import { type Ovs, ovsSkip, requireOvs } from "./ovs.ts";

const SEED = Number(process.env.SEED ?? 7);
const PIPELINES = Number(process.env.PIPELINES ?? 12);
const FLOWS = 40;
const TABLES = 3;
const LOADS_MAX = 5;

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

/** A match and its text, grown together. */
class Text {
  readonly parts: string[] = [];
  readonly flow = new Flow();
  readonly mask = new Flow();

  /** `value` and `mask` are the field's, unshifted; no mask means exact. */
  set(name: string, value: bigint, mask?: bigint): void {
    const field = fieldByName(name)!;
    const full = (1n << BigInt(field.bits)) - 1n;
    const m = mask ?? full;
    this.parts.push(
      m === full ? `${name}=${write(name, value)}` : `${name}=${write(name, value & m)}/${write(name, m)}`,
    );
    put(this.flow, name, value & m);
    put(this.mask, name, m);
  }

  word(word: string, dlType: number, proto: number | null): void {
    this.parts.push(word);
    put(this.flow, "dl_type", BigInt(dlType));
    put(this.mask, "dl_type", 0xffffn);
    if (proto !== null) {
      put(this.flow, "nw_proto", BigInt(proto));
      put(this.mask, "nw_proto", 0xffn);
    }
  }

  get text(): string {
    return this.parts.join(",");
  }

  get match(): Match {
    return { flow: this.flow, mask: this.mask };
  }
}

/** ORs a value into a field. */
function put(flow: Flow, name: string, value: bigint): void {
  const field = fieldByName(name);
  assert(field, name);
  let run = value << BigInt(field.shift);
  for (let i = field.size - 1; i >= 0; i--) {
    flow.bytes[field.offset + i]! |= Number(run & 0xffn);
    run >>= 8n;
  }
}

function write(name: string, value: bigint): string {
  const hex = (digits: number) => value.toString(16).padStart(digits, "0");
  switch (fieldByName(name)!.form) {
    case "ipv4":
      return hex(8)
        .match(/../g)!
        .map((x) => Number.parseInt(x, 16))
        .join(".");
    case "ethernet":
      return hex(12).match(/../g)!.join(":");
    case "ipv6":
      return hex(32)
        .match(/..../g)!
        .map((x) => Number.parseInt(x, 16).toString(16))
        .join(":");
    case "decimal":
    case "of_port":
      return value.toString();
    default:
      return `0x${value.toString(16)}`;
  }
}

const KINDS = [
  ["tcp", 0x0800, 6],
  ["udp", 0x0800, 17],
  ["ip", 0x0800, null],
  ["arp", 0x0806, null],
  ["tcp6", 0x86dd, 6],
] as const;

const IPV4 = (random: Random) =>
  BigInt([0x0a000000, 0x0a010000, 0xc0a80000][random(3)]! + (random(4) << 6) + random(5));
const IPV6 = (random: Random) => (0x20010db8n << 96n) | (BigInt(random(3)) << 64n) | BigInt(random(4));
const MAC = (random: Random) => 0x0e5a10600000n | BigInt(random(3));
const PORT = (random: Random) => BigInt([80, 81, 443, 8080, 0x8000, 40001][random(6)]!);
const prefix = (bits: number, length: number) =>
  ((1n << BigInt(bits)) - 1n) ^ ((1n << BigInt(bits - length)) - 1n);

function addressMask(random: Random, bits: number): bigint {
  const kind = random(8);
  const least = bits === 128 ? 16 : 1;
  // Starts with ones: OVS reads an IPv6 mask's leading digit as a prefix length.
  if (kind === 0) return prefix(bits, 16) | (BigInt(random(0x7fffffff)) << BigInt(random(bits - 30))) | 1n;
  return kind < 4 ? prefix(bits, bits) : prefix(bits, least + random(bits + 1 - least));
}

/** A random match. The word kinds bring the prerequisites of what follows. */
function randomMatch(random: Random): Text {
  const text = new Text();
  const chance = (n: number) => random(n) === 0;
  if (chance(5)) text.set("in_port", BigInt(1 + random(2)));
  if (chance(5)) text.set("reg0", BigInt(random(3)), chance(2) ? undefined : 0xffffn);
  if (chance(8)) text.set("metadata", BigInt(random(2)), 0xffn);
  if (chance(8)) text.set("pkt_mark", BigInt(random(2)));
  if (chance(8)) text.set("ct_mark", BigInt(random(4)), BigInt(1 + random(3)));
  if (chance(6)) text.set("dl_src", MAC(random), chance(3) ? 0xffffffff0000n : undefined);
  if (chance(6)) text.set("dl_dst", MAC(random), chance(3) ? 0x010000000000n : undefined);
  if (chance(5)) return text;
  const [word, dlType, proto] = KINDS[random(KINDS.length)]!;
  text.word(word, dlType, proto);
  if (dlType === 0x0800) {
    if (chance(3)) text.set("nw_src", IPV4(random), addressMask(random, 32));
    if (chance(2)) text.set("nw_dst", IPV4(random), addressMask(random, 32));
    if (chance(8)) text.set("nw_ttl", BigInt(64 - random(2)));
  } else if (dlType === 0x0806) {
    if (chance(2)) text.set("arp_spa", IPV4(random), addressMask(random, 32));
    if (chance(2)) text.set("arp_op", BigInt(1 + random(2)));
    if (chance(4)) text.set("arp_sha", MAC(random));
  } else {
    if (chance(3)) text.set("ipv6_src", IPV6(random), addressMask(random, 128));
    if (chance(3)) text.set("ipv6_dst", IPV6(random), addressMask(random, 128));
    if (chance(6)) text.set("ipv6_label", BigInt(random(2)));
  }
  if (proto !== null) {
    const l4 = proto === 17 ? "udp" : "tcp";
    if (chance(3)) text.set(`${l4}_src`, PORT(random), chance(3) ? prefix(16, 1 + random(16)) : undefined);
    if (chance(2)) text.set(`${l4}_dst`, PORT(random), chance(3) ? prefix(16, 1 + random(16)) : undefined);
    if (proto === 6 && chance(5)) text.set("tcp_flags", BigInt(random(4)), BigInt(1 + random(3)));
  }
  return text;
}

/** A whole flow for the trace. */
function randomFlow(random: Random): Text {
  const text = new Text();
  text.set("in_port", BigInt(1 + random(2)));
  if (random(2) === 0) text.set("reg0", BigInt(random(3)));
  if (random(2) === 0) text.set("metadata", BigInt(random(2)));
  if (random(3) === 0) text.set("pkt_mark", 1n);
  if (random(3) === 0) text.set("ct_mark", BigInt(random(4)));
  text.set("dl_src", MAC(random));
  text.set("dl_dst", MAC(random));
  const [word, dlType, proto] = KINDS[random(KINDS.length)]!;
  text.word(word, dlType, proto);
  if (dlType === 0x0800) {
    text.set("nw_src", IPV4(random));
    text.set("nw_dst", IPV4(random));
    text.set("nw_ttl", BigInt(64 - random(2)));
  } else if (dlType === 0x0806) {
    text.set("arp_spa", IPV4(random));
    text.set("arp_tpa", IPV4(random));
    text.set("arp_op", BigInt(1 + random(2)));
    text.set("arp_sha", MAC(random));
  } else {
    text.set("ipv6_src", IPV6(random));
    text.set("ipv6_dst", IPV6(random));
    text.set("ipv6_label", BigInt(random(2)));
  }
  if (proto !== null) {
    const l4 = proto === 17 ? "udp" : "tcp";
    text.set(`${l4}_src`, PORT(random));
    text.set(`${l4}_dst`, PORT(random));
    if (proto === 6) text.set("tcp_flags", BigInt(random(4)));
  }
  return text;
}

function flowMod(over: Partial<FlowMod> & { match: Match }): FlowMod {
  return { ...BLANK_FLOW_MOD, priority: 32768, ...over };
}

/** Reads a `Megaflow:` line into a mask (fields of randomMatch and what OVS always adds). */
function maskOfMegaflow(line: string): Flow {
  const mask = new Flow();
  const words: Record<string, readonly [boolean]> = {
    ip: [false],
    ipv6: [false],
    arp: [false],
    tcp: [true],
    udp: [true],
    tcp6: [true],
    udp6: [true],
  };
  for (const part of line.split(",")) {
    const [name, value] = part.split("=") as [string, string | undefined];
    if (value === undefined) {
      if (name === "eth") continue;
      const word = words[name];
      assert(word, `a word of the megaflow: ${part}`);
      put(mask, "dl_type", 0xffffn);
      if (word[0]) put(mask, "nw_proto", 0xffn);
      continue;
    }
    const [field, maskText] = [fieldByName(name), value.split("/")[1]];
    assert(field, `a field of the megaflow: ${part}`);
    const full = (1n << BigInt(field.bits)) - 1n;
    if (name === "tcp_flags" && /^[+-]/.test(value)) {
      const bits = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns"];
      for (const flag of value.match(/[a-z]+/g)!) put(mask, name, 1n << BigInt(bits.indexOf(flag)));
    } else put(mask, name, maskText === undefined ? full : readMask(maskText, field.bits));
  }
  return mask;
}

function readMask(text: string, bits: number): bigint {
  if (/^\d+$/.test(text) && bits >= 32) return prefix(bits, Number(text));
  if (text.startsWith("0x")) return BigInt(text);
  if (text.includes(".")) return text.split(".").reduce((n, x) => (n << 8n) | BigInt(x), 0n);
  const groups = text.split(":");
  if (bits === 48) return groups.reduce((n, x) => (n << 8n) | BigInt(`0x${x}`), 0n);
  const [head, tail] = text.split("::").map((half) => (half === "" ? [] : half.split(":")));
  const missing = tail === undefined ? 0 : 8 - head!.length - tail.length;
  const all = [...head!, ...new Array<string>(missing).fill("0"), ...(tail ?? [])];
  return all.reduce((n, x) => (n << 16n) | BigInt(`0x${x}`), 0n);
}

/** What a translation un-wildcards before any lookup. */
function baseMask(flow: Flow): Flow {
  const wc = new Flow();
  wc.setExact(L.O_IN_PORT, 4);
  wc.setExact(L.O_RECIRC_ID, 4);
  wc.setExact(L.O_DL_TYPE, 2);
  const dlType = flow.get16(L.O_DL_TYPE);
  if (dlType === 0x0800 || dlType === 0x86dd) wc.setExact(L.O_NW_FRAG, 1);
  return wc;
}

/** Fields as `offset: hex` for a readable difference. */
function describe(mask: Flow): string[] {
  const out: string[] = [];
  for (let i = 0; i < KEY_WORDS; i++) {
    const word = mask.get32(4 * i);
    if (word !== 0) out.push(`${4 * i}: ${word.toString(16).padStart(8, "0")}`);
  }
  return out;
}

function hideAlwaysExact(mask: Flow): Flow {
  mask.set32(L.O_RECIRC_ID, 0);
  mask.set32(L.O_IN_PORT, 0);
  mask.set8(L.O_NW_FRAG, 0);
  return mask;
}

interface Line {
  readonly text: string;
  readonly mod: FlowMod;
}

function randomPipeline(random: Random): Line[] {
  const lines: Line[] = [];
  for (let table = 0; table < TABLES; table++) {
    const used = new Set([500]);
    const count = 5 + random(25);
    for (let i = 0; i < count; i++) {
      let priority = random(1000);
      while (used.has(priority)) priority = random(1000);
      used.add(priority);
      const match = randomMatch(random);
      const cookie = BigInt(lines.length + 1);
      const kind = random(6);
      let actions = table + 1 < TABLES ? `resubmit(,${table + 1})` : "drop";
      let ours: Action[] = [];
      let shared = priority;
      if (kind === 0) {
        const [id, clause] = [1 + random(2), 1 + random(2)];
        actions = `conjunction(${id},${clause}/2)`;
        ours = [{ type: "conjunction", id, clause, nClauses: 2 }];
        shared = random(2) === 0 ? 1000 : 500; // clauses meet at one priority, above all others or among them
      } else if (kind === 1) match.set("conj_id", BigInt(1 + random(2)));
      const text = match.text === "" ? "" : `,${match.text}`;
      lines.push({
        text: `table=${table},priority=${shared},cookie=${cookie}${text},actions=${actions}`,
        mod: flowMod({
          tableId: table,
          priority: shared,
          newCookie: cookie,
          match: match.match,
          actions: ours,
        }),
      });
    }
  }
  return lines;
}

/** Loads the flows into a fresh br0, and removes some again, one by one. */
async function load(ovs: Ovs, lines: readonly { text: string }[], removed: readonly bigint[]): Promise<void> {
  await ovs.ofctl(["-O", "OpenFlow15", "del-flows", "br0"]);
  await ovs.ofctl(["-O", "OpenFlow15", "add-flows", "br0", "-"], {
    input: lines.map((line) => line.text).join("\n"),
  });
  for (const cookie of removed) {
    await ovs.ofctl(["-O", "OpenFlow15", "del-flows", "br0", `cookie=${cookie}/-1`]);
  }
}

function deleteByCookie(cookie: bigint): FlowMod {
  return flowMod({
    command: "delete",
    tableId: 255,
    cookie,
    cookieMask: -1n & 0xffff_ffff_ffff_ffffn,
    match: { flow: new Flow(), mask: new Flow() },
  });
}

test("lookups and megaflows are those of ofproto/trace", { skip: ovsSkip }, async () => {
  console.log(`seed ${SEED}`);
  const random = generator(SEED);
  const ovs = await requireOvs();
  try {
    await ovs.addBridge("br0", { ports: [{ no: 1 }, { no: 2 }] });
    for (let round = 0; round < PIPELINES; round++) {
      const lines = randomPipeline(random);
      const removed = lines.map(({ mod }) => mod.newCookie!).filter(() => random(8) === 0);
      const tables = new Tables();
      for (const { mod } of lines) tables.apply([mod], 0);
      for (const cookie of removed) tables.apply([deleteByCookie(cookie)], 0);
      const ours = [...tables.rules()].map((rule) => rule.cookie);
      const flows = Array.from({ length: FLOWS }, () => randomFlow(random));
      // OVS takes removed flows out, and sorts its subtables, a moment later in another thread: where that thread is late, subtables
      // of the same priority change places, in dumps and lookups. A load that it kept up with shows the order.
      for (let attempt = 1; ; attempt++) {
        await load(ovs, lines, removed);
        try {
          await compare(round, lines, ours, flows, tables, ovs);
          break;
        } catch (error) {
          if (!(error instanceof assert.AssertionError) || attempt === LOADS_MAX) throw error;
        }
      }
    }
  } finally {
    await ovs.stop();
  }
});

/** Dump order, and for each flow the rule of each table and the megaflow: ours must be theirs. */
async function compare(
  round: number,
  lines: readonly { text: string }[],
  order: readonly bigint[],
  flows: readonly ReturnType<typeof randomFlow>[],
  tables: Tables,
  ovs: Ovs,
): Promise<void> {
  const dumped = (await ovs.dumpFlows("br0")).map((line) => BigInt(line.match(/cookie=(0x[0-9a-f]+)/)![1]!));
  assert.deepEqual(order, dumped, `dump order of pipeline ${round}`);
  for (const text of flows) {
    const trace = await ovs.trace("br0", text.text);
    const theirs: (bigint | null)[] = [];
    for (const m of trace.matchAll(/^ *(\d+)\. (No match\.|.*priority.*)$/gm)) {
      const cookie = m[2]!.match(/cookie (0x[0-9a-f]+)/);
      theirs.push(cookie === null ? null : BigInt(cookie[1]!));
    }
    const megaflow = trace.match(/^Megaflow: (.*)$/m)![1]!;

    const wc = baseMask(text.flow);
    const ours: (bigint | null)[] = [];
    for (let table = 0; table < TABLES; table++) {
      const rule = tables.lookup(table, text.flow, wc);
      ours.push(rule === null ? null : rule.cookie);
      if (rule === null || rule.clauses !== null) break;
    }
    const what = `pipeline ${round}, ${text.text}\n${lines.map((l) => l.text).join("\n")}\n${trace}`;
    assert.deepEqual(ours, theirs, what);
    const want = hideAlwaysExact(maskOfMegaflow(megaflow));
    assert.deepEqual(describe(hideAlwaysExact(wc)), describe(want), what);
  }
}
