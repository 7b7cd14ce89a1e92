// Between the two homes of a field's value: text and OXM hold `valueSize` bytes of plain value, the flow key holds the
// field's bits shifted into a run of `size` bytes. set_field keeps the latter, ready to be written; printing needs the former.

import { type Field, NW_TOS, VLAN_VID } from "../../flow/field.ts";
import { portFromOxm, portToOxm } from "../../flow/subfield.ts";
import { bytesOf, numberOf } from "./number.ts";

/** A value in the flow key's place: `field.size` bytes (`valueSize` for a field without a place). */
export function runOfValue(field: Field, value: bigint): Uint8Array {
  if (field.size === 0) return bytesOf(value, field.valueSize);
  if (field.form === "of_port_oxm") value = BigInt(portFromOxm(Number(value)));
  return bytesOf((value & valueBits(field)) << BigInt(field.shift), field.size);
}

/** A mask in the flow key's place. */
export function runOfMask(field: Field, mask: bigint): Uint8Array {
  if (field.size === 0) return bytesOf(mask, field.valueSize);
  // Ports are written whole.
  if (field.form === "of_port_oxm" || field.form === "of_port") return new Uint8Array(field.size).fill(0xff);
  return bytesOf((mask & valueBits(field)) << BigInt(field.shift), field.size);
}

/** The plain value of a run. */
export function valueOfRun(field: Field, run: Uint8Array): bigint {
  if (field.size === 0) return numberOf(run);
  const value = numberOf(run) >> BigInt(field.shift);
  return field.form === "of_port_oxm" ? BigInt(portToOxm(Number(value))) : value;
}

/** Whether a run's mask covers all that the field has. */
export function isWholeRun(field: Field, mask: Uint8Array): boolean {
  const whole = runOfMask(field, (1n << BigInt(8 * field.valueSize)) - 1n);
  return mask.every((byte, i) => byte === whole[i]);
}

/** The bits of the plain value that stand in the flow key: nw_tos leaves ECN alone, vlan_vid has the CFI bit too. */
export function valueBits(field: Field): bigint {
  if (field === NW_TOS) return 0xfcn;
  if (field === VLAN_VID) return 0x1fffn;
  return (1n << BigInt(field.bits)) - 1n;
}
