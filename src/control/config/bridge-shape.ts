// The keys of a bridge: its files and ports, and columns of the Bridge table of ovs-vswitchd.conf.db(5) under their own names
// (those of other_config too, with `_` for `-`).
import { CT_LIMIT_MAX, CT_MAX_MAX, CT_TIMEOUT_MAX, ZONE_MAX } from "../../datapath/conntrack-settings.ts";
import { TlvMap } from "../../flow/tlv-map.ts";
import { MegaflowError } from "../../lib/errors.ts";
import { PORT_OR_BOND } from "./bond-shape.ts";
import { FLOW_TABLES } from "./flow-table-shape.ts";
import { MIRROR } from "./mirror-shape.ts";
import { vlans } from "./port-shape.ts";
import {
  type Fields,
  flag,
  listOf,
  mapOf,
  oneOf,
  optional,
  type RecordOf,
  record,
  required,
  type Shape,
  type ShapeOf,
  text,
  whole,
} from "./shape.ts";

const SECONDS_MAX = 1_000_000_000;
const MAC_TABLE_SIZE_MAX = 1_000_000_000;
const SHARDS_MAX = 64;

/** As `ovs-ofctl add-tlv-map` takes it, or a list of such texts. */
const tlvMap: Shape<TlvMap> = {
  want: "a map of tunnel options: {class=C,type=T,len=L}->tun_metadataN",
  read: (node) => {
    const texts = listOf(text, { single: true }).read(node);
    try {
      return TlvMap.parse(texts.join(","));
    } catch (error) {
      throw error instanceof MegaflowError ? node.error(error.message) : error;
    }
  },
};

const seconds = optional(whole(0, CT_TIMEOUT_MAX));

/** By the names of CT_Timeout_Policy. */
const TIMEOUTS = record("timeouts", {
  tcpSynSent: seconds,
  tcpSynRecv: seconds,
  tcpEstablished: seconds,
  tcpFinWait: seconds,
  tcpTimeWait: seconds,
  tcpClose: seconds,
  tcpCloseWait: seconds,
  tcpLastAck: seconds,
  tcpSynSent2: seconds,
  tcpRetransmit: seconds,
  tcpUnack: seconds,
  udpFirst: seconds,
  udpSingle: seconds,
  udpMultiple: seconds,
  icmpFirst: seconds,
  icmpReply: seconds,
});

const CONNTRACK = record("conntrack", {
  max: optional(whole(1, CT_MAX_MAX)),
  defaultLimit: optional(whole(0, CT_LIMIT_MAX)),
  zones: optional(
    mapOf(
      `a zone (0 to ${ZONE_MAX})`,
      (key) => (/^\d+$/.test(key) && Number(key) <= ZONE_MAX ? Number(key) : undefined),
      record("a zone", { limit: optional(whole(0, CT_LIMIT_MAX)), timeouts: optional(TIMEOUTS) }),
    ),
  ),
});

export type ConntrackKeys = ShapeOf<typeof CONNTRACK>;

/** Given at all, it is on unless `enable` says otherwise. */
const SNOOPING = record("mcast_snooping", {
  enable: optional(flag),
  tableSize: optional(whole(1, SECONDS_MAX)),
  agingTime: optional(whole(1, SECONDS_MAX)),
  floodUnregistered: optional(flag),
});

export type SnoopingKeys = ShapeOf<typeof SNOOPING>;

const BRIDGE_FIELDS = {
  failMode: optional(oneOf("secure", "standalone")),
  flows: optional(text),
  groups: optional(text),
  meters: optional(text),
  ports: optional(listOf(PORT_OR_BOND)),
  mirrors: optional(listOf(MIRROR)),
  macTableSize: optional(whole(1, MAC_TABLE_SIZE_MAX)),
  macAgingTime: optional(whole(1, SECONDS_MAX)),
  floodVlans: optional(vlans),
  forwardBpdu: optional(flag),
  /** 0: as many as the datapath can, which is two. OVS has it in the table Open_vSwitch, for all bridges. */
  vlanLimit: optional(whole(0, SECONDS_MAX)),
  tlvMap: optional(tlvMap),
  conntrack: optional(CONNTRACK),
  flowTables: optional(FLOW_TABLES),
  mcastSnooping: optional(SNOOPING),
} satisfies Fields;

export type BridgeKeys = RecordOf<typeof BRIDGE_FIELDS>;

export const LAB = record("the file", {
  bridges: required(
    mapOf("a bridge's name", (key) => (key === "" ? undefined : key), record("a bridge", BRIDGE_FIELDS)),
  ),
  shards: optional(whole(1, SHARDS_MAX)),
});
