// The files of a described switch: flows, groups and meters, read whole before anything begins, and given to the switch.

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
import type { SwitchDescription } from "./switch-options.ts";

export interface SwitchFiles {
  readonly flows: FlowMod[];
  readonly groups: GroupMod[];
  readonly meters: MeterMod[];
  /** Flow files to be applied later, in the order given. */
  readonly later: FlowMod[][];
  readonly ports: PortTable;
}

/** A bridge, or a pipeline alone. */
export interface Switch {
  applyFlows(mods: readonly FlowMod[], nowMs: number): void;
  applyGroups(mods: readonly GroupMod[], nowMs: number): void;
  applyMeters(mods: readonly MeterMod[], nowMs: number): void;
}

/**
 * Reads all files; nothing is kept of any if one is bad. When the description names ports, those, `inPorts` and LOCAL are the
 * ports; else every port that the files mention is one too, and a frame may be sent to any number (one out of a register, say).
 */
export function readSwitchFiles(
  described: SwitchDescription,
  laterFiles: readonly string[],
  inPorts: readonly number[],
): SwitchFiles {
  const numbers = new Map(described.ports.map((port) => [port.name, port.no]));
  const tlvMap = described.settings.tlvMap ?? null;
  const names = { portByName: (name: string) => numbers.get(name), tlvMap };
  const meters = described.meters === undefined ? [] : readMeterFile(described.meters);
  const groups = described.groups === undefined ? [] : readGroupFile(described.groups, names);
  const flows = described.flows === undefined ? [] : readFlowFile(described.flows, names);
  const later = laterFiles.map((file) => readFlowFile(file, names));
  warnOfNormalization([...flows, ...later.flat()]);
  const declared = described.ports.length > 0;
  const ports = new PortTable(described.ports, { anyNumber: !declared });
  const others = new Set([OFPP_LOCAL, ...inPorts]);
  if (!declared) for (const no of mentionedPorts([...flows, ...later.flat()], groups)) others.add(no);
  for (const { no } of described.ports) others.delete(no);
  for (const no of others) ports.add({ no, name: no === OFPP_LOCAL ? described.localName : String(no) });
  return { flows, groups, meters, later, ports };
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
