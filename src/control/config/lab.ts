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
import type { ConntrackSettings, CtTimeoutPolicy } from "../../datapath/conntrack-settings.ts";
import { MegaflowError } from "../../lib/errors.ts";
import type { PortOptions } from "../../pipeline/port-table.ts";
import type { PipelineSettings } from "../../pipeline/settings.ts";
import type { SnoopingOptions } from "../../pipeline/snooping.ts";
import {
  isTunnelType,
  TUNNEL_TYPES,
  type TunnelOptions,
  tunnelOptions,
} from "../../pipeline/tunnel-options.ts";
import { checkTunnelPorts } from "../../pipeline/tunnel-ports.ts";
import { readTextFile } from "../text-file.ts";
import { type BondConfig, bondOptionsOf, isBond } from "./bond-shape.ts";
import { type BridgeKeys, type ConntrackKeys, LAB, type SnoopingKeys } from "./bridge-shape.ts";
import { mirrorOptionsOf } from "./mirror-shape.ts";
import { ConfigNode } from "./node.ts";
import { type PortColumns, type PortConfig, portColumnsOf, TUNNEL_FIELDS } from "./port-shape.ts";
import { errorAt, lineOf, snakeCase } from "./shape.ts";

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
  readonly conntrack: ConntrackSettings;
  /** VLAN tags that are looked at; the others are payload. */
  readonly vlanLimit: number;
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
  const rows = keys.ports ?? [];
  const bonds = rows.filter(isBond);
  const devices = rows.flatMap((row): readonly PortConfig[] => (isBond(row) ? row.members : [row]));
  checkDistinct(devices, "no", "port number");
  checkDistinct<{ name: string }>([...devices, ...bonds], "name", "name");
  checkDistinct(keys.mirrors ?? [], "name", "name");
  const ports = rows.flatMap((row) => (isBond(row) ? memberOptionsOf(row) : [portOptionsOf(row)]));
  checkTunnelPorts(ports);
  const mirrors = keys.mirrors?.map((mirror) => mirrorOptionsOf(mirror, ports));
  return {
    name,
    failMode: keys.failMode ?? "standalone",
    flows: pathOf(keys.flows, file),
    groups: pathOf(keys.groups, file),
    meters: pathOf(keys.meters, file),
    ports,
    devices,
    settings: { ...settingsOf(keys, bonds), ...defined({ mirrors }) },
    conntrack: conntrackOf(keys.conntrack ?? {}),
    vlanLimit:
      keys.vlanLimit === undefined
        ? 1
        : keys.vlanLimit === 0
          ? VLAN_TAGS_MAX
          : Math.min(keys.vlanLimit, VLAN_TAGS_MAX),
  };
}

function settingsOf(keys: BridgeKeys, bonds: readonly BondConfig[]): PipelineSettings {
  const { macTableSize, macAgingTime, floodVlans, forwardBpdu, tlvMap, flowTables, mcastSnooping } = keys;
  return defined({
    // OVS forces both into these ranges.
    macTableSize: macTableSize === undefined ? undefined : clamp(macTableSize, 10, 1_000_000),
    macAgingMs: macAgingTime === undefined ? undefined : clamp(macAgingTime, 15, 3600) * 1000,
    floodVlans: floodVlans === undefined ? undefined : new Set(floodVlans),
    forwardBpdu,
    tlvMap,
    flowTables,
    bonds: bonds.length === 0 ? undefined : bonds.map(bondOptionsOf),
    snooping: mcastSnooping === undefined ? undefined : snoopingOf(mcastSnooping),
  });
}

function snoopingOf(keys: SnoopingKeys): SnoopingOptions | undefined {
  const { enable = true, tableSize, agingTime, floodUnregistered } = keys;
  if (!enable) return undefined;
  return defined({
    // Into OVS's ranges, too.
    tableSize: tableSize === undefined ? undefined : clamp(tableSize, 10, 1_000_000),
    agingMs: agingTime === undefined ? undefined : clamp(agingTime, 15, 3600) * 1000,
    floodUnregistered,
  });
}

function conntrackOf({ max, defaultLimit, zones = new Map() }: ConntrackKeys): ConntrackSettings {
  return {
    ...defined({ max, defaultLimit }),
    zones: new Map(
      [...zones].map(([zone, { limit, timeouts }]) => [
        zone,
        defined({ limit, timeouts: timeouts === undefined ? undefined : timeoutsOf(timeouts) }),
      ]),
    ),
  };
}

/** The same names as OVS writes them. */
function timeoutsOf(timeouts: object): CtTimeoutPolicy {
  return Object.fromEntries(Object.entries(timeouts).map(([name, value]) => [snakeCase(name), value]));
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(Math.max(value, min), max);
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Without the keys that have no value. */
function defined<T extends object>(options: T): Defined<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Defined<T>;
}

/** Of a flow key. */
const VLAN_TAGS_MAX = 2;

/** The port as the pipeline takes it. */
function portOptionsOf(config: PortConfig): PortOptions {
  const { no, name, noFlood, noForward, noReceive, linkState, stpState, rstpState } = config;
  return {
    no,
    name,
    ...defined({
      noFlood,
      noForward,
      noReceive,
      stpState,
      rstpState,
      live: linkState === undefined ? undefined : linkState === "up",
      tunnel: tunnelOf(config),
    }),
    ...columnOptionsOf(config),
  };
}

/** A bond's members, each with what is said of the bond. */
function memberOptionsOf(bond: BondConfig): PortOptions[] {
  const columns = columnOptionsOf(bond);
  return bond.members.map((member) => ({ ...portOptionsOf(member), ...columns }));
}

function columnOptionsOf(config: PortColumns): Partial<PortOptions> {
  const { trunks, cvlans, qinqEthtype, mcastSnoopingFlood, mcastSnoopingFloodReports, ...same } =
    portColumnsOf(config);
  return {
    ...same,
    ...defined({
      trunks: vlanSet(trunks),
      cvlans: vlanSet(cvlans),
      qinqEthtype: qinqEthtype === undefined ? undefined : TPIDS[qinqEthtype],
      multicastFlood: mcastSnoopingFlood,
      multicastFloodReports: mcastSnoopingFloodReports,
    }),
  };
}

function tunnelOf(config: PortConfig): TunnelOptions | undefined {
  const { name, type } = config;
  const options: Record<string, string | number | boolean> = {};
  for (const key of Object.keys(TUNNEL_FIELDS) as (keyof typeof TUNNEL_FIELDS)[]) {
    const value = config[key];
    if (value === undefined) continue;
    if (type === undefined || !isTunnelType(type)) {
      throw errorAt(config, key, `${snakeCase(key)} is for tunnels: type ${TUNNEL_TYPES.join(", ")}`);
    }
    options[snakeCase(key)] = value;
  }
  if (type === undefined || !isTunnelType(type)) return undefined;
  try {
    return tunnelOptions(name, type, options);
  } catch (error) {
    throw error instanceof MegaflowError ? errorAt(config, "type", error.message) : error;
  }
}

const TPIDS = { "802.1ad": 0x88a8, "802.1q": 0x8100 } as const;

/** No VLAN at all stands for all, as in OVS. */
function vlanSet(vlans: readonly number[] | undefined): ReadonlySet<number> | undefined {
  return vlans === undefined || vlans.length === 0 ? undefined : new Set(vlans);
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
