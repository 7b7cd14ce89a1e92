import assert from "node:assert/strict";
import { test } from "node:test";
import { conntrackSettings } from "./conntrack-options.ts";

const read = (ctLimit: string[], ctTimeout: string[] = []) => conntrackSettings({ ctLimit, ctTimeout });

test("limits and timeouts of zones are read as OVS's commands take them", () => {
  assert.deepEqual(
    read(
      ["default=10", "zone=5,limit=100"],
      ["zone=5,tcp_established=60,udp_single=5", "zone=65535,icmp_first=0"],
    ),
    {
      defaultLimit: 10,
      zones: new Map([
        [5, { limit: 100, timeouts: { tcp_established: 60, udp_single: 5 } }],
        [65535, { timeouts: { icmp_first: 0 } }],
      ]),
    },
  );
});

test("the most connections that there may be: of the option, else of the configuration", () => {
  const none = { ctLimit: [], ctTimeout: [] };
  assert.equal(conntrackSettings({ ...none, ctMax: "5" }, { max: 7 }).max, 5);
  assert.equal(conntrackSettings(none, { max: 7 }).max, 7);
  assert.equal(conntrackSettings(none).max, undefined);
  for (const ctMax of ["0", "x", "-1", "10000001"])
    assert.throws(() => conntrackSettings({ ...none, ctMax }), { code: "EARGS" });
});

test("they replace what the configuration says of the same zone, and leave the rest", () => {
  const base = { defaultLimit: 1, zones: new Map([[5, { limit: 2, timeouts: { udp_first: 3 } }]]) };
  assert.deepEqual(conntrackSettings({ ctLimit: ["zone=5,limit=4"], ctTimeout: [] }, base), {
    defaultLimit: 1,
    zones: new Map([[5, { limit: 4, timeouts: { udp_first: 3 } }]]),
  });
});

test("what is wrong is said", () => {
  const cases: [string[], string[], RegExp][] = [
    [["5"], [], /--ct-limit zone=ZONE,limit=N, or default=N is wanted, not "5"/],
    [["zone=5"], [], /is wanted, not "zone=5"/],
    [["limit=5,zone=1"], [], /is wanted/],
    [["zone=65536,limit=1"], [], /"65536" is no whole number up to 65535/],
    [["zone=5,limit=-1"], [], /"-1" is no whole number/],
    [["zone=5,limit=4294967296"], [], /no whole number up to 4294967295/],
    [["zone=5,limit=1", "zone=5,limit=2"], [], /zone=5 is given twice/],
    [["default=1", "default=2"], [], /default is given twice/],
    [[], ["tcp_close=1"], /--ct-timeout zone=ZONE,NAME=SECONDS is wanted/],
    [[], ["zone=5"], /is wanted/],
    [[], ["zone=5,tcp_estab=1"], /there is no timeout "tcp_estab"/],
    [[], ["zone=5,tcp_establishd=1"], /tcp_established\?/],
    [[], ["zone=5,udp_first=x"], /"x" is no whole number/],
    [[], ["zone=5,udp_first=1,udp_first=2"], /udp_first is given twice/],
  ];
  for (const [limits, timeouts, error] of cases) {
    assert.throws(() => read(limits, timeouts), error, JSON.stringify([limits, timeouts]));
  }
});
