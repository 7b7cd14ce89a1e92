// Rule sets after the model of ClassBench (Taylor and Turner, 2007), seeded: access lists, firewalls and IP chains. What makes them
// what they are is kept: prefix lengths and ports in the shares that its seed files have, addresses that share their leading bits as
// those of one organisation do, more special rules first. Ranges of ports become masks, as OpenFlow has no ranges.
import type { Prng } from "../src/lib/prng.ts";
import { formatIpv4 } from "../src/packet/address.ts";

export const RULE_SETS = ["acl", "fw", "ipc"] as const;
export type RuleSet = (typeof RULE_SETS)[number];

export interface ClassRule {
  /** An address and the length of its prefix. */
  readonly src: readonly [address: number, prefix: number];
  readonly dst: readonly [address: number, prefix: number];
  /** A value and a mask. */
  readonly srcPort: readonly [value: number, mask: number];
  readonly dstPort: readonly [value: number, mask: number];
  /** 6, 17, or 0: any. */
  readonly protocol: number;
}

/** Choices with their weights. */
type Shares = readonly (readonly [choice: number, weight: number])[];

interface Shape {
  readonly srcPrefix: Shares;
  readonly dstPrefix: Shares;
  /** How many of 100 rules name a source port, a destination port; the rest leaves it open. */
  readonly srcPorts: number;
  readonly dstPorts: number;
  readonly protocol: Shares;
}

const SHAPES: Readonly<Record<RuleSet, Shape>> = {
  acl: {
    srcPrefix: [
      [0, 10],
      [16, 10],
      [24, 40],
      [28, 15],
      [32, 25],
    ],
    dstPrefix: [
      [16, 5],
      [24, 15],
      [27, 10],
      [32, 70],
    ],
    srcPorts: 0,
    dstPorts: 90,
    protocol: [
      [6, 85],
      [17, 10],
      [0, 5],
    ],
  },
  fw: {
    srcPrefix: [
      [0, 55],
      [16, 10],
      [24, 15],
      [32, 20],
    ],
    dstPrefix: [
      [0, 15],
      [16, 10],
      [24, 30],
      [32, 45],
    ],
    srcPorts: 20,
    dstPorts: 60,
    protocol: [
      [6, 60],
      [17, 25],
      [0, 15],
    ],
  },
  ipc: {
    srcPrefix: [
      [0, 15],
      [8, 5],
      [16, 15],
      [24, 30],
      [32, 35],
    ],
    dstPrefix: [
      [0, 10],
      [8, 5],
      [16, 15],
      [24, 30],
      [32, 40],
    ],
    srcPorts: 15,
    dstPorts: 50,
    protocol: [
      [6, 55],
      [17, 25],
      [0, 20],
    ],
  },
};

const WELL_KNOWN = [
  20, 21, 22, 23, 25, 53, 80, 110, 123, 135, 139, 143, 161, 179, 443, 445, 993, 1521, 3306, 8080,
];
/** 1024 to 65535 and 0 to 1023, as masks have it, and narrower ones. */
const PORT_RANGES = [
  [0x0400, 0xfc00],
  [0x0800, 0xf800],
  [0x8000, 0x8000],
  [0x0000, 0xfc00],
  [0x1f90, 0xfff0],
] as const;
/** Networks that the addresses of a set come from. */
const NETWORKS = 40;

/** `count` different rules, the most special first. */
export function makeRules(set: RuleSet, count: number, rng: Prng): ClassRule[] {
  const shape = SHAPES[set];
  const networks = Array.from({ length: NETWORKS }, () => rng.u32());
  const rules = new Map<string, ClassRule>();
  while (rules.size < count) {
    const rule: ClassRule = {
      src: prefixIn(networks, draw(shape.srcPrefix, rng), rng),
      dst: prefixIn(networks, draw(shape.dstPrefix, rng), rng),
      srcPort: rng.below(100) < shape.srcPorts ? portOf(rng) : [0, 0],
      dstPort: rng.below(100) < shape.dstPorts ? portOf(rng) : [0, 0],
      protocol: draw(shape.protocol, rng),
    };
    const open = rule.protocol === 0 ? { ...rule, srcPort: [0, 0] as const, dstPort: [0, 0] as const } : rule;
    rules.set(JSON.stringify(open), open);
  }
  return [...rules.values()].sort((a, b) => specificity(b) - specificity(a));
}

