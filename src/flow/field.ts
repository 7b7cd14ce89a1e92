// The one table of match fields: names, places in the flow key, widths, mask rules, prerequisites, text forms.
// (The table itself is being written; this interface is settled.)

/** How a field's value is written in text (ovs-fields(7)). */
export type FieldForm =
  | "decimal"
  | "hexadecimal"
  | "ct_state"
  | "ethernet"
  | "ipv4"
  | "ipv6"
  | "of_port"
  | "of_port_oxm"
  | "frag"
  | "tunnel_flags"
  | "tcp_flags"
  | "packet_type";

/** One match field of ovs-fields(7). */
export interface Field {
  /** Index in FIELDS, dense from 0, in the order of ovs-fields(7) / OVS's own numbering. */
  readonly id: number;
  /** OVS's name in flow text: `nw_src`. */
  readonly name: string;
  /** Another name OVS accepts, e.g. `ip_src`; null when none. */
  readonly alias: string | null;
  /** Width of the value in bits, as OVS counts for subfields (`NXM_OF_ETH_DST[]` has 48). */
  readonly bits: number;
  /** Where it lies in the flow key: `size` bytes from `offset`; the value's lowest bit is bit `shift` of that big-endian run. */
  readonly offset: number;
  readonly size: number;
  readonly shift: number;
  readonly maskable: boolean;
  readonly writable: boolean;
  readonly form: FieldForm;
  /** `NXM_OF_IP_SRC`, `OXM_OF_METADATA`...: the name printed for subfields and by which it is looked up too. */
  readonly nxmName: string | null;
  readonly oxmName: string | null;
}

/** Bits `ofs` to `ofs + bits - 1` of a field: `NXM_NX_REG0[0..15]`. */
export interface Subfield {
  readonly field: Field;
  readonly ofs: number;
  readonly bits: number;
}
