import { A_OUTPUT } from "../datapath/abi.ts";
import { KEY_SIZE } from "../flow/layout.ts";
import { extractFrame, extractKey } from "./extract.ts";
import { parse } from "./parse.ts";
import { setVlanLimit } from "./parse-link.ts";
export function version(): i32 {
  return KEY_SIZE + A_OUTPUT;
}
export { extractFrame, extractKey, parse, setVlanLimit };
