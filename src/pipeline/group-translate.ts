// Groups in translation: which bucket, and what a bucket does. Each bucket works on its own copy of the frame.
import { Flow } from "../flow/flow.ts";
import { O_DP_HASH } from "../flow/layout.ts";
import { readSubfield, wholeField } from "../flow/subfield.ts";
import { type Bucket, OFPP_CONTROLLER, OFPP_NONE } from "./action.ts";
import { bigintBytes } from "./bits.ts";
import { type Context, X_OK, X_TOO_MANY_MPLS_LABELS, X_UNSUPPORTED_PACKET_TYPE } from "./context.ts";
import { hash2Words, hash64, hashBytes } from "./flow-hash.ts";
import { finishFreezing } from "./freeze.ts";
import { type Group, type GroupBucket, watches } from "./group.ts";
import { hashSymmetricL4, maskHashFields } from "./hash-fields.ts";
import { prerequisiteMet, prerequisiteOf } from "./prerequisite.ts";
import { addNode } from "./trace-node.ts";
import { roomToResubmit, translateSteps } from "./translate.ts";

const LIVENESS_DEPTH_MAX = 128;

/** Returns true when there is no such group: the rest of the action list is not done. */
export function translateGroup(ctx: Context, groupId: number, last: boolean): boolean {
  if (!roomToResubmit(ctx)) return false;
  const group = ctx.host.groups.get(groupId);
  if (group === null) {
    ctx.report("warn", `output to nonexistent group ${groupId}`);
    return true;
  }
  if (group.mod.type === "all" || group.mod.type === "indirect") {
    const { buckets } = group;
    for (let i = 0; i < buckets.length; i++) {
      translateBucket(ctx, buckets[i]!, last && i === buckets.length - 1);
    }
    (ctx.owner.groups ??= []).push({ group, bucket: null });
    return false;
  }
  const bucket = group.mod.type === "select" ? chooseBucket(ctx, group) : firstLive(ctx, group, 0);
  if (bucket === null) {
    ctx.report("detail", "no live bucket");
    return false;
  }
  if (ctx.trace !== null) ctx.report("detail", `using bucket ${bucket.bucket.id}`);
  translateBucket(ctx, bucket, last);
  (ctx.owner.groups ??= []).push({ group, bucket });
  return false;
}

function translateBucket(ctx: Context, bucket: GroupBucket, last: boolean): void {
  const oldTrace = ctx.trace;
  if (ctx.trace !== null) ctx.trace = addNode(ctx.trace, "bucket", `bucket ${bucket.bucket.id}`);
  const oldFlow = new Flow().copyFrom(ctx.flow);
  const oldWasMpls = ctx.wasMpls;

  ctx.depth++;
  translateSteps(ctx, bucket.steps, last, true);
  ctx.depth--;
  if (ctx.freezing) finishFreezing(ctx);

  ctx.flow.copyFrom(oldFlow);
  ctx.dirty = true;
  ctx.wasMpls = oldWasMpls;
  ctx.forgetPendingHeaders();
  ctx.exit = false;
  // A bucket's own trouble is not the others'; limits of the whole translation stay.
  if (ctx.error === X_TOO_MANY_MPLS_LABELS || ctx.error === X_UNSUPPORTED_PACKET_TYPE) ctx.error = X_OK;
  ctx.trace = oldTrace;
}

function chooseBucket(ctx: Context, group: Group): GroupBucket | null {
  if (ctx.wasMpls) {
    ctx.triggerFreeze();
    return null;
  }
  switch (group.selection) {
    case "dp_hash":
      return chooseByDatapathHash(ctx, group);
    case "hash":
      return chooseByFields(ctx, group);
    case "default":
      return chooseBySymmetricHash(ctx, group);
  }
}

