import assert from "node:assert/strict";
import { test } from "node:test";
import { formatFlow, parseFlow } from "./flow-text.ts";
import { O_TUN_METADATA } from "./layout.ts";
import { formatMatch, parseMatch } from "./match.ts";
import { formatPort } from "./port-text.ts";
import { fitOption, parseMappings, TlvMap } from "./tlv-map.ts";

const TEXT =
  "{class=0xffff,type=0,len=4}->tun_metadata0,{class=0xffff,type=1,len=8}->tun_metadata1,{class=0x104,type=0x80,len=16}->tun_metadata7";
const never = (): boolean => false;

test("a map is printed as ovs-ofctl prints it", () => {
  assert.equal(
    TlvMap.parse(TEXT).format(),
    " max option space=256 max fields=64\n allocated option space=28\n\n mapping table:\n" +
      "  class  type  length  match field\n ------  ----  ------  --------------\n" +
      " 0xffff     0       4  tun_metadata0\n 0xffff   0x1       8  tun_metadata1\n  0x104  0x80      16  tun_metadata7\n",
  );
});

test("what OVS refuses is refused by its names, and changes nothing", () => {
  const map = TlvMap.parse(TEXT);
  const before = map.format();
  for (const [text, message] of [
    ["{class=0xffff,type=0,len=4}->tun_metadata0", "NXTTMFC_ALREADY_MAPPED"],
    ["{class=0xffff,type=0,len=4}->tun_metadata2", "NXTTMFC_DUP_ENTRY"],
    ["{class=1,type=8,len=8}->tun_metadata8,{class=1,type=9,len=7}->tun_metadata9", "NXTTMFC_BAD_OPT_LEN"],
    ["{class=1,type=1,len=128}->tun_metadata2", "NXTTMFC_BAD_OPT_LEN"],
    ["{class=1,type=1,len=4}->tun_metadata64", "NXTTMFC_BAD_FIELD_IDX"],
    ["{class=1,type=1,len=124}->tun_metadata2,{class=1,type=2,len=124}->tun_metadata3", "NXTTMFC_TABLE_FULL"],
    ["{class=1,type=2,len=4}->reg0", "invalid tlv mapping"],
    ["{class=1,type=2}->tun_metadata4", "invalid tlv mapping"],
    ["class=1,type=2,len=4->tun_metadata4", "invalid tlv mapping"],
    ["{class=1,type=2,len=4}->tun_metadata4 {class=1,type=3,len=4}->tun_metadata5", "invalid tlv mapping"],
  ] as const) {
    assert.throws(() => map.add(parseMappings(text)), { message }, text);
    assert.equal(map.format(), before);
  }
});

test("a mapping goes unless a flow needs it, and its space is free again", () => {
  const map = TlvMap.parse(TEXT);
  const one = parseMappings("{class=0xffff,type=1,len=8}->tun_metadata1");
  assert.throws(() => map.delete(one, (field) => field.option === 1), { message: "NXTTMFC_INVALID_TLV_DEL" });
  map.delete(parseMappings("{class=0xffff,type=1,len=8}->tun_metadata2"), never);
  assert.equal(map.list.length, 3);
  map.delete(one, never);
  assert.equal(map.field(1), null);
  map.add(parseMappings("{class=7,type=1,len=8}->tun_metadata9"));
  assert.equal(map.field(9)!.offset, O_TUN_METADATA + 4);
  map.delete(map.list, never);
  assert.deepEqual(map.list, []);
});

test("a value is as long as its bits need, and of more than fits the first bytes count", () => {
  const wide = (n: bigint): Uint8Array =>
    Uint8Array.from(Buffer.from(n.toString(16).padStart(248, "0"), "hex"));
  const ones = wide((1n << 992n) - 1n);
  const fit = (value: bigint, mask: Uint8Array): string => {
    const out = fitOption(wide(value), mask, 4);
    return `${Buffer.from(out.value).toString("hex")}/${Buffer.from(out.mask).toString("hex")}`;
  };
  assert.equal(fit(0x12n, ones), "00000012/ffffffff");
  assert.equal(fit(0x12345678abn, ones), "12345678/ffffffff");
  assert.equal(fit(0n, wide(0xff0000000000n)), "00000000/ff000000");
  assert.equal(fit(3n, wide(0xffffn)), "00000003/0000ffff");
});

test("matches and flows with tunnel options read and print as OVS does", () => {
  const tlvMap = TlvMap.parse(TEXT);
  for (const [text, printed] of [
    ["tun_metadata0=1", "tun_metadata0=0x1"],
    ["tun_metadata0", "tun_metadata0"],
    ["tun_metadata0=0", "tun_metadata0=0"],
    ["tun_metadata1=0x10/0xf0", "tun_metadata1=0x10/0xf0"],
    ["tun_metadata0[0..15]=3", "tun_metadata0=0x3/0xffff"],
    ["tun_metadata7=0x1,tun_metadata0=2", "tun_metadata0=0x2,tun_metadata7=0x1"],
  ] as const) {
    assert.equal(formatMatch(parseMatch(text, undefined, tlvMap), null, formatPort, { tlvMap }), printed);
  }
  const low = parseMatch("tun_metadata0=3/0xffff", undefined, tlvMap);
  assert.equal(formatMatch(low, null, formatPort, { tlvMap, overWire: true }), "tun_metadata0=0x3");
  assert.throws(() => parseMatch("tun_metadata5=1", undefined, tlvMap), {
    message: "NXFMFC_INVALID_TLV_FIELD",
  });
  assert.throws(() => parseMatch("tun_metadata0=1,tun_metadata0=2", undefined, tlvMap), {
    message: "field tun_metadata0 set multiple times",
  });
  const flow = parseFlow("tun_dst=1.1.1.1,tun_metadata0=0x123456789a,tun_metadata9=4", undefined, tlvMap);
  assert.match(formatFlow(flow, formatPort, tlvMap), /tun_flags=0,tun_metadata0=0x3456789a,in_port=ANY/);
  const key =
    "tunnel(src=1.2.3.4,dst=1.1.1.1,geneve({class=0xffff,type=0,len=4,0x1234}{class=0x9,type=0,len=4,0x1}))," +
    "eth_type(0x0800)";
  assert.match(
    formatFlow(parseFlow(key, undefined, tlvMap), formatPort, tlvMap),
    /tun_metadata0=0x1234,nw_src/,
  );
});
