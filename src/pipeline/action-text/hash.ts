// Actions that choose by a hash of the packet (ovs-actions(7)): bundle, bundle_load, multipath. Text in.

import { parsePort } from "../../flow/port-text.ts";
import { parseSubfield } from "../../flow/subfield.ts";
import type { Action } from "../action.ts";
import { type ActionContext, atValue } from "./context.ts";
import { atoi } from "./number.ts";
import type { Scanner } from "./scan.ts";
import { refuseExperimenter } from "./short-header.ts";

/** The sets of fields that can be hashed. */
const HASH_FIELDS: ReadonlySet<string> = new Set([
  "eth_src",
  "symmetric_l4",
  "symmetric_l3l4",
  "symmetric_l3l4+udp",
  "nw_src",
  "nw_dst",
  "symmetric_l3",
]);

/** `bundle(FIELDS,BASIS,ALGORITHM,ofport,members:PORT,...)` */
export function parseBundle(at: Scanner, context: ActionContext): Action {
  return bundle(at, context, false);
}

/** `bundle_load(FIELDS,BASIS,ALGORITHM,ofport,SUBFIELD,members:PORT,...)` */
export function parseBundleLoad(at: Scanner, context: ActionContext): Action {
  return bundle(at, context, true);
}

function bundle(at: Scanner, context: ActionContext, load: boolean): Action {
  const whole = at.value;
  const words = whole.split(/[, ]+/).filter((word) => word !== "");
  const [fields, basis, algorithm, memberType] = words;
  const dstText = load ? words[4] : undefined;
  // The members are all the rest after a keyword, which no comma ends.
  const membersText = new RegExp(`^(?:[, ]*[^, ]+(?=[, ])){${load ? 5 : 4}}[, ][: ]*([^: ].*)$`).exec(
    whole,
  )?.[1];
  if (membersText === undefined) throw at.errorAtValue(`${whole}: not enough arguments to bundle action`);
  const delimiter = /^[^: ]*/.exec(membersText)![0];
  if (delimiter !== "members" && delimiter !== "slaves") {
    throw at.errorAtValue(`${whole}: missing member delimiter, expected \`members', got \`${delimiter}'`);
  }
  const members: number[] = [];
  for (const text of membersText.slice(delimiter.length + 1).split(/[, [\]]+/)) {
    if (text === "") continue;
    const port = parsePort(text, context.portByName);
    if (port === undefined) throw at.errorAtValue(`${text}: bad port number`);
    members.push(port);
  }
  if (!HASH_FIELDS.has(fields!)) throw at.errorAtValue(`${whole}: unknown fields \`${fields}'`);
  if (algorithm !== "active_backup" && algorithm !== "hrw") {
    throw at.errorAtValue(`${whole}: unknown algorithm \`${algorithm}'`);
  }
  if (memberType!.toLowerCase() !== "ofport") {
    throw at.errorAtValue(`${whole}: unknown member_type \`${memberType}'`);
  }
  const dst = dstText === undefined ? null : atValue(at, () => parseSubfield(dstText));
  if (dst !== null) refuseExperimenter(whole, at, dst.field, dstText);
  return { type: "bundle", algorithm, fields: fields!, basis: atoi(basis!) & 0xffff, members, dst };
}

/** `multipath(FIELDS,BASIS,ALGORITHM,N_LINKS,ARG,SUBFIELD)` */
export function parseMultipath(at: Scanner): Action {
  const whole = at.value;
  const words = whole.split(/[, ]+/).filter((word) => word !== "");
  const [fields, basis, algorithm, nLinksText, arg, dstText] = words;
  if (dstText === undefined) throw at.errorAtValue(`${whole}: not enough arguments to multipath action`);
  if (!HASH_FIELDS.has(fields!)) throw at.errorAtValue(`${whole}: unknown fields \`${fields}'`);
  if (
    algorithm !== "modulo_n" &&
    algorithm !== "hash_threshold" &&
    algorithm !== "hrw" &&
    algorithm !== "iter_hash"
  ) {
    throw at.errorAtValue(`${whole}: unknown algorithm \`${algorithm}'`);
  }
  const nLinks = atoi(nLinksText!);
  if (nLinks < 1 || nLinks > 65536) {
    throw at.errorAtValue(`${whole}: n_links ${nLinks} is not in valid range 1 to 65536`);
  }
  const dst = atValue(at, () => parseSubfield(dstText));
  refuseExperimenter(whole, at, dst.field, dstText);
  if (dst.bits < 16 && nLinks > 1 << dst.bits) {
    throw at.errorAtValue(
      `${whole}: ${dst.bits}-bit destination field has ${1 << dst.bits} possible values, less than specified n_links ${nLinks}`,
    );
  }
  return {
    type: "multipath",
    fields: fields!,
    basis: atoi(basis!) & 0xffff,
    algorithm,
    maxLink: nLinks - 1,
    arg: atoi(arg!) >>> 0,
    dst,
  };
}
