// What makes a port a tunnel (ovs-vswitchd.conf.db(5), Interface table, Tunnel Options): the endpoints, the key and what
// goes into the outer header, each fixed or left to the flows.
import { MegaflowError } from "../lib/errors.ts";
import { parseIp } from "../packet/address.ts";

export const TUNNEL_TYPES = ["geneve", "vxlan", "gre"] as const;
export type TunnelType = (typeof TUNNEL_TYPES)[number];

/** An outer address: 4 or 16 bytes, or the flow's (`tun_dst`, `tun_src`...). */
export type TunnelAddress = Uint8Array | "flow";

export interface TunnelOptions {
  readonly type: TunnelType;
  readonly remoteIp: TunnelAddress;
  /** Null: any of the host's own. */
  readonly localIp: TunnelAddress | null;
  /** The key of received frames; null when there is none, which is then taken for 0. */
  readonly inKey: bigint | "flow" | null;
  readonly outKey: bigint | "flow" | null;
  /** UDP destination port; 0 for GRE. */
  readonly dstPort: number;
  /** The outer DSCP, in its place in the byte, or the inner one. */
  readonly tos: number | "inherit";
  readonly ttl: number | "inherit";
  readonly dfDefault: boolean;
  /** Checksum of the outer UDP or GRE header. */
  readonly csum: boolean;
  readonly egressPktMark: number | null;
}

export const DEFAULT_TTL = 64;
const DST_PORTS: Readonly<Record<TunnelType, number>> = { geneve: 6081, vxlan: 4789, gre: 0 };
/** Bits of a key on the wire: VNI, GRE key (RFC 7348, 8926, 2890). */
const KEY_BITS: Readonly<Record<TunnelType, number>> = { geneve: 24, vxlan: 24, gre: 32 };

/** The options that a port of a tunnel type may have, by the names they have in OVS. */
export const TUNNEL_OPTION_NAMES: readonly string[] = [
  "remote_ip",
  "local_ip",
  "in_key",
  "out_key",
  "key",
  "dst_port",
  "tos",
  "ttl",
  "df_default",
  "csum",
  "egress_pkt_mark",
  "packet_type",
];

export function isTunnelType(type: string): type is TunnelType {
  return (TUNNEL_TYPES as readonly string[]).includes(type);
}

/**
 * Options by OVS's names, values as text (numbers and booleans may stand for themselves). Throws ECONFIG that names the
 * port and the option.
 */
export function tunnelOptions(
  portName: string,
  type: TunnelType,
  options: Readonly<Record<string, string | number | boolean>>,
): TunnelOptions {
  const fail = (message: string): never => {
    throw new MegaflowError("ECONFIG", `${portName}: ${message}`);
  };
  const given = new Map(Object.entries(options).map(([name, value]) => [name, String(value)]));
  for (const name of given.keys()) {
    if (!TUNNEL_OPTION_NAMES.includes(name)) fail(`unknown ${type} option "${name}"`);
  }
  const integer = (name: string, max: number): number | null => {
    const text = given.get(name);
    if (text === undefined) return null;
    const value = /^(?:0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN;
    if (!(value <= max)) fail(`${name} is a number of at most ${max}, not "${text}"`);
    return value;
  };
  const flag = (name: string, otherwise: boolean): boolean => {
    const text = given.get(name);
    if (text === undefined) return otherwise;
    if (text !== "true" && text !== "false") fail(`${name} is true or false, not "${text}"`);
    return text === "true";
  };
  const key = (name: "in_key" | "out_key"): bigint | "flow" | null => {
    const text = given.get(name) ?? given.get("key");
    if (text === undefined || text === "none") return null;
    if (text === "flow") return "flow";
    if (!/^(?:0x[0-9a-f]+|\d+)$/i.test(text)) fail(`${name} is a number, flow or none, not "${text}"`);
    const value = BigInt(text);
    if (value >> BigInt(KEY_BITS[type]) !== 0n) fail(`${name} ${text} has more than ${KEY_BITS[type]} bits`);
    return value;
  };
  const orInherit = (name: string): number | "inherit" | null =>
    given.get(name) === "inherit" ? "inherit" : integer(name, 255);
  const tos = orInherit("tos") ?? 0;
  if (tos !== "inherit" && (tos & 3) !== 0)
    fail(`tos is a DSCP in the upper six bits, not ${tos}: ECN is the inner header's`);
  const remote = given.get("remote_ip");
  if (remote === undefined) return fail(`${type} type requires valid 'remote_ip' argument`);
  const remoteIp = remote === "flow" ? "flow" : addressOf(remote);
  if (remoteIp === null || isZero(remoteIp)) return fail(`bad ${type} 'remote_ip' ${remote}`);
  const local = given.get("local_ip");
  const localIp = local === undefined || local === "flow" ? (local ?? null) : addressOf(local);
  if (local !== undefined && localIp === null) return fail(`bad ${type} 'local_ip' ${local}`);
  if (localIp === "flow" && remoteIp !== "flow")
    fail(`${type} type requires 'remote_ip=flow' with 'local_ip=flow'`);
  if (localIp instanceof Uint8Array && remoteIp instanceof Uint8Array && localIp.length !== remoteIp.length) {
    fail("'remote_ip' and 'local_ip' have to be of the same address family");
  }
  const packetType = given.get("packet_type") ?? "legacy_l2";
  if (packetType !== "legacy_l2") fail(`packet_type ${packetType} is not supported`);
  return {
    type,
    remoteIp,
    localIp,
    inKey: key("in_key"),
    outKey: key("out_key"),
    dstPort: type === "gre" ? 0 : (integer("dst_port", 65535) ?? DST_PORTS[type]),
    tos,
    ttl: orInherit("ttl") ?? DEFAULT_TTL,
    dfDefault: flag("df_default", true),
    csum: flag("csum", false),
    egressPktMark: integer("egress_pkt_mark", 0xffffffff),
  };
}

function addressOf(text: string): Uint8Array | null {
  try {
    return parseIp(text);
  } catch {
    return null;
  }
}

function isZero(address: TunnelAddress): boolean {
  return address !== "flow" && address.every((b) => b === 0);
}
