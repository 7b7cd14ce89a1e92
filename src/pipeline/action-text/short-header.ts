// Some actions name a field by four bytes (NXM), where the numbers of experimenters' fields do not fit, nor those of fields that
// have none.

import type { Field } from "../../flow/field.ts";
import type { Scanner } from "./scan.ts";

/** Whether a field has a number of four bytes. */
export function hasShortHeader(field: Field): boolean {
  const code = field.codePoints[0];
  return code !== undefined && code.experimenter === 0;
}

/** Throws, for an action whose argument is `whole`, when a field cannot be named. */
export function refuseExperimenter(whole: string, at: Scanner, field: Field, name = at.key): void {
  if (!hasShortHeader(field)) {
    throw at.errorAtKey(`${whole}: experimenter OXM field '${name}' not supported`);
  }
}
