// Whether the flows of a switch may be spread over shards, and how its frames are then steered. A shard must never need what a frame of
// another has changed: a pipeline whose flows, groups or settings could make it so keeps all frames in one shard, and says why.
//
// Looked at is all that may ever be in the tables: what the switch begins with and what is applied later. It is not asked which flow
// a frame can reach, but for one thing: a NORMAL that no IP frame can meet (ARP in a Kubernetes node's pipeline) keeps only the frames
// that are not IP together.
import type { ConntrackSettings } from "../datapath/conntrack-settings.ts";
import type { Field } from "../flow/field.ts";
import { O_DL_TYPE, O_IPV6_DST, O_IPV6_SRC, O_NW_DST, O_NW_SRC, O_TP_DST, O_TP_SRC } from "../flow/layout.ts";
import { type Action, type FlowMod, type GroupMod, OFPP_NORMAL } from "../pipeline/action.ts";
import type { FailMode } from "../pipeline/pipeline.ts";
import type { PortTable } from "../pipeline/port-table.ts";
import { eachAction, someAction } from "../pipeline/rule-filter.ts";
import type { PipelineSettings } from "../pipeline/settings.ts";

export interface SpreadPlan {
  /**
   * What decides a frame's shard: addresses, protocol and ports ("tuple"); the addresses alone ("pair"), where ct may see other ports
   * than came in; null: all frames are the first shard's.
   */
  readonly by: "tuple" | "pair" | null;
  /** Why all frames are the first shard's, as the end of a sentence; null when they are not. */
  readonly reason: string | null;
  /** Frames that are not IP are all the first shard's. */
  readonly othersTogether: boolean;
  /** There is a ct: fragments have to meet the connection that they belong to. */
  readonly tracks: boolean;
}

/** All that the switch will be told. */
export interface SpreadInput {
  readonly failMode: FailMode;
  /** What the tables begin with, and what is applied later. */
  readonly flows: readonly FlowMod[];
  readonly later: readonly FlowMod[];
  readonly groups: readonly GroupMod[];
  readonly ports: PortTable;
  readonly settings: PipelineSettings;
  readonly conntrack: ConntrackSettings;
  /** There are connections before the first frame. */
  readonly hasConnections: boolean;
}

/** Ethernet types that may lead to IP, or stand before it: tags, labels, NSH. */
const MAY_BE_IP: ReadonlySet<number> = new Set([0x0800, 0x86dd, 0x8100, 0x88a8, 0x8847, 0x8848, 0x894f]);
const ICMP = 1;
const ICMPV6 = 58;

export function planSpread(input: SpreadInput): SpreadPlan {
  const mods = [...input.flows, ...input.later];
  const lists: (readonly Action[])[] = mods.map((mod) => mod.actions);
  for (const { buckets } of input.groups) for (const bucket of buckets) lists.push(bucket.actions);
  const has = (test: (action: Action) => boolean) => lists.some((list) => someAction(list, test));

  const reason = settingsReason(input) ?? actionsReason(lists);
  if (reason !== null) return alone(reason);
  const strips = has(({ type }) => type === "pop_mpls" || type === "decap");
  const normal = normalReason(input, mods, strips);
  if (normal !== null && normal !== NOT_IP_ONLY) return alone(normal);
  const plan = { reason: null, othersTogether: normal === NOT_IP_ONLY };
  if (!has(({ type }) => type === "ct")) return { ...plan, by: "tuple", tracks: false };

  if (strips || has(({ type }) => type === "encap"))
    return alone("ct may see other headers than a frame came with");
  const written = new Set<Written>();
  for (const list of lists) eachAction(list, (action) => written.add(writtenBy(action)));
  if (written.has("tuple")) return alone("flows change addresses, and ct may see them");
  return { ...plan, by: written.has("ports") ? "pair" : "tuple", tracks: true };
}

/** What both plans allow. */
export function narrower(a: SpreadPlan, b: SpreadPlan): SpreadPlan {
  if (a.by === null) return a;
  if (b.by === null) return b;
  return {
    by: a.by === "pair" ? "pair" : b.by,
    reason: null,
    othersTogether: a.othersTogether || b.othersTogether,
    tracks: a.tracks || b.tracks,
  };
}

const alone = (reason: string): SpreadPlan => ({ by: null, reason, othersTogether: false, tracks: false });

