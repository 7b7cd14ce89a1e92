// What is set for single zones: how many connections may be in them, and how long the states of a connection last there.
//
// As in OVS's userspace conntrack, a limit counts the connections that were committed since it was set; zones without a
// limit of their own share the default limit, if one is set, and its count. A connection keeps the timeout policy that
// its zone had when it was committed, and follows its changes.
//
//   memory: index, u16 a zone (record, 0 for none) | records (datapath/abi.ts draws one); record 0 holds the defaults
// A zone's record is never given to another zone, so that a connection's reference to it stays true.
import {
  CONN_POLICY_SHIFT,
  TM_COUNT,
  ZONE_COUNT,
  ZONE_F_LIMITED,
  ZONE_F_TIMEOUTS,
  ZONE_FLAGS,
  ZONE_GENERATION,
  ZONE_LIMIT,
  ZONE_NUMBER,
  ZONE_RECORD_SIZE,
  ZONE_TIMEOUTS,
  ZONES_MAX,
} from "../datapath/abi.ts";

const INDEX_SIZE: usize = 65536 * 2;
/** What zoneJoin() answers when the limit is reached. */
export const ZONE_FULL: u32 = 0xffffffff;

/** Where the records are. */
export let zoneRecords: usize = 0;
let index: usize = 0;
let used: u32 = 0;

/** Bytes needed, a multiple of 64. */
export function zonesSize(): usize {
  return INDEX_SIZE + ((ZONES_MAX as usize) + 1) * (ZONE_RECORD_SIZE as usize);
}

/** Begins in memory that is all zero: no limits, OVS's default timeouts. */
export function zonesInit(at: usize): void {
  index = at;
  zoneRecords = at + INDEX_SIZE;
  used = 0;
  setDefaultTimeouts(zoneRecords);
}

/** OVS's default timeout policy of the userspace datapath, in seconds. */
function setDefaultTimeouts(record: usize): void {
  setTimeout(record, 0, 30);
  setTimeout(record, 1, 30);
  setTimeout(record, 2, 86400);
  setTimeout(record, 3, 900);
  setTimeout(record, 4, 45);
  setTimeout(record, 5, 30);
  setTimeout(record, 6, 60);
  setTimeout(record, 7, 60);
  setTimeout(record, 8, 30);
  setTimeout(record, 9, 60);
  setTimeout(record, 10, 30);
}

function setTimeout(record: usize, which: u32, seconds: u32): void {
  store<u32>(record + ((which as usize) << 2), seconds, ZONE_TIMEOUTS);
}

function recordAt(number: u32): usize {
  return zoneRecords + (number as usize) * (ZONE_RECORD_SIZE as usize);
}

function recordOf(zone: u32): u32 {
  return load<u16>(index + ((zone as usize) << 1));
}

/** The address of a zone's record, made if need be; of the defaults' for `zone` -1. 0 when ZONES_MAX zones have one. */
export function conntrackZone(zone: i32): usize {
  if (zone < 0) return zoneRecords;
  let number = recordOf(zone as u32);
  if (number == 0) {
    if (used == (ZONES_MAX as u32)) return 0;
    used++;
    number = used;
    store<u16>(index + ((zone as usize) << 1), number as u16);
    store<u16>(recordAt(number), zone as u16, ZONE_NUMBER);
  }
  return recordAt(number);
}

/** Records in use, beside the defaults'. */
export function conntrackZoneCount(): u32 {
  return used;
}

/** Sets the limit of a record (conntrackZone); a limit that was there keeps its count. */
export function conntrackSetLimit(record: usize, limit: u32): void {
  const flags = load<u32>(record, ZONE_FLAGS);
  if ((flags & ZONE_F_LIMITED) == 0) {
    store<u32>(record, 0, ZONE_COUNT);
    store<u16>(record, load<u16>(record, ZONE_GENERATION) + 1, ZONE_GENERATION);
  }
  store<u32>(record, flags | ZONE_F_LIMITED, ZONE_FLAGS);
  store<u32>(record, limit, ZONE_LIMIT);
}

export function conntrackDeleteLimit(record: usize): void {
  store<u32>(record, load<u32>(record, ZONE_FLAGS) & ~ZONE_F_LIMITED, ZONE_FLAGS);
}

/** Gives a record a timeout policy of its own, OVS's defaults at first; in the defaults' record, puts them back. */
export function conntrackBeginTimeouts(record: usize): void {
  setDefaultTimeouts(record);
  store<u32>(record, load<u32>(record, ZONE_FLAGS) | ZONE_F_TIMEOUTS, ZONE_FLAGS);
}

/** The zone's new connections get the default policy again; those that have this one follow the defaults too. */
export function conntrackEndTimeouts(record: usize): void {
  setDefaultTimeouts(record);
  store<u32>(record, load<u32>(record, ZONE_FLAGS) & ~ZONE_F_TIMEOUTS, ZONE_FLAGS);
}

/** Sets the timeout of a state class (TM_*) in a record, in seconds; for timers that are set from now on. */
export function conntrackSetTimeout(record: usize, which: u32, seconds: u32): void {
  if (which < (TM_COUNT as u32)) setTimeout(record, which, seconds);
}

/** The timeout policy of connections committed in `zone` now, as bits of CONN_FLAGS. */
export function zonePolicy(zone: u32): u32 {
  if (used == 0) return 0;
  const number = recordOf(zone);
  if (number == 0 || (load<u32>(recordAt(number), ZONE_FLAGS) & ZONE_F_TIMEOUTS) == 0) return 0;
  return number << (CONN_POLICY_SHIFT as u32);
}

/** Counts a connection that is committed in `zone`: what its COLD_ADMITTED is to be, or ZONE_FULL. */
export function zoneJoin(zone: u32): u32 {
  let number = used == 0 ? 0 : recordOf(zone);
  if (number != 0 && (load<u32>(recordAt(number), ZONE_FLAGS) & ZONE_F_LIMITED) == 0) number = 0;
  const record = recordAt(number);
  if ((load<u32>(record, ZONE_FLAGS) & ZONE_F_LIMITED) == 0) return 0;
  const count = load<u32>(record, ZONE_COUNT);
  if (count >= load<u32>(record, ZONE_LIMIT)) return ZONE_FULL;
  store<u32>(record, count + 1, ZONE_COUNT);
  return (number + 1) | ((load<u16>(record, ZONE_GENERATION) as u32) << 16);
}

/** Takes back what zoneJoin() counted, unless the limit has been deleted since. */
export function zoneLeave(admitted: u32): void {
  if (admitted == 0) return;
  const record = recordAt((admitted & 0xffff) - 1);
  if (load<u16>(record, ZONE_GENERATION) != ((admitted >> 16) as u16)) return;
  const count = load<u32>(record, ZONE_COUNT);
  if (count != 0) store<u32>(record, count - 1, ZONE_COUNT);
}
