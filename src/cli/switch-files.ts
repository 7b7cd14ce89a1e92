// The switch that the options describe: its ports by number and name, and the flow, group and meter files it begins with.

import { readFlowFile } from "../control/openflow/flow-file.ts";
import { normalizationOf } from "../control/openflow/flow-text.ts";
import { readGroupFile } from "../control/openflow/group-file.ts";
import { placeOf } from "../control/openflow/lines.ts";
import { readMeterFile } from "../control/openflow/meter-file.ts";
import { O_IN_PORT } from "../flow/layout.ts";
import { MegaflowError } from "../lib/errors.ts";
import {
  type Action,
  type FlowMod,
  type GroupMod,
  type MeterMod,
  OFPP_LOCAL,
  OFPP_MAX,
} from "../pipeline/action.ts";
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

/** A bridge, or a pipeline alone. */
export interface Switch {
  applyFlows(mods: readonly FlowMod[], nowMs: number): void;
  applyGroups(mods: readonly GroupMod[], nowMs: number): void;
  applyMeters(mods: readonly MeterMod[], nowMs: number): void;
}

const PORT_FORM = "--port NO=NAME";
const STDIN = "-";

/** Standard input can be read once. Throws EARGS when two of the options' files are it. */
export function checkStdin(options: SwitchOptions, others: readonly string[]): void {
  const files = [options.flows, options.groups, options.meters, ...others];
  if (files.filter((file) => file === STDIN).length > 1) {
    throw new MegaflowError("EARGS", "standard input (-) can be only one of the files");
  }
}

/**
 * Reads all files; nothing is kept of any if one is bad. With `--port` given, the ports are those, `inPorts` and LOCAL
 * (named `localName`); without, also every port that the files mention, and a frame may be sent to any number (one out of a
 * register, say).
 */
export function readSwitchFiles(
  options: SwitchOptions,
  laterFiles: readonly string[],
  inPorts: readonly number[],
  localName = "LOCAL",
): SwitchFiles {
  const portNames = new Map<string, number>();
  const named = new Map<number, string>();
  for (const text of options.port) {
    const [left, name] = splitAssignment(text, PORT_FORM);
    const no = portNumber(left, PORT_FORM);
    if (named.has(no)) throw new MegaflowError("EARGS", `${PORT_FORM}: port ${no} is given twice`);
    if (portNames.has(name))
      throw new MegaflowError("EARGS", `${PORT_FORM}: the name ${name} is given twice`);
    portNames.set(name, no);
    named.set(no, name);
  }
  if (!named.has(OFPP_LOCAL)) named.set(OFPP_LOCAL, localName);
  const names = { portByName: (name: string) => portNames.get(name) };
  const meters = options.meters === undefined ? [] : readMeterFile(options.meters);
  const groups = options.groups === undefined ? [] : readGroupFile(options.groups, names);
  const flows = readFlowFile(options.flows, names);
  const later = laterFiles.map((file) => readFlowFile(file, names));
  warnOfNormalization([...flows, ...later.flat()]);
  const declared = options.port.length > 0;
  const numbers = new Set([...named.keys(), ...inPorts]);
  if (!declared) for (const no of mentionedPorts([...flows, ...later.flat()], groups)) numbers.add(no);
  const ports = new PortTable(
    [...numbers].map((no) => ({ no, name: named.get(no) ?? String(no) })),
    { anyNumber: !declared },
  );
  return { flows, groups, meters, later, ports, portNames };
}

const WARNINGS_MAX = 10;

/** Says on standard error which flows match more than they seem to, as ovs-ofctl logs it. */
function warnOfNormalization(mods: readonly FlowMod[]): void {
  let count = 0;
  for (const mod of mods) {
    const words = normalizationOf(mod);
    if (words === null) continue;
    count++;
    if (count <= WARNINGS_MAX) {
      console.error(`megaflow: warning: ${new MegaflowError("ETEXT", words, placeOf(mod)).describe()}`);
    }
  }
  if (count > WARNINGS_MAX) console.error(`megaflow: warning: and ${count - WARNINGS_MAX} flows more`);
}

/** What the switch begins with. Throws at the first line that it refuses. */
export function loadSwitch(sw: Switch, files: SwitchFiles, nowMs: number): void {
  for (const mod of files.meters) at(mod, () => sw.applyMeters([mod], nowMs));
  for (const mod of files.groups) at(mod, () => sw.applyGroups([mod], nowMs));
  // One by one, as ovs-ofctl add-flows sends them: the order of a dump depends on it.
  for (const mod of files.flows) at(mod, () => sw.applyFlows([mod], nowMs));
}

/** Applies one file as a bundle, all or nothing. Throws when it is refused, naming the line that is to blame. */
export function applyBundle(sw: Switch, mods: readonly FlowMod[], nowMs: number): void {
  try {
    sw.applyFlows(mods, nowMs);
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
  for (const { match, actions } of flows) {
    if (match.mask.get32(O_IN_PORT) === 0xffffffff) found.add(match.flow.get32(O_IN_PORT));
    actionPorts(actions, found);
  }
  for (const { buckets } of groups) for (const bucket of buckets) actionPorts(bucket.actions, found);
  for (const no of found) if (no === 0 || no >= OFPP_MAX) found.delete(no);
  return found;
}

function actionPorts(actions: readonly Action[], found: Set<number>): void {
  for (const action of actions) {
    switch (action.type) {
      case "output":
      case "output_trunc":
      case "enqueue":
        found.add(action.port);
        break;
      case "bundle":
        for (const port of action.members) found.add(port);
        break;
      case "clone":
      case "write_actions":
        actionPorts(action.actions, found);
        break;
      default:
    }
  }
}