function settingsReason({ ports, settings, conntrack, hasConnections }: SpreadInput): string | null {
  if (settings.bonds !== undefined && settings.bonds.length > 0)
    return "a bond remembers which member it chose";
  if (settings.snooping !== undefined) return "multicast snooping learns groups";
  if (settings.flowTables !== undefined && settings.flowTables.size > 0) return "a flow table has a limit";
  if (ports.list.some((port) => port.tunnel !== null)) return "there are tunnel ports";
  if (hasConnections) return "there are connections before the first frame";
  const limits = [...(conntrack.zones ?? new Map()).values()].map((zone) => zone.limit);
  const isLimited = [conntrack.defaultLimit, ...limits].some((limit) => limit !== undefined);
  return isLimited ? "connections are limited" : null;
}

/** What of the actions remembers something that another connection's frames would meet. */
function actionsReason(lists: readonly (readonly Action[])[]): string | null {
  let reason: string | null = null;
  for (const list of lists) {
    eachAction(list, (action) => {
      reason ??= actionReason(action);
    });
  }
  return reason;
}

function actionReason(action: Action): string | null {
  switch (action.type) {
    case "learn":
      return "learn makes flows";
    case "fin_timeout":
      return "fin_timeout shortens the life of a flow";
    case "meter":
      return "a meter counts all frames together";
    case "sample":
      return "sample draws frames at random";
    case "controller":
      if (action.pause) return "a controller's pause holds frames back";
      return action.meterId === null ? null : "a meter counts all frames together";
    case "nat":
      return "NAT gives connections other addresses";
    case "ct":
      if (action.nat !== null) return "NAT gives connections other addresses";
      return action.alg === null ? null : `ct(alg=${action.alg}) expects other connections`;
    default:
      return null;
  }
}

const NOT_IP_ONLY = "";
const LEARNS = "NORMAL learns MAC addresses";

/** Null when nothing is sent to NORMAL; NOT_IP_ONLY when no IP frame is. `strips`: a frame may become another type on the way. */
function normalReason(
  { failMode, flows, groups }: SpreadInput,
  mods: readonly FlowMod[],
  strips: boolean,
): string | null {
  if (failMode === "standalone" && !flows.some(replacesNormal)) return LEARNS;
  if (groups.some(({ buckets }) => buckets.some(({ actions }) => usesNormal(actions)))) return LEARNS;
  const normal = mods.filter(({ actions }) => usesNormal(actions));
  if (normal.length === 0) return null;
  return !strips && normal.every(isNeverIp) ? NOT_IP_ONLY : LEARNS;
}

function usesNormal(actions: readonly Action[]): boolean {
  return someAction(actions, (action) => {
    const isOutput = action.type === "output" || action.type === "output_trunc" || action.type === "enqueue";
    return isOutput && action.port === OFPP_NORMAL;
  });
}

/** The flow that a standalone bridge begins with gives way to this one. */
function replacesNormal({ command, tableId, priority, match }: FlowMod): boolean {
  const matchesAll = match.mask.words.every((word) => word === 0);
  return command === "add" && tableId === 0 && priority === 0 && matchesAll;
}

function isNeverIp({ match }: FlowMod): boolean {
  return match.mask.get16(O_DL_TYPE) === 0xffff && !MAY_BE_IP.has(match.flow.get16(O_DL_TYPE));
}

/** What of a frame's tuple an action changes: ports alone, anything else of it, or nothing. */
type Written = "ports" | "tuple" | "nothing";

function writtenBy(action: Action): Written {
  switch (action.type) {
    case "set_field":
      return writtenField(action.field);
    case "load":
    case "move":
    case "pop":
    case "multipath":
    case "check_pkt_larger":
      return writtenField(action.dst.field);
    case "bundle":
      return action.dst === null ? "nothing" : writtenField(action.dst.field);
    case "mod":
      if (action.name === "mod_nw_src" || action.name === "mod_nw_dst") return "tuple";
      if (action.name !== "mod_tp_src" && action.name !== "mod_tp_dst") return "nothing";
      return action.fact === ICMP || action.fact === ICMPV6 ? "tuple" : "ports";
    default:
      return "nothing";
  }
}

/** ARP's and neighbour discovery's own fields lie where addresses and ports do, and are neither. */
function writtenField({ name, offset }: Field): Written {
  if (name.startsWith("arp_") || name.startsWith("nd_")) return "nothing";
  if (name.startsWith("icmp")) return "tuple";
  if (offset === O_TP_SRC || offset === O_TP_DST) return "ports";
  const isAddress =
    offset === O_NW_SRC || offset === O_NW_DST || offset === O_IPV6_SRC || offset === O_IPV6_DST;
  return isAddress ? "tuple" : "nothing";
}
