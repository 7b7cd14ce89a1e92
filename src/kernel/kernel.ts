import { A_OUTPUT } from "../datapath/abi.ts";
import { KEY_SIZE } from "../flow/layout.ts";
import {
  conntrackClear,
  conntrackCold,
  conntrackCounter,
  conntrackExecute,
  conntrackExpire,
  conntrackHot,
  conntrackInit,
  conntrackNext,
  conntrackSeed,
  conntrackSetTimeout,
  conntrackSize,
} from "./conntrack.ts";
import { extractFrame, extractKey } from "./extract.ts";
import { hashL4, hashSymL4 } from "./hash.ts";
import { parse } from "./parse.ts";
import { setVlanLimit } from "./parse-link.ts";
import { setHeader } from "./rewrite.ts";
import { popMpls, popVlan, pushMpls, pushVlan } from "./rewrite-tags.ts";
export function version(): i32 {
  return KEY_SIZE + A_OUTPUT;
}
export {
  conntrackClear,
  conntrackCold,
  conntrackCounter,
  conntrackExecute,
  conntrackExpire,
  conntrackHot,
  conntrackInit,
  conntrackNext,
  conntrackSeed,
  conntrackSetTimeout,
  conntrackSize,
  extractFrame,
  extractKey,
  hashL4,
  hashSymL4,
  parse,
  popMpls,
  popVlan,
  pushMpls,
  pushVlan,
  setHeader,
  setVlanLimit,
};
