// Group files: what `ovs-ofctl add-groups FILE` reads. All or nothing.

import type { GroupMod } from "../../pipeline/action.ts";
import { readTextFile } from "../text-file.ts";
import type { FlowTextNames } from "./flow-text.ts";
import { parseGroupMod } from "./group-text.ts";
import { parseLines } from "./lines.ts";

/** Reads and parses a group file. Throws MegaflowError: EFILE, or ETEXT with file, line and column in OVS's words. */
export function readGroupFile(path: string, names: FlowTextNames = {}): GroupMod[] {
  return parseGroupFile(readTextFile(path), path, names);
}

/** Parses a group file's text; `file` is its name for errors. */
export function parseGroupFile(text: string, file?: string, names: FlowTextNames = {}): GroupMod[] {
  return parseLines(text, file, (line) => parseGroupMod(line, names));
}
