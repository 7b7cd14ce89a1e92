// Connections without a state machine of their own: UDP, and every protocol whose ports are not known.
import {
  CONN_PEER_ORIG,
  OTHER_BIDIR,
  OTHER_FIRST,
  OTHER_MULTIPLE,
  PEER_STATE,
  TM_OTHER_BIDIR,
  TM_OTHER_FIRST,
  TM_OTHER_MULTIPLE,
} from "../datapath/abi.ts";
import { restartTimer, startTimer } from "./conntrack-table.ts";

export function otherNew(h: usize, now: u64): void {
  startTimer(h, TM_OTHER_FIRST, now);
}

/**
 * One frame of the connection. Returns true when it is still new: OVS says so of the second frame in the direction that
 * opened it, when no reply has come; from the third on it calls the connection established.
 */
export function otherUpdate(index: u32, h: usize, reply: bool, now: u64): bool {
  let state = load<u8>(h, CONN_PEER_ORIG + PEER_STATE) as u32;
  let stillNew = false;
  if (reply) {
    state = OTHER_BIDIR;
  } else if (state == OTHER_FIRST) {
    state = OTHER_MULTIPLE;
    stillNew = true;
  }
  store<u8>(h, state as u8, CONN_PEER_ORIG + PEER_STATE);
  restartTimer(
    index,
    h,
    state == OTHER_BIDIR ? TM_OTHER_BIDIR : state == OTHER_MULTIPLE ? TM_OTHER_MULTIPLE : TM_OTHER_FIRST,
    now,
  );
  return stillNew;
}
