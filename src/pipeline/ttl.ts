// A TTL taken down by one, of whichever header (ovs-actions(7), dec_ttl, dec_mpls_ttl, dec_nsh_ttl).
import type { Context } from "./context.ts";
import { NO_BYTES, sendToController } from "./output.ts";

/**
 * Takes one off the TTL in the flow's byte `at`. Returns true when it has expired, the rest of the list then is not done: the
 * controllers `ids` are told, and a trace says `words`.
 */
export function decrementByte(ctx: Context, at: number, ids: readonly number[], words: string): boolean {
  const { flow, wc } = ctx;
  wc.set8(at, 0xff);
  const ttl = flow.get8(at);
  if (ttl > 1) {
    flow.set8(at, ttl - 1);
    ctx.dirty = true;
    return false;
  }
  for (const controllerId of ids) {
    sendToController(ctx, {
      reason: "invalid_ttl",
      controllerId,
      maxLen: 0xffff,
      userdata: NO_BYTES,
      meterId: null,
    });
  }
  ctx.report("warn", words);
  return true;
}
