// Datapath keys in text, read: `in_port(1),eth(src=..),eth_type(0x0800),ipv4(src=10.0.0.0/255.0.0.0)` (ovs-dpctl(8)).
// formatMegaflow in megaflow-text.ts writes them.
import { MegaflowError } from "../lib/errors.ts";
import { parseEthernet, parseIpv4, parseIpv6 } from "./address-text.ts";
import { parseInteger } from "./field-text.ts";
import { CT_STATE_NAMES, type FlagNames, parseFlags, TCP_FLAG_NAMES, TUN_FLAG_NAMES } from "./flags-text.ts";
import type { Match } from "./flow.ts";
import * as L from "./layout.ts";
import { emptyMatch } from "./match.ts";
import { parseGeneve } from "./option-text.ts";
import type { PortResolver } from "./port-text.ts";
import type { TlvMap } from "./tlv-map.ts";

/** How a part of an attribute is written, and where it lies: an integer of `bits` at `shift` of a big-endian run, or an address. */
type Part =
  | {
      readonly kind: "integer";
      readonly at: number;
      readonly size: number;
      readonly bits: number;
      readonly shift: number;
    }
  | { readonly kind: "ethernet" | "ipv4" | "ipv6"; readonly at: number }
  | { readonly kind: "frag" };

/** dl_type of a frame that has a length where others have their type (ovs-fields(7), eth_type). */
const NOT_ETH_TYPE = 0x05ff;

function integer(at: number, size: number, bits = 8 * size, shift = 0): Part & { kind: "integer" } {
  return { kind: "integer", at, size, bits, shift };
}

/** The parts of the attributes that are lists of `name=value`. */
const PARTS: Readonly<Record<string, Readonly<Record<string, Part>>>> = {
  eth: { src: { kind: "ethernet", at: L.O_DL_SRC }, dst: { kind: "ethernet", at: L.O_DL_DST } },
  packet_type: { ns: integer(L.O_PACKET_TYPE, 2), id: integer(L.O_PACKET_TYPE + 2, 2) },
  ipv4: {
    src: { kind: "ipv4", at: L.O_NW_SRC },
    dst: { kind: "ipv4", at: L.O_NW_DST },
    proto: integer(L.O_NW_PROTO, 1),
    tos: integer(L.O_NW_TOS, 1),
    ttl: integer(L.O_NW_TTL, 1),
    frag: { kind: "frag" },
  },
  ipv6: {
    src: { kind: "ipv6", at: L.O_IPV6_SRC },
    dst: { kind: "ipv6", at: L.O_IPV6_DST },
    label: integer(L.O_IPV6_LABEL, 4, 20),
    proto: integer(L.O_NW_PROTO, 1),
    tclass: integer(L.O_NW_TOS, 1),
    hlimit: integer(L.O_NW_TTL, 1),
    frag: { kind: "frag" },
  },
  arp: {
    sip: { kind: "ipv4", at: L.O_NW_SRC },
    tip: { kind: "ipv4", at: L.O_NW_DST },
    op: integer(L.O_NW_PROTO, 1),
    sha: { kind: "ethernet", at: L.O_ARP_SHA },
    tha: { kind: "ethernet", at: L.O_ARP_THA },
  },
  tcp: { src: integer(L.O_TP_SRC, 2), dst: integer(L.O_TP_DST, 2) },
  udp: { src: integer(L.O_TP_SRC, 2), dst: integer(L.O_TP_DST, 2) },
  sctp: { src: integer(L.O_TP_SRC, 2), dst: integer(L.O_TP_DST, 2) },
  icmp: { type: integer(L.O_TP_SRC, 2, 8), code: integer(L.O_TP_DST, 2, 8) },
  icmpv6: { type: integer(L.O_TP_SRC, 2, 8), code: integer(L.O_TP_DST, 2, 8) },
  nd: {
    target: { kind: "ipv6", at: L.O_ND_TARGET },
    sll: { kind: "ethernet", at: L.O_ARP_SHA },
    tll: { kind: "ethernet", at: L.O_ARP_THA },
  },
  mpls: {
    label: integer(L.O_MPLS_LSE0, 4, 20, 12),
    tc: integer(L.O_MPLS_LSE0, 4, 3, 9),
    ttl: integer(L.O_MPLS_LSE0, 4, 8),
    bos: integer(L.O_MPLS_LSE0, 4, 1, 8),
    lse0: integer(L.O_MPLS_LSE0, 4),
    lse1: integer(L.O_MPLS_LSE1, 4),
    lse2: integer(L.O_MPLS_LSE2, 4),
  },
  ct_tuple4: {
    src: { kind: "ipv4", at: L.O_CT_NW_SRC },
    dst: { kind: "ipv4", at: L.O_CT_NW_DST },
    proto: integer(L.O_CT_NW_PROTO, 1),
    tp_src: integer(L.O_CT_TP_SRC, 2),
    tp_dst: integer(L.O_CT_TP_DST, 2),
  },
  ct_tuple6: {
    src: { kind: "ipv6", at: L.O_CT_IPV6_SRC },
    dst: { kind: "ipv6", at: L.O_CT_IPV6_DST },
    proto: integer(L.O_CT_NW_PROTO, 1),
    tp_src: integer(L.O_CT_TP_SRC, 2),
    tp_dst: integer(L.O_CT_TP_DST, 2),
    src_port: integer(L.O_CT_TP_SRC, 2),
    dst_port: integer(L.O_CT_TP_DST, 2),
  },
  tunnel: {
    tun_id: integer(L.O_TUN_ID, 8),
    src: { kind: "ipv4", at: L.O_TUN_SRC },
    dst: { kind: "ipv4", at: L.O_TUN_DST },
    ipv6_src: { kind: "ipv6", at: L.O_TUN_IPV6_SRC },
    ipv6_dst: { kind: "ipv6", at: L.O_TUN_IPV6_DST },
    tos: integer(L.O_TUN_TOS, 1),
    ttl: integer(L.O_TUN_TTL, 1),
    tp_src: integer(L.O_TUN_TP_SRC, 2),
    tp_dst: integer(L.O_TUN_TP_DST, 2),
  },
};

