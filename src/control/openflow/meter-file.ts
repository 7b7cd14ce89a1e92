// Meter files: a line for each argument of `ovs-ofctl add-meter` (ovs-ofctl(8), "Meter Syntax"):
// `meter=ID,kbps|pktps[,burst][,stats],bands=type=drop,rate=N[,burst_size=N]...`. All or nothing.

import { MegaflowError } from "../../lib/errors.ts";
import type { MeterBand, MeterMod } from "../../pipeline/action.ts";
import { boundedInteger, uint32 } from "../../pipeline/action-text/number.ts";
import { readTextFile } from "../text-file.ts";
import { parseLines } from "./lines.ts";

const METER_MAX = 0xffff0000;
/** Meters with a meaning of their own, by the name they are written with. */
export const METER_NAMES: ReadonlyMap<string, number> = new Map([
  ["slowpath", 0xfffffffd],
  ["controller", 0xfffffffe],
  ["all", 0xffffffff],
]);

/** Reads and parses a meter file. Throws MegaflowError: EFILE, or ETEXT with file, line and column in OVS's words. */
export function readMeterFile(path: string): MeterMod[] {
  return parseMeterFile(readTextFile(path), path);
}

/** Parses a meter file's text; `file` is its name for errors. */
export function parseMeterFile(text: string, file?: string): MeterMod[] {
  return parseLines(text, file, (line) => parseMeterMod(line));
}

/** Parses one meter. Throws MegaflowError ETEXT in OVS's words, with the column. */
export function parseMeterMod(line: string, command: MeterMod["command"] = "add"): MeterMod {
  const isDelete = command === "delete";
  const bandAt = isDelete ? -1 : line.indexOf("band");
  const bandsFrom = bandAt < 0 ? -1 : line.indexOf("=", bandAt) + 1;
  const whole = (message: string): MegaflowError => new MegaflowError("ETEXT", message, { column: 1 });
  if (!isDelete && bandsFrom <= 0) throw whole("must specify bands");

  let meterId: number | null = null;
  const flags = new Set<string>();
  const at = new Words(bandAt < 0 ? line : line.slice(0, bandAt));
  while (at.nextKey()) {
    if (!isDelete && FLAGS.has(at.key)) {
      flags.add(at.key);
      continue;
    }
    at.takeValue();
    if (at.key !== "meter") throw at.errorAtKey(`unknown keyword ${at.key}`);
    meterId = METER_NAMES.get(at.value) ?? uint32(at);
    if (!METER_NAMES.has(at.value) && (meterId === 0 || meterId > METER_MAX)) {
      throw at.errorAtValue("invalid value for meter");
    }
  }
  if (meterId === null) throw whole("must specify 'meter'");
  const hasUnit = flags.has("kbps") || flags.has("pktps");
  if (!isDelete && flags.size === 0) throw whole("meter must specify either 'kbps' or 'pktps'");
  const bands = isDelete ? [] : parseBands(line.slice(bandsFrom), bandsFrom, flags.has("burst"));
  if (!isDelete) {
    if (flags.has("kbps") && flags.has("pktps")) throw whole("OFPMMFC_BAD_FLAGS");
    if (meterId === METER_NAMES.get("all")) throw whole("OFPMMFC_INVALID_METER");
  }
  const unit = flags.has("pktps") ? "pktps" : "kbps";
  const mod = {
    command,
    meterId,
    unit,
    burst: flags.has("burst"),
    stats: flags.has("stats"),
    bands,
  } as const;
  return hasUnit || isDelete ? mod : { ...mod, hasNoUnit: true };
}

const FLAGS: ReadonlySet<string> = new Set(["kbps", "pktps", "burst", "stats"]);

/** Words as ovs-ofctl takes meters apart: a key ends at `=`, a comma or a blank, a value at a comma or a blank alone. */
class Words {
  readonly #text: string;
  readonly #base: number;
  #pos = 0;
  key = "";
  value = "";
  #keyAt = 0;
  #valueAt = 0;

  constructor(text: string, base = 0) {
    this.#text = text;
    this.#base = base;
  }

  nextKey(): boolean {
    const word = this.#word(/[=, \t\r\n]/);
    if (word === null) return false;
    [this.key, this.#keyAt] = word;
    return true;
  }

  takeValue(): void {
    const word = this.#word(/[, \t\r\n]/);
    if (word === null) throw this.errorAtKey(`field ${this.key} missing value`);
    [this.value, this.#valueAt] = word;
  }

  errorAtKey(message: string): MegaflowError {
    return new MegaflowError("ETEXT", message, { column: this.#base + this.#keyAt + 1 });
  }

  errorAtValue(message: string): MegaflowError {
    return new MegaflowError("ETEXT", message, { column: this.#base + this.#valueAt + 1 });
  }

  /** What stands between two of the delimiters, and where. */
  #word(delimiters: RegExp): [string, number] | null {
    const text = this.#text;
    let start = this.#pos;
    while (start < text.length && delimiters.test(text[start]!)) start++;
    if (start === text.length) return null;
    let end = start;
    while (end < text.length && !delimiters.test(text[end]!)) end++;
    this.#pos = Math.min(end + 1, text.length);
    return [text.slice(start, end), start];
  }
}

/** Bands, each beginning with its type. */
function parseBands(text: string, base: number, burst: boolean): MeterBand[] {
  const bands: { -readonly [K in keyof MeterBand]: MeterBand[K] }[] = [];
  const at = new Words(text, base);
  while (at.nextKey()) {
    at.takeValue();
    if (at.key === "type") {
      if (at.value !== "drop" && at.value !== "dscp_remark") {
        throw at.errorAtValue(`field type unknown value ${at.value}`);
      }
      bands.push({ type: at.value, rate: 0, burstSize: 0, precLevel: 0 });
      continue;
    }
    const band = bands.at(-1);
    if (band === undefined) throw at.errorAtKey("band must start with the 'type' keyword");
    if (at.key === "rate") band.rate = uint32(at);
    else if (at.key === "burst_size") band.burstSize = uint32(at);
    else if (at.key === "prec_level") band.precLevel = boundedInteger(at, "prec_level", 255);
    else throw at.errorAtKey(`unknown keyword ${at.key}`);
  }
  const fail = (message: string): MegaflowError => new MegaflowError("ETEXT", message, { column: base + 1 });
  if (bands.length === 0) throw fail("meter must have bands");
  for (const band of bands) {
    if (band.type === "dscp_remark" && band.precLevel === 0) {
      throw fail("'dscp_remark' band must have 'prec_level'");
    }
    if (band.type !== "dscp_remark" && band.precLevel !== 0) {
      throw fail("Only 'dscp_remark' band may have 'prec_level'");
    }
    if (band.rate === 0) throw fail("band must have 'rate'");
    if (burst && band.burstSize === 0) throw fail("band must have 'burst_size' when 'burst' flag is set");
    if (!burst && band.burstSize !== 0) {
      throw fail("band may have 'burst_size' only when 'burst' flag is set");
    }
  }
  return bands;
}
