// The fields of each `set` of datapath actions: their names in OVS's datapath text, their places in a flow key, and how
// their values are written there. In OVS's order.
import * as L from "../flow/layout.ts";
import type { SetHeader } from "./action.ts";

/**
 * How a number or an address is written. `0x`: as `hex`, which writes a zero as `0`, but always with `0x`.
 * `op`: an ARP opcode, of which a key holds the low byte.
 */
export type SetFieldForm = "mac" | "ipv4" | "ipv6" | "decimal" | "hex" | "0x" | "op";

export interface SetField {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  readonly form: SetFieldForm;
}

function field(name: string, offset: number, size: number, form: SetFieldForm): SetField {
  return { name, offset, size, form };
}

const PORTS = [field("src", L.O_TP_SRC, 2, "decimal"), field("dst", L.O_TP_DST, 2, "decimal")];
// As nd_options_type, an ICMP type or code stands in the low byte of two.
const ICMP = [field("type", L.O_TP_SRC + 1, 1, "decimal"), field("code", L.O_TP_DST + 1, 1, "decimal")];

/** Headers whose sets are written `set(NAME(FIELD=VALUE[/MASK],...))`, fields without mask bits left out. */
export const SET_FIELDS: ReadonlyMap<SetHeader, readonly SetField[]> = new Map<SetHeader, SetField[]>([
  ["eth", [field("src", L.O_DL_SRC, 6, "mac"), field("dst", L.O_DL_DST, 6, "mac")]],
  [
    "ipv4",
    [
      field("src", L.O_NW_SRC, 4, "ipv4"),
      field("dst", L.O_NW_DST, 4, "ipv4"),
      field("tos", L.O_NW_TOS, 1, "hex"),
      field("ttl", L.O_NW_TTL, 1, "decimal"),
    ],
  ],
  [
    "ipv6",
    [
      field("src", L.O_IPV6_SRC, 16, "ipv6"),
      field("dst", L.O_IPV6_DST, 16, "ipv6"),
      field("label", L.O_IPV6_LABEL, 4, "hex"),
      field("tclass", L.O_NW_TOS, 1, "hex"),
      field("hlimit", L.O_NW_TTL, 1, "decimal"),
    ],
  ],
  ["tcp", PORTS],
  ["udp", PORTS],
  ["sctp", PORTS],
  ["icmp", ICMP],
  ["icmpv6", ICMP],
  [
    "arp",
    [
      field("sip", L.O_NW_SRC, 4, "ipv4"),
      field("tip", L.O_NW_DST, 4, "ipv4"),
      field("op", L.O_NW_PROTO, 1, "op"),
      field("sha", L.O_ARP_SHA, 6, "mac"),
      field("tha", L.O_ARP_THA, 6, "mac"),
    ],
  ],
  [
    "nd",
    [
      field("target", L.O_ND_TARGET, 16, "ipv6"),
      field("sll", L.O_ARP_SHA, 6, "mac"),
      field("tll", L.O_ARP_THA, 6, "mac"),
    ],
  ],
  [
    "nd_ext",
    [
      field("nd_reserved", L.O_IGMP_GROUP, 4, "0x"),
      field("nd_options_type", L.O_TCP_FLAGS + 1, 1, "decimal"),
    ],
  ],
]);
