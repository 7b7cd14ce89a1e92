// encap and decap (ovs-actions(7), "Encapsulation Actions"): text in. The properties are kept in the text OVS prints.

import type { Action } from "../action.ts";
import { boundedInteger } from "./number.ts";
import { Scanner } from "./scan.ts";

/** `encap(ethernet)`, `encap(nsh[(md_type=N,tlv(CLASS,TYPE,HEX)...)])`, `encap(mpls)`, `encap(mpls_mc)` */
export function parseEncap(at: Scanner): Action {
  const pairs = new Scanner(at.value, at.valueAt);
  if (!pairs.next()) throw at.errorAtValue("Missing encap hdr: ");
  const header = pairs.key;
  if (header !== "nsh" && header !== "ethernet" && header !== "mpls" && header !== "mpls_mc") {
    throw pairs.errorAtKey(`Encap hdr not supported: ${pairs.value}`);
  }
  const properties: string[] = [];
  const inner = new Scanner(pairs.value, pairs.valueAt);
  while (inner.next()) {
    if (header !== "nsh" || (inner.key !== "md_type" && inner.key !== "tlv")) {
      throw inner.errorAtKey(`Invalid property: ${inner.key}`);
    }
    if (inner.value === "") throw inner.errorAtKey("Value missing for encap property");
    properties.push(inner.key === "tlv" ? nshTlv(inner) : nshMdType(inner));
  }
  return { type: "encap", header, properties: properties.join(",") };
}

function nshMdType(at: Scanner): string {
  const mdType = boundedInteger(at, "md_type", 0xff);
  if (mdType !== 1 && mdType !== 2) throw at.errorAtValue("invalid md_type");
  return `md_type=${mdType}`;
}

/** Longest value, in digits. */
const TLV_DIGITS_MAX = 251;
/** ovs-ofctl reads it as C's scanf does: signs and blanks before a number pass, and nobody looks at what comes after the value. */
const TLV = /^0x[ \t\r\n]*([+-]?)(?:0[xX])?([0-9a-fA-F]+),[ \t\r\n]*([+-]?\d+),0x([0-9a-fA-F]+)/;

/** `tlv(CLASS,TYPE,VALUE)`; the value in hexadecimal, two digits a byte. */
function nshTlv(at: Scanner): string {
  const m = TLV.exec(at.value);
  if (m === null) throw at.errorAtValue(`Invalid NSH TLV header: ${at.value}`);
  const magnitude = BigInt(`0x${m[2]}`);
  const cls = BigInt.asUintN(16, m[1] === "-" ? -magnitude : magnitude);
  const type = BigInt.asUintN(8, BigInt(m[3]!));
  const given = m[4]!.slice(0, TLV_DIGITS_MAX);
  const digits = given.slice(0, given.length & ~1); // half a byte is dropped
  const value = digits === "" ? "0" : `0x${digits.toLowerCase()}`;
  return `tlv(0x${cls.toString(16).padStart(4, "0")},${type},${value})`;
}

/** Highest name space of packet types: that of IPv4 options. */
const NS_MAX = 4;

/** `decap()`, `decap(packet_type(ns=N,type=N))` */
export function parseDecap(at: Scanner): Action {
  let packetType: number | null = null;
  const pairs = new Scanner(at.value, at.valueAt);
  while (pairs.next()) {
    if (pairs.key !== "packet_type") throw pairs.errorAtKey(`Invalid decap argument: ${pairs.key}`);
    let ns: number | null = null;
    let type: number | null = null;
    const inner = new Scanner(pairs.value, pairs.valueAt);
    while (inner.next()) {
      if (inner.key === "ns") {
        ns = boundedInteger(inner, "ns", 0xffff);
        if (ns > NS_MAX) throw inner.errorAtValue(`Unsupported ns value: ${ns}`);
      } else if (inner.key === "type") {
        type = boundedInteger(inner, "type", 0xffff);
      }
    }
    if (ns === null) throw pairs.errorAtValue("Missing packet_type attribute ns");
    if (type === null) throw pairs.errorAtValue("Missing packet_type attribute type");
    packetType = ((ns << 16) | type) >>> 0;
  }
  return { type: "decap", packetType };
}
