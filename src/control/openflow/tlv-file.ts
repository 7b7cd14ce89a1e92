// Maps of tunnel options: lines of what `ovs-ofctl add-tlv-map` takes (ovs-ofctl(8)), as a file or as an argument.
import { parseMappings, TlvMap } from "../../flow/tlv-map.ts";
import { MegaflowError } from "../../lib/errors.ts";
import { readTextFile } from "../text-file.ts";
import { parseLines, placeOf } from "./lines.ts";

/** A map from text that begins with `{`, else from a file. Throws MegaflowError: EFILE, or ETEXT in OVS's words with the place. */
export function readTlvMap(textOrFile: string): TlvMap {
  if (textOrFile.trimStart().startsWith("{")) return parseTlvMap(textOrFile);
  return parseTlvMap(readTextFile(textOrFile), textOrFile);
}

/** A map from text of one or several lines; `file` is its name for errors. */
export function parseTlvMap(text: string, file?: string): TlvMap {
  const map = new TlvMap();
  for (const mappings of parseLines(text, file, parseMappings)) {
    try {
      map.add(mappings);
    } catch (error) {
      throw error instanceof MegaflowError ? error.at(placeOf(mappings)) : error;
    }
  }
  return map;
}
