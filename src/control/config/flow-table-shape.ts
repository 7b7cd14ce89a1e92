// The keys of a flow table: columns of the Flow_Table table of ovs-vswitchd.conf.db(5).
import type { Subfield } from "../../flow/field.ts";
import { parseSubfieldPrefix } from "../../flow/subfield.ts";
import { MegaflowError } from "../../lib/errors.ts";
import { TABLE_COUNT } from "../../pipeline/tables.ts";
import { type Fields, listOf, mapOf, oneOf, optional, record, scalar, whole } from "./shape.ts";

const FLOWS_MAX = 0xffff_ffff;

/** `NXM_OF_IN_PORT[]`, `in_port`, `ip_src[8..15]`. */
const subfield = scalar("a field or part of one, as in NXM_OF_IN_PORT[] or ip_src[8..15]", readSubfieldText);

const FLOW_TABLE_FIELDS = {
  flowLimit: optional(whole(0, FLOWS_MAX)),
  overflowPolicy: optional(oneOf("refuse", "evict")),
  groups: optional(listOf(subfield, { single: true })),
} satisfies Fields;

/** What a table may be told, by its number; it reads FlowTableOptions of pipeline/eviction.ts. */
export const FLOW_TABLES = mapOf(
  `a table number from 0 to ${TABLE_COUNT - 1}`,
  (key) => (/^\d+$/.test(key) && Number(key) < TABLE_COUNT ? Number(key) : undefined),
  record("a flow table", FLOW_TABLE_FIELDS),
);

function readSubfieldText(value: unknown): Subfield | undefined {
  if (typeof value !== "string") return undefined;
  try {
    const { subfield, rest } = parseSubfieldPrefix(value);
    return rest === "" ? subfield : undefined;
  } catch (error) {
    if (!(error instanceof MegaflowError)) throw error;
    return undefined;
  }
}
