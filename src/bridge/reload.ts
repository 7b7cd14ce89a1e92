// Puts new tables in the place of a running bridge's: all of them or, when anything is wrong, none. What stays the same keeps its
// counters, and connections and learned addresses live on (as `ovs-ofctl replace-flows` does it).
import type { Match } from "../flow/flow.ts";
import type { FlowMod, GroupMod, MeterMod } from "../pipeline/action.ts";
import { formatActions } from "../pipeline/action-text.ts";
import { BLANK_FLOW_MOD } from "../pipeline/flow-mod.ts";
import type { Pipeline } from "../pipeline/pipeline.ts";
import type { Rule } from "../pipeline/rule.ts";
import type { Bridge } from "./bridge.ts";

/** What changed. */
export interface Reloaded {
  readonly added: number;
  readonly removed: number;
  readonly kept: number;
}

/**
 * Makes `bridge` have the meters, groups and flows of `wanted`: a pipeline with the bridge's ports and settings into which they
 * have been loaded, so that every error has shown itself before.
 */
export function reload(bridge: Bridge, wanted: Pipeline, nowMs: number): Reloaded {
  const { pipeline } = bridge;
  const meters = changesOf(meterMods(pipeline), meterMods(wanted), (m) => m.meterId);
  const groups = changesOf(groupMods(pipeline), groupMods(wanted), (g) => g.groupId);
  bridge.applyMeters(meters.set, nowMs);
  bridge.applyGroups(groups.set, nowMs);
  const { mods, ...counts } = flowChanges(pipeline, wanted);
  bridge.applyFlows(mods, nowMs);
  bridge.applyGroups(
    groups.gone.map((g) => ({ ...g, command: "delete" })),
    nowMs,
  );
  bridge.applyMeters(
    meters.gone.map((m) => ({ ...m, command: "delete" })),
    nowMs,
  );
  return counts;
}

const meterMods = (pipeline: Pipeline): MeterMod[] => pipeline.meters.list.map((meter) => meter.mod);
const groupMods = (pipeline: Pipeline): GroupMod[] => pipeline.groups.list.map((group) => group.mod);

/** What must be added or modified, and what deleted. */
function changesOf<Mod extends GroupMod | MeterMod>(
  before: readonly Mod[],
  after: readonly Mod[],
  idOf: (mod: Mod) => number,
): { readonly set: Mod[]; readonly gone: Mod[] } {
  const old = new Map(before.map((mod) => [idOf(mod), mod]));
  const set: Mod[] = [];
  for (const mod of after) {
    const had = old.get(idOf(mod));
    old.delete(idOf(mod));
    if (had === undefined) set.push({ ...mod, command: "add" });
    else if (!sameJson(had, mod)) set.push({ ...mod, command: "modify" });
  }
  return { set, gone: [...old.values()] };
}

function sameJson(a: object, b: object): boolean {
  const text = (value: object) =>
    JSON.stringify(value, (key, v) => (key === "command" ? undefined : typeof v === "bigint" ? `${v}n` : v));
  return text(a) === text(b);
}

function flowChanges(before: Pipeline, after: Pipeline): Reloaded & { readonly mods: FlowMod[] } {
  const mods: FlowMod[] = [];
  const counts = { added: 0, removed: 0, kept: 0 };
  for (const rule of before.tables.rules()) {
    if (find(after, rule) !== null) continue;
    mods.push({ ...modOf(rule), command: "delete_strict" });
    counts.removed++;
  }
  for (const rule of after.tables.rules()) {
    const had = find(before, rule);
    if (had !== null && sameRule(had, rule)) {
      counts.kept++;
    } else {
      mods.push(modOf(rule));
      counts.added++;
    }
  }
  return { mods, ...counts };
}

function find(pipeline: Pipeline, rule: Rule): Rule | null {
  return pipeline.tables.find(rule.tableId, rule.match, rule.priority);
}

function modOf(rule: Rule): FlowMod {
  const { tableId, priority, match, actions, cookie, idleTimeout, hardTimeout, importance } = rule;
  const { sendFlowRem, checkOverlap, resetCounts, noPacketCounts, noByteCounts } = rule;
  return {
    ...BLANK_FLOW_MOD,
    tableId,
    priority,
    match: copyOf(match),
    actions,
    newCookie: cookie,
    idleTimeout,
    hardTimeout,
    importance,
    sendFlowRem,
    checkOverlap,
    resetCounts,
    noPacketCounts,
    noByteCounts,
  };
}

const copyOf = ({ flow, mask }: Match): FlowMod["match"] => ({ flow: flow.clone(), mask: mask.clone() });

function sameRule(a: Rule, b: Rule): boolean {
  return (
    a.cookie === b.cookie &&
    a.idleTimeout === b.idleTimeout &&
    a.hardTimeout === b.hardTimeout &&
    a.importance === b.importance &&
    a.sendFlowRem === b.sendFlowRem &&
    a.noPacketCounts === b.noPacketCounts &&
    a.noByteCounts === b.noByteCounts &&
    formatActions(a.actions) === formatActions(b.actions)
  );
}
