// What can be set in the connection tracker from outside, as OVS's administrator can: limits and timeouts of zones, and
// connections thrown out (dpctl/ct-set-limits, ovs-vsctl add-zone-tp, dpctl/flush-conntrack in ovs-vswitchd(8), ovs-vsctl(8)).
import { MegaflowError } from "../lib/errors.ts";
import {
  TM_ICMP_FIRST,
  TM_ICMP_REPLY,
  TM_OTHER_BIDIR,
  TM_OTHER_FIRST,
  TM_OTHER_MULTIPLE,
  TM_TCP_CLOSED,
  TM_TCP_CLOSING,
  TM_TCP_ESTABLISHED,
  TM_TCP_FIN_WAIT,
  TM_TCP_FIRST,
  TM_TCP_OPENING,
  ZONE_COUNT,
  ZONE_F_LIMITED,
  ZONE_FLAGS,
  ZONE_LIMIT,
  ZONE_NUMBER,
  ZONE_RECORD_SIZE,
  ZONES_MAX,
} from "./abi.ts";
import { type Connection, indices, readConnection, type Tuple } from "./conntrack-dump.ts";
import type { Kernel } from "./kernel.ts";

/** OVS's names of timeouts (CT_Timeout_Policy in ovs-vswitchd.conf.db(5)); null: no state of this tracker lasts so long. */
export const CT_TIMEOUTS = {
  tcp_syn_sent: TM_TCP_FIRST,
  tcp_syn_recv: TM_TCP_OPENING,
  tcp_established: TM_TCP_ESTABLISHED,
  tcp_fin_wait: TM_TCP_CLOSING,
  tcp_time_wait: TM_TCP_FIN_WAIT,
  tcp_close: TM_TCP_CLOSED,
  tcp_close_wait: null,
  tcp_last_ack: null,
  tcp_syn_sent2: null,
  tcp_retransmit: null,
  tcp_unack: null,
  udp_first: TM_OTHER_FIRST,
  udp_single: TM_OTHER_MULTIPLE,
  udp_multiple: TM_OTHER_BIDIR,
  icmp_first: TM_ICMP_FIRST,
  icmp_reply: TM_ICMP_REPLY,
} as const;

export type CtTimeout = keyof typeof CT_TIMEOUTS;
export const CT_TIMEOUT_NAMES = Object.keys(CT_TIMEOUTS) as readonly CtTimeout[];

/** Seconds, by name; what is left out has OVS's default. */
export type CtTimeoutPolicy = Readonly<Partial<Record<CtTimeout, number>>>;

export const ZONE_MAX = 65535;
export const CT_LIMIT_MAX = 0xffffffff;
export const CT_TIMEOUT_MAX = 0xffffffff;

export interface ZoneSettings {
  /** Connections committed in the zone, at most; 0: none, as in OVS's userspace datapath. */
  readonly limit?: number;
  readonly timeouts?: CtTimeoutPolicy;
}

export interface ConntrackSettings {
  /** Connections that there may be; 1,000,000 unless it is said. */
  readonly max?: number;
  /** A limit that all zones without one of their own share. */
  readonly defaultLimit?: number;
  readonly zones?: ReadonlyMap<number, ZoneSettings>;
}

export interface ZoneLimit {
  /** Null: the default. */
  readonly zone: number | null;
  readonly limit: number;
  /** Connections that count against it now. */
  readonly count: number;
}

/** Most that `max` may be: 184 bytes each. */
export const CT_MAX_MAX = 10_000_000;

/** Which connections: all that are as every field given says. */
export interface ConnectionFilter {
  readonly zone?: number;
  readonly proto?: number;
  /** ICMP or ICMPv6, or none of the two. */
  readonly isIcmp?: boolean;
  /** Fields of the original tuple and of the reply's. */
  readonly orig?: Partial<Tuple>;
  readonly reply?: Partial<Tuple>;
  readonly mark?: { readonly value: number; readonly mask?: number };
  /** 16 bytes each, network order. */
  readonly label?: { readonly value: Uint8Array; readonly mask?: Uint8Array };
}

export class ConntrackControl {
  readonly #kernel: Kernel;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** Throws MegaflowError ELIMIT when more zones have settings of their own than there can be. */
  apply(settings: ConntrackSettings): void {
    if (settings.defaultLimit !== undefined) this.setLimit(null, settings.defaultLimit);
    for (const [zone, { limit, timeouts }] of settings.zones ?? []) {
      if (limit !== undefined) this.setLimit(zone, limit);
      if (timeouts !== undefined) this.setTimeouts(zone, timeouts);
    }
  }

  /** Limits the connections committed from now on in a zone, or (null) in all zones without a limit of their own together. */
  setLimit(zone: number | null, limit: number): void {
    this.#kernel.exports.conntrackSetLimit(this.#record(zone), limit);
  }

