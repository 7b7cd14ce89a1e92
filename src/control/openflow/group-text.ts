// One group-mod in text, as ovs-ofctl(8), "Group Syntax", has it:
// `[COMMAND] group_id=ID,type=TYPE,...,bucket=[weight:N,...]ACTION,...,bucket=...`.

import { DL_VLAN, type Field, fieldByName, IN_PORT, IPV6_LABEL } from "../../flow/field.ts";
import { parseField } from "../../flow/field-text.ts";
import { Flow } from "../../flow/flow.ts";
import { setMatchField } from "../../flow/match.ts";
import { parsePort } from "../../flow/port-text.ts";
import { MegaflowError } from "../../lib/errors.ts";
import { type Bucket, type GroupMod, type GroupType, OFPP_MAX, OFPP_NONE } from "../../pipeline/action.ts";
import { asSent } from "../../pipeline/action-text/as-sent.ts";
import { refusalOfBucket } from "../../pipeline/action-text/check.ts";
import { boundedInteger, uint32, uint64 } from "../../pipeline/action-text/number.ts";
import { Scanner } from "../../pipeline/action-text/scan.ts";
import { parseActions } from "../../pipeline/action-text.ts";
import type { FlowTextNames } from "./flow-text.ts";

type Command = GroupMod["command"];

/** Highest bucket number; those above have meanings of their own. */
const BUCKET_MAX = 0xffffff00;
const BUCKET_FIRST = 0xfffffffd;
const BUCKET_LAST = 0xfffffffe;
const BUCKET_ALL = 0xffffffff;
/** Every group: delete only. */
export const GROUP_ALL = 0xfffffffc;
const GROUP_MAX = 0xffffff00;

const COMMANDS: readonly (readonly [string, Command])[] = [
  ["add", "add"],
  ["delete", "delete"],
  ["modify", "modify"],
  ["add_or_mod", "add_or_modify"],
  ["insert_bucket", "insert_bucket"],
  ["remove_bucket", "remove_bucket"],
];

/** Which parts a command has. */
const PARTS: Readonly<Record<Command, { type: boolean; buckets: boolean; commandBucket: boolean }>> = {
  add: { type: true, buckets: true, commandBucket: false },
  modify: { type: true, buckets: true, commandBucket: false },
  add_or_modify: { type: true, buckets: true, commandBucket: false },
  delete: { type: false, buckets: false, commandBucket: false },
  insert_bucket: { type: false, buckets: true, commandBucket: true },
  remove_bucket: { type: false, buckets: false, commandBucket: true },
};

/** Parses one group-mod. Throws MegaflowError ETEXT in OVS's words, with the column. */
export function parseGroupMod(
  line: string,
  names: FlowTextNames = {},
  defaultCommand: Command = "add",
): GroupMod {
  const word = /^[ \t\r\n]*([^, \t\r\n]*)/.exec(line)!;
  const spelled = word[1] === "" ? undefined : COMMANDS.find(([name]) => name.startsWith(word[1]!));
  const start = spelled === undefined ? 0 : word[0].length;
  const command = spelled?.[1] ?? defaultCommand;
  const parts = PARTS[command];

  let head = line.indexOf("bucket=", start);
  if (head < 0) head = line.length;
  else if (!parts.buckets) {
    throw new MegaflowError("ETEXT", "bucket is not needed", { column: head + 1 });
  }

  let groupId = command === "delete" && line.length === start ? GROUP_ALL : null;
  let type: GroupType | null = null;
  let commandBucketId: GroupMod["commandBucketId"] = command === "remove_bucket" ? "all" : null;
  let method = "";
  let param: bigint | null = null;
  let hashFields: HashFields | null = null;
  const at = new Scanner(line.slice(start, head), start);
  while (at.next()) {
    switch (at.key) {
      case "command_bucket_id":
        if (!parts.commandBucket) throw at.errorAtKey("command bucket id is not needed");
        commandBucketId = parseCommandBucketId(at, command);
        break;
      case "group_id":
        groupId = at.value === "all" ? GROUP_ALL : uint32(at);
        if (groupId !== GROUP_ALL && groupId > GROUP_MAX) {
          throw at.errorAtValue(`invalid group id ${groupId}`);
        }
        break;
      case "type":
        if (!parts.type) throw at.errorAtKey("type is not needed");
        type = parseType(at);
        break;
      case "selection_method":
        if (!parts.type) throw at.errorAtKey("selection method is not needed");
        if (at.value.length >= 16) {
          throw at.errorAtValue("selection method is longer than 15 bytes long");
        }
        method = at.value;
        break;
      case "selection_method_param":
        if (!parts.type) throw at.errorAtKey("selection method param is not needed");
        param = uint64(at);
        break;
      case "fields":
        if (!parts.type) throw at.errorAtKey("fields are not needed");
        hashFields ??= { fields: [], mask: new Flow(), masks: new Map() };
        parseFields(at, names, hashFields);
        break;
      default:
        throw at.errorAtKey(`unknown keyword ${at.key}`);
    }
  }

  const whole = (message: string): MegaflowError =>
    new MegaflowError("ETEXT", message, { column: start + 1 });
  if (groupId === null) throw whole("must specify a group_id");
  if (parts.type && type === null) throw whole("must specify a type");
  if (command === "insert_bucket" && commandBucketId === null) {
    throw whole("must specify a command bucket id");
  }
  if (hashFields !== null && method !== "hash") {
    throw whole('fields may only be specified with "selection_method=hash"');
  }
  if (param !== null && method === "") {
    throw whole('selection_method_param is only allowed with "selection_method"');
  }
  const buckets = parseBuckets(line, head, type, names);
  if (type === "indirect" && buckets.length > 1) {
    throw whole("Indirect groups can have at most one bucket.");
  }
  // From here on the switch would refuse it.
  for (const bucket of buckets) {
    const refusal = refusalOfBucket(bucket.actions, names.tlvMap ?? null);
    if (refusal !== null) throw whole(refusal);
  }
  if (new Set(buckets.map((b) => b.id)).size < buckets.length) throw whole("OFPGMFC_BAD_BUCKET");
  if (method !== "" && (type !== "select" || (method !== "hash" && method !== "dp_hash"))) {
    throw whole("OFPBPC_BAD_VALUE");
  }
  const sentHash = hashFields === null ? null : sentFields(hashFields);
  const fieldsRefusal = sentHash === null ? null : refusalOfHash(sentHash);
  if (fieldsRefusal !== null) throw whole(fieldsRefusal);
  const watches = buckets.some((b) => b.watchPort !== OFPP_NONE || b.watchGroup !== null);
  if (watches && (type === "all" || type === "indirect" || command === "insert_bucket")) {
    throw whole("OFPGMFC_WATCH_UNSUPPORTED");
  }
  if ((command === "add" || command === "add_or_modify") && groupId === GROUP_ALL)
    throw whole("OFPGMFC_INVALID_GROUP");
  if (type === "indirect" && buckets.length === 0) throw whole("OFPGMFC_INVALID_GROUP");
  return {
    command,
    groupId,
    type: type ?? "all",
    buckets,
    commandBucketId,
    selectionMethod: method,
    selectionMethodParam: param ?? 0n,
    hashFields: sentHash,
  };
}

