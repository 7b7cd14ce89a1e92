import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConntrackFlush } from "./conntrack-flush.ts";

test("which connections end, and when", () => {
  assert.deepEqual(parseConntrackFlush("+2.5=all"), { afterNs: 2.5e9, filter: {} });
  assert.deepEqual(parseConntrackFlush("+0=zone=5"), { afterNs: 0, filter: { zone: 5 } });
  assert.deepEqual(
    parseConntrackFlush("1=zone=5,ct_mark=0x10/0xf0,ct_nw_src=10.0.0.1,ct_nw_proto=6,ct_tp_dst=80"),
    {
      afterNs: 1e9,
      filter: {
        zone: 5,
        proto: 6,
        mark: { value: 0x10, mask: 0xf0 },
        orig: { src: Uint8Array.of(10, 0, 0, 1), dport: 80 },
        isIcmp: false,
      },
    },
  );
  const { filter } = parseConntrackFlush("+1=ct_ipv6_dst=fd00::1,icmp_id=7,icmp_type=128,ct_label=0x3");
  assert.equal(filter.isIcmp, true);
  assert.deepEqual([filter.orig?.sport, filter.orig?.dport, filter.orig?.dst?.[15]], [7, 128, 1]);
  assert.deepEqual([filter.label?.value[15], filter.label?.mask?.[0]], [3, 255]);
});

test("what cannot be meant is refused", () => {
  for (const [text, why] of [
    ["all", /^--ct-flush \+SECONDS=all, or .* is wanted, not "all"$/],
    ["+x=all", /"\+x" is no time in seconds/],
    ["+1=zones=5", /there is no "zones": zone\?$/],
    ["+1=colour=5", /there is no "colour": all, or any of zone, ct_mark,/],
    ["+1=zone=65536", /zone: "65536" is no whole number up to 65535/],
    ["+1=zone=5,zone=6", /zone is given twice/],
    ["+1=ct_nw_src=fd00::1", /ct_nw_src: "fd00::1" is no IPv4 address/],
    ["+1=ct_nw_src=1.2.3.4,ct_ipv6_dst=fd00::1", /one address is IPv4 and the other IPv6/],
    ["+1=ct_nw_src=1.2.3.4,ct_ipv6_src=fd00::1", /two sources are given/],
    ["+1=ct_tp_dst=1,icmp_id=2", /has ports or ICMP fields, not both/],
    ["+1=ct_mark=x", /^--ct-flush: /],
  ] as const) {
    assert.throws(() => parseConntrackFlush(text), { code: "EARGS", message: why }, text);
  }
});
