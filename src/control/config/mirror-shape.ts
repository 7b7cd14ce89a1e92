// The keys of a mirror: columns of the Mirror table (ovs-vswitchd.conf.db(5)). Ports are named, or given by number.

import { nearestWord } from "../../lib/nearest.ts";
import type { MirrorOptions } from "../../pipeline/mirror.ts";
import type { PortOptions } from "../../pipeline/port-table.ts";
import { vlans } from "./port-shape.ts";
import {
  errorAt,
  type Fields,
  flag,
  listOf,
  optional,
  type RecordOf,
  record,
  required,
  type Shape,
  scalar,
  text,
  whole,
} from "./shape.ts";

const SNAPLEN_MIN = 14;
const SNAPLEN_MAX = 65_535;
const VLAN_MAX = 4095;

const portRef: Shape<string | number> = scalar("a port's name or number", (v) =>
  typeof v === "string" || typeof v === "number" ? v : undefined,
);
const portRefs = listOf(portRef, { single: true });

const MIRROR_FIELDS = {
  name: required(text),
  selectAll: optional(flag),
  selectSrcPort: optional(portRefs),
  selectDstPort: optional(portRefs),
  selectVlan: optional(vlans),
  outputPort: optional(portRef),
  outputVlan: optional(whole(1, VLAN_MAX)),
  snaplen: optional(whole(SNAPLEN_MIN, SNAPLEN_MAX)),
} satisfies Fields;

export const MIRROR = record("a mirror", MIRROR_FIELDS);

export type MirrorConfig = RecordOf<typeof MIRROR_FIELDS>;

/** The mirror as the pipeline takes it. Throws ECONFIG, with the place, for a port that is not there, and without one destination. */
export function mirrorOptionsOf(config: MirrorConfig, ports: readonly PortOptions[]): MirrorOptions {
  const { name, selectAll, selectSrcPort, selectDstPort, selectVlan, outputPort, outputVlan, snaplen } =
    config;
  if ((outputPort === undefined) === (outputVlan === undefined)) {
    throw errorAt(
      config,
      outputVlan === undefined ? "name" : "outputVlan",
      "a mirror wants output_port or output_vlan, and one of them only",
    );
  }
  const numberOf = (ref: string | number, key: keyof MirrorConfig): number => {
    const port = ports.find((p) => p.name === ref || p.no === ref);
    if (port !== undefined) return port.no;
    const near = nearestWord(
      String(ref),
      ports.map((p) => p.name),
    );
    throw errorAt(config, key, `there is no port ${ref}${near === null ? "" : `; did you mean "${near}"?`}`);
  };
  return {
    name,
    ...(selectAll === undefined ? {} : { selectAll }),
    ...(selectSrcPort === undefined
      ? {}
      : { selectSrcPort: selectSrcPort.map((ref) => numberOf(ref, "selectSrcPort")) }),
    ...(selectDstPort === undefined
      ? {}
      : { selectDstPort: selectDstPort.map((ref) => numberOf(ref, "selectDstPort")) }),
    ...(selectVlan === undefined || selectVlan.length === 0 ? {} : { selectVlan: new Set(selectVlan) }),
    ...(outputPort === undefined ? {} : { outputPort: numberOf(outputPort, "outputPort") }),
    ...(outputVlan === undefined ? {} : { outputVlan }),
    ...(snaplen === undefined ? {} : { snaplen }),
  };
}
