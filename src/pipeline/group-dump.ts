// Groups in the words of `ovs-ofctl -O OpenFlow15 dump-groups` and `dump-group-stats`.

import { formatFieldValue } from "../flow/field-text.ts";
import { formatPort } from "../flow/port-text.ts";
import { type Bucket, type GroupMod, type GroupType, OFPP_NONE } from "./action.ts";
import { withoutPlaces } from "./action-options.ts";
import { formatActions } from "./action-text.ts";
import { formatDuration } from "./flow-dump.ts";

export const GROUP_DUMP_HEADER = "OFPST_GROUP_DESC reply (OF1.5) (xid=0x2):";
export const GROUP_STATS_HEADER = "OFPST_GROUP reply (OF1.5) (xid=0x2):";

/** What dump-groups needs of a group. */
export interface DumpedGroup {
  readonly groupId: number;
  readonly type: GroupType;
  readonly buckets: readonly Bucket[];
  readonly selectionMethod: string;
  readonly selectionMethodParam: bigint;
  readonly hashFields: GroupMod["hashFields"];
}

/** What dump-group-stats needs of a group. */
export interface DumpedGroupStats {
  readonly mod: Pick<GroupMod, "groupId">;
  readonly createdMs: number;
  readonly nPackets: number;
  readonly nBytes: number;
  readonly buckets: readonly { readonly nPackets: number; readonly nBytes: number }[];
}

/** One line of dump-groups, with the blank it begins with. */
export function formatGroup(group: DumpedGroup): string {
  let text = ` group_id=${group.groupId},type=${group.type === "fast_failover" ? "ff" : group.type}`;
  if (group.selectionMethod !== "") text += `,selection_method=${group.selectionMethod}`;
  if (group.selectionMethodParam !== 0n) text += `,selection_method_param=${group.selectionMethodParam}`;
  if (group.hashFields !== null && group.hashFields.fields.length > 0) {
    text += formatHashFields(group.hashFields);
  }
  for (const bucket of group.buckets) {
    text += `,bucket=bucket_id:${bucket.id},`;
    if (bucket.weight !== (group.type === "select" ? 1 : 0)) text += `weight:${bucket.weight},`;
    if (bucket.watchPort !== OFPP_NONE) text += `watch_port:${formatPort(bucket.watchPort)},`;
    if (bucket.watchGroup !== null) text += `watch_group:${bucket.watchGroup},`;
    text += `actions=${formatActions(withoutPlaces(bucket.actions))}`;
  }
  return text;
}

/** `,fields=ip_src` or `,fields(ip_src,tcp_dst=255)`: a mask only where it is not all of the field. */
function formatHashFields(hash: NonNullable<GroupMod["hashFields"]>): string {
  const parts = hash.fields.map((field) => {
    const bits = hash.masks.get(field)!;
    return bits.every((byte) => byte === 0xff)
      ? field.name
      : `${field.name}=${formatFieldValue(field, bits)}`;
  });
  return parts.length === 1 ? `,fields=${parts[0]}` : `,fields(${parts.join(",")})`;
}

/** One line of dump-group-stats, with the blank it begins with. `refCount` is how often flows name the group. */
export function formatGroupStats(group: DumpedGroupStats, refCount: number, nowMs: number): string {
  let text =
    ` group_id=${group.mod.groupId},duration=${formatDuration(nowMs - group.createdMs)},ref_count=${refCount},` +
    `packet_count=${group.nPackets},byte_count=${group.nBytes}`;
  for (const [i, bucket] of group.buckets.entries()) {
    text += `,bucket${i}:packet_count=${bucket.nPackets},byte_count=${bucket.nBytes}`;
  }
  return text;
}
