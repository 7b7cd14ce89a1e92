// What a trace says of a field that an action has just written, or has not.
import type { Subfield } from "../flow/field.ts";
import { formatFieldValue } from "../flow/match.ts";
import { formatSubfield, readSubfield } from "../flow/subfield.ts";
import { formatActions } from "./action-text.ts";
import { bigintBytes } from "./bits.ts";
import type { Step } from "./compile.ts";
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

/** Of a write to a header that the frame has not. To OpenFlow 1.5 mod_* are set_field too, and say so; over 1.0 they are silent. */
export function reportUnmet(ctx: Context, step: Step): void {
  if (ctx.trace === null) return;
  let name = step.fieldName;
  if (name === "" && ctx.spelling === "OpenFlow15")
    name = /^set_field:.*->(\w+)$/.exec(formatActions([step.action], ctx.spelling))?.[1] ?? "";
  if (name !== "") ctx.report("warn", `unmet prerequisites for ${name}, set_field ignored`);
}
