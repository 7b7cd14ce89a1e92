// What IGMP and MLD messages say (RFC 1112, 2236, 3376; RFC 2710, 3810): a bundle's wishes go into the snooping table, as OVS
// reads them.
import type { Flow } from "../flow/flow.ts";
import { O_DL_TYPE, O_IGMP_GROUP, O_IPV6_SRC, O_NW_SRC, O_TP_SRC } from "../flow/layout.ts";
import { formatIpv4, formatIpv6 } from "../packet/address.ts";
import { get16 } from "../packet/bytes.ts";
import { internetChecksum, pseudoHeaderSum } from "../packet/checksum.ts";
import type { Bundle } from "./bundle.ts";
import type { Context } from "./context.ts";
import type { SnoopingTable } from "./snooping.ts";
import { ETH_IP, PROTO_ICMPV6 } from "./wildcards.ts";

export const IGMP_QUERY = 0x11;
export const IGMP_REPORT_V1 = 0x12;
export const IGMP_REPORT_V2 = 0x16;
export const IGMP_LEAVE = 0x17;
export const IGMP_REPORT_V3 = 0x22;
export const MLD_QUERY = 130;
export const MLD_REPORT = 131;
export const MLD_DONE = 132;
export const MLD_REPORT_V2 = 143;

/** All of these have a header of so many bytes; in a version 3 (MLD: 2) report the last two count its records. */
const HEADER_SIZE = 8;
const COUNT_OFFSET = 6;

// Record types of RFC 3376, 4.2.12 and RFC 3810, 5.2.12.
const RECORD_FIRST = 1;
const RECORD_IS_INCLUDE = 1;
const RECORD_TO_INCLUDE = 3;
const RECORD_LAST = 6;

/** The message of a frame: where it begins, and where its datagram ends (the frame may go on, or be cut before). */
interface Message {
  readonly at: number;
  readonly end: number;
  /** Sum over the pseudo header; 0 for IGMP, which has none. */
  readonly seed: number;
}

/** Takes the message of `ctx.frame` into the table. The flow has said that it is one. */
export function learnMembership(ctx: Context, table: SnoopingTable, from: Bundle, vlan: number): void {
  const { flow, nowMs } = ctx;
  const frame = ctx.frame!;
  const v4 = flow.get16(O_DL_TYPE) === ETH_IP;
  const message = findMessage(frame, flow, v4);
  const where = `port ${from.name} in VLAN ${vlan}`;
  if (message === null || !hasGoodChecksum(frame, message)) {
    ctx.report("detail", `multicast snooping received bad ${v4 ? "IGMP" : "MLD"} checksum on ${where}`);
    return;
  }
  const { at } = message;
  const processed = (count: number): void => {
    if (count > 0) ctx.report("detail", `multicast snooping processed ${count} addresses on ${where}`);
  };
  switch (flow.get16(O_TP_SRC)) {
    case IGMP_REPORT_V1:
    case IGMP_REPORT_V2: {
      const group = formatIpv4(flow.bytes, O_IGMP_GROUP);
      if (table.join(group, vlan, from.no, nowMs))
        ctx.report("detail", `multicast snooping learned that ${group} is on ${where}`);
      return;
    }
    case IGMP_LEAVE: {
      const group = formatIpv4(flow.bytes, O_IGMP_GROUP);
      if (table.leave(group, vlan, from.no, nowMs))
        ctx.report("detail", `multicast snooping leaving ${group} is on ${where}`);
      return;
    }
    case IGMP_QUERY: {
      if (flow.get32(O_NW_SRC) === 0 || !table.addRouter(vlan, from.no, nowMs)) return;
      const source = formatIpv4(flow.bytes, O_NW_SRC);
      ctx.report("detail", `multicast snooping query from ${source} is on ${where}`);
      return;
    }
    case IGMP_REPORT_V3:
      processed(learnRecords(ctx, table, from, vlan, at, 4));
      return;
    case MLD_QUERY:
      if (isZero(flow.bytes, O_IPV6_SRC, 16) || !table.addRouter(vlan, from.no, nowMs)) return;
      ctx.report("detail", `multicast snooping query on ${where}`);
      return;
    case MLD_REPORT:
    case MLD_DONE: {
      if (frame.length < at + HEADER_SIZE + 16) return;
      const group = formatIpv6(frame, at + HEADER_SIZE);
      const joins = flow.get16(O_TP_SRC) === MLD_REPORT;
      const done = joins ? table.join(group, vlan, from.no, nowMs) : table.leave(group, vlan, from.no, nowMs);
      processed(done ? 1 : 0);
      return;
    }
    case MLD_REPORT_V2:
      processed(learnRecords(ctx, table, from, vlan, at, 16));
      return;
    default:
  }
}

