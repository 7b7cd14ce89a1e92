// Meters in the words of `ovs-ofctl -O OpenFlow15 dump-meters` and `meter-stats`. A meter takes several lines; between two
// meters stands an empty one.

import type { MeterMod } from "./action.ts";
import { formatDuration } from "./flow-dump.ts";

export const METER_DUMP_HEADER = "OFPST_METER_CONFIG reply (OF1.5) (xid=0x2):";
export const METER_STATS_HEADER = "OFPST_METER reply (OF1.5) (xid=0x2):";

/** Meters that have names instead of numbers. */
const NAMES: ReadonlyMap<number, string> = new Map([
  [0xfffffffd, "slowpath"],
  [0xfffffffe, "controller"],
  [0xffffffff, "all"],
]);

/** What dump-meters needs of a meter. */
export type DumpedMeter = Pick<MeterMod, "meterId" | "unit" | "burst" | "stats" | "bands">;

/** What meter-stats needs of a meter. `flowCount` is the number of flows that go through it. */
export interface DumpedMeterStats {
  readonly meterId: number;
  readonly flowCount: number;
  readonly createdMs: number;
  readonly packets: number;
  readonly bytes: number;
  readonly bands: readonly { readonly packets: number; readonly bytes: number }[];
}

/** dump-meters whole, header line included, each line ended. */
export function formatMeters(meters: readonly DumpedMeter[]): string {
  return `${METER_DUMP_HEADER}\n${meters.map(formatMeter).join("\n")}`;
}

/** meter-stats whole, header line included, each line ended. */
export function formatMeterStatistics(meters: readonly DumpedMeterStats[], nowMs: number): string {
  return `${METER_STATS_HEADER}\n${meters.map((meter) => formatMeterStats(meter, nowMs)).join("\n")}`;
}

/** One meter's lines, each ended. */
export function formatMeter(meter: DumpedMeter): string {
  const flags = [meter.unit, ...(meter.burst ? ["burst"] : []), ...(meter.stats ? ["stats"] : [])];
  let text = `meter=${meterName(meter.meterId)} ${flags.join(" ")} bands=\n`;
  for (const band of meter.bands) {
    text += `type=${band.type} rate=${band.rate}`;
    if (band.burstSize !== 0) text += ` burst_size=${band.burstSize}`;
    if (band.type === "dscp_remark") text += ` prec_level=${band.precLevel}`;
    text += "\n";
  }
  return text;
}

/** One meter's statistics, each line ended. */
export function formatMeterStats(meter: DumpedMeterStats, nowMs: number): string {
  let text =
    `meter:${meterName(meter.meterId)} flow_count:${meter.flowCount} packet_in_count:${meter.packets} ` +
    `byte_in_count:${meter.bytes} duration:${formatDuration(nowMs - meter.createdMs)} bands:\n`;
  for (const [i, band] of meter.bands.entries()) {
    text += `${i}: packet_count:${band.packets} byte_count:${band.bytes}\n`;
  }
  return text;
}

function meterName(id: number): string {
  return NAMES.get(id) ?? String(id);
}
