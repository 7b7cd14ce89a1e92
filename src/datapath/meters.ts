// The kernel's meters (kernel/meter.ts), set up and read from outside.
import * as abi from "./abi.ts";
import type { Kernel } from "./kernel.ts";

/** A meter as the kernel runs it. Rate and burst are a second's packets, or 1,000 bits. */
export interface MeterConfig {
  readonly unit: "kbps" | "pktps";
  readonly bands: readonly { readonly rate: number; readonly burst: number }[];
}

export interface MeterStats {
  readonly packets: number;
  readonly bytes: number;
  readonly bands: readonly { readonly packets: number; readonly bytes: number }[];
}

/** Sets a meter up, its buckets full and its counters zero; null removes it. `index` is below METERS_MAX. */
export function setMeter(kernel: Kernel, index: number, config: MeterConfig | null): void {
  const at: number = kernel.exports.meterAt(index);
  kernel.bytes.fill(0, at, at + abi.METER_SIZE);
  if (config === null) return;
  const { view } = kernel;
  const bands = config.bands.slice(0, abi.METER_BANDS_MAX);
  // After so long every bucket counts as full, however long the pause. As in OVS it is cut to whole milliseconds, so that an
  // empty bucket may stay short of full by less than a millisecond's tokens.
  let maxPause = 0;
  bands.forEach(({ rate, burst }, i) => {
    const band = at + abi.METER_BANDS_AT + i * abi.BAND_SIZE;
    view.setUint32(band + abi.BAND_RATE, rate, true);
    view.setUint32(band + abi.BAND_BURST, burst, true);
    view.setBigUint64(band + abi.BAND_BUCKET, BigInt(burst) * 1000n, true);
    if (rate > 0) maxPause = Math.max(maxPause, Math.floor((burst * 1000) / rate));
  });
  view.setUint32(
    at + abi.METER_FLAGS,
    abi.METER_F_VALID | (config.unit === "pktps" ? abi.METER_F_PKTPS : 0),
    true,
  );
  view.setUint32(at + abi.METER_BANDS, bands.length, true);
  view.setUint32(at + abi.METER_MAX_PAUSE, Math.min(maxPause, 0xffffffff), true);
}

export function readMeter(kernel: Kernel, index: number): MeterStats {
  const at: number = kernel.exports.meterAt(index);
  const { view } = kernel;
  const wide = (offset: number) => Number(view.getBigUint64(at + offset, true));
  const count = view.getUint32(at + abi.METER_BANDS, true);
  return {
    packets: wide(abi.METER_PACKETS),
    bytes: wide(abi.METER_BYTES),
    bands: Array.from({ length: count }, (_, i) => {
      const band = abi.METER_BANDS_AT + i * abi.BAND_SIZE;
      return { packets: wide(band + abi.BAND_PACKETS), bytes: wide(band + abi.BAND_BYTES) };
    }),
  };
}
