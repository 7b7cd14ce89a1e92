// The switch that the options of a command describe: a bridge of a configuration file, with what the other options add to it or
// put in its place.
import type { Command } from "commander";
import { type BridgeConfig, readLab } from "../control/config/lab.ts";
import { readTlvMap } from "../control/openflow/tlv-file.ts";
import type { ConntrackSettings } from "../datapath/conntrack-settings.ts";
import { MegaflowError } from "../lib/errors.ts";
import type { FailMode } from "../pipeline/pipeline.ts";
import type { PortOptions } from "../pipeline/port-table.ts";
import type { PipelineSettings } from "../pipeline/settings.ts";
import { portNumber, splitAssignment } from "./assignment.ts";

export interface SwitchOptions {
  readonly config?: string | undefined;
  readonly bridge?: string | undefined;
  readonly flows?: string | undefined;
  readonly groups?: string | undefined;
  readonly meters?: string | undefined;
  /** The text of a map of tunnel options, or a file that holds it. */
  readonly tlvMap?: string | undefined;
  /** `NO=NAME` each. */
  readonly port: readonly string[];
  readonly failMode?: string | undefined;
}

export interface SwitchDescription {
  readonly failMode: FailMode;
  /** Files; `-` is standard input. */
  readonly flows: string | undefined;
  readonly groups: string | undefined;
  readonly meters: string | undefined;
  /** The ports that have been given a name; with none, any may exist. */
  readonly ports: readonly PortOptions[];
  /** Of the port LOCAL, when it is not among them: the bridge's, as in OVS. */
  readonly localName: string;
  readonly bridgeName: string;
  readonly settings: PipelineSettings;
  /** As --config has it. */
  readonly conntrack: ConntrackSettings;
  /** VLAN tags that are looked at. */
  readonly vlanLimit: number;
}

const PORT_FORM = "--port NO=NAME";
const STDIN = "-";
const DEFAULT_BRIDGE = "br0";

/** The options that describe a switch. */
export function addSwitchOptions(command: Command): Command {
  return command
    .option(
      "--config <FILE>",
      "a bridge in YAML: ports with VLANs and flags, files, settings; the options below add to it or replace what it says",
    )
    .option(
      "--bridge <NAME>",
      `which bridge of --config, when there are several; without --config its name (${DEFAULT_BRIDGE})`,
    )
    .option(
      "--flows <FILE>",
      "OpenFlow flows, as ovs-ofctl add-flows reads them; - for standard input; wanted unless --config is given",
    )
    .option("--groups <FILE>", "groups, as ovs-ofctl add-groups reads them")
    .option("--meters <FILE>", "meters, one a line, as ovs-ofctl add-meter takes them")
    .option(
      "--tlv-map <MAP>",
      "Geneve options as tun_metadata fields, as ovs-ofctl add-tlv-map takes them: the text, or a file that holds it",
    )
    .option(
      "--port <NO=NAME>",
      "a port of the bridge; repeatable. With none given, here or in --config, every port that the options or files mention exists",
      (port: string, before: string[]) => [...before, port],
      [] as string[],
    )
    .option(
      "--fail-mode <MODE>",
      "secure: no flow but those given; standalone: OVS's default, NORMAL where table 0 has nothing else",
    );
}

/**
 * Reads --config and joins the other options to it. `others` are files of other options: standard input can be one of all.
 * Throws EARGS, EFILE or ECONFIG.
 */
export function describeSwitch(options: SwitchOptions, others: readonly string[]): SwitchDescription {
  const { failMode } = options;
  if (failMode !== undefined && failMode !== "secure" && failMode !== "standalone") {
    throw new MegaflowError("EARGS", `--fail-mode is secure or standalone, not "${failMode}"`);
  }
  if (options.config === undefined && options.flows === undefined) {
    throw new MegaflowError("EARGS", "--flows FILE or --config FILE is wanted");
  }
  const { flows, groups, meters, tlvMap } = options;
  checkStdin([options.config, flows, groups, meters, tlvMap, ...others]);
  const config = options.config === undefined ? null : bridgeOf(options.config, options.bridge);
  const bridgeName = config?.name ?? options.bridge ?? DEFAULT_BRIDGE;
  const described = {
    failMode: failMode ?? config?.failMode ?? "standalone",
    flows: flows ?? config?.flows,
    groups: groups ?? config?.groups,
    meters: meters ?? config?.meters,
    ports: joinPorts(config?.ports ?? [], options.port),
    localName: config === null && options.bridge === undefined ? "LOCAL" : bridgeName,
    bridgeName,
    settings: { ...config?.settings, ...(tlvMap === undefined ? {} : { tlvMap: readTlvMap(tlvMap) }) },
    conntrack: config?.conntrack ?? {},
    vlanLimit: config?.vlanLimit ?? 1,
  };
  checkStdin([options.config, described.flows, described.groups, described.meters, ...others]);
  return described;
}

/** The same for a bridge of a configuration alone. */
export function describeBridge(config: BridgeConfig): SwitchDescription {
  const { name, ...same } = config;
  checkStdin([config.flows, config.groups, config.meters]);
  return { ...same, localName: name, bridgeName: name };
}

/** Standard input can be read once. */
function checkStdin(files: readonly (string | undefined)[]): void {
  if (files.filter((file) => file === STDIN).length > 1) {
    throw new MegaflowError("EARGS", "standard input (-) can be only one of the files");
  }
}

function bridgeOf(file: string, wanted: string | undefined): BridgeConfig {
  const { bridges } = readLab(file);
  const names = bridges.map(({ name }) => name).join(", ");
  if (wanted === undefined) {
    const [only] = bridges;
    if (bridges.length === 1) return only!;
    const why =
      bridges.length === 0 ? "there is no bridge in it" : `--bridge NAME is wanted: it has ${names}`;
    throw new MegaflowError("EARGS", why, { file });
  }
  const found = bridges.find(({ name }) => name === wanted);
  if (found === undefined)
    throw new MegaflowError("EARGS", `there is no bridge ${wanted}: it has ${names}`, { file });
  return found;
}

/** A --port with a number of the configuration gives that port another name; the others come on top. */
function joinPorts(configured: readonly PortOptions[], given: readonly string[]): PortOptions[] {
  const ports = new Map(configured.map((port) => [port.no, port]));
  const seen = new Set<number>();
  for (const text of given) {
    const [left, name] = splitAssignment(text, PORT_FORM);
    const no = portNumber(left, PORT_FORM);
    if (seen.has(no)) throw new MegaflowError("EARGS", `${PORT_FORM}: port ${no} is given twice`);
    seen.add(no);
    for (const other of ports.values()) {
      if (other.name === name && other.no !== no)
        throw new MegaflowError("EARGS", `${PORT_FORM}: the name ${name} is given twice`);
    }
    ports.set(no, { ...ports.get(no), no, name });
  }
  return [...ports.values()];
}
