// The keys of a bond: a port with several interfaces, its members. What OVS keeps in the Port table is said of the bond, the
// rest of each member.

import { MegaflowError } from "../../lib/errors.ts";
import type { BondOptions } from "../../pipeline/bond.ts";
import { DEVICE_FIELDS, INTERFACE_FIELDS, PORT, PORT_COLUMN_FIELDS, type PortConfig } from "./port-shape.ts";
import {
  errorAt,
  type Fields,
  listOf,
  oneOf,
  optional,
  type RecordOf,
  record,
  required,
  type Shape,
  text,
  whole,
} from "./shape.ts";

const HASH_BASIS_MAX = 0xffffffff;

const MEMBER_FIELDS = { ...INTERFACE_FIELDS, ...DEVICE_FIELDS } satisfies Fields;

const BOND_FIELDS = {
  name: required(text),
  members: required(listOf(record("a member", MEMBER_FIELDS))),
  bondMode: optional(oneOf("active-backup", "balance-slb", "balance-tcp")),
  bondPrimary: optional(text),
  bondHashBasis: optional(whole(0, HASH_BASIS_MAX)),
  lacp: optional(oneOf("off", "active", "passive")),
  ...PORT_COLUMN_FIELDS,
} satisfies Fields;

export type BondConfig = RecordOf<typeof BOND_FIELDS>;

const BOND = record("a bond", BOND_FIELDS);

/** A port; with `members`, a bond. */
export const PORT_OR_BOND: Shape<PortConfig | BondConfig> = {
  want: PORT.want,
  read: (node) => (node.entries?.some(({ key }) => key === "members") ? BOND : PORT).read(node),
};

export const isBond = (config: PortConfig | BondConfig): config is BondConfig => "members" in config;

/** Throws MegaflowError ECONFIG for a primary that is no member, EUNSUPPORTED for LACP. */
export function bondOptionsOf(config: BondConfig): BondOptions {
  const { name, members, bondMode, bondPrimary, bondHashBasis, lacp = "off" } = config;
  if (lacp !== "off") {
    const { message, place } = errorAt(config, "lacp", "bonds do without LACP here: lacp wants to be off");
    throw new MegaflowError("EUNSUPPORTED", message, place);
  }
  const primary = members.find((member) => member.name === bondPrimary);
  if (bondPrimary !== undefined && primary === undefined) {
    const names = members.map((member) => member.name).join(", ");
    throw errorAt(config, "bondPrimary", `bond_primary wants a member (${names}), not "${bondPrimary}"`);
  }
  return {
    name,
    members: members.map(({ no }) => no),
    ...(bondMode === undefined ? {} : { mode: bondMode }),
    ...(primary === undefined ? {} : { primary: primary.no }),
    ...(bondHashBasis === undefined ? {} : { hashBasis: bondHashBasis }),
  };
}
