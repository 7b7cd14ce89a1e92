// Table numbers in text: a decimal number up to 255, or a table's name.

import type { ActionContext } from "./context.ts";

/** The table of a text; null when there is none. */
export function tableFromText(text: string, context: ActionContext): number | null {
  if (/^[ \t\r\n]*[+]?[0-9]+$/.test(text)) {
    const number = Number(text);
    return number <= 255 ? number : null;
  }
  const quoted = /^"(.*)"$/.exec(text);
  // ovs-ofctl takes a name whose quotation does not end for table 0.
  if (quoted === null && text.startsWith('"')) return 0;
  return context.tableByName?.(quoted === null ? text : quoted[1]!) ?? null;
}
