// The keys of a port. Those that OVS has too bear its names: columns of the Port table (ovs-vswitchd.conf.db(5)), and the
// flags of `ovs-ofctl mod-port`.
import { OFPP_LOCAL, OFPP_MAX } from "../../pipeline/action.ts";
import { RSTP_STATES, STP_STATES } from "../../pipeline/spanning-tree.ts";
import { TUNNEL_TYPES } from "../../pipeline/tunnel-options.ts";
import {
  type Fields,
  flag,
  listOf,
  oneOf,
  optional,
  type RecordOf,
  record,
  required,
  type Shape,
  scalar,
  text,
  whole,
} from "./shape.ts";

const portNo: Shape<number> = scalar(`a port number (1 to ${OFPP_MAX - 1}, or LOCAL)`, (v) => {
  if (v === "LOCAL" || v === OFPP_LOCAL) return OFPP_LOCAL;
  return typeof v === "number" && Number.isInteger(v) && v >= 1 && v < OFPP_MAX ? v : undefined;
});

const VLAN_MAX = 4095;
/** What the system takes is 256; a descriptor each. */
const TAP_QUEUES_MAX = 16;
export const vlan = whole(0, VLAN_MAX);
export const vlans: Shape<number[]> = listOf(vlan, { single: true });

/** What belongs to an interface, of which a bond has several. */
export const INTERFACE_FIELDS = {
  no: required(portNo),
  name: required(text),
  noFlood: optional(flag),
  noForward: optional(flag),
  noReceive: optional(flag),
  linkState: optional(oneOf("up", "down")),
  stpState: optional(oneOf(...STP_STATES)),
  rstpState: optional(oneOf(...RSTP_STATES)),
} satisfies Fields;

/** What belongs to a port as a whole. */
export const PORT_COLUMN_FIELDS = {
  vlanMode: optional(oneOf("trunk", "access", "native-tagged", "native-untagged", "dot1q-tunnel")),
  tag: optional(vlan),
  trunks: optional(vlans),
  cvlans: optional(vlans),
  qinqEthtype: optional(oneOf("802.1ad", "802.1q")),
  priorityTags: optional(oneOf("never", "if-nonzero", "always")),
  protected: optional(flag),
  mcastSnoopingFlood: optional(flag),
  mcastSnoopingFloodReports: optional(flag),
} satisfies Fields;

/** An option of a tunnel (ovs-vswitchd.conf.db(5), Interface table, Tunnel Options): what it may be, the tunnel's reader says. */
const tunnelOption = optional(
  scalar("text, a number, true or false", (v) =>
    typeof v === "string" || typeof v === "number" || typeof v === "boolean" ? v : undefined,
  ),
);

export const TUNNEL_FIELDS = {
  remoteIp: tunnelOption,
  localIp: tunnelOption,
  key: tunnelOption,
  inKey: tunnelOption,
  outKey: tunnelOption,
  dstPort: tunnelOption,
  tos: tunnelOption,
  ttl: tunnelOption,
  dfDefault: tunnelOption,
  csum: tunnelOption,
  egressPktMark: tunnelOption,
  packetType: tunnelOption,
} satisfies Fields;

/** Where a live port's frames come from and go to. A replay has captures instead, and leaves these alone. */
export const DEVICE_FIELDS = {
  type: optional(
    oneOf("tap", "af-packet", "pcap-live", "internal", "patch", "capture", "dummy", ...TUNNEL_TYPES),
  ),
  netns: optional(text),
  /** The longest IP packet that is sent; a tap's interface gets it. */
  mtu: optional(whole(68, 65_521)),
  /** tap: queues of the interface. */
  queues: optional(whole(1, TAP_QUEUES_MAX)),
  /** patch: the name of the other end. */
  peer: optional(text),
  /** capture: the file to play, and how many times as fast as it was recorded. */
  file: optional(text),
  speed: optional(whole(1, 1000)),
  /** pcap-live: a filter expression, what comes in. */
  filter: optional(text),
  /** A capture file of all that passes. */
  record: optional(text),
} satisfies Fields;

const PORT_FIELDS = {
  ...INTERFACE_FIELDS,
  ...PORT_COLUMN_FIELDS,
  ...DEVICE_FIELDS,
  ...TUNNEL_FIELDS,
} satisfies Fields;

export const PORT = record("a port", PORT_FIELDS);

export type PortConfig = RecordOf<typeof PORT_FIELDS>;

export type PortColumns = RecordOf<typeof PORT_COLUMN_FIELDS>;

/** Of a port or a bond. */
export function portColumnsOf(config: PortColumns): PortColumns {
  return Object.fromEntries(Object.entries(config).filter(([key]) => key in PORT_COLUMN_FIELDS));
}
