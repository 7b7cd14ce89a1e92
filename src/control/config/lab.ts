// Reads a configuration (DESIGN section 6): the bridges of a YAML file as the options that a bridge is made of. Whatever is
// wrong is an error (ECONFIG) with file, line, column and what was wanted; nothing is ignored.
//
//   bridges:
//     br0:
//       fail_mode: secure
//       flows: br0.flows            # also groups:, meters:; relative to this file
//       ports:
//         - { no: 1, name: web, tag: 10 }
//         - { no: 2, name: uplink, trunks: [10, 20] }
import { dirname, isAbsolute, join } from "node:path";
import type { PipelineSettings } from "../../pipeline/pipeline.ts";
import type { PortOptions } from "../../pipeline/port-table.ts";
import { readTextFile } from "../text-file.ts";
import { type BridgeKeys, LAB } from "./bridge-shape.ts";
import { ConfigNode } from "./node.ts";
import type { PortConfig } from "./port-shape.ts";
import { errorAt, lineOf } from "./shape.ts";

export interface Lab {
  readonly file: string;
  readonly bridges: readonly BridgeConfig[];
  readonly shards: number;
}

export interface BridgeConfig {
  readonly name: string;
  readonly failMode: "secure" | "standalone";
  /** Paths as they can be opened from here. */
  readonly flows: string | undefined;
  readonly groups: string | undefined;
  readonly meters: string | undefined;
  readonly ports: readonly PortOptions[];
  /** Each port as the file has it: with what is not the pipeline's. */
  readonly devices: readonly PortConfig[];
  readonly settings: PipelineSettings;
}

/** Reads a file (`-`: standard input). Throws MegaflowError EFILE or ECONFIG. */
export function readLab(path: string): Lab {
  return parseLab(readTextFile(path), path);
}

/** The same for its text. */
export function parseLab(text: string, file: string): Lab {
  const { bridges, shards = 1 } = LAB.read(ConfigNode.parse(text, file));
  return { file, shards, bridges: [...bridges].map(([name, keys]) => bridgeOf(name, keys, file)) };
}

function bridgeOf(name: string, keys: BridgeKeys, file: string): BridgeConfig {
  const devices = keys.ports ?? [];
  checkDistinct(devices, "no", "port number");
  checkDistinct(devices, "name", "name");
  return {
    name,
    failMode: keys.failMode ?? "standalone",
    flows: pathOf(keys.flows, file),
    groups: pathOf(keys.groups, file),
    meters: pathOf(keys.meters, file),
    ports: devices.map(portOptionsOf),
    devices,
    settings: settingsOf(keys),
  };
}

function settingsOf(keys: BridgeKeys): PipelineSettings {
  const { macTableSize, macAgingTime } = keys;
  return {
    ...(macTableSize === undefined ? {} : { macTableSize }),
    ...(macAgingTime === undefined ? {} : { macAgingMs: macAgingTime * 1000 }),
  };
}

/** The port as the pipeline takes it. */
function portOptionsOf(config: PortConfig): PortOptions {
  const { type: _type, netns: _netns, linkState, trunks, cvlans, qinqEthtype, ...same } = config;
  return {
    ...same,
    ...vlanSet("trunks", trunks),
    ...vlanSet("cvlans", cvlans),
    ...(qinqEthtype === undefined ? {} : { qinqEthtype: TPIDS[qinqEthtype] }),
    ...(linkState === undefined ? {} : { live: linkState === "up" }),
  };
}

const TPIDS = { "802.1ad": 0x88a8, "802.1q": 0x8100 } as const;

/** No VLAN at all stands for all, as in OVS. */
function vlanSet<K extends string>(
  name: K,
  vlans: readonly number[] | undefined,
): { [P in K]?: Set<number> } {
  return vlans === undefined || vlans.length === 0
    ? {}
    : ({ [name]: new Set(vlans) } as { [P in K]?: Set<number> });
}

/** No two records may have the same value under a key. */
function checkDistinct<T extends object>(records: readonly T[], key: keyof T & string, what: string): void {
  const seen = new Map<unknown, T>();
  for (const item of records) {
    const value = item[key];
    const first = seen.get(value);
    if (first !== undefined) {
      throw errorAt(item, key, `the ${what} ${value} is given twice, first in line ${lineOf(first, key)}`);
    }
    seen.set(value, item);
  }
}

/** A file name of the configuration is relative to the configuration; `-` is standard input. */
function pathOf(name: string | undefined, file: string): string | undefined {
  if (name === undefined || name === "-" || file === "-" || isAbsolute(name)) return name;
  const folder = dirname(file);
  return folder === "." ? name : join(folder, name);
}
