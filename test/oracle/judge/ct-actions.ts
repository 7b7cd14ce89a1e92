// Random ct actions: zones, commitment with what it writes, and address translation. A range is never wider than one address
// or one port, as choices within a range go by a hash with a random basis in Open vSwitch.
import type { Prng } from "../../../src/lib/prng.ts";
import { anyPort, hex, IPV4, IPV6, type Make, oneIn, VIRTUAL } from "./hosts.ts";
import type { Kind } from "./matches.ts";

const ZONES = ["0", "1", "2", "65535", "NXM_NX_REG0[0..1]", "5"] as const;

const zone = (r: Prng) => `zone=${oneIn(r, 6) ? r.pick(ZONES) : r.below(3)}`;

/** What `exec(...)` may do. */
const writes: readonly Make[] = [
  (r) => `load:${1 + r.below(3)}->NXM_NX_CT_MARK[]`,
  (r) => `load:${r.below(16)}->NXM_NX_CT_MARK[${r.pick(["0..3", "4..7", "28..31"])}]`,
  (r) => `load:${r.below(4)}->NXM_NX_CT_LABEL[${r.pick(["0..1", "64..65", "126..127"])}]`,
  () => "set_field:0x2/0x3->ct_mark",
  (r) => `set_field:0x${r.below(8)}->ct_mark`,
  () => "set_field:0x5/0xf->ct_label",
  (r) => `set_field:0x${r.below(8)}000000000000000000000001->ct_label`,
  () => "move:NXM_NX_REG0[0..3]->NXM_NX_CT_MARK[0..3]",
  () => "move:NXM_NX_REG1[0..15]->NXM_NX_CT_LABEL[32..47]",
  () => "move:NXM_OF_ETH_SRC[]->NXM_NX_CT_LABEL[0..47]",
  () => "move:NXM_NX_CT_MARK[0..1]->NXM_NX_CT_LABEL[0..1]",
  (r) => `set_field:${hex(BigInt(r.below(4)) << 64n)}/${hex(3n << 64n)}->ct_label`,
  (r) => `set_field:${hex((BigInt(r.below(8)) << 96n) | 1n)}/${hex((7n << 96n) | 3n)}->ct_label`,
  () => "move:NXM_NX_CT_LABEL[0..31]->NXM_NX_CT_LABEL[96..127]",
];

function exec(r: Prng): string {
  if (!oneIn(r, 2)) return "";
  const list = Array.from({ length: 1 + r.below(2) }, () => r.pick(writes)(r));
  return `,exec(${list.join(",")})`;
}

function nat(r: Prng, k: Kind): string {
  const side = r.pick(["src", "dst"]);
  const address = k.ip === 4 ? r.pick([...IPV4, VIRTUAL[0], VIRTUAL[0]]) : r.pick([...IPV6, VIRTUAL[1]]);
  const ported = (k.l4 === "tcp" || k.l4 === "udp") && oneIn(r, 3);
  const host = ported && k.ip === 6 ? `[${address}]` : address;
  const flags = oneIn(r, 8) ? `,${r.pick(["persistent", "hash", "random"])}` : "";
  const range = oneIn(r, 6) && !ported ? `${host}-${host}` : host;
  return `nat(${side}=${range}${ported ? `:${anyPort(r)}` : ""}${flags})`;
}

/** Actions for a kind of frame with an IP header; `table` gives a later table, where there is one. */
export function ctActions(k: Kind, table: ((r: Prng) => number) | null): Make[] {
  const commit: Make = (r) => `ct(commit,${zone(r)}${exec(r)})`;
  const out: Make[] = [
    commit,
    commit,
    (r) => `ct(commit,force,${zone(r)}${exec(r)})`,
    (r) => `ct(commit,${zone(r)},${nat(r, k)})`,
    (r) => `ct(${zone(r)})`,
    (r) => `ct(${r.pick(["", "commit,"])}${zone(r)},nat)`,
    () => "ct_clear",
  ];
  if (table !== null) {
    out.push(
      (r) => `ct(table=${table(r)},${zone(r)})`,
      (r) => `ct(table=${table(r)})`,
      (r) => `ct(table=${table(r)},${zone(r)},nat)`,
      (r) => `ct(table=${table(r)},${zone(r)},nat)`,
      (r) => `ct(commit,table=${table(r)},${zone(r)}${exec(r)})`,
      (r) => `ct(commit,table=${table(r)},${zone(r)},${nat(r, k)}${exec(r)})`,
      (r) => `ct(commit,table=${table(r)},${zone(r)},${nat(r, k)}${exec(r)})`,
      (r) => `ct(commit,force,table=${table(r)},${zone(r)},nat)`,
    );
  }
  return out;
}
