// Flow files: what `ovs-ofctl add-flows FILE` reads. All or nothing: the first bad line is an error, and no flow-mod comes out.

import type { FlowMod, FlowModCommand } from "../../pipeline/action.ts";
import { readTextFile } from "../text-file.ts";
import { type FlowTextNames, parseFlowMod } from "./flow-text.ts";
import { parseLines } from "./lines.ts";

export type { FlowTextNames } from "./flow-text.ts";

/** Reads and parses a flow file. Throws MegaflowError: EFILE, or ETEXT with file, line and column in OVS's words. */
export function readFlowFile(path: string, names: FlowTextNames = {}): FlowMod[] {
  return parseFlowFile(readTextFile(path), path, names);
}

/** Parses a flow file's text; `file` is its name for errors. Lines may begin with a command, else they are `command`s. */
export function parseFlowFile(
  text: string,
  file?: string,
  names: FlowTextNames = {},
  command: FlowModCommand = "add",
): FlowMod[] {
  return parseLines(text, file, (line) => parseFlowMod(line, names, command));
}
