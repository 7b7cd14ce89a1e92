// The field table against the fields that a real switch lists in its table features: order, masks, what may be set.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { FIELDS, type Field } from "../../src/flow/field.ts";
import { ovsSkip, requireOvs } from "./ovs.ts";

test("fields, their order, masks and writability are those of the switch's table features", {
  skip: ovsSkip,
}, async () => {
  const ovs = await requireOvs();
  try {
    await ovs.addBridge("br0", { set: ["protocols=OpenFlow10,OpenFlow13,OpenFlow15"] });
    const target = `unix:${join(ovs.dir, "br0.mgmt")}`;
    const text = (await ovs.ofctl(["-O", "OpenFlow13", "dump-table-features", target])).split("table 1")[0]!;
    const listed = (what: string): string[] =>
      new RegExp(`${what}: (.*)`)
        .exec(text)![1]!
        .split(" ")
        .flatMap((item) => expand(item));
    const ours = (accept: (f: Field) => boolean): string[] =>
      FIELDS.filter((f) => f.codePoints.length > 0 && accept(f)).map((f) => f.name);
    assert.deepEqual(
      ours((f) => f.maskable),
      listed("arbitrary mask"),
    );
    assert.deepEqual(
      ours((f) => !f.maskable),
      listed("exact match or wildcard"),
    );
    assert.deepEqual(
      ours((f) => f.writable),
      listed("supported on Set-Field"),
    );
  } finally {
    await ovs.stop();
  }
});

test("every code point's number is that of its field", { skip: ovsSkip }, async () => {
  const ovs = await requireOvs();
  try {
    const input: string[] = [];
    const expected: string[] = [];
    for (const field of FIELDS) {
      for (const code of field.codePoints) {
        // NXAST_STACK_PUSH of the whole field (ovs-actions(7), push): printed with the field's first name.
        const header =
          code.class === 0xffff
            ? hex(code.class, 2) +
              hex((code.field << 9) | (field.valueSize + 4), 2) +
              hex(code.experimenter, 4)
            : hex(code.class, 2) + hex((code.field << 9) | field.valueSize, 2);
        input.push(`ffff001800002320001b0000${header}${hex(field.bits, 2)}`.padEnd(48, "0"));
        expected.push(`actions=push:${field.codePoints[0]!.name}[]`);
      }
    }
    const output = await ovs.ofctl(["parse-actions", "OpenFlow10"], { input: `${input.join("\n")}\n` });
    const lines = output.split("\n").filter((line) => line.startsWith("actions=") || line.startsWith("bad"));
    assert.deepEqual(lines, expected);
  } finally {
    await ovs.stop();
  }
});

function hex(n: number, size: number): string {
  return (n >>> 0).toString(16).padStart(2 * size, "0");
}

/** `ipv6_{src,dst}` and `reg0...reg3` as the names they stand for. */
function expand(item: string): string[] {
  const open = item.indexOf("{");
  if (open >= 0) {
    const inner: string[] = [];
    let depth = 0;
    let from = open + 1;
    for (let i = from; i < item.length; i++) {
      const c = item[i];
      if ((c === "," || c === "}") && depth === 0) {
        inner.push(item.slice(from, i));
        from = i + 1;
      } else if (c === "{") depth++;
      else if (c === "}") depth--;
    }
    return inner.flatMap(expand).map((name) => item.slice(0, open) + name);
  }
  const range = /^(\D*)(\d+)\.\.\.\D*(\d+)$/.exec(item);
  if (range === null) return [item];
  const [, name, first, last] = range;
  return Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => `${name}${Number(first) + i}`);
}
