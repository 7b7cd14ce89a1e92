// Reads the datapath actions that OVS prints back into ours: set, push, pop and output, as far as the tests of frame
// rewriting need them. What it does not know is an error, so that no test passes by chance.
import type { DatapathAction, SetHeader } from "../../src/datapath/action.ts";
import { SET_FIELDS, type SetField } from "../../src/datapath/set-fields.ts";
import { KEY_SIZE, O_MPLS_LSE0, O_PKT_MARK, O_SKB_PRIORITY, VLAN_CFI } from "../../src/flow/layout.ts";
import { parseIpv4, parseIpv6, parseMac } from "../../src/packet/address.ts";

/** Splits at the commas outside parentheses. */
function splitTop(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let i = 0; i <= text.length; i++) {
    const c = text[i];
    if (c === "(") depth++;
    else if (c === ")") depth--;
    else if ((c === "," && depth === 0) || c === undefined) {
      parts.push(text.slice(from, i));
      from = i + 1;
    }
  }
  return parts;
}

/** `Datapath actions:` text of ofproto/trace, ports by number. */
export function parseDatapathActions(text: string): DatapathAction[] {
  return text === "drop" ? [] : splitTop(text).map(parseAction);
}

function parseAction(text: string): DatapathAction {
  if (/^\d+$/.test(text)) return { type: "output", port: Number(text) };
  if (text === "pop_vlan") return { type: "pop_vlan" };
  const [, name, inner] = /^(\w+)\((.*)\)$/.exec(text) ?? [];
  if (name === "set") return parseSet(inner!);
  const fields = new Map((inner ?? "").split(",").map((f) => f.split("=") as [string, string]));
  const get = (field: string, otherwise = "0") => Number(fields.get(field) ?? otherwise);
  if (name === "push_vlan") {
    const tci = get("vid") | (get("pcp") << 13) | (get("cfi", "1") ? VLAN_CFI : 0);
    return { type: "push_vlan", tpid: get("tpid", "0x8100"), tci };
  }
  if (name === "push_mpls") return { type: "push_mpls", lse: labelOf(get), ethertype: get("eth_type") };
  if (name === "pop_mpls") return { type: "pop_mpls", ethertype: get("eth_type") };
  if (name === "recirc") return { type: "recirc", id: Number(inner) };
  if (name === "hash") {
    const [, algorithm, basis] = /^(l4|sym_l4)\((\d+)\)$/.exec(inner!)!;
    return { type: "hash", algorithm: algorithm as "l4" | "sym_l4", basis: Number(basis) };
  }
  throw new Error(`a datapath action that this test does not know: ${text}`);
}

function labelOf(get: (field: string) => number): number {
  return ((get("label") << 12) | (get("tc") << 9) | (get("bos") << 8) | get("ttl")) >>> 0;
}

function parseSet(text: string): DatapathAction {
  const [, header, inner] = /^(\w+)\((.*)\)$/.exec(text)!;
  const value = new Uint8Array(KEY_SIZE);
  const mask = new Uint8Array(KEY_SIZE);
  const put = (field: SetField, valueText: string, maskText: string | undefined) => {
    write(value, field, valueText);
    if (maskText !== undefined) write(mask, { ...field, form: maskForm(field) }, maskText);
    else mask.fill(0xff, field.offset, field.offset + field.size);
  };
  const number = (name: string, offset: number): SetField => ({ name, offset, size: 4, form: "hex" });
  if (header === "skb_mark" || header === "skb_priority") {
    const [valueText, maskText] = inner!.split("/");
    put(number(header, header === "skb_mark" ? O_PKT_MARK : O_SKB_PRIORITY), valueText!, maskText);
  } else if (header === "mpls") {
    const fields = new Map(inner!.split(",").map((f) => f.split("=") as [string, string]));
    put(number("lse", O_MPLS_LSE0), String(labelOf((f) => Number(fields.get(f)))), undefined);
  } else {
    const known = SET_FIELDS.get(header as SetHeader);
    if (known === undefined) throw new Error(`a set that this test does not know: ${text}`);
    for (const part of inner!.split(",")) {
      const [name, rest] = part.split("=") as [string, string];
      const field = known.find((f) => f.name === name);
      if (field === undefined) throw new Error(`a field that this test does not know: ${part}`);
      const [valueText, maskText] = rest.split("/");
      // OVS shows nd_reserved in every nd_ext, as zero when it is not set.
      const unset = name === "nd_reserved" && Number(valueText) === 0;
      put(field, valueText!, unset ? "0" : maskText);
    }
  }
  return { type: "set", header: header as SetHeader, value, mask };
}

function maskForm(field: SetField): SetField["form"] {
  return field.form === "decimal" ? "hex" : field.form;
}

function write(to: Uint8Array, field: SetField, text: string): void {
  if (field.form === "mac") to.set(parseMac(text), field.offset);
  else if (field.form === "ipv4") to.set(parseIpv4(text), field.offset);
  else if (field.form === "ipv6") to.set(parseIpv6(text), field.offset);
  else {
    let n = Number(text);
    for (let i = field.size - 1; i >= 0; i--) {
      to[field.offset + i] = n;
      n = Math.floor(n / 256);
    }
  }
}
