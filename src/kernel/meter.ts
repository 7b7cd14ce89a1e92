// Meters: token buckets on the frame's clock, with the arithmetic of OVS's userspace datapath.
//
//   meter: 0 flags u32 (METER_F_*) | 4 bands u32 | 8 last used ms u64 | 16 packets u64 | 24 bytes u64
//          32 longest useful pause ms u32 (by then every bucket is full) | 40 bands
//   band:  0 rate u32 (a second: packets, or 1,000 bits) | 4 burst u32 (same unit) | 8 bucket u64 (1/1000 of a packet, or bits)
//         16 packets u64 | 24 bytes u64
import {
  BAND_BUCKET,
  BAND_BURST,
  BAND_BYTES,
  BAND_PACKETS,
  BAND_RATE,
  BAND_SIZE,
  METER_BANDS,
  METER_BANDS_AT,
  METER_BYTES,
  METER_F_PKTPS,
  METER_F_VALID,
  METER_FLAGS,
  METER_MAX_PAUSE,
  METER_PACKETS,
  METER_SIZE,
  METER_USED,
  METERS_MAX,
} from "../datapath/abi.ts";
import { PKT, PKT_NOW, PKT_WIRE_LEN } from "./memory.ts";

let meters: usize = 0;

export function meterBytes(): usize {
  return <usize>METERS_MAX * METER_SIZE;
}

export function meterInit(at: usize): void {
  meters = at;
  memory.fill(at, 0, meterBytes());
}

/** The address of a meter, for the host to set up and read. */
export function meterAt(index: u32): usize {
  return meters + <usize>index * METER_SIZE;
}

/** Takes the frame from the meter's buckets; false when it exceeds a band. A meter that is not there lets everything pass. */
export function meterRun(index: u32): bool {
  const meter = meterAt(index);
  const flags = load<u32>(meter, METER_FLAGS);
  if (index >= <u32>METERS_MAX || !(flags & METER_F_VALID)) return true;
  const now = load<u64>(PKT, PKT_NOW);
  const used = load<u64>(meter, METER_USED);
  const maxPause = <u64>load<u32>(meter, METER_MAX_PAUSE);
  const pause = now <= used ? 0 : min<u64>(now - used, maxPause);
  const bytes = <u64>load<u32>(PKT, PKT_WIRE_LEN);
  store<u64>(meter, now, METER_USED);
  store<u64>(meter, load<u64>(meter, METER_PACKETS) + 1, METER_PACKETS);
  store<u64>(meter, load<u64>(meter, METER_BYTES) + bytes, METER_BYTES);
  const volume: u64 = flags & METER_F_PKTPS ? 1000 : bytes * 8;
  let exceeded: usize = 0;
  let exceededRate: u32 = 0;
  const bands = load<u32>(meter, METER_BANDS);
  for (let i: u32 = 0; i < bands; i++) {
    const band = meter + METER_BANDS_AT + <usize>i * BAND_SIZE;
    const rate = load<u32>(band, BAND_RATE);
    const bucket = min<u64>(
      load<u64>(band, BAND_BUCKET) + pause * <u64>rate,
      <u64>load<u32>(band, BAND_BURST) * 1000,
    );
    if (bucket >= volume) {
      store<u64>(band, bucket - volume, BAND_BUCKET);
    } else {
      store<u64>(band, bucket, BAND_BUCKET);
      // Of the bands exceeded, the one with the highest rate fires.
      if (rate > exceededRate) {
        exceededRate = rate;
        exceeded = band;
      }
    }
  }
  if (exceeded == 0) return true;
  store<u64>(exceeded, load<u64>(exceeded, BAND_PACKETS) + 1, BAND_PACKETS);
  store<u64>(exceeded, load<u64>(exceeded, BAND_BYTES) + bytes, BAND_BYTES);
  return false;
}
