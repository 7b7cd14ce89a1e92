// The ct and ct_clear actions: a frame's connection is looked up, judged, made (commit), and written into the key.
//
// The verdicts are those of OVS's userspace conntrack. Two things about them are easily missed:
//
// - A frame remembers the connection its last ct() found (PKT_CONN). A further ct() in the same zone does not judge the
//   frame again: the state bits stay, the mark and label are read anew. Otherwise ct(commit) of an established
//   connection would count the same segment twice. Addresses and ports that
//   are written since make it another's frame, and PKT_CONN 0.
// - State bits gather while a frame stays in one zone and start anew in another.
//
// A fragment is invalid here: fragments.ts brings whole datagrams. Helpers are in conntrack-alg.ts.
import {
  COLD_ADMITTED,
  COLD_DST6,
  COLD_LABEL,
  COLD_PARENT,
  COLD_REPLY_DST,
  COLD_REPLY_SRC,
  COLD_SRC6,
  CONN_F_HELPER_FTP,
  CONN_F_HELPER_TFTP,
  CONN_F_LABEL,
  CONN_F_RELATED,
  CONN_F_REPLY_NODE,
  CONN_F_SKEWED,
  CONN_F_USED,
  CONN_FLAGS,
  CONN_MARK,
  CONN_ZONE,
  CT_F_ALG_FTP,
  CT_F_ALG_TFTP,
  CT_F_COMMIT,
  CT_F_FORCE,
  CT_F_LABEL,
  CT_F_MARK,
  CT_F_NAT,
  CTC_FULL,
  CTC_NAT_EXHAUSTED,
  CTC_ZONE_LIMIT,
  PARENT_DST6,
  PARENT_SRC6,
} from "../datapath/abi.ts";
import {
  B_CT,
  B_CT_IPV6_DST,
  B_CT_IPV6_SRC,
  B_CT_LABEL,
  B_META,
  CS_DST_NAT,
  CS_ESTABLISHED,
  CS_INVALID,
  CS_NEW,
  CS_RELATED,
  CS_REPLY_DIR,
  CS_SRC_NAT,
  CS_TRACKED,
  O_CT_IPV6_DST,
  O_CT_IPV6_SRC,
  O_CT_LABEL,
  O_CT_MARK,
  O_CT_STATE,
  O_CT_TP_SRC,
  O_CT_ZONE,
} from "../flow/layout.ts";
import {
  ALG_NONE,
  adopt,
  adoptNat,
  algFrame,
  algOf,
  expectationOf,
  expectedLabel,
  expectedMark,
  helperOf,
  parentOf,
  skewFirst,
  skewOther,
} from "./conntrack-alg.ts";
import { icmp6Opens, icmpNew, icmpOpens, icmpUpdate } from "./conntrack-icmp.ts";
import {
  dst6,
  extractTuple,
  followFrame,
  hash,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_TCP,
  IPPROTO_UDP,
  l4,
  l4Present,
  l4Size,
  payload,
  proto,
  related,
  reversed,
  src6,
  tuple,
  useTuple,
} from "./conntrack-key.ts";
import { natChoose, natFrame, natSeed, setReversedPorts } from "./conntrack-nat.ts";
import { originalConnection } from "./conntrack-original.ts";
import { otherNew, otherUpdate } from "./conntrack-other.ts";
import {
  allocate,
  conntrackCold,
  conntrackCounter,
  conntrackExpire,
  conntrackHot,
  conntrackInit,
  conntrackReached,
  conntrackRemove,
  conntrackSize,
  count,
  giveBack,
  insert,
  lookup,
  remove,
  replyKey,
  seedHash,
  startTimer,
} from "./conntrack-table.ts";
import { TCP_REOPEN, TCP_STILL_NEW, TCP_VALID, tcpNew, tcpOpens, tcpUpdate } from "./conntrack-tcp.ts";
import {
  conntrackBeginTimeouts,
  conntrackDeleteLimit,
  conntrackEndTimeouts,
  conntrackSetLimit,
  conntrackSetTimeout,
  conntrackZone,
  conntrackZoneCount,
  ZONE_FULL,
  zoneJoin,
  zoneLeave,
  zonePolicy,
} from "./conntrack-zone.ts";
import {
  KEY,
  PKT,
  PKT_CONN,
  PKT_CONN_F_RELATED,
  PKT_CONN_F_REPLY,
  PKT_CONN_FLAGS,
  PKT_KEY_MAP,
  PKT_NOW,
} from "./memory.ts";

