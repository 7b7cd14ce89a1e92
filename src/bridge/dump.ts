// What a bridge shows of itself, in the words of ovs-ofctl and ovs-appctl (DESIGN D7).
import { formatInstalledActions } from "../datapath/action-text.ts";
import {
  type Connection,
  connectionObject,
  connections,
  formatConnection,
} from "../datapath/conntrack-dump.ts";
import type { Kernel } from "../datapath/kernel.ts";
import type { Megaflow } from "../datapath/megaflow.ts";
import { readMeter } from "../datapath/meters.ts";
import { twinStats } from "../datapath/twins.ts";
import type { FlowStats } from "../datapath/upcall.ts";
import { formatTcpFlagLetters } from "../flow/flags-text.ts";
import { Flow } from "../flow/flow.ts";
import { formatMegaflow } from "../flow/megaflow-text.ts";
import { FLOW_DUMP_HEADER, formatRule } from "../pipeline/flow-dump.ts";
import {
  formatGroup,
  formatGroupStats,
  GROUP_DUMP_HEADER,
  GROUP_STATS_HEADER,
} from "../pipeline/group-dump.ts";
import { formatMeterStatistics, formatMeters } from "../pipeline/meter-dump.ts";
import type { Bridge } from "./bridge.ts";

/** Lines as a file holds them. */
const text = (lines: Iterable<string>): string => [...lines].map((line) => `${line}\n`).join("");

/** `ovs-ofctl -O OpenFlow15 dump-flows --no-names`; of one table when `tableId` is given. Statistics are brought up to date. */
export function* flowLines(bridge: Bridge, tableId?: number): Generator<string> {
  bridge.pushStats();
  yield FLOW_DUMP_HEADER;
  for (const rule of bridge.pipeline.tables.rules(tableId))
    yield formatRule(rule, bridge.nowMs, bridge.pipeline.tlvMap);
}

export function flowsText(bridge: Bridge, tableId?: number): string {
  return text(flowLines(bridge, tableId));
}

/** `ovs-ofctl -O OpenFlow15 dump-groups`. */
export function* groupLines(bridge: Bridge): Generator<string> {
  yield GROUP_DUMP_HEADER;
  for (const group of bridge.pipeline.groups.list) yield formatGroup(group.mod);
}

/** `ovs-ofctl -O OpenFlow15 dump-group-stats --no-names`, in group order. Statistics are brought up to date. */
export function* groupStatsLines(bridge: Bridge): Generator<string> {
  bridge.pushStats();
  yield GROUP_STATS_HEADER;
  const { groups, tables } = bridge.pipeline;
  for (const group of groups.list) {
    yield formatGroupStats(group, tables.groupReferences(group.mod.groupId), bridge.nowMs);
  }
}

/** `ovs-ofctl -O OpenFlow15 dump-meters`. */
export function meterLines(bridge: Bridge): string[] {
  return linesOf(formatMeters(bridge.pipeline.meters.list.map((meter) => meter.mod)));
}

/** `ovs-ofctl -O OpenFlow15 meter-stats`, in meter order. */
export function meterStatsLines(bridge: Bridge): string[] {
  const { meters, tables } = bridge.pipeline;
  const statistics = meters.list.map(({ mod: { meterId }, datapathId, createdMs }) => ({
    meterId,
    flowCount: tables.meterReferences(meterId),
    createdMs,
    ...readMeter(bridge.datapath.kernel, datapathId),
  }));
  return linesOf(formatMeterStatistics(statistics, bridge.nowMs));
}

const linesOf = (text: string): string[] => text.trimEnd().split("\n");

/** `ovs-appctl dpctl/dump-flows`, megaflows in the order they were installed, ports by OpenFlow number. */
export function* megaflowLines(bridge: Bridge): Generator<string> {
  bridge.settle();
  const { tlvMap } = bridge.pipeline;
  const key = new Flow();
  const mask = new Flow();
  const portName = (no: number) => String(no);
  for (const { megaflow, kernel, stats } of installed(bridge)) {
    megaflow.readFirst(kernel, key, mask);
    const { packets, bytes, usedMs, tcpFlags } = stats;
    const used = usedMs === 0 ? "never" : `${((bridge.nowMs - usedMs) / 1000).toFixed(3)}s`;
    const flags = tcpFlags === 0 ? "" : `, flags:${formatTcpFlagLetters(tcpFlags)}`;
    yield `${formatMegaflow(key, mask, portName, tlvMap)}, packets:${packets}, bytes:${bytes}, used:${used}${flags}, ` +
      `actions:${formatInstalledActions(megaflow.actions, portName, { tlvMap })}`;
  }
}

interface Installed {
  readonly megaflow: Megaflow;
  /** Where it is: of several shards that have it the first. */
  readonly kernel: Kernel;
  readonly stats: FlowStats;
}

function* installed({ datapath, twins }: Bridge): Generator<Installed> {
  if (twins !== null) {
    for (const twin of twins.all) {
      const { megaflow, datapath } = twin.members[0]!;
      yield { megaflow, kernel: datapath.kernel, stats: twinStats(twin) };
    }
    return;
  }
  const { kernel, megaflows } = datapath;
  for (const megaflow of megaflows.values()) yield { megaflow, kernel, stats: megaflow.stats(kernel) };
}

/** Connections as the table has them, of several shards one shard's after the other's; those of a shard that has failed are lost. */
function* connectionsOf(bridge: Bridge): Generator<Connection> {
  for (const { kernel } of bridge.datapaths) {
    if (kernel.isLost !== true) yield* connections(kernel, bridge.nowMs);
  }
}

/** `ovs-appctl dpctl/dump-conntrack`. */
export function* connectionLines(bridge: Bridge): Generator<string> {
  for (const c of connectionsOf(bridge)) yield formatConnection(c);
}

/** The same for programs, with all that is known: a JSON list, a connection a line. */
export function* connectionJsonLines(bridge: Bridge): Generator<string> {
  let waiting: string | null = null;
  yield "[";
  for (const c of connectionsOf(bridge)) {
    if (waiting !== null) yield `${waiting},`;
    waiting = JSON.stringify(connectionObject(c));
  }
  if (waiting !== null) yield waiting;
  yield "]";
}

export function conntrackText(bridge: Bridge): string {
  return text(connectionLines(bridge));
}

/** All of them, each with the name of its file. */
export function* dumps(bridge: Bridge): Generator<readonly [file: string, lines: Iterable<string>]> {
  yield ["flows.txt", flowLines(bridge)];
  yield ["groups.txt", groupLines(bridge)];
  yield ["group-stats.txt", groupStatsLines(bridge)];
  yield ["meters.txt", meterLines(bridge)];
  yield ["meter-stats.txt", meterStatsLines(bridge)];
  yield ["megaflows.txt", megaflowLines(bridge)];
  yield ["conntrack.txt", connectionLines(bridge)];
  yield ["conntrack.json", connectionJsonLines(bridge)];
}