function parseCommandBucketId(at: Scanner, command: Command): GroupMod["commandBucketId"] {
  if (at.value === "first" || at.value === "last") return at.value;
  if (at.value === "all") {
    if (command !== "remove_bucket") throw at.errorAtValue("command_bucket_id=all is not permitted");
    return "all";
  }
  const id = uint32(at);
  if (id === BUCKET_FIRST) return "first";
  if (id === BUCKET_LAST) return "last";
  if (id === BUCKET_ALL && command === "remove_bucket") return "all";
  if (id === BUCKET_ALL) throw at.errorAtValue("command_bucket_id=all is not permitted");
  if (id > BUCKET_MAX) throw at.errorAtValue(`invalid command bucket id ${id}`);
  return id;
}

function parseType(at: Scanner): GroupType {
  switch (at.value) {
    case "all":
    case "select":
    case "indirect":
    case "fast_failover":
      return at.value;
    case "ff":
      return "fast_failover";
    default:
      throw at.errorAtValue(`invalid group type ${at.value}`);
  }
}

interface HashFields {
  readonly fields: Field[];
  readonly mask: Flow;
  readonly masks: Map<Field, Uint8Array>;
}

/** `fields(NAME[=MASK],...)`: more fields to hash, by default all of their bits. */
function parseFields(at: Scanner, names: FlowTextNames, { fields, mask, masks }: HashFields): void {
  const scratch = { flow: new Flow(), mask };
  const pairs = new Scanner(at.value, at.valueAt);
  while (pairs.next()) {
    const field = fieldByName(pairs.key);
    // As in OVS, what is named is the rest of the text.
    const rest = pairs.rest;
    if (field === undefined) throw pairs.errorAtKey(`${rest}: unknown field ${pairs.key}`);
    if (fields.includes(field)) throw pairs.errorAtKey(`${pairs.key}: duplicate field`);
    let bits: Uint8Array = new Uint8Array(field.valueSize).fill(0xff);
    if (pairs.value !== "") {
      try {
        bits = parseField(field, pairs.value, names.portByName).value;
      } catch (error) {
        throw error instanceof MegaflowError ? error.at({ column: pairs.valueAt + 1 }) : error;
      }
      if (bits.every((byte) => byte === 0)) {
        throw pairs.errorAtValue(`${rest}: values are wildcards here and must not be all-zeros`);
      }
    }
    if (!field.maskable && bits.some((byte) => byte !== 0xff)) {
      throw pairs.errorAtValue(`${pairs.value}: invalid mask for field ${field.name}`);
    }
    // dl_vlan has no number, and 0, which is sent in its place, is that of a field as wide.
    // A match has no label of more than 20 bits, but what is asked for here is the mask alone.
    const value = field === IPV6_LABEL ? $zeros : bits;
    if (field !== DL_VLAN) setMatchField(scratch, field, value, bits);
    fields.push(field);
    masks.set(field, bits);
  }
}