export {
  conntrackBeginTimeouts,
  conntrackCold,
  conntrackCounter,
  conntrackDeleteLimit,
  conntrackEndTimeouts,
  conntrackExpire,
  conntrackHot,
  conntrackInit,
  conntrackReached,
  conntrackRemove,
  conntrackSetLimit,
  conntrackSetTimeout,
  conntrackSize,
  conntrackZone,
  conntrackZoneCount,
};

// Words of A_CT (datapath/abi.ts), as byte offsets.
const CT_FLAGS: usize = 4;
const CT_ZONE: usize = 8;
const CT_MARK: usize = 12;
const CT_MARK_MASK: usize = 16;
const CT_LABEL: usize = 20;
const CT_LABEL_MASK: usize = 36;
const CT_NAT: usize = 52;
/** Flags of connections that helpers have to do with. */
const CONN_F_HELPED: u32 = CONN_F_HELPER_FTP | CONN_F_HELPER_TFTP | CONN_F_RELATED | CONN_F_SKEWED;

/**
 * The connection that the last ct() found for a TCP segment and took it to be established: index + 1 << 1, + 1 in the reply
 * direction; else 0. Of a frame that no ct() had seen before.
 */
export let judged: u32 = 0;

/** The expectation that the frame fulfils, if it may open a connection. */
let expectation: usize = 0;

/** Seeds the table's hash and NAT's choices. Only while the table is empty. */
export function conntrackSeed(seed: u64): void {
  seedHash(seed);
  natSeed(seed);
}

