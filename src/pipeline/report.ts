// What a trace says of a field that an action has just written.
import type { Subfield } from "../flow/field.ts";
import { formatFieldValue } from "../flow/match.ts";
import { formatSubfield, readSubfield } from "../flow/subfield.ts";
import { bigintBytes } from "./bits.ts";
import type { Context } from "./context.ts";

/** `NXM_OF_ETH_DST[] is now 0e:5a:10:60:01:01`; call only when traced. */
export function reportSubfield(ctx: Context, sf: Subfield): void {
  const value = readSubfield(ctx.flow, sf);
  const whole = sf.ofs === 0 && sf.bits >= sf.field.bits;
  const text = whole
    ? formatFieldValue(sf.field, bigintBytes(value, sf.field.valueSize))
    : value === 0n
      ? "0"
      : `0x${value.toString(16)}`;
  ctx.report("detail", `${formatSubfield(sf)} is now ${text}`);
}
