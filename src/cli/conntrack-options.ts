// The options about connection tracking: limits and timeouts of zones, in the form that OVS's own commands take.
import type { Command } from "commander";
import {
  type ConntrackSettings,
  CT_LIMIT_MAX,
  CT_MAX_MAX,
  CT_TIMEOUT_MAX,
  CT_TIMEOUT_NAMES,
  type CtTimeout,
  type CtTimeoutPolicy,
  ZONE_MAX,
  type ZoneSettings,
} from "../datapath/conntrack-settings.ts";
import { MegaflowError } from "../lib/errors.ts";
import { nearestWord } from "../lib/nearest.ts";
import { wholeUpTo } from "./assignment.ts";

export interface ConntrackOptions {
  readonly ctMax?: string;
  /** `zone=Z,limit=N` or `default=N` each. */
  readonly ctLimit: readonly string[];
  /** `zone=Z,NAME=SECONDS,...` each. */
  readonly ctTimeout: readonly string[];
}

const LIMIT_FORM = "--ct-limit zone=ZONE,limit=N, or default=N";
const TIMEOUT_FORM = "--ct-timeout zone=ZONE,NAME=SECONDS";

export function addConntrackOptions(command: Command): Command {
  const list = (value: string, all: string[]) => [...all, value];
  return command
    .option("--ct-max <N>", "connections that there may be (default: 1000000)")
    .option(
      "--ct-limit <zone=ZONE,limit=N>",
      "connections that may be committed in a zone; default=N: in all zones without a limit of their own together; repeatable",
      list,
      [],
    )
    .option(
      "--ct-timeout <zone=ZONE,NAME=SECONDS>",
      "timeouts of a zone's connections, by OVS's names (tcp_established, udp_single, icmp_first...), several with commas; repeatable",
      list,
      [],
    );
}

/** What the options say, joined to `base`: a zone's limit or timeouts given here replace those there. Throws EARGS. */
export function conntrackSettings(
  options: ConntrackOptions,
  base: ConntrackSettings = {},
): ConntrackSettings {
  let { defaultLimit } = base;
  const zones = new Map<number, ZoneSettings>(base.zones);
  const given = new Set<string>();
  const once = (what: string) => {
    if (given.has(what)) throw new MegaflowError("EARGS", `${what} is given twice`);
    given.add(what);
  };
  for (const text of options.ctLimit) {
    const pairs = pairsOf(text, LIMIT_FORM);
    if (pairs.length === 1 && pairs[0]![0] === "default") {
      once("--ct-limit default");
      defaultLimit = wholeUpTo(pairs[0]![1], CT_LIMIT_MAX, LIMIT_FORM);
    } else if (pairs.length === 2 && pairs[0]![0] === "zone" && pairs[1]![0] === "limit") {
      const zone = wholeUpTo(pairs[0]![1], ZONE_MAX, LIMIT_FORM);
      once(`--ct-limit zone=${zone}`);
      zones.set(zone, { ...zones.get(zone), limit: wholeUpTo(pairs[1]![1], CT_LIMIT_MAX, LIMIT_FORM) });
    } else {
      throw new MegaflowError("EARGS", `${LIMIT_FORM} is wanted, not "${text}"`);
    }
  }
  for (const text of options.ctTimeout) {
    const [first, ...rest] = pairsOf(text, TIMEOUT_FORM);
    if (first![0] !== "zone" || rest.length === 0) {
      throw new MegaflowError("EARGS", `${TIMEOUT_FORM} is wanted, not "${text}"`);
    }
    const zone = wholeUpTo(first![1], ZONE_MAX, TIMEOUT_FORM);
    once(`--ct-timeout zone=${zone}`);
    const timeouts: Partial<Record<CtTimeout, number>> = {};
    for (const [name, value] of rest) {
      const known = CT_TIMEOUT_NAMES.find((n) => n === name);
      if (known === undefined) throw new MegaflowError("EARGS", unknownTimeout(name));
      if (known in timeouts) throw new MegaflowError("EARGS", `--ct-timeout: ${name} is given twice`);
      timeouts[known] = wholeUpTo(value, CT_TIMEOUT_MAX, TIMEOUT_FORM);
    }
    zones.set(zone, { ...zones.get(zone), timeouts: timeouts satisfies CtTimeoutPolicy });
  }
  const max = options.ctMax === undefined ? base.max : mostOf(options.ctMax);
  return {
    ...(max === undefined ? {} : { max }),
    ...(defaultLimit === undefined ? {} : { defaultLimit }),
    zones,
  };
}

function mostOf(text: string): number {
  const max = wholeUpTo(text, CT_MAX_MAX, "--ct-max N");
  if (max === 0) throw new MegaflowError("EARGS", "--ct-max N: there must be room for one connection");
  return max;
}

function unknownTimeout(name: string): string {
  const near = nearestWord(name, CT_TIMEOUT_NAMES);
  const hint = near === null ? `one of ${CT_TIMEOUT_NAMES.join(", ")}` : `${near}?`;
  return `--ct-timeout: there is no timeout "${name}": ${hint}`;
}

/** `a=1,b=2` as pairs. */
function pairsOf(text: string, form: string): [name: string, value: string][] {
  return text.split(",").map((part) => {
    const at = part.indexOf("=");
    if (at <= 0) throw new MegaflowError("EARGS", `${form} is wanted, not "${text}"`);
    return [part.slice(0, at), part.slice(at + 1)];
  });
}