function chooseByDatapathHash(ctx: Context, group: Group): GroupBucket | null {
  const hash = ctx.flow.get32(O_DP_HASH);
  if (hash === 0) {
    ctx.triggerFreeze();
    ctx.hashFirst = { algorithm: group.hashAlgorithm, basis: group.hashBasis };
    return null;
  }
  const mask = group.hashMask;
  ctx.wc.set32(O_DP_HASH, ctx.wc.get32(O_DP_HASH) | mask);
  for (let i = 0; i <= mask; i++) {
    const bucket = group.hashMap[((hash + i) & mask) >>> 0]!;
    if (isLive(ctx, group, bucket.bucket, 0)) return bucket;
  }
  return null;
}

function chooseByFields(ctx: Context, group: Group): GroupBucket | null {
  const { flow, wc } = ctx;
  const wanted = group.mod.hashFields!;
  let basis = hash64(group.mod.selectionMethodParam);
  const fields = [...wanted.fields].sort((a, b) => a.id - b.id);
  for (const field of fields) {
    if (!prerequisiteMet(prerequisiteOf(field), flow, wc)) continue;
    const sf = wholeField(field);
    const mask = readSubfield(wanted.mask, sf);
    basis = hashBytes(bigintBytes(readSubfield(flow, sf) & mask, field.valueSize), basis);
    for (let i = 0; i < field.size; i++) wc.bytes[field.offset + i]! |= wanted.mask.bytes[field.offset + i]!;
  }
  return bestLive(ctx, group, basis);
}

function chooseBySymmetricHash(ctx: Context, group: Group): GroupBucket | null {
  maskHashFields(ctx.flow, ctx.wc, "symmetric_l4");
  return bestLive(ctx, group, hashSymmetricL4(ctx.flow, 0));
}

function bestLive(ctx: Context, group: Group, basis: number): GroupBucket | null {
  let best: GroupBucket | null = null;
  let bestScore = 0;
  for (const bucket of group.buckets) {
    if (!isLive(ctx, group, bucket.bucket, 0)) {
      reportNotLive(ctx, bucket.bucket);
      continue;
    }
    const score = Math.imul(hash2Words(bucket.bucket.id, basis) & 0xffff, bucket.bucket.weight) >>> 0;
    if (score >= bestScore) {
      best = bucket;
      bestScore = score;
    }
    if (ctx.trace !== null) ctx.report("detail", `bucket ${bucket.bucket.id}: score ${score}`);
  }
  return best;
}

function firstLive(ctx: Context, group: Group, depth: number): GroupBucket | null {
  for (const bucket of group.buckets) {
    if (isLive(ctx, group, bucket.bucket, depth)) return bucket;
    reportNotLive(ctx, bucket.bucket);
  }
  return null;
}

/** Of a select group, a bucket without weight is not. */
function isLive(ctx: Context, of: Group, bucket: Bucket, depth: number): boolean {
  if (depth >= LIVENESS_DEPTH_MAX) {
    ctx.report("error", `bucket chaining exceeded ${LIVENESS_DEPTH_MAX} links`);
    return false;
  }
  if (of.mod.type === "select" && bucket.weight === 0) return false;
  if (!watches(bucket)) return true;
  if (bucket.watchPort !== OFPP_NONE && bucket.watchPort !== OFPP_CONTROLLER) {
    if (ctx.host.ports.get(bucket.watchPort)?.live === true) return true;
  }
  if (bucket.watchGroup === null) return false;
  const group = ctx.host.groups.get(bucket.watchGroup);
  return group !== null && firstLive(ctx, group, depth + 1) !== null;
}

function reportNotLive(ctx: Context, bucket: Bucket): void {
  if (ctx.trace === null) return;
  const causes = [
    ...(bucket.watchPort === OFPP_NONE ? [] : [`port ${bucket.watchPort}`]),
    ...(bucket.watchGroup === null ? [] : [`port ${bucket.watchGroup}`]),
  ];
  ctx.report("detail", `bucket ${bucket.id}: not live due to ${causes.join(" and ")}`);
}