/** As they arrive at a switch, in the fields' own order. */
function sentFields({ fields, mask, masks }: HashFields): NonNullable<GroupMod["hashFields"]> {
  const vlan = fields.indexOf(DL_VLAN);
  if (vlan >= 0 && !fields.includes(IN_PORT)) {
    fields[vlan] = IN_PORT;
    setMatchField({ flow: new Flow(), mask }, IN_PORT, $ones, $ones);
    masks.set(IN_PORT, $ones);
  }
  return { fields: fields.sort((a, b) => a.id - b.id), mask, masks };
}

const $zeros = new Uint8Array(4);
const $ones = new Uint8Array(2).fill(0xff);

/** What a switch says to fields that have no number: null when all have one. */
function refusalOfHash({ fields }: NonNullable<GroupMod["hashFields"]>): string | null {
  const unnumbered = fields.find((field) => field.codePoints.length === 0);
  if (unnumbered === undefined) return null;
  return unnumbered === DL_VLAN ? "OFPBMC_DUP_FIELD" : "OFPBMC_BAD_FIELD";
}

/** Every `bucket=...` from `from` on. A bucket without a number gets the lowest free one. */
function parseBuckets(line: string, from: number, type: GroupType | null, names: FlowTextNames): Bucket[] {
  const buckets: (Omit<Bucket, "id"> & { id: number | null })[] = [];
  const used = new Set<number>();
  let hasUnnumbered = false;
  for (let start = from; start < line.length; ) {
    const content = start + "bucket=".length;
    let end = line.indexOf("bucket=", content);
    if (end < 0) end = line.length;
    const bucket = parseBucket(line.slice(content, end), content, type, names);
    if (type !== null && type !== "select" && bucket.weight !== 0) {
      throw new MegaflowError("ETEXT", "Only select groups can have bucket weights.", {
        column: content + 1,
      });
    }
    // Those before the first bucket without a number do not keep it from theirs, as in ovs-ofctl.
    if (bucket.id === null) hasUnnumbered = true;
    else if (hasUnnumbered) used.add(bucket.id);
    buckets.push(bucket);
    start = end;
  }
  let next = 0;
  return buckets.map((bucket) => {
    if (bucket.id !== null) return bucket as Bucket;
    while (used.has(next)) next++;
    used.add(next);
    return { ...bucket, id: next };
  });
}

/** What stands after `bucket=`: keys of its own anywhere among its actions, as ovs-ofctl takes them. */
function parseBucket(
  text: string,
  base: number,
  type: GroupType | null,
  names: FlowTextNames,
): Omit<Bucket, "id"> & { id: number | null } {
  let id: number | null = null;
  let weight = type === "select" ? 1 : 0;
  let watchPort = OFPP_NONE;
  let watchGroup: number | null = null;
  // The actions are what is left when the keys are blanked out. ovs-ofctl writes each anew as `key(value)`, which matters where
  // parentheses do not match. Done in place, so every column stays right.
  let actions = text;
  const put = (from: number, by: string): void => {
    actions = actions.slice(0, from) + by + actions.slice(from + by.length);
  };
  const blank = (from: number, to: number): void => put(from, " ".repeat(to - from));
  const at = new Scanner(text, base);
  let hasActions = false;
  while (at.next()) {
    const keyFrom = at.keyAt - base;
    const valueFrom = at.valueAt - base;
    const key = at.key.toLowerCase();
    if (key === "action" || key === "actions") {
      hasActions = true;
      blank(keyFrom, valueFrom);
      continue;
    }
    if (key === "weight") weight = boundedInteger(at, "weight", 0xffff);
    else if (key === "watch_port") {
      const port = parsePort(at.value, names.portByName);
      if (port === undefined || (port >= OFPP_MAX && port !== OFPP_NONE)) {
        throw at.errorAtValue(`${at.value}: invalid watch_port`);
      }
      watchPort = port;
    } else if (key === "watch_group") {
      const group = uint32(at);
      if (group > GROUP_MAX) {
        throw at.errorAtValue(`invalid watch_group id ${group}`);
      }
      watchGroup = group;
    } else if (key === "bucket_id") {
      id = uint32(at);
      if (id > BUCKET_MAX) throw at.errorAtValue(`invalid bucket_id id ${id}`);
    } else {
      hasActions = true;
      if (valueFrom > keyFrom + at.key.length) {
        put(valueFrom - 1, "(");
        put(valueFrom + at.value.length, ")");
      }
      continue;
    }
    blank(keyFrom, valueFrom + at.value.length);
  }
  const fail = (message: string): MegaflowError => new MegaflowError("ETEXT", message, { column: base + 1 });
  if (!hasActions) throw fail("bucket must specify actions");
  if (type === "fast_failover" && watchPort === OFPP_NONE && watchGroup === null) {
    throw fail("fast failover bucket requires watch_port or watch_group");
  }
  return {
    id,
    weight,
    watchPort,
    watchGroup,
    actions: asSent(parseActions(actions, { ...names, instructions: false, column: base + 1 }), false),
  };
}