/** The records of a report that lists groups and their sources; `size` is an address's. Returns how many changed something. */
function learnRecords(
  ctx: Context,
  table: SnoopingTable,
  from: Bundle,
  vlan: number,
  at: number,
  size: number,
): number {
  const frame = ctx.frame!;
  const recordSize = 4 + size;
  let changed = 0;
  let record = at + HEADER_SIZE;
  for (let left = get16(frame, at + COUNT_OFFSET); left > 0; left--) {
    if (frame.length < record + recordSize) break;
    const type = frame[record]!;
    const sources = get16(frame, record + 2);
    if (type >= RECORD_FIRST && type <= RECORD_LAST) {
      const group = size === 4 ? formatIpv4(frame, record + 4) : formatIpv6(frame, record + 4);
      // To want only what comes from no source at all is to leave.
      const leaves = sources === 0 && (type === RECORD_IS_INCLUDE || type === RECORD_TO_INCLUDE);
      const done = leaves
        ? table.leave(group, vlan, from.no, ctx.nowMs)
        : table.join(group, vlan, from.no, ctx.nowMs);
      if (done) changed++;
    } else if (size === 4) {
      break; // as OVS: it skips what it does not know in MLD alone
    }
    // The length of auxiliary data counts words, but OVS takes it for bytes.
    record += recordSize + sources * size + frame[record + 1]!;
  }
  return changed;
}

function findMessage(frame: Uint8Array, flow: Flow, v4: boolean): Message | null {
  const ip = findNetwork(frame, flow.get16(O_DL_TYPE));
  if (ip === 0) return null;
  if (v4) {
    if (frame.length < ip + 20) return null;
    const at = ip + (frame[ip]! & 0x0f) * 4;
    return frame.length < at + HEADER_SIZE ? null : { at, end: ip + get16(frame, ip + 2), seed: 0 };
  }
  if (frame.length < ip + 40) return null;
  const end = ip + 40 + get16(frame, ip + 4);
  let next = frame[ip + 6]!;
  let at = ip + 40;
  while (next !== PROTO_ICMPV6) {
    if (frame.length < at + 8) return null;
    const isAuthentication = next === 51;
    const isFragment = next === 44;
    next = frame[at]!;
    const length = frame[at + 1]!;
    at += isFragment ? 8 : isAuthentication ? (length + 2) * 4 : (length + 1) * 8;
  }
  if (frame.length < at + HEADER_SIZE) return null;
  const src = frame.subarray(ip + 8, ip + 24);
  const dst = frame.subarray(ip + 24, ip + 40);
  return { at, end, seed: pseudoHeaderSum(src, dst, PROTO_ICMPV6, end - at) };
}

/** Where the network header begins: after tags, or an LLC and SNAP header; 0 when it is not found. */
function findNetwork(frame: Uint8Array, dlType: number): number {
  for (let at = 12; at + 2 <= frame.length && at <= 20; at += 4) {
    if (get16(frame, at) === dlType) return at + 2;
    if (get16(frame, at) < 0x600)
      return at + 10 <= frame.length && get16(frame, at + 8) === dlType ? at + 10 : 0;
  }
  return 0;
}

/** What a capture has cut off is taken as right. */
function hasGoodChecksum(frame: Uint8Array, { at, end, seed }: Message): boolean {
  return frame.length < end || internetChecksum(frame.subarray(at, end), seed) === 0;
}

function isZero(bytes: Uint8Array, from: number, size: number): boolean {
  for (let i = from; i < from + size; i++) if (bytes[i] !== 0) return false;
  return true;
}