  deleteLimit(zone: number | null): void {
    this.#kernel.exports.conntrackDeleteLimit(this.#record(zone));
  }

  /** The default first, where one is set, then zones in the order in which they were first set. */
  limits(): ZoneLimit[] {
    const { exports, view } = this.#kernel;
    const first = this.#record(null);
    const found: ZoneLimit[] = [];
    const count: number = exports.conntrackZoneCount();
    for (let i = 0; i <= count; i++) {
      const at = first + i * ZONE_RECORD_SIZE;
      if ((view.getUint32(at + ZONE_FLAGS, true) & ZONE_F_LIMITED) === 0) continue;
      found.push({
        zone: i === 0 ? null : view.getUint16(at + ZONE_NUMBER, true),
        limit: view.getUint32(at + ZONE_LIMIT, true),
        count: view.getUint32(at + ZONE_COUNT, true),
      });
    }
    return found;
  }

  /** Gives the connections that will be committed in a zone a timeout policy; those that have the zone's policy follow it. */
  setTimeouts(zone: number, policy: CtTimeoutPolicy): void {
    const { exports } = this.#kernel;
    const record = this.#record(zone);
    exports.conntrackBeginTimeouts(record);
    for (const name of CT_TIMEOUT_NAMES) {
      const which = CT_TIMEOUTS[name];
      const seconds = policy[name];
      if (which !== null && seconds !== undefined) exports.conntrackSetTimeout(record, which, seconds);
    }
  }

  deleteTimeouts(zone: number): void {
    this.#kernel.exports.conntrackEndTimeouts(this.#record(zone));
  }

  /** Ends the connections that are as `filter` says; returns how many. Walks through the whole table. */
  flush(filter: ConnectionFilter, nowMs: number): number {
    let flushed = 0;
    for (const index of indices(this.#kernel, nowMs)) {
      if (!isMatch(readConnection(this.#kernel, index, nowMs), filter)) continue;
      this.#kernel.exports.conntrackRemove(index);
      flushed++;
    }
    return flushed;
  }

  #record(zone: number | null): number {
    const at: number = this.#kernel.exports.conntrackZone(zone ?? -1) >>> 0;
    if (at !== 0) return at;
    throw new MegaflowError("ELIMIT", `more than ${ZONES_MAX} zones with limits or timeouts of their own`);
  }
}

/** Numbers timeout policies from 1 on, equal ones alike, as OVS does; by zone. */
export function policyNumbers({ zones = new Map() }: ConntrackSettings): Map<number, number> {
  const numbers = new Map<string, number>();
  const byZone = new Map<number, number>();
  for (const [zone, { timeouts }] of zones) {
    if (timeouts === undefined) continue;
    const text = JSON.stringify(Object.entries(timeouts).sort());
    const number = numbers.get(text) ?? numbers.size + 1;
    numbers.set(text, number);
    byZone.set(zone, number);
  }
  return byZone;
}

/** As `ovs-appctl dpctl/ct-get-limits` prints them. */
export function formatLimits(limits: readonly ZoneLimit[]): string {
  const byDefault = limits.find((l) => l.zone === null)?.limit ?? 0;
  const lines = limits
    .filter((l) => l.zone !== null)
    .map((l) => `zone=${l.zone},limit=${l.limit},count=${l.count}\n`);
  return `default limit=${byDefault}\n${lines.join("")}`;
}

function isMatch(c: Connection, filter: ConnectionFilter): boolean {
  const { zone, proto, isIcmp, orig, reply, mark, label } = filter;
  if (zone !== undefined && c.zone !== zone) return false;
  if (proto !== undefined && c.proto !== proto) return false;
  if (isIcmp !== undefined && (c.proto === 1 || c.proto === 58) !== isIcmp) return false;
  if (orig !== undefined && !isTupleMatch(c.orig, orig)) return false;
  if (reply !== undefined && !isTupleMatch(c.reply, reply)) return false;
  if (mark !== undefined && ((c.mark ^ mark.value) & (mark.mask ?? 0xffffffff)) !== 0) return false;
  if (label === undefined) return true;
  return c.label.every((byte, i) => ((byte ^ label.value[i]!) & (label.mask?.[i] ?? 0xff)) === 0);
}

function isTupleMatch(tuple: Tuple, wanted: Partial<Tuple>): boolean {
  const same = (a: Uint8Array, b: Uint8Array) => a.length === b.length && a.every((byte, i) => byte === b[i]);
  return (
    (wanted.src === undefined || same(tuple.src, wanted.src)) &&
    (wanted.dst === undefined || same(tuple.dst, wanted.dst)) &&
    (wanted.sport === undefined || tuple.sport === wanted.sport) &&
    (wanted.dport === undefined || tuple.dport === wanted.dport)
  );
}