/** The rule as a line of a flow file. */
export function ruleLine(rule: ClassRule, priority: number): string {
  const { protocol, srcPort, dstPort } = rule;
  const match = [
    protocol === 6 ? "tcp" : protocol === 17 ? "udp" : "ip",
    ...prefixText("nw_src", rule.src),
    ...prefixText("nw_dst", rule.dst),
    ...portText("tp_src", srcPort),
    ...portText("tp_dst", dstPort),
  ];
  return `priority=${priority},${match.join()},actions=output:${2 + (priority % 4)}`;
}

/** Addresses, ports and a protocol that fall under a rule. */
export function hit(rule: ClassRule, rng: Prng) {
  return {
    src: within(rule.src, rng),
    dst: within(rule.dst, rng),
    srcPort: (rule.srcPort[0] | (rng.below(65536) & ~rule.srcPort[1])) & 0xffff,
    dstPort: (rule.dstPort[0] | (rng.below(65536) & ~rule.dstPort[1])) & 0xffff,
    protocol: rule.protocol === 0 ? rng.pick([6, 17]) : rule.protocol,
  };
}

function draw(shares: Shares, rng: Prng): number {
  let left = rng.below(shares.reduce((sum, [, weight]) => sum + weight, 0));
  for (const [choice, weight] of shares) {
    if (left < weight) return choice;
    left -= weight;
  }
  throw new Error("the shares have no weight");
}

/** Of a network the first 16 bits; what follows is drawn toward small numbers, as addresses are given out. */
function prefixIn(networks: readonly number[], prefix: number, rng: Prng): [number, number] {
  if (prefix === 0) return [0, 0];
  const host = Math.floor(0x10000 * (rng.below(0x10000) / 0x10000) ** 2);
  const address = ((rng.pick(networks) & 0xffff0000) | host) >>> 0;
  return [(address & maskOf(prefix)) >>> 0, prefix];
}

function portOf(rng: Prng): readonly [number, number] {
  const kind = rng.below(10);
  if (kind < 7) return [rng.pick(WELL_KNOWN), 0xffff];
  return kind < 9 ? rng.pick(PORT_RANGES) : [rng.below(65536), 0xffff];
}

const maskOf = (prefix: number): number => (prefix === 0 ? 0 : (-1 << (32 - prefix)) >>> 0);

function within([address, prefix]: readonly [number, number], rng: Prng): number {
  return (address | (rng.u32() & ~maskOf(prefix))) >>> 0;
}

/** How many bits a rule asks for. */
function specificity({ src, dst, srcPort, dstPort, protocol }: ClassRule): number {
  const ports = [srcPort[1], dstPort[1]].map((mask) => mask.toString(2).replaceAll("0", "").length);
  return src[1] + dst[1] + ports[0]! + ports[1]! + (protocol === 0 ? 0 : 8);
}

function prefixText(name: string, [address, prefix]: readonly [number, number]): string[] {
  const bytes = Uint8Array.of(address >>> 24, address >>> 16, address >>> 8, address);
  return prefix === 0 ? [] : [`${name}=${formatIpv4(bytes)}${prefix === 32 ? "" : `/${prefix}`}`];
}

function portText(name: string, [value, mask]: readonly [number, number]): string[] {
  if (mask === 0) return [];
  return [mask === 0xffff ? `${name}=${value}` : `${name}=0x${value.toString(16)}/0x${mask.toString(16)}`];
}
