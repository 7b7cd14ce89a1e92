// The switch that the options describe: its ports by number and name, and the flow, group and meter files it begins with.

import type { Bridge } from "../bridge/bridge.ts";
import { readFlowFile } from "../control/openflow/flow-file.ts";
import { readGroupFile } from "../control/openflow/group-file.ts";
import { placeOf } from "../control/openflow/lines.ts";
import { readMeterFile } from "../control/openflow/meter-file.ts";
import { O_IN_PORT } from "../flow/layout.ts";
import { MegaflowError } from "../lib/errors.ts";
import { type FlowMod, type GroupMod, type MeterMod, OFPP_LOCAL, OFPP_MAX } from "../pipeline/action.ts";
import { PortTable } from "../pipeline/port-table.ts";
import { FlowModError } from "../pipeline/tables.ts";
import { portNumber, splitAssignment } from "./assignment.ts";

export interface SwitchOptions {
  readonly flows: string;
  readonly groups?: string | undefined;
  readonly meters?: string | undefined;
  /** `NO=NAME` each. */
  readonly port: readonly string[];
}

export interface SwitchFiles {
  readonly flows: FlowMod[];
  readonly groups: GroupMod[];
  readonly meters: MeterMod[];
  /** Flow files to be applied later, in the order given. */
  readonly later: FlowMod[][];
  readonly ports: PortTable;
  readonly portNames: ReadonlyMap<string, number>;
}

const PORT_FORM = "--port NO=NAME";

/**
 * Reads all files; nothing is kept of any if one is bad. With `--port` given, the ports are those, `inPorts` and LOCAL;
 * without, also every port that the files mention, and a frame may be sent to any number (one out of a register, say).
 */
export function readSwitchFiles(
  options: SwitchOptions,
  laterFiles: readonly string[],
  inPorts: readonly number[],
): SwitchFiles {
  const portNames = new Map<string, number>();
  const named = new Map<number, string>([[OFPP_LOCAL, "LOCAL"]]);
  for (const text of options.port) {
    const [left, name] = splitAssignment(text, PORT_FORM);
    const no = portNumber(left, PORT_FORM);
    if (named.has(no)) throw new MegaflowError("EARGS", `${PORT_FORM}: port ${no} is given twice`);
    if (portNames.has(name))
      throw new MegaflowError("EARGS", `${PORT_FORM}: the name ${name} is given twice`);
    portNames.set(name, no);
    named.set(no, name);
  }
  const names = { portByName: (name: string) => portNames.get(name) };
  const meters = options.meters === undefined ? [] : readMeterFile(options.meters);
  const groups = options.groups === undefined ? [] : readGroupFile(options.groups, names);
  const flows = readFlowFile(options.flows, names);
  const later = laterFiles.map((file) => readFlowFile(file, names));
  const declared = options.port.length > 0;
  const numbers = new Set([...named.keys(), ...inPorts]);
  if (!declared) for (const no of mentionedPorts([...flows, ...later.flat()], groups)) numbers.add(no);
  const ports = new PortTable(
    [...numbers].map((no) => ({ no, name: named.get(no) ?? String(no) })),
    { anyNumber: !declared },
  );
  return { flows, groups, meters, later, ports, portNames };
}

/** What the switch begins with. Throws at the first line that it refuses. */
export function loadSwitch(bridge: Bridge, files: SwitchFiles, nowMs: number): void {
  for (const mod of files.meters) at(mod, () => bridge.applyMeters([mod], nowMs));
  for (const mod of files.groups) at(mod, () => bridge.applyGroups([mod], nowMs));
  // One by one, as ovs-ofctl add-flows sends them: the order of a dump depends on it.
  for (const mod of files.flows) at(mod, () => bridge.applyFlows([mod], nowMs));
}

/** Applies one file as a bundle, all or nothing. Throws when it is refused, naming the line that is to blame. */
export function applyBundle(bridge: Bridge, mods: readonly FlowMod[], nowMs: number): void {
  try {
    bridge.applyFlows(mods, nowMs);
  } catch (error) {
    if (error instanceof FlowModError) throw error.at(placeOf(mods[error.index]!));
    throw error;
  }
}

function at(mod: object, apply: () => void): void {
  try {
    apply();
  } catch (error) {
    throw error instanceof MegaflowError ? error.at(placeOf(mod)) : error;
  }
}

/** Port numbers that matches and actions name. */
function mentionedPorts(flows: readonly FlowMod[], groups: readonly GroupMod[]): Set<number> {
  const found = new Set<number>();
  const add = (no: number) => {
    if (no > 0 && no < OFPP_MAX) found.add(no);
  };
  const walk = (actions: readonly object[]) => {
    for (const action of actions as readonly Record<string, unknown>[]) {
      if (typeof action.port === "number") add(action.port);
      if (Array.isArray(action.actions)) walk(action.actions);
    }
  };
  for (const { match, actions } of flows) {
    if (match.mask.get32(O_IN_PORT) === 0xffffffff) add(match.flow.get32(O_IN_PORT));
    walk(actions);
  }
  for (const { buckets } of groups) for (const bucket of buckets) walk(bucket.actions);
  return found;
}
