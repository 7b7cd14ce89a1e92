// Tunnel options in datapath text: `geneve({class=0xffff,type=0x80,len=4,0xa/0xff}{class=0x104,type=0x1,len=8})`
// (ovs-dpctl(8)). The flow key holds them by the map's fields, in whose order they are written.
import { MegaflowError } from "../lib/errors.ts";
import { formatHex, parseInteger } from "./field-text.ts";
import type { Flow } from "./flow.ts";
import { isPresent, setPresent } from "./option-bits.ts";
import type { TlvMap } from "./tlv-map.ts";

/** The options of a key that `mask` looks at (whole key and mask bytes), all that are there without one; "" when there is none. */
export function formatGeneve(key: Uint8Array, mask: Uint8Array | null, tlvMap: TlvMap | null): string {
  if (tlvMap === null) return "";
  let text = "";
  for (const { optionClass, optionType, size, index } of tlvMap.list) {
    if (!isPresent(key, index) || (mask !== null && !isPresent(mask, index))) continue;
    text += `{class=${hex(optionClass)},type=${hex(optionType)},len=${size}`;
    const at = tlvMap.field(index)!.offset;
    const bits = mask === null ? null : mask.subarray(at, at + size);
    if (bits === null || bits.some((b) => b !== 0)) text += `,${formatHex(key, size, at)}`;
    if (bits?.some((b) => b !== 0) && bits.some((b) => b !== 0xff)) text += `/${formatHex(bits, size)}`;
    text += "}";
  }
  return text === "" ? "" : `geneve(${text})`;
}

const OPTION =
  /^\{class=(0x[0-9a-f]+|\d+)(?:\/0xffff)?,type=(0x[0-9a-f]+|\d+)(?:\/0xff)?,len=(\d+)(?:,(0x[0-9a-f]+|\d+)(?:\/(0x[0-9a-f]+|\d+))?)?\}/i;

/** Reads what stands in `geneve(...)` into a key and mask; options that the map does not have are passed over. Throws ETEXT. */
export function parseGeneve(text: string, match: { flow: Flow; mask: Flow }, tlvMap: TlvMap | null): void {
  let rest = text;
  while (rest !== "") {
    const m = OPTION.exec(rest);
    if (m === null) throw new MegaflowError("ETEXT", `syntax error at ${rest}`);
    rest = rest.slice(m[0].length).replace(/^,/, "");
    const mapping = tlvMap?.byOption(Number(m[1]), Number(m[2])) ?? null;
    if (mapping === null || mapping.size !== Number(m[3])) continue;
    const { index, size } = mapping;
    const at = tlvMap!.field(index)!.offset;
    const value = match.flow.bytes.subarray(at, at + size);
    const bits = match.mask.bytes.subarray(at, at + size);
    const whole = m[5] === undefined && m[4] !== undefined;
    const ok =
      (m[4] === undefined || parseInteger(m[4], size, value)) &&
      (m[5] === undefined || parseInteger(m[5], size, bits));
    if (!ok) throw new MegaflowError("ETEXT", `syntax error at ${m[0]}`);
    if (whole) bits.fill(0xff);
    setPresent(match.flow.bytes, index);
    setPresent(match.mask.bytes, index);
  }
}

/** As C's %#x. */
function hex(n: number): string {
  return n === 0 ? "0" : `0x${n.toString(16)}`;
}
