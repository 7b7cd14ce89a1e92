// Files of OpenFlow text as ovs-ofctl(8) reads them: `#` starts a comment, blank lines do not count.

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
    let end = text.indexOf("\n", pos);
    if (end < 0) end = text.length;
    let line = text.slice(pos, end);
    pos = end + 1;
    number++;
    // C ends a string at a zero byte.
    const zero = line.indexOf("\0");
    if (zero >= 0) line = line.slice(0, zero);
    const comment = line.indexOf("#");
    if (comment >= 0) line = line.slice(0, comment);
    // A carriage return is no blank here, though it is one between the words of a line.
    if (/^[ \t]*$/.test(line)) continue;
    const place = file === undefined ? { line: number } : { file, line: number };
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