/** The parts of a VXLAN group policy. */
const GBP: Readonly<Record<string, Part>> = {
  id: integer(L.O_TUN_GBP_ID, 2),
  flags: integer(L.O_TUN_GBP_FLAGS, 1),
};

/** The attributes that are one number. */
const NUMBERS: Readonly<Record<string, Part>> = {
  recirc_id: integer(L.O_RECIRC_ID, 4),
  dp_hash: integer(L.O_DP_HASH, 4),
  skb_priority: integer(L.O_SKB_PRIORITY, 4),
  skb_mark: integer(L.O_PKT_MARK, 4),
  ct_zone: integer(L.O_CT_ZONE, 2),
  ct_mark: integer(L.O_CT_MARK, 4),
  ct_label: integer(L.O_CT_LABEL, 16),
};

/** Whether a text is written in this style rather than as a match. */
export function isOdpText(text: string): boolean {
  const name = /^\s*(\w+)\(/.exec(text)?.[1];
  if (name === undefined) return false;
  return name in PARTS || name in NUMBERS || ["in_port", "eth_type", "ct_state", "vlan"].includes(name);
}

/** Parses a datapath key and, from its `/MASK` parts, a mask. What is not given is zero in both. Throws ETEXT. */
export function parseOdpFlow(text: string, ports?: PortResolver, tlvMap: TlvMap | null = null): Match {
  const match = emptyMatch();
  parseAttributes(text, match, { ports, tlvMap }, 0);
  const { flow, mask } = match;
  const dlType = flow.get16(L.O_DL_TYPE);
  if (text.includes("eth(")) {
    if (dlType === 0) {
      flow.set16(L.O_DL_TYPE, NOT_ETH_TYPE);
      mask.set16(L.O_DL_TYPE, 0xffff);
    }
  } else if (dlType !== 0) {
    // A key without an Ethernet header is a packet of its Ethernet type alone.
    flow.set32(L.O_PACKET_TYPE, 0x10000 | dlType);
  }
  return match;
}

/** What gives names their meaning. */
interface Names {
  readonly ports: PortResolver | undefined;
  readonly tlvMap: TlvMap | null;
}

/** `name(...)`, ... at `depth` tags behind the Ethernet header. */
function parseAttributes(text: string, match: Match, names: Names, depth: number): void {
  let at = 0;
  while (at < text.length) {
    if (/[\s,]/.test(text[at]!)) {
      at++;
      continue;
    }
    const head = /^(\w+)\(/.exec(text.slice(at));
    if (head === null) throw syntaxError(text.slice(at));
    const end = closing(text, at + head[0].length);
    if (end < 0) throw syntaxError(text.slice(at));
    const body = text.slice(at + head[0].length, end);
    try {
      parseAttribute(head[1]!, body, match, names, depth);
    } catch (error) {
      throw error instanceof MegaflowError && error.code === "ETEXT" ? syntaxError(text.slice(at)) : error;
    }
    at = end + 1;
  }
}

function parseAttribute(name: string, body: string, match: Match, names: Names, depth: number): void {
  const parts = PARTS[name];
  const single = NUMBERS[name];
  if (parts !== undefined) {
    for (const item of splitParts(body)) {
      const geneve = name === "tunnel" ? /^geneve\((.*)\)$/.exec(item) : null;
      if (geneve === null) parsePart(name, item, parts, match);
      else parseGeneve(geneve[1]!, match, names.tlvMap);
    }
  } else if (single !== undefined) setPart(single, body, match);
  else if (name === "in_port") {
    const named = names.ports?.(body);
    setPart(integer(L.O_IN_PORT, 4), named === undefined ? body : String(named), match);
  } else if (name === "eth_type") {
    const rest = splitMask(body);
    if (rest.value === "0" && rest.mask !== null) return; // eth_type(0/0xffff): no Ethernet type at all
    const type = Number(rest.value);
    const isTag = type === 0x8100 || type === 0x88a8;
    setPart(integer(isTag && depth < 2 ? L.O_VLAN0 + 4 * depth : L.O_DL_TYPE, 2), body, match);
  } else if (name === "vlan") {
    const tci = L.O_VLAN0_TCI + 4 * depth;
    const tagParts = { vid: integer(tci, 2, 12), pcp: integer(tci, 2, 3, 13), cfi: integer(tci, 2, 1, 12) };
    for (const item of splitParts(body)) parsePart(name, item, tagParts, match);
    if (!body.includes("cfi=")) {
      match.flow.set16(tci, match.flow.get16(tci) | L.VLAN_CFI);
      match.mask.set16(tci, match.mask.get16(tci) | L.VLAN_CFI);
    }
  } else if (name === "encap") parseAttributes(body, match, names, depth + 1);
  else if (name === "ct_state") setFlags(CT_STATE_NAMES, body, match, L.O_CT_STATE, 1);
  else if (name === "tcp_flags") setFlags(TCP_FLAG_NAMES, body, match, L.O_TCP_FLAGS, 2);
  else throw syntaxError(name);
}

/** `src=10.0.0.0/255.0.0.0`, or within a tunnel `flags(df|key)`. */
function parsePart(
  attribute: string,
  item: string,
  parts: Readonly<Record<string, Part>>,
  match: Match,
): void {
  if (attribute === "tunnel") {
    const gbp = /^vxlan\(gbp\((.*)\)\)$/.exec(item);
    if (gbp !== null) {
      for (const part of splitParts(gbp[1]!)) parsePart("gbp", part, GBP, match);
      return;
    }
    const flags = /^flags\((.*)\)$/.exec(item);
    if (flags !== null) {
      setFlags({ ...TUN_FLAG_NAMES, allowed: 0xf }, flags[1]!, match, L.O_TUN_FLAGS, 2);
      return;
    }
  }
  const equals = item.indexOf("=");
  const part = equals < 0 ? undefined : parts[item.slice(0, equals)];
  if (part === undefined) throw syntaxError(item);
  setPart(part, item.slice(equals + 1), match);
}

function setPart(part: Part, text: string, match: Match): void {
  const { flow, mask } = match;
  switch (part.kind) {
    case "ethernet":
      parseEthernet(
        text,
        flow.bytes.subarray(part.at, part.at + 6),
        mask.bytes.subarray(part.at, part.at + 6),
      );
      return;
    case "ipv4":
      parseIpv4(text, flow.bytes.subarray(part.at, part.at + 4), mask.bytes.subarray(part.at, part.at + 4));
      return;
    case "ipv6":
      parseIpv6(text, flow.bytes.subarray(part.at, part.at + 16), mask.bytes.subarray(part.at, part.at + 16));
      return;
    case "frag": {
      const frag = { no: 0, first: L.FRAG_ANY, later: L.FRAG_ANY | L.FRAG_LATER }[text];
      if (frag === undefined) throw syntaxError(text);
      flow.set8(L.O_NW_FRAG, frag);
      mask.set8(L.O_NW_FRAG, 3);
      return;
    }
    case "integer": {
      const given = splitMask(text);
      putBits(flow.bytes, part, readInteger(given.value));
      putBits(mask.bytes, part, given.mask === null ? -1n : readInteger(given.mask));
    }
  }
}

function setFlags(set: FlagNames, text: string, match: Match, at: number, size: 1 | 2): void {
  const { flags, mask } = parseFlags(set, text);
  const whole = set.names.length === 8 ? 0xff : (1 << set.names.length) - 1;
  const part = integer(at, size);
  putBits(match.flow.bytes, part, BigInt(flags));
  putBits(match.mask.bytes, part, BigInt(mask === -1 ? whole : mask));
}

function putBits(bytes: Uint8Array, part: Part & { kind: "integer" }, value: bigint): void {
  const ones = ((1n << BigInt(part.bits)) - 1n) << BigInt(part.shift);
  if (value >= 0n && value >> BigInt(part.bits) !== 0n) throw syntaxError(String(value));
  let run = 0n;
  for (let i = 0; i < part.size; i++) run = (run << 8n) | BigInt(bytes[part.at + i]!);
  run = (run & ~ones) | ((value << BigInt(part.shift)) & ones);
  for (let i = part.size - 1; i >= 0; i--) {
    bytes[part.at + i] = Number(run & 0xffn);
    run >>= 8n;
  }
}

function readInteger(text: string): bigint {
  const bytes = new Uint8Array(16);
  if (!/^(?:0[xX][0-9a-fA-F]+|\d+)$/.test(text) || !parseInteger(text, 16, bytes)) throw syntaxError(text);
  return bytes.reduce((n, b) => (n << 8n) | BigInt(b), 0n);
}

function splitMask(text: string): { value: string; mask: string | null } {
  const slash = text.indexOf("/");
  return slash < 0
    ? { value: text, mask: null }
    : { value: text.slice(0, slash), mask: text.slice(slash + 1) };
}

/** Splits at commas outside parentheses. */
function splitParts(text: string): string[] {
  const items: string[] = [];
  let depth = 0;
  let from = 0;
  for (let i = 0; i <= text.length; i++) {
    if (text[i] === "(") depth++;
    else if (text[i] === ")") depth--;
    else if (i === text.length || (text[i] === "," && depth === 0)) {
      if (i > from) items.push(text.slice(from, i).trim());
      from = i + 1;
    }
  }
  return items;
}

/** Where the parenthesis that is open before `at` closes, or -1. */
function closing(text: string, at: number): number {
  let depth = 1;
  for (; at < text.length; at++) {
    if (text[at] === "(") depth++;
    else if (text[at] === ")" && --depth === 0) return at;
  }
  return -1;
}

function syntaxError(rest: string): MegaflowError {
  return new MegaflowError("ETEXT", `syntax error at ${rest}`);
}
