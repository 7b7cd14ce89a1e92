import assert from "node:assert/strict";
import { test } from "node:test";
import { MegaflowError } from "../../lib/errors.ts";
import { formatActions } from "../../pipeline/action-text.ts";
import { parseFlowFile, readFlowFile } from "./flow-file.ts";

/** The error that a flow file's text gives, as `line:column: message`. */
function errorOf(text: string): string {
  try {
    parseFlowFile(text);
  } catch (error) {
    assert(error instanceof MegaflowError);
    assert.equal(error.code, "ETEXT");
    return error.describe();
  }
  return "no error";
}

test("the Antrea pipelines load", () => {
  const count = (file: string): number => readFlowFile(file).length;
  assert.equal(count("pcap-fixtures/antrea/antrea-v0.6-node1.flows"), 63);
  assert.equal(count("pcap-fixtures/antrea/antrea-v0.6-node1-before-policy.flows"), 57);
  assert.equal(count("pcap-fixtures/antrea/antrea-v0.6-node1-policy-only.flows"), 6);
  assert.equal(count("test/fixtures/antrea/antrea-v2-node1.flows"), 136);
});

test("a line's parts land in their places", () => {
  const text =
    "# a comment\r\n\ncookie=0x5,table=7,priority=9 send_flow_rem,reset_counts,idle_timeout=3,importance=4,tcp actions=output:1 # x\r\n";
  const [mod, ...more] = parseFlowFile(text);
  assert.equal(more.length, 0);
  assert(mod !== undefined);
  assert.equal(mod.command, "add");
  assert.equal(mod.newCookie, 5n);
  assert.equal(mod.tableId, 7);
  assert.equal(mod.priority, 9);
  assert.equal(mod.idleTimeout, 3);
  assert.equal(mod.importance, 4);
  assert.equal(mod.sendFlowRem, true);
  assert.equal(mod.resetCounts, true);
  assert.equal(mod.checkOverlap, false);
  assert.equal(formatActions(mod.actions), "output:1");
});

test("commands begin lines and may be cut short", () => {
  const mods = parseFlowFile(
    "delete table=5\ndel cookie=5/-1\nmodify_strict priority=3,ip,actions=drop\nip,actions=drop\nmodify cookie=1,actions=drop",
  );
  assert.deepEqual(
    mods.map((m) => [m.command, m.tableId, m.newCookie, m.cookieMask]),
    [
      ["delete", 5, null, 0n],
      ["delete", 255, null, 0xffffffffffffffffn],
      ["modify_strict", 0, null, 0n],
      ["add", 0, 0n, 0n],
      ["modify", 0, 1n, 0n],
    ],
  );
});

test("a line that holds a carriage return alone is not blank, and a zero byte ends a line", () => {
  assert.equal(errorOf("ip,actions=drop\r\n\r\n"), "2:1: must specify an action");
  assert.equal(errorOf("ip,actions=drop\0foo\nreg0=1,actions=drop"), "no error");
  assert.equal(errorOf("ip,act\0ions=drop"), "1:1: must specify an action");
});

test("a backslash at the end is an action that nobody knows", () => {
  assert.equal(errorOf("actions=drop \\\n"), "1:14: unknown action \\");
});

test("errors are OVS's, with line and column", () => {
  assert.equal(errorOf("\n\n# c\nfoo"), "4:1: must specify an action");
  assert.equal(errorOf("table=0 foo=1 actions=drop"), "1:9: unknown keyword foo");
  assert.equal(errorOf("foo,actions=drop"), "1:1: field foo missing value");
  assert.equal(errorOf("table=256,actions=drop"), '1:7: unknown table "256"');
  assert.equal(errorOf("priority=70000,actions=drop"), '1:10: invalid priority "70000"');
  assert.equal(errorOf("ip,nw_src=foo,actions=drop"), "1:11: foo: invalid IP address");
  assert.equal(errorOf("cookie=5/5,actions=drop"), "1:8: flow additions cannot use a cookie mask");
  assert.equal(
    errorOf("delete cookie=5"),
    "1:15: cannot set cookie (to match on a cookie, specify a mask, e.g. cookie=5/-1)",
  );
  assert.equal(errorOf("delete priority=5"), "1:8: unknown keyword priority");
  assert.equal(errorOf("delete out_port=foo"), "1:17: foo is not a valid OpenFlow port");
  // OVS takes these when it runs its own tests (--enable-dummy).
  assert.equal(errorOf("actions=output:1,debug_recirc"), "1:1: OFPBAC_BAD_VENDOR_TYPE");
  assert.equal(errorOf("actions=clone(debug_slow)"), "1:1: OFPBAC_BAD_VENDOR_TYPE");
  assert.equal(
    errorOf("actions=ct(exec(debug_slow))"),
    "1:17: ct action doesn't support nested action debug_slow",
  );
  assert.equal(errorOf("ip,actions=output:1,foo:2"), "1:21: unknown action foo");
  assert.equal(
    errorOf("table=3,actions=goto_table:2"),
    "1:17: actions are invalid with specified match (OFPBIC_BAD_TABLE_ID)",
  );
});

test("ports and tables may have names", () => {
  const names = {
    portByName: (name: string) => (name === "eth0" ? 7 : undefined),
    tableByName: (name: string) => (name === "Output" ? 110 : undefined),
  };
  const [mod] = parseFlowFile(
    'table=Output,in_port=eth0,actions=eth0,output:"eth0",resubmit(,Output)',
    "f",
    names,
  );
  assert.equal(mod?.tableId, 110);
  assert.equal(formatActions(mod?.actions ?? []), "output:7,output:7,resubmit(,110)");
});
