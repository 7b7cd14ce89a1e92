// What the state that a spanning tree has put a port in lets through (IEEE 802.1D-2004, 7.4 and 17.10; ovs-vswitchd.conf.db(5), Port
// table, STP and RSTP Status). The protocols themselves run elsewhere: a state is given, and stays.
import type { Flow } from "../flow/flow.ts";
import { O_DL_DST, O_DL_TYPE } from "../flow/layout.ts";
import type { Port } from "./port-table.ts";

export const STP_STATES = ["disabled", "blocking", "listening", "learning", "forwarding"] as const;
export const RSTP_STATES = ["disabled", "discarding", "learning", "forwarding"] as const;
/** A port that is not part of the tree is in the state disabled, and forwards. */
export type StpState = (typeof STP_STATES)[number];
export type RstpState = (typeof RSTP_STATES)[number];

/** Link address of the protocols' own frames (BPDUs), 01:80:c2:00:00:00, in two parts. */
const BPDU_HIGH = 0x0180c200;
const BPDU_LOW = 0x0000;
/** dl_type of a frame that has none: LLC, as BPDUs are. */
const DL_TYPE_NONE = 0x05ff;

const forwardsIn = (state: StpState | RstpState): boolean => state === "disabled" || state === "forwarding";

/** Whether frames that came in on the port go on. */
export function forwards({ stpState, rstpState }: Port): boolean {
  return forwardsIn(stpState) && forwardsIn(rstpState);
}

/** Whether frames that came in on the port are looked at: for their link addresses, if for nothing else. */
export function receives({ stpState, rstpState }: Port): boolean {
  const in1 = forwardsIn(stpState) || stpState === "learning";
  const in2 = forwardsIn(rstpState) || rstpState === "learning";
  return in1 && in2;
}

/** Whether the port is part of a tree. */
export function inTree({ stpState, rstpState }: Port): boolean {
  return stpState !== "disabled" || rstpState !== "disabled";
}

/** Whether the frame is the protocol's own: on a bridge with a tree the tables do not get it. */
export function isBpdu(flow: Flow): boolean {
  return (
    flow.get32(O_DL_DST) === BPDU_HIGH &&
    flow.get16(O_DL_DST + 4) === BPDU_LOW &&
    flow.get16(O_DL_TYPE) === DL_TYPE_NONE
  );
}

/** Why a frame is not sent on the port, in OVS's words; null when it is. */
export function whyNotSent({ stpState, rstpState }: Port): string | null {
  if (!forwardsIn(stpState)) return "STP not in forwarding state, skipping output";
  return forwardsIn(rstpState) ? null : "RSTP not in forwarding state, skipping output";
}
