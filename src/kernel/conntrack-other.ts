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

/** One frame of the connection. Returns true while it is still new: until a frame has come the other way. */
export function otherUpdate(index: u32, h: usize, reply: bool, now: u64): bool {
  let state = load<u8>(h, CONN_PEER_ORIG + PEER_STATE) as u32;
  if (reply) {
    state = OTHER_BIDIR;
  } else if (state == OTHER_FIRST) {
    state = OTHER_MULTIPLE;
  }
  store<u8>(h, state as u8, CONN_PEER_ORIG + PEER_STATE);
  restartTimer(
    index,
    h,
    state == OTHER_BIDIR ? TM_OTHER_BIDIR : state == OTHER_MULTIPLE ? TM_OTHER_MULTIPLE : TM_OTHER_FIRST,
    now,
  );
  return state != OTHER_BIDIR;
}
