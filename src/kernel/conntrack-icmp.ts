// ICMP and ICMPv6 connections: queries are tracked by their id; errors belong to the connection they quote.
import {
  CONN_PEER_ORIG,
  ICMP_FIRST,
  ICMP_REPLY,
  PEER_STATE,
  TM_ICMP_FIRST,
  TM_ICMP_REPLY,
} from "../datapath/abi.ts";
import { restartTimer, startTimer } from "./conntrack-table.ts";

const ICMP4_ECHO_REPLY: u32 = 0;
const ICMP4_DST_UNREACH: u32 = 3;
const ICMP4_SOURCE_QUENCH: u32 = 4;
const ICMP4_REDIRECT: u32 = 5;
const ICMP4_ECHO_REQUEST: u32 = 8;
const ICMP4_TIME_EXCEEDED: u32 = 11;
const ICMP4_PARAM_PROB: u32 = 12;
const ICMP4_TIMESTAMP: u32 = 13;
const ICMP4_TIMESTAMP_REPLY: u32 = 14;
const ICMP4_INFO_REQUEST: u32 = 15;
const ICMP4_INFO_REPLY: u32 = 16;

const ICMP6_DST_UNREACH: u32 = 1;
const ICMP6_PACKET_TOO_BIG: u32 = 2;
const ICMP6_TIME_EXCEEDED: u32 = 3;
const ICMP6_PARAM_PROB: u32 = 4;
const ICMP6_ECHO_REQUEST: u32 = 128;
const ICMP6_ECHO_REPLY: u32 = 129;

/** No such type: not a query that is tracked. */
export const ICMP_NOT_QUERY: u32 = 0xffff;

/** The type that answers, or is answered by, an ICMP query of this type; ICMP_NOT_QUERY for every other type. */
export function reverseIcmpType(type: u32): u32 {
  if (type == ICMP4_ECHO_REQUEST) return ICMP4_ECHO_REPLY;
  if (type == ICMP4_ECHO_REPLY) return ICMP4_ECHO_REQUEST;
  if (type == ICMP4_TIMESTAMP) return ICMP4_TIMESTAMP_REPLY;
  if (type == ICMP4_TIMESTAMP_REPLY) return ICMP4_TIMESTAMP;
  if (type == ICMP4_INFO_REQUEST) return ICMP4_INFO_REPLY;
  if (type == ICMP4_INFO_REPLY) return ICMP4_INFO_REQUEST;
  return ICMP_NOT_QUERY;
}

/** The same for ICMPv6. */
export function reverseIcmp6Type(type: u32): u32 {
  if (type == ICMP6_ECHO_REQUEST) return ICMP6_ECHO_REPLY;
  if (type == ICMP6_ECHO_REPLY) return ICMP6_ECHO_REQUEST;
  return ICMP_NOT_QUERY;
}

/** An error that quotes the packet it is about. */
export function isIcmpError(type: u32): bool {
  return (
    type == ICMP4_DST_UNREACH ||
    type == ICMP4_TIME_EXCEEDED ||
    type == ICMP4_PARAM_PROB ||
    type == ICMP4_SOURCE_QUENCH ||
    type == ICMP4_REDIRECT
  );
}

export function isIcmp6Error(type: u32): bool {
  return (
    type == ICMP6_DST_UNREACH ||
    type == ICMP6_PACKET_TOO_BIG ||
    type == ICMP6_TIME_EXCEEDED ||
    type == ICMP6_PARAM_PROB
  );
}

/** Only a question opens a connection. */
export function icmpOpens(type: u32): bool {
  return type == ICMP4_ECHO_REQUEST || type == ICMP4_INFO_REQUEST || type == ICMP4_TIMESTAMP;
}

export function icmp6Opens(type: u32): bool {
  return type == ICMP6_ECHO_REQUEST;
}

export function icmpNew(h: usize, now: u64): void {
  startTimer(h, TM_ICMP_FIRST, now);
}

/** One frame of the connection. Returns true while it is still new: until an answer has come. */
export function icmpUpdate(index: u32, h: usize, reply: bool, now: u64): bool {
  if (reply) store<u8>(h, ICMP_REPLY as u8, CONN_PEER_ORIG + PEER_STATE);
  const unanswered = load<u8>(h, CONN_PEER_ORIG + PEER_STATE) == (ICMP_FIRST as u8);
  restartTimer(index, h, unanswered ? TM_ICMP_FIRST : TM_ICMP_REPLY, now);
  return unanswered;
}
