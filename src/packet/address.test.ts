import assert from "node:assert/strict";
import test from "node:test";
import { formatIpv4, formatIpv6, formatMac, parseIp, parseIpv4, parseIpv6, parseMac } from "./address.ts";
import { bytesToHex } from "./bytes.ts";

test("addresses go to text and back", () => {
  assert.equal(formatMac(parseMac("0e:5A:10:60:01:5")), "0e:5a:10:60:01:05");
  assert.equal(formatIpv4(parseIpv4("100.96.1.255")), "100.96.1.255");
  for (const text of [
    "::",
    "::1",
    "1::",
    "2001:db8::2:0:0:1",
    "1:2:3:4:5:6:7:8",
    "fe80::1:0:0:2",
    "0:1::",
    "1:0:1:1:1:1:1:1",
  ]) {
    assert.equal(formatIpv6(parseIpv6(text)), text);
  }
});

test("IPv6 text as inet_ntop writes it", () => {
  const pairs = [
    ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["0:0:0:0:0:ffff:10.0.0.1", "::ffff:10.0.0.1"],
    ["::ffff:a00:1", "::ffff:10.0.0.1"],
    ["::1.2.3.4", "::1.2.3.4"],
    ["::5:1.2.3.4", "::5:102:304"],
    ["64:ff9b::10.0.0.1", "64:ff9b::a00:1"],
  ];
  for (const [text, canonical] of pairs) assert.equal(formatIpv6(parseIpv6(text!)), canonical);
});

test("either family by its form", () => {
  assert.equal(bytesToHex(parseIp("1.2.3.4")), "01020304");
  assert.equal(parseIp("::").length, 16);
});

test("malformed addresses", () => {
  for (const text of ["1.2.3", "1.2.3.256", "1.2.3.4.5", "a.b.c.d", ""])
    assert.throws(() => parseIpv4(text), RangeError);
  for (const text of [
    "1",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1::2::3",
    "::g",
    "::12345",
    "1:2:3:4:5:6:7::8",
    ":1",
    "1.2.3.4::",
  ]) {
    assert.throws(() => parseIpv6(text), RangeError, text);
  }
  for (const text of ["1:2:3:4:5", "1:2:3:4:5:6:7", "001:2:3:4:5:6", "g:2:3:4:5:6"])
    assert.throws(() => parseMac(text), RangeError);
});
