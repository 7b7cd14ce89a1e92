// The few addresses that the judge's flows and frames share, so that flows are hit.
import type { Prng } from "../../../src/lib/prng.ts";

export const MACS = [
  "02:00:00:00:00:01",
  "02:00:00:00:00:02",
  "02:00:00:00:00:03",
  "02:00:00:00:00:04",
] as const;
export const BROADCAST = "ff:ff:ff:ff:ff:ff";
export const MULTICAST = [
  "01:00:5e:00:00:05",
  "33:33:00:00:00:01",
  "01:80:c2:00:00:00",
  "01:80:c2:00:00:0e",
] as const;
export const IPV4 = ["10.0.0.1", "10.0.0.2", "10.0.1.3", "10.128.0.4"] as const;
export const IPV6 = ["fd00::1", "fd00::2", "fd00:0:0:1::3", "2001:db8::4"] as const;
/** Addresses that no host has: connections are translated to and from them. */
export const VIRTUAL = ["10.0.9.9", "fd00:9::9"] as const;
export const LINK_LOCAL = "fe80::1";
export const SERVER_PORTS = [80, 443, 53, 8080] as const;
export const CLIENT_PORTS = [1000, 1001, 40000] as const;
export const VIDS = [10, 20] as const;

export const hex = (n: number | bigint): string => `0x${n.toString(16)}`;

/** True once in `n`. */
export const oneIn = (r: Prng, n: number): boolean => r.below(n) === 0;

export const anyPort = (r: Prng): number => r.pick(oneIn(r, 2) ? SERVER_PORTS : CLIENT_PORTS);

/** Makes one action or one part of a match. */
export type Make = (r: Prng) => string;
