// Meters: their configuration and the number each has in the datapath, which enforces them and counts.
import { METER_BANDS_MAX, METERS_MAX } from "../datapath/abi.ts";
import { MegaflowError } from "../lib/errors.ts";
import type { MeterMod } from "./action.ts";

export class Meter {
  readonly mod: MeterMod;
  /** The datapath's number: the least that was free. */
  readonly datapathId: number;
  readonly createdMs: number;

  constructor(mod: MeterMod, datapathId: number, createdMs: number) {
    this.mod = mod;
    this.datapathId = datapathId;
    this.createdMs = createdMs;
  }
}

/** OFPM_CONTROLLER: whatever goes to a controller without a meter of its own. OFPM_SLOWPATH is kept and meets no frame. */
export const METER_CONTROLLER = 0xfffffffe;
/** OFPM_ALL. */
export const METER_ALL = 0xffffffff;

export class MeterTable {
  /** Goes up with every change. */
  version = 0;
  readonly #meters = new Map<number, Meter>();

  get(meterId: number): Meter | null {
    return this.#meters.get(meterId) ?? null;
  }

  /** In id order. */
  get list(): readonly Meter[] {
    return [...this.#meters.values()].sort((a, b) => a.mod.meterId - b.mod.meterId);
  }

  /** Applies meter-mods in order. Throws ETEXT with OVS's error name. */
  apply(mods: readonly MeterMod[], nowMs: number): void {
    for (const mod of mods) {
      const old = this.#meters.get(mod.meterId);
      if (mod.bands.length > METER_BANDS_MAX) throw new MegaflowError("ETEXT", "OFPMMFC_OUT_OF_BANDS");
      switch (mod.command) {
        case "add":
          if (old !== undefined) throw new MegaflowError("ETEXT", "OFPMMFC_METER_EXISTS");
          checkBands(mod);
          if (this.#meters.size === METERS_MAX) throw new MegaflowError("ETEXT", "OFPMMFC_OUT_OF_METERS");
          this.#meters.set(mod.meterId, new Meter(mod, this.#freeId(), nowMs));
          break;
        case "modify":
          if (old === undefined) throw new MegaflowError("ETEXT", "OFPMMFC_UNKNOWN_METER");
          checkBands(mod);
          this.#meters.set(mod.meterId, new Meter(mod, old.datapathId, old.createdMs));
          break;
        case "delete":
          if (mod.meterId === METER_ALL) this.#meters.clear();
          else this.#meters.delete(mod.meterId);
          break;
      }
      this.version++;
    }
  }

  #freeId(): number {
    const used = new Set([...this.#meters.values()].map((m) => m.datapathId));
    let id = 0;
    while (used.has(id)) id++;
    return id;
  }
}

/** What OVS's userspace datapath can do: rates of one unit, and bands that drop. */
function checkBands(mod: MeterMod): void {
  if (mod.hasNoUnit) throw new MegaflowError("ETEXT", "OFPMMFC_BAD_FLAGS");
  if (mod.bands.some((band) => band.type !== "drop")) throw new MegaflowError("ETEXT", "OFPMMFC_BAD_BAND");
}