/** Runs the A_CT word at `action` on the frame in PKT, whose KEY is current; writes the connection fields of KEY. */
export function conntrackExecute(action: usize): void {
  const flags = load<u32>(action, CT_FLAGS);
  const zone = load<u32>(action, CT_ZONE) & 0xffff;
  const force = (flags & CT_F_FORCE) != 0;
  // State bits that are all zero say that no ct() has seen this frame; PKT_CONN is then another frame's.
  if (load<u8>(KEY, O_CT_STATE) == 0) store<u32>(PKT, 0, PKT_CONN);
  const cached = load<u32>(PKT, PKT_CONN);
  judged = 0;

  if (cached != 0 && !force) {
    const h = conntrackHot(cached - 1);
    if (
      (load<u16>(h, CONN_ZONE) as u32) == zone &&
      (load<u32>(h, CONN_FLAGS) & CONN_F_USED) != 0 &&
      algOf(flags) == ALG_NONE
    ) {
      // Judged before in this zone.
      if ((flags & CT_F_NAT) != 0) {
        const how = load<u32>(PKT, PKT_CONN_FLAGS);
        translate(cached - 1, (how & PKT_CONN_F_REPLY) != 0, (how & PKT_CONN_F_RELATED) != 0);
        store<u32>(PKT, 0, PKT_CONN);
      }
      storeZone(zone);
      readMarkAndLabel(cached - 1, h);
      setMarkAndLabel(action, flags, cached - 1, h);
      return;
    }
  }
  if (!extractTuple(zone)) {
    writeUntracked(zone);
    return;
  }

  // State bits do not cross from zone to zone.
  let state = load<u8>(KEY, O_CT_STATE) as u32;
  if ((bswap<u16>(load<u16>(KEY, O_CT_ZONE)) as u32) != zone) state = 0;

  const now = load<u64>(PKT, PKT_NOW);
  const translated = (state & (CS_SRC_NAT | CS_DST_NAT)) != 0;
  // A frame that NAT has changed in this zone is found by the tuple that answers it.
  const found = translated
    ? lookup(reversed, tuple, hash, dst6, src6, now)
    : lookup(tuple, reversed, hash, src6, dst6, now);
  const nat = (flags & CT_F_NAT) != 0;
  let reply = found != 0 && ((found & 1) != 0) != translated;
  let index: i32 = ((found >> 1) as i32) - 1;
  let held = false;
  if (force && index >= 0) {
    const answers = (found & 1) != 0;
    const entry = answers && isReplyEntry(index as u32, translated);
    // The entry of a reply tuple is opened the way that the replies go.
    if ((answers && !entry) != translated) {
      held = giveWay(index as u32, entry);
      reply = translated;
      index = -1;
    }
  }
  if (index < 0 && translated && !nat) index = originalConnection(now);
  expectation = 0;
  let fresh = false;
  if (index >= 0) {
    if (related) {
      state |= CS_RELATED;
      if (reply) state |= CS_REPLY_DIR;
    } else {
      const helped = load<u32>(conntrackHot(index as u32), CONN_FLAGS) & CONN_F_HELPED;
      if ((helped & CONN_F_RELATED) != 0) state |= CS_RELATED;
      const verdict =
        (helped & CONN_F_SKEWED) != 0 && nat && algOf(flags) != ALG_NONE
          ? updateSkewed(index as u32, reply, now)
          : update(index as u32, reply, now);
      if (verdict == TCP_VALID) {
        if (state == 0 && proto == IPPROTO_TCP) judged = (((index as u32) + 1) << 1) | (reply ? 1 : 0);
        state = (state | CS_ESTABLISHED) & ~CS_NEW;
        if (reply) state |= CS_REPLY_DIR;
      } else if (verdict == TCP_STILL_NEW) {
        state |= CS_NEW;
      } else if (verdict == TCP_REOPEN) {
        remove(index as u32);
        index = -1;
        fresh = true;
      } else {
        state = CS_INVALID;
      }
    }
    if (index >= 0 && nat && (state & (CS_SRC_NAT | CS_DST_NAT)) == 0) {
      state |= natFrame(index as u32, reply, related);
    }
  } else if (related) {
    // An error about a connection that is not there.
    state = CS_INVALID;
  } else {
    // What NAT has changed, and an action then has changed back, is no new connection; nor, as in OVS, one known.
    fresh = !held && (!translated || lookup(tuple, reversed, hash, src6, dst6, now) == 0);
  }

  if (fresh) {
    expectation = expectationOf();
    if (opens()) {
      state = CS_NEW;
      if (expectation != 0) state |= CS_RELATED;
      if ((flags & CT_F_COMMIT) != 0) {
        index = create(now, flags, zone, nat ? action + CT_NAT : 0);
        if (index >= 0 && nat) state |= natFrame(index as u32, false, false);
      }
    } else {
      state = CS_INVALID;
    }
  }

  writeTracked(state | CS_TRACKED, zone, index);
  if (index >= 0) {
    const h = conntrackHot(index as u32);
    setMarkAndLabel(action, flags, index as u32, h);
    if ((load<u32>(h, CONN_FLAGS) & (CONN_F_HELPER_FTP | CONN_F_HELPER_TFTP)) != 0) {
      const alg = algOf(flags);
      if (alg != ALG_NONE) algFrame(index as u32, alg, reply, nat);
    }
  }
  store<u32>(PKT, nat ? 0 : ((index + 1) as u32), PKT_CONN);
  store<u32>(PKT, (reply ? PKT_CONN_F_REPLY : 0) | (related ? PKT_CONN_F_RELATED : 0), PKT_CONN_FLAGS);
}

/**
 * Whether connection `index`, which the frame answers, was found by the entry that OVS has for the reply tuple of a connection
 * under NAT. Where NAT has left the tuple as it was, OVS finds the connection itself.
 */
function isReplyEntry(index: u32, translated: bool): bool {
  const h = conntrackHot(index);
  return (
    (load<u32>(h, CONN_FLAGS) & CONN_F_REPLY_NODE) != 0 &&
    v128.any_true(v128.xor(v128.load(h), translated ? tuple : reversed))
  );
}

/**
 * ct(force,commit): a connection that was opened the other way gives way to one opened this way. Says whether the frame is
 * held for one that is known all the same, and opens nothing: in OVS the entry of a reply tuple outlives its connection, and
 * cannot be ended. Found by it (`entry`), the connection stays, and the frame takes its tuple.
 */
