// NORMAL with IGMP and MLD snooping (RFC 4541): where frames to multicast groups, and the messages about groups, go.
import type { Flow } from "../flow/flow.ts";
import { O_DL_DST, O_DL_TYPE, O_IPV6_DST, O_NW_DST, O_NW_PROTO, O_TP_SRC } from "../flow/layout.ts";
import { formatIpv4, formatIpv6 } from "../packet/address.ts";
import type { Bundle } from "./bundle.ts";
import type { Context } from "./context.ts";
import * as M from "./membership.ts";
import { groupKey, ROUTERS_KEY, type SnoopingTable } from "./snooping.ts";
import { ETH_IP, isIpType, PROTO_ICMPV6 } from "./wildcards.ts";

const PROTO_IGMP = 2;

/** How the caller sends. */
export interface Sender {
  flood(): void;
  send(to: Bundle): void;
}

/** Whether snooping has a say about this frame. */
export function isSnooped(flow: Flow): boolean {
  const { bytes } = flow;
  if ((bytes[O_DL_DST]! & 1) === 0 || !isIpType(flow.get16(O_DL_TYPE))) return false;
  for (let i = 0; i < 6; i++) if (bytes[O_DL_DST + i] !== 0xff) return true;
  return false; // broadcast
}

/** `from` is null for a frame that came in on no port. */
export function translateMulticast(
  ctx: Context,
  table: SnoopingTable,
  from: Bundle | null,
  vlan: number,
  sender: Sender,
): void {
  const { flow, wc } = ctx;
  const v4 = flow.get16(O_DL_TYPE) === ETH_IP;
  wc.set8(O_NW_PROTO, 0xff);
  const targets: Bundle[] = [];
  if (flow.get8(O_NW_PROTO) === (v4 ? PROTO_IGMP : PROTO_ICMPV6)) {
    const kind = messageKind(flow, wc);
    if (v4 || kind !== OTHER) {
      ctx.slow = "action"; // each message counts, so none is answered from a cache
      ctx.cacheable = false;
      const learns = kind !== OTHER && ctx.sideEffects && ctx.frame !== null;
      // What comes from a port that gets everything changes nothing.
      if (learns && from !== null && !from.multicastFlood) M.learnMembership(ctx, table, from, vlan);
      if (kind === REPORT) {
        addRouters(ctx, table, from, vlan, targets);
        addReportPorts(ctx, from, targets);
        for (const to of targets) sender.send(to);
      } else {
        ctx.report("detail", v4 ? "multicast traffic, flooding" : "MLD query, flooding");
        sender.flood();
      }
      return;
    }
  }
  if (isLocal(flow, wc, v4)) {
    ctx.report("detail", "RFC4541: section 2.1.2, item 2, flooding");
    sender.flood();
    return;
  }

  const key = groupKey(v4 ? formatIpv4(flow.bytes, O_NW_DST) : formatIpv6(flow.bytes, O_IPV6_DST), vlan);
  ctx.dependOn(key);
  const members = table.members(key);
  if (members !== null) {
    for (const no of members) addTarget(ctx, ctx.host.bundles.ofPort(no), from, GROUP_WORDS, targets);
    addFloodPorts(ctx, from, targets);
    addRouters(ctx, table, from, vlan, targets);
  } else if (table.floodUnregistered) {
    ctx.report("detail", "unregistered multicast, flooding");
    sender.flood();
    return;
  } else {
    addRouters(ctx, table, from, vlan, targets);
    addFloodPorts(ctx, from, targets);
  }
  for (const to of targets) sender.send(to);
}

const OTHER = 0;
const QUERY = 1;
const REPORT = 2;

