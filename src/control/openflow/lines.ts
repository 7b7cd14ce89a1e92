// Files of OpenFlow text as ovs-ofctl(8) reads them: `#` starts a comment, blank lines do not count. A line that ends in `\`
// goes on in the next one (ovs-ofctl has no such thing: it reads the backslash as an action and refuses it).

import { MegaflowError, type Place } from "../../lib/errors.ts";

const places = new WeakMap<object, Place>();

/** Where in a file a parsed flow-mod, group-mod or meter-mod stands: for what the switch refuses later. */
export function placeOf(parsed: object): Place {
  return places.get(parsed) ?? {};
}

/** Parses every line that holds something, in order. An error gets the file's name and the line's number. */
export function parseLines<T extends object>(
  text: string,
  file: string | undefined,
  parse: (line: string) => T,
): T[] {
  const results: T[] = [];
  let number = 0;
  let pos = 0;
  while (pos < text.length) {
    const first = number + 1;
    let line = "";
    for (;;) {
      let end = text.indexOf("\n", pos);
      if (end < 0) end = text.length;
      let part = text.slice(pos, end);
      pos = end + 1;
      number++;
      const comment = part.indexOf("#");
      if (comment >= 0) part = part.slice(0, comment);
      if (pos < text.length && part.trimEnd().endsWith("\\")) {
        // A blank keeps the columns of the first line right.
        line += `${part.trimEnd().slice(0, -1)} `;
        continue;
      }
      line += part;
      break;
    }
    if (line.trim() === "") continue;
    const place = file === undefined ? { line: first } : { file, line: first };
    try {
      const result = parse(line);
      places.set(result, place);
      results.push(result);
    } catch (error) {
      if (!(error instanceof MegaflowError)) throw error;
      throw error.at(place);
    }
  }
  return results;
}