function giveWay(index: u32, entry: bool): bool {
  const h = conntrackHot(index);
  const c = conntrackCold(index);
  if (entry) {
    useTuple(v128.load(h), c + (COLD_SRC6 as usize), c + (COLD_DST6 as usize));
    return true;
  }
  const hasEntry = (load<u32>(h, CONN_FLAGS) & CONN_F_REPLY_NODE) != 0;
  if (hasEntry) useTuple(replyKey(index), c + (COLD_REPLY_SRC as usize), c + (COLD_REPLY_DST as usize));
  remove(index);
  return hasEntry;
}

/** ct_clear: the frame is as untracked as when it came in. */
export function conntrackClear(): void {
  store<u32>(PKT, 0, PKT_CONN);
  clearFields();
}

/** update() for an FTP control frame of a connection whose sequence numbers are off. */
function updateSkewed(index: u32, reply: bool, now: u64): u32 {
  const before = skewFirst(conntrackHot(index), reply);
  if (before) skewOther(index, reply);
  followFrame();
  const verdict = update(index, reply, now);
  if (!before && verdict != TCP_REOPEN) skewOther(index, reply);
  return verdict;
}

/** The protocol's judgement on a frame of a known connection: TCP_*. */
function update(index: u32, reply: bool, now: u64): u32 {
  const h = conntrackHot(index);
  if (proto == IPPROTO_TCP) return tcpUpdate(index, h, l4, l4Present, payload, reply, now);
  if (proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6) {
    return icmpUpdate(index, h, reply, now) ? TCP_STILL_NEW : TCP_VALID;
  }
  return otherUpdate(index, h, reply, now) ? TCP_STILL_NEW : TCP_VALID;
}

/** Whether the frame may open a connection. */
function opens(): bool {
  if (proto == IPPROTO_TCP) return tcpOpens(l4);
  if (proto == IPPROTO_ICMP) return l4Size != 0 && l4Present != 0 && icmpOpens(load<u8>(l4) as u32);
  if (proto == IPPROTO_ICMPV6) return l4Size != 0 && l4Present != 0 && icmp6Opens(load<u8>(l4) as u32);
  return true;
}

/** NAT for a frame that was judged before, unless it has had it in this zone. */
function translate(index: u32, reply: bool, isRelated: bool): void {
  const state = load<u8>(KEY, O_CT_STATE) as u32;
  if ((state & (CS_SRC_NAT | CS_DST_NAT)) != 0) return;
  store<u8>(KEY, (state | natFrame(index, reply, isRelated)) as u8, O_CT_STATE);
}

/**
 * Commits the frame's connection, with NAT when `nat` is not 0: its index, or -1 when the table or the zone is full or no
 * tuple is free.
 */
function create(now: u64, flags: u32, zone: u32, nat: usize): i32 {
  const admitted = zoneJoin(zone);
  if (admitted == ZONE_FULL) {
    count(CTC_ZONE_LIMIT);
    return -1;
  }
  const index = allocate(now);
  if (index < 0) {
    zoneLeave(admitted);
    count(CTC_FULL);
    return -1;
  }
  // The one that made room may have been who expected this one.
  if (expectation != 0) expectation = expectationOf();
  const h = conntrackHot(index as u32);
  const c = conntrackCold(index as u32);
  v128.store(h, tuple);
  if (src6 != 0) {
    v128.store(c, v128.load(src6), COLD_SRC6);
    v128.store(c, v128.load(dst6), COLD_DST6);
  }
  const helper = (flags & (CT_F_ALG_FTP | CT_F_ALG_TFTP)) == 0 ? 0 : helperOf(flags, algOf(flags));
  store<u32>(h, helper | zonePolicy(zone), CONN_FLAGS);
  store<u32>(c, admitted, COLD_ADMITTED);
  if (proto == IPPROTO_TCP) tcpNew(h, l4, l4Present, payload, now);
  else if (proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6) icmpNew(h, now);
  else otherNew(h, now);
  if (expectation != 0) {
    if (!adopt(index as u32, expectation)) return takeBack(index as u32, admitted, CTC_FULL);
    if (nat != 0) adoptNat(index as u32, expectation, i32x4.extract_lane(reversed, 2));
  } else if (nat != 0) {
    setReversedPorts(i32x4.extract_lane(reversed, 2));
    if (!natChoose(index as u32, nat, hash, now)) return takeBack(index as u32, admitted, CTC_NAT_EXHAUSTED);
  }
  insert(index as u32, now);
  return index;
}

