import { A_OUTPUT } from "../datapath/abi.ts";
import { KEY_SIZE } from "../flow/layout.ts";
export function version(): i32 {
  return KEY_SIZE + A_OUTPUT;
}
