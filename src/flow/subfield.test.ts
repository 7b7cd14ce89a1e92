import assert from "node:assert/strict";
import { test } from "node:test";
import { FIELDS, fieldByCodePoint, fieldByName, NW_TOS } from "./field.ts";
import { Flow } from "./flow.ts";
import { FLOW_SIZE } from "./layout.ts";
import { formatSubfield, maskSubfield, parseSubfield, readSubfield, writeSubfield } from "./subfield.ts";

test("every field lies inside the flow key and is found by each of its names", () => {
  for (const field of FIELDS) {
    assert.ok(field.offset + field.size <= FLOW_SIZE, field.name);
    assert.ok(field.size === 0 || field.shift + Math.min(field.bits, 8 * field.size) <= 8 * field.size);
    assert.equal(FIELDS[field.id], field);
    for (const name of [field.name, field.alias, field.nxmName, field.oxmName]) {
      if (name !== null) assert.equal(fieldByName(name), field);
    }
    for (const c of field.codePoints) assert.equal(fieldByCodePoint(c.class, c.field, c.experimenter), field);
  }
});

test("subfields are printed as OVS prints them", () => {
  for (const [text, printed] of [
    ["reg0[0..15]", "NXM_NX_REG0[0..15]"],
    ["NXM_NX_REG0[]", "NXM_NX_REG0[]"],
    ["reg1[16]", "NXM_NX_REG1[16]"],
    ["reg1", "NXM_NX_REG1[]"],
    ["xxreg3[3..3]", "NXM_NX_XXREG3[3]"],
    ["metadata[0..31]", "OXM_OF_METADATA[0..31]"],
    ["eth_dst[]", "NXM_OF_ETH_DST[]"],
    ["actset_output[]", "ONFOXM_ET_ACTSET_OUTPUT[]"],
  ] as const) {
    assert.equal(formatSubfield(parseSubfield(text)), printed);
  }
});

test("bad subfields are refused in OVS's words", () => {
  for (const [text, message] of [
    ["foo[]", "foo[]: unknown field `foo'"],
    ["reg0[", "reg0[: syntax error expecting [] or [<bit>] or [<start>..<end>]"],
    ["reg0[0x1]", "reg0[0x1]: syntax error expecting [] or [<bit>] or [<start>..<end>]"],
    ["reg0[5..3]", "reg0[5..3]: starting bit 5 is after ending bit 3"],
    ["reg0[32]", "reg0[32]: starting bit 32 is not valid because field is only 32 bits wide"],
    ["tcp_flags[0..12]", "tcp_flags[0..12]: ending bit 12 is not valid because field is only 12 bits wide"],
    ["reg0[]x", "unexpected input following field syntax"],
  ] as const) {
    assert.throws(() => parseSubfield(text), { message });
  }
});

test("writing a subfield changes its bits alone, and reading gives them back", () => {
  for (const field of FIELDS) {
    if (field.size === 0 || field.form === "of_port_oxm" || field === NW_TOS) continue;
    const kept = Math.min(field.bits, 8 * field.size - field.shift);
    for (const [ofs, bits] of [
      [0, kept],
      [0, 1],
      [kept - 1, 1],
      [kept >> 2, kept - (kept >> 2)],
      [kept >> 1, 1],
    ] as const) {
      const sf = { field, ofs, bits };
      const ones = (1n << BigInt(bits)) - 1n;
      const value = 0xfedcba9876543210a5c396f1e2d3b487n & ones;
      const flow = new Flow();
      flow.bytes.fill(0xff);
      writeSubfield(flow, sf, value);
      assert.equal(readSubfield(flow, sf), value, `${field.name}[${ofs}..+${bits}]`);
      writeSubfield(flow, sf, ones);
      assert.ok(flow.bytes.every((b) => b === 0xff));
      flow.clear();
      maskSubfield(flow, sf);
      assert.equal(readSubfield(flow, sf), ones);
    }
  }
});

test("nw_tos leaves the ECN bits alone; the 32-bit ports convert", () => {
  const flow = new Flow();
  const tos = parseSubfield("nw_tos");
  writeSubfield(flow, parseSubfield("nw_ecn"), 3n);
  writeSubfield(flow, tos, 0xabn);
  assert.equal(readSubfield(flow, tos), 0xa8n);
  assert.equal(readSubfield(flow, parseSubfield("ip_dscp")), 0x2an);
  assert.equal(readSubfield(flow, parseSubfield("nw_ecn")), 3n);
  writeSubfield(flow, parseSubfield("in_port_oxm"), 0xfffffffen);
  assert.equal(readSubfield(flow, parseSubfield("in_port")), 0xfffen);
  assert.equal(readSubfield(flow, parseSubfield("in_port_oxm")), 0xfffffffen);
});
