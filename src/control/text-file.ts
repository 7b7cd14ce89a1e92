// Files of text that a bridge is described by.
import { readFileSync } from "node:fs";
import { MegaflowError, systemWords } from "../lib/errors.ts";

const STDIN = 0;

/** Reads a whole file, standard input for `-`, as ovs-ofctl does; throws MegaflowError EFILE. */
export function readTextFile(path: string): string {
  try {
    return readFileSync(path === "-" ? STDIN : path, "utf8");
  } catch (error) {
    const words = systemWords(error);
    throw new MegaflowError("EFILE", `${path}: open (${words[0]!.toUpperCase()}${words.slice(1)})`);
  }
}