/** Memory for a connection that the host fills in; -1 when the table is full. */
export function conntrackAllocate(nowMs: u64): i32 {
  return allocate(nowMs);
}

/** Puts such a connection into the table, with the timeout of class TM_* unless `timeout` is negative: it has its end set then. */
export function conntrackRestore(index: u32, timeout: i32, nowMs: u64): void {
  const h = conntrackHot(index);
  const zone = load<u16>(h, CONN_ZONE) as u32;
  const admitted = zoneJoin(zone);
  store<u32>(conntrackCold(index), admitted == ZONE_FULL ? 0 : admitted, COLD_ADMITTED);
  store<u32>(h, load<u32>(h, CONN_FLAGS) | zonePolicy(zone), CONN_FLAGS);
  if (timeout >= 0) startTimer(h, timeout as u32, nowMs);
  insert(index, nowMs);
}

function takeBack(index: u32, admitted: u32, why: u32): i32 {
  count(why);
  zoneLeave(admitted);
  giveBack(index);
  return -1;
}

// --- the connection fields of KEY ------------------------------------------------------------------------------------

/** A frame that cannot be tracked: +inv+trk and nothing else. */
function writeUntracked(zone: u32): void {
  clearFields();
  store<u8>(KEY, (CS_INVALID | CS_TRACKED) as u8, O_CT_STATE);
  storeZone(zone);
}

function storeZone(zone: u32): void {
  store<u16>(KEY, bswap<u16>(zone as u16), O_CT_ZONE);
  store<u64>(PKT, load<u64>(PKT, PKT_KEY_MAP) | (1 << B_CT), PKT_KEY_MAP);
}

function clearFields(): void {
  const map = load<u64>(PKT, PKT_KEY_MAP);
  const zero = i32x4.splat(0);
  store<u32>(KEY, 0, O_CT_TP_SRC);
  v128.store(KEY, zero, O_CT_STATE);
  if ((map & (1 << B_CT_LABEL)) != 0) v128.store(KEY, zero, O_CT_LABEL);
  if ((map & (1 << B_CT_IPV6_SRC)) != 0) v128.store(KEY, zero, O_CT_IPV6_SRC);
  if ((map & (1 << B_CT_IPV6_DST)) != 0) v128.store(KEY, zero, O_CT_IPV6_DST);
}

/**
 * State, zone, the original tuple, and the mark and label of connection `index`. When it is -1: the frame's own tuple, or what
 * the expectation that it fulfils inherits. A related connection shows its parent's tuple.
 */
