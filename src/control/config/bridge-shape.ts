// The keys of a bridge: its files and ports, and columns of the Bridge table of ovs-vswitchd.conf.db(5) under their own names
// (those of other_config too, with `_` for `-`).
import { PORT } from "./port-shape.ts";
import {
  type Fields,
  listOf,
  mapOf,
  oneOf,
  optional,
  type RecordOf,
  record,
  required,
  text,
  whole,
} from "./shape.ts";

const SECONDS_MAX = 1_000_000_000;
const MAC_TABLE_SIZE_MAX = 1_000_000;
const SHARDS_MAX = 64;

const BRIDGE_FIELDS = {
  failMode: optional(oneOf("secure", "standalone")),
  flows: optional(text),
  groups: optional(text),
  meters: optional(text),
  ports: optional(listOf(PORT)),
  macTableSize: optional(whole(1, MAC_TABLE_SIZE_MAX)),
  macAgingTime: optional(whole(1, SECONDS_MAX)),
} satisfies Fields;

export type BridgeKeys = RecordOf<typeof BRIDGE_FIELDS>;

export const LAB = record("the file", {
  bridges: required(
    mapOf("a bridge's name", (key) => (key === "" ? undefined : key), record("a bridge", BRIDGE_FIELDS)),
  ),
  shards: optional(whole(1, SHARDS_MAX)),
});
