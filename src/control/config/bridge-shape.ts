// The keys of a bridge: its files and ports, and columns of the Bridge table of ovs-vswitchd.conf.db(5) under their own names
// (those of other_config too, with `_` for `-`).
import { TlvMap } from "../../flow/tlv-map.ts";
import { MegaflowError } from "../../lib/errors.ts";
import { PORT, vlans } from "./port-shape.ts";
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

const BRIDGE_FIELDS = {
  failMode: optional(oneOf("secure", "standalone")),
  flows: optional(text),
  groups: optional(text),
  meters: optional(text),
  ports: optional(listOf(PORT)),
  macTableSize: optional(whole(1, MAC_TABLE_SIZE_MAX)),
  macAgingTime: optional(whole(1, SECONDS_MAX)),
  floodVlans: optional(vlans),
  forwardBpdu: optional(flag),
  /** 0: as many as the datapath can, which is two. OVS has it in the table Open_vSwitch, for all bridges. */
  vlanLimit: optional(whole(0, SECONDS_MAX)),
  tlvMap: optional(tlvMap),
} satisfies Fields;

export type BridgeKeys = RecordOf<typeof BRIDGE_FIELDS>;

export const LAB = record("the file", {
  bridges: required(
    mapOf("a bridge's name", (key) => (key === "" ? undefined : key), record("a bridge", BRIDGE_FIELDS)),
  ),
  shards: optional(whole(1, SHARDS_MAX)),
});
