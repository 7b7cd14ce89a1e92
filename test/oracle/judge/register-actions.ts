// Random moves and loads between fields that hold what is not in the frame: registers, which overlap (a register is half of an
// xreg and a quarter of an xxreg), metadata, the tunnel's id, marks. Any piece of any field.
import type { Prng } from "../../../src/lib/prng.ts";
import { hex, type Make, oneIn } from "./hosts.ts";

type Width = readonly [name: string, bits: number];

const REGISTERS: readonly Width[] = [
  ["NXM_NX_REG0", 32],
  ["NXM_NX_REG1", 32],
  ["NXM_NX_REG2", 32],
  ["NXM_NX_REG3", 32],
  ["OXM_OF_PKT_REG0", 64],
  ["OXM_OF_PKT_REG1", 64],
  ["NXM_NX_XXREG0", 128],
];
const WRITABLE: readonly Width[] = [
  ...REGISTERS,
  ...REGISTERS,
  ["OXM_OF_METADATA", 64],
  ["NXM_NX_TUN_ID", 64],
  ["NXM_NX_PKT_MARK", 32],
];
const READABLE: readonly Width[] = [
  ...WRITABLE,
  ...WRITABLE,
  ["NXM_NX_CT_MARK", 32],
  ["NXM_NX_CT_LABEL", 128],
  ["NXM_NX_CT_ZONE", 16],
  ["NXM_OF_ETH_SRC", 48],
  ["NXM_OF_ETH_TYPE", 16],
];

function piece(r: Prng, [name, bits]: Width, count: number): string {
  if (count === bits) return `${name}[]`;
  const from = r.below(bits - count + 1);
  return count === 1 ? `${name}[${from}]` : `${name}[${from}..${from + count - 1}]`;
}

/** How many bits go from one field to the other: all that fit now and then. */
function count(r: Prng, most: number): number {
  return oneIn(r, 3) ? most : 1 + r.below(Math.min(most, 40));
}

export const registerActions: readonly Make[] = [
  (r) => {
    const from = r.pick(READABLE);
    const to = r.pick(WRITABLE);
    const bits = count(r, Math.min(from[1], to[1]));
    return `move:${piece(r, from, bits)}->${piece(r, to, bits)}`;
  },
  (r) => {
    const to = r.pick(WRITABLE);
    const bits = count(r, Math.min(to[1], 64));
    return `load:${hex(r.below(2 ** Math.min(bits, 20)))}->${piece(r, to, bits)}`;
  },
  (r) => {
    const field = r.pick(REGISTERS);
    const bits = count(r, field[1]);
    const other = r.pick(REGISTERS);
    return `push:${piece(r, field, bits)},pop:${piece(r, other, Math.min(bits, other[1]))}`;
  },
  (r) => {
    const mask = (BigInt(r.u32()) << BigInt(32 * r.below(4))) | BigInt(r.below(256));
    return `set_field:${hex((BigInt(r.u32()) << BigInt(32 * r.below(4))) & mask)}/${hex(mask)}->xxreg0`;
  },
];
