// A flow-mod that asks for nothing special: what others are made from.
import { Flow } from "../flow/flow.ts";
import { type FlowMod, OFPP_NONE } from "./action.ts";

/** Adds a flow to table 0 that matches everything at priority 0 and drops it, with cookie 0. */
export const BLANK_FLOW_MOD: FlowMod = {
  command: "add",
  tableId: 0,
  priority: 0,
  match: { flow: new Flow(), mask: new Flow() },
  actions: [],
  newCookie: 0n,
  cookie: 0n,
  cookieMask: 0n,
  idleTimeout: 0,
  hardTimeout: 0,
  importance: 0,
  sendFlowRem: false,
  checkOverlap: false,
  resetCounts: false,
  noPacketCounts: false,
  noByteCounts: false,
  outPort: OFPP_NONE,
  outGroup: null,
};
