// What a bridge shows of itself, in the words of ovs-ofctl and ovs-appctl (DESIGN D7).
import { formatDatapathActions } from "../datapath/action-text.ts";
import { formatConnection, readConnections } from "../datapath/conntrack-dump.ts";
import { formatFlags, TCP_FLAG_NAMES } from "../flow/flags-text.ts";
import { Flow } from "../flow/flow.ts";
import { formatMegaflow } from "../flow/megaflow-text.ts";
import { FLOW_DUMP_HEADER, formatRule } from "../pipeline/flow-dump.ts";
import { formatGroup, GROUP_DUMP_HEADER } from "../pipeline/group-dump.ts";
import { formatMeters } from "../pipeline/meter-dump.ts";
import type { Bridge } from "./bridge.ts";

const lines = (all: readonly string[]): string => all.map((line) => `${line}\n`).join("");

/** `ovs-ofctl -O OpenFlow15 dump-flows --no-names`; of one table when `tableId` is given. Statistics are brought up to date. */
export function flowsText(bridge: Bridge, tableId?: number): string {
  bridge.pushStats();
  const rules = [...bridge.pipeline.tables.rules(tableId)];
  return lines([FLOW_DUMP_HEADER, ...rules.map((rule) => formatRule(rule, bridge.nowMs))]);
}

/** `ovs-ofctl -O OpenFlow15 dump-groups`. */
export function groupsText(bridge: Bridge): string {
  return lines([GROUP_DUMP_HEADER, ...bridge.pipeline.groups.list.map((group) => formatGroup(group.mod))]);
}

/** `ovs-ofctl -O OpenFlow15 dump-meters`. */
export function metersText(bridge: Bridge): string {
  return formatMeters(bridge.pipeline.meters.list.map((meter) => meter.mod));
}

/** `ovs-appctl dpctl/dump-flows`, megaflows in the order they were installed, ports by OpenFlow number. */
export function megaflowsText(bridge: Bridge): string {
  const { kernel, megaflows } = bridge.datapath;
  const key = new Flow();
  const mask = new Flow();
  const portName = (no: number) => String(no);
  const all: string[] = [];
  for (const megaflow of megaflows.values()) {
    megaflow.readFirst(kernel, key, mask);
    const { packets, bytes, usedMs, tcpFlags } = megaflow.stats(kernel);
    const used = usedMs === 0 ? "never" : `${((bridge.nowMs - usedMs) / 1000).toFixed(3)}s`;
    const flags = tcpFlags === 0 ? "" : `, flags:${formatFlags(TCP_FLAG_NAMES, tcpFlags)}`;
    all.push(
      `${formatMegaflow(key, mask, portName)}, packets:${packets}, bytes:${bytes}, used:${used}${flags}, ` +
        `actions:${formatDatapathActions(megaflow.actions, portName)}`,
    );
  }
  return lines(all);
}

/** `ovs-appctl dpctl/dump-conntrack`. */
export function conntrackText(bridge: Bridge): string {
  return lines(readConnections(bridge.datapath.kernel, bridge.nowMs).map(formatConnection));
}