function writeTracked(state: u32, zone: u32, index: i32): void {
  let map = load<u64>(PKT, PKT_KEY_MAP) | (1 << B_CT) | (1 << B_META);
  let key = tuple;
  let mark: u32 = 0;
  let label = i32x4.splat(0);
  let from6 = src6;
  let to6 = dst6;
  if (index >= 0) {
    const h = conntrackHot(index as u32);
    key = v128.load(h);
    mark = load<u32>(h, CONN_MARK);
    const flags = load<u32>(h, CONN_FLAGS);
    if ((flags & CONN_F_LABEL) != 0) {
      label = v128.load(conntrackCold(index as u32), COLD_LABEL);
      map |= 1 << B_CT_LABEL;
    }
    if (src6 != 0) {
      from6 = conntrackCold(index as u32) + (COLD_SRC6 as usize);
      to6 = conntrackCold(index as u32) + (COLD_DST6 as usize);
    }
    if ((flags & CONN_F_RELATED) != 0) {
      const parent = load<u32>(conntrackCold(index as u32), COLD_PARENT) as usize;
      key = v128.load(parent);
      from6 = parent + (PARENT_SRC6 as usize);
      to6 = parent + (PARENT_DST6 as usize);
    }
  } else if (expectation != 0) {
    const parent = parentOf(expectation);
    key = v128.load(conntrackHot(parent));
    mark = expectedMark(expectation);
    label = expectedLabel(expectation);
    map |= 1 << B_CT_LABEL;
    from6 = conntrackCold(parent) + (COLD_SRC6 as usize);
    to6 = conntrackCold(parent) + (COLD_DST6 as usize);
  }
  const meta = i32x4.extract_lane(key, 3) as u32;
  const protocol = meta & 0xff;
  const v6 = ((meta >> 8) & 0xff) == 6;
  let head = i32x4.splat(0);
  head = i32x4.replace_lane(head, 0, state | (protocol << 8) | ((bswap<u16>(zone as u16) as u32) << 16));
  head = i32x4.replace_lane(head, 1, mark);
  if (!v6) {
    head = i32x4.replace_lane(head, 2, i32x4.extract_lane(key, 0));
    head = i32x4.replace_lane(head, 3, i32x4.extract_lane(key, 1));
  }
  v128.store(KEY, head, O_CT_STATE);
  let ports = i32x4.extract_lane(key, 2) as u32;
  // ICMP: the type and the code (0) stand for the ports.
  if (protocol == (v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) ports = (ports >> 16) << 8;
  store<u32>(KEY, ports, O_CT_TP_SRC);
  if ((map & (1 << B_CT_LABEL)) != 0) v128.store(KEY, label, O_CT_LABEL);
  if (v6) {
    v128.store(KEY, v128.load(from6), O_CT_IPV6_SRC);
    v128.store(KEY, v128.load(to6), O_CT_IPV6_DST);
    map |= (1 << B_CT_IPV6_SRC) | (1 << B_CT_IPV6_DST);
  } else if ((map & ((1 << B_CT_IPV6_SRC) | (1 << B_CT_IPV6_DST))) != 0) {
    v128.store(KEY, i32x4.splat(0), O_CT_IPV6_SRC);
    v128.store(KEY, i32x4.splat(0), O_CT_IPV6_DST);
  }
  store<u64>(PKT, map, PKT_KEY_MAP);
}

function readMarkAndLabel(index: u32, h: usize): void {
  store<u32>(KEY, load<u32>(h, CONN_MARK), O_CT_MARK);
  const map = load<u64>(PKT, PKT_KEY_MAP);
  if ((load<u32>(h, CONN_FLAGS) & CONN_F_LABEL) != 0) {
    v128.store(KEY, v128.load(conntrackCold(index), COLD_LABEL), O_CT_LABEL);
    store<u64>(PKT, map | (1 << B_CT_LABEL), PKT_KEY_MAP);
  } else if ((map & (1 << B_CT_LABEL)) != 0) {
    v128.store(KEY, i32x4.splat(0), O_CT_LABEL);
  }
}

/** The action's mark and label, masked, into the connection and KEY; a related connection keeps its parent's. */
function setMarkAndLabel(action: usize, flags: u32, index: u32, h: usize): void {
  if ((flags & (CT_F_MARK | CT_F_LABEL)) == 0) return;
  if ((load<u32>(h, CONN_FLAGS) & CONN_F_RELATED) != 0) return;
  if ((flags & CT_F_MARK) != 0) {
    const mask = load<u32>(action, CT_MARK_MASK);
    const old = bswap<u32>(load<u32>(KEY, O_CT_MARK));
    const mark = bswap<u32>(load<u32>(action, CT_MARK) | (old & ~mask));
    store<u32>(KEY, mark, O_CT_MARK);
    store<u32>(h, mark, CONN_MARK);
  }
  if ((flags & CT_F_LABEL) != 0) {
    const old = v128.load(KEY, O_CT_LABEL);
    const label = v128.or(v128.load(action, CT_LABEL), v128.andnot(old, v128.load(action, CT_LABEL_MASK)));
    v128.store(KEY, label, O_CT_LABEL);
    v128.store(conntrackCold(index), label, COLD_LABEL);
    const connFlags = load<u32>(h, CONN_FLAGS);
    store<u32>(h, v128.any_true(label) ? connFlags | CONN_F_LABEL : connFlags & ~CONN_F_LABEL, CONN_FLAGS);
    store<u64>(PKT, load<u64>(PKT, PKT_KEY_MAP) | (1 << B_CT_LABEL), PKT_KEY_MAP);
  }
}
