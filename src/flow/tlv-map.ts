// The map of Geneve options to the fields tun_metadata0 to tun_metadata63 (ovs-ofctl(8), add-tlv-map; ovs-fields(7), Geneve
// Fields): which option a field is, how long it is, and where in the flow key its value stands.
//
// A flow key has 256 bytes for option values (layout.ts, blocks 20 to 35) and a bit for each field that is present. A mapped
// field has a run of those bytes to itself, so that the rest of the pipeline treats it as any other field; the bits of
// presence are what is special. Values stand where the map says and not as options in the order of the packet, so that a
// match does not depend on the order in which a sender writes its options. Places never move: a new field takes the first
// gap that is long enough (OVS may split one over several gaps; here the table is full then).
import { MegaflowError } from "../lib/errors.ts";
import { FIELDS, type Field, fieldByName } from "./field.ts";
import { O_TUN_METADATA } from "./layout.ts";

/** Bytes for the values of all options. */
export const OPTION_SPACE = 256;
/** The longest option, without its header (RFC 8926 section 3.5). */
export const OPTION_SIZE_MAX = 124;
export const OPTION_FIELDS = 64;

const FIRST = fieldByName("tun_metadata0")!.id;

/** One line of the map: an option by class and type, `size` bytes long without its header, as field tun_metadata`index`. */
export interface TlvMapping {
  readonly optionClass: number;
  readonly optionType: number;
  readonly size: number;
  readonly index: number;
}

interface Entry extends TlvMapping {
  readonly field: Field;
}

/** tun_metadataN as it is without a map: 124 bytes wide and nowhere. */
export function plainOption(field: Field): Field {
  return FIELDS[field.id]!;
}

export class TlvMap {
  /** By index; null where there is none. */
  readonly #entries: (Entry | null)[] = new Array<Entry | null>(OPTION_FIELDS).fill(null);
  /** In the order of their indices. */
  #list: readonly Entry[] = [];

  /** A map from the text that `ovs-ofctl add-tlv-map` takes. Throws ETEXT. */
  static parse(text: string): TlvMap {
    const map = new TlvMap();
    map.add(parseMappings(text));
    return map;
  }

  /** The mappings, by index. */
  get list(): readonly TlvMapping[] {
    return this.#list;
  }

  /** The field of that index with its place in the flow key; null when it is not mapped. */
  field(index: number): Field | null {
    return this.#entries[index]?.field ?? null;
  }

  /** The mapping of an option, null when there is none. */
  byOption(optionClass: number, optionType: number): TlvMapping | null {
    return this.#list.find((e) => e.optionClass === optionClass && e.optionType === optionType) ?? null;
  }

  /** Adds all mappings or none. Throws ETEXT with OVS's name of the error (NXTTMFC_*). */
  add(mappings: readonly TlvMapping[]): void {
    const before = this.#entries.slice();
    try {
      for (const mapping of mappings) checkMapping(mapping);
      for (const mapping of mappings) this.#addOne(mapping);
    } catch (error) {
      for (let i = 0; i < OPTION_FIELDS; i++) this.#entries[i] = before[i]!;
      throw error;
    }
    this.#changed();
  }

  /** Removes mappings: those whose option and field are not mapped to each other are passed over, as in OVS. `inUse` says which fields flows need. Throws ETEXT. */
  delete(mappings: readonly TlvMapping[], inUse: (field: Field) => boolean): void {
    const gone: number[] = [];
    for (const { optionClass, optionType, size, index } of mappings) {
      const entry = this.#entries[index] ?? null;
      if (entry === null || entry.optionClass !== optionClass || entry.optionType !== optionType) continue;
      if (entry.size !== size) continue;
      if (inUse(entry.field)) refuse("NXTTMFC_INVALID_TLV_DEL");
      gone.push(index);
    }
    for (const index of gone) this.#entries[index] = null;
    this.#changed();
  }

  #addOne(mapping: TlvMapping): void {
    const { index, size } = mapping;
    if (this.#entries[index] !== null) refuse("NXTTMFC_ALREADY_MAPPED");
    for (const entry of this.#entries) {
      if (entry?.optionClass === mapping.optionClass && entry.optionType === mapping.optionType) {
        refuse("NXTTMFC_DUP_ENTRY");
      }
    }
    const offset = O_TUN_METADATA + this.#gap(size);
    const field = { ...FIELDS[FIRST + index]!, bits: 8 * size, valueSize: size, offset, size };
    this.#entries[index] = { ...mapping, field };
  }