/** What an IGMP or ICMPv6 message is about. As in OVS the mask does not tell IGMP messages apart: none of them is cached. */
function messageKind(flow: Flow, wc: Flow): number {
  if (flow.get16(O_DL_TYPE) !== ETH_IP) wc.set16(O_TP_SRC, 0xffff);
  switch (flow.get16(O_TP_SRC)) {
    case M.IGMP_QUERY:
      return flow.get16(O_DL_TYPE) === ETH_IP ? QUERY : OTHER;
    case M.IGMP_REPORT_V1:
    case M.IGMP_REPORT_V2:
    case M.IGMP_LEAVE:
    case M.IGMP_REPORT_V3:
      return flow.get16(O_DL_TYPE) === ETH_IP ? REPORT : OTHER;
    case M.MLD_QUERY:
      return flow.get16(O_DL_TYPE) === ETH_IP ? OTHER : QUERY;
    case M.MLD_REPORT:
    case M.MLD_DONE:
    case M.MLD_REPORT_V2:
      return flow.get16(O_DL_TYPE) === ETH_IP ? OTHER : REPORT;
    default:
      return OTHER;
  }
}

/** 224.0.0.x and ff02::1, which every port gets. */
function isLocal(flow: Flow, wc: Flow, v4: boolean): boolean {
  if (v4) {
    wc.setExact(O_NW_DST, 4);
    return flow.get32(O_NW_DST) >>> 8 === 0xe00000;
  }
  wc.setExact(O_IPV6_DST, 16);
  const at = O_IPV6_DST >> 2;
  const w = flow.words;
  return (
    flow.get32(O_IPV6_DST) === 0xff020000 &&
    w[at + 1] === 0 &&
    w[at + 2] === 0 &&
    flow.get32(O_IPV6_DST + 12) === 1
  );
}

/** OVS's words about a bundle that gets the frame, that is gone, and that it came in on. */
interface Words {
  readonly to: string;
  readonly unknown: string;
  readonly back: string;
}

const GROUP_WORDS: Words = {
  to: "forwarding to mcast group port",
  unknown: "mcast group port is unknown, dropping",
  back: "mcast group port is input port, dropping",
};
const ROUTER_WORDS: Words = {
  to: "forwarding to mcast router port",
  unknown: "mcast router port is unknown, dropping",
  back: "mcast router port is input port, dropping",
};
const FLOOD_WORDS: Words = {
  to: "forwarding to mcast flood port",
  unknown: "mcast flood port is unknown, dropping",
  back: "mcast flood port is input port, dropping",
};
const REPORT_WORDS: Words = {
  to: "forwarding report to mcast flagged port",
  unknown: "mcast port is unknown, dropping the report",
  back: "mcast port is input port, dropping the Report",
};

function addTarget(
  ctx: Context,
  to: Bundle | null,
  from: Bundle | null,
  words: Words,
  targets: Bundle[],
): void {
  if (to === null) {
    ctx.report("warn", words.unknown);
  } else if (to === from) {
    ctx.report("detail", words.back);
  } else {
    ctx.report("detail", words.to);
    targets.push(to);
  }
}

function addRouters(
  ctx: Context,
  table: SnoopingTable,
  from: Bundle | null,
  vlan: number,
  targets: Bundle[],
): void {
  ctx.dependOn(ROUTERS_KEY);
  for (const router of table.routers()) {
    const to = ctx.host.bundles.ofPort(router.bundle);
    if (to !== null && router.vlan !== vlan)
      ctx.report("detail", "mcast router is on another vlan, dropping");
    else addTarget(ctx, to, from, ROUTER_WORDS, targets);
  }
}

function addFloodPorts(ctx: Context, from: Bundle | null, targets: Bundle[]): void {
  for (const to of ctx.host.bundles.list)
    if (to.multicastFlood) addTarget(ctx, to, from, FLOOD_WORDS, targets);
}

function addReportPorts(ctx: Context, from: Bundle | null, targets: Bundle[]): void {
  for (const to of ctx.host.bundles.list)
    if (to.multicastFloodReports) addTarget(ctx, to, from, REPORT_WORDS, targets);
}