  /** Where `size` bytes are free, from the beginning of the option space. */
  #gap(size: number): number {
    const taken = this.#entries.filter((e) => e !== null).map((e) => e.field);
    taken.sort((a, b) => a.offset - b.offset);
    let at = 0;
    for (const field of taken) {
      const start = field.offset - O_TUN_METADATA;
      if (start - at >= size) return at;
      at = start + field.size;
    }
    if (OPTION_SPACE - at < size) refuse("NXTTMFC_TABLE_FULL");
    return at;
  }

  #changed(): void {
    this.#list = this.#entries.filter((e) => e !== null);
  }

  /** As `ovs-ofctl dump-tlv-map` prints it, behind its first line. */
  format(): string {
    const used = this.#list.reduce((n, e) => n + e.size, 0);
    let text = ` max option space=${OPTION_SPACE} max fields=${OPTION_FIELDS}\n`;
    text += ` allocated option space=${used}\n\n mapping table:\n`;
    text += "  class  type  length  match field\n ------  ----  ------  --------------\n";
    for (const e of this.#list) {
      const cls = hex(e.optionClass).padStart(6);
      text += ` ${cls}  ${hex(e.optionType).padStart(4)}  ${String(e.size).padStart(6)}  tun_metadata${e.index}\n`;
    }
    return text;
  }
}

function checkMapping({ size, index }: TlvMapping): void {
  if (size <= 0 || size > OPTION_SIZE_MAX || size % 4 !== 0) refuse("NXTTMFC_BAD_OPT_LEN");
  if (index >= OPTION_FIELDS) refuse("NXTTMFC_BAD_FIELD_IDX");
}

const MAPPING = new RegExp(
  String.raw`^\{class=\s*([+-]?(?:0x[0-9a-f]+|\d+))\s*,type=\s*([+-]?(?:0x[0-9a-f]+|\d+))\s*` +
    String.raw`,len=\s*([+-]?(?:0x[0-9a-f]+|\d+))\s*\}->tun_metadata(\d+)$`,
  "i",
);

/** Reads `{class=CLASS,type=TYPE,len=LENGTH}->tun_metadataN,...`. Numbers too large lose their high bits, as in ovs-ofctl. Throws ETEXT. */
export function parseMappings(text: string): TlvMapping[] {
  const mappings: TlvMapping[] = [];
  for (const item of splitItems(text)) {
    const m = MAPPING.exec(item);
    if (m === null) refuse("invalid tlv mapping");
    mappings.push({
      optionClass: Number(m[1]) & 0xffff,
      optionType: Number(m[2]) & 0xff,
      size: Number(m[3]) & 0xff,
      index: Number(m[4]) & 0xffff,
    });
  }
  return mappings;
}

/** The items between the commas that stand before a brace. */
function splitItems(text: string): string[] {
  return text
    .split(/,\s*(?=\{)/)
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

/**
 * The value and mask of a match or an action as a field of `size` bytes gets them over the wire: ovs-ofctl, which knows
 * no map, sends as many bytes as the bits that are set need, and of more than the field has the switch takes the first.
 * Arguments and results are most significant byte first.
 */
export function fitOption(
  value: Uint8Array,
  mask: Uint8Array,
  size: number,
): { value: Uint8Array; mask: Uint8Array } {
  const isMasked = mask.some((b) => b !== 0xff);
  let first = 0;
  while (first < value.length && value[first] === 0 && (!isMasked || mask[first] === 0)) first++;
  const sent = value.length - first;
  const out = { value: new Uint8Array(size), mask: new Uint8Array(size) };
  const from = first;
  const taken = Math.min(sent, size);
  out.value.set(value.subarray(from, from + taken), size - taken);
  out.mask.set(mask.subarray(from, from + taken), size - taken);
  if (!isMasked) out.mask.fill(0xff);
  return out;
}

/** As C's %#x. */
function hex(n: number): string {
  return n === 0 ? "0" : `0x${n.toString(16)}`;
}

function refuse(name: string): never {
  throw new MegaflowError("ETEXT", name);
}
