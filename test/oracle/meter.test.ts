// What meters a switch takes and refuses, in its own words.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMeterMod } from "../../src/control/openflow/meter-file.ts";
import { MegaflowError } from "../../src/lib/errors.ts";
import { MeterTable } from "../../src/pipeline/meter.ts";
import { ovsSkip, requireOvs } from "./ovs.ts";

const bands = (count: number) =>
  Array.from({ length: count }, (_, i) => `type=drop,rate=${10 * (i + 1)}`).join(",");

const COMMANDS = { add: "add", mod: "modify" } as const;

/** In this order: each meets what those before it left. */
const MODS: readonly (readonly [command: keyof typeof COMMANDS, text: string])[] = [
  ["add", "meter=1,pktps,bands=type=drop,rate=10"],
  ["add", "meter=1,pktps,bands=type=drop,rate=10"],
  ["add", "meter=2,kbps,burst,stats,bands=type=drop,rate=10,burst_size=20"],
  ["add", "meter=3,pktps,bands=type=dscp_remark,rate=10,prec_level=1"],
  ["mod", "meter=4,pktps,bands=type=drop,rate=10"],
  ["mod", "meter=2,pktps,bands=type=dscp_remark,rate=10,prec_level=1"],
  ["add", `meter=5,pktps,bands=${bands(8)}`],
  ["add", `meter=6,pktps,bands=${bands(9)}`],
];

test("meters are taken and refused as by Open vSwitch", { skip: ovsSkip }, async () => {
  const ovs = await requireOvs();
  const meters = new MeterTable();
  try {
    await ovs.addBridge("br0", { ports: [{ no: 1 }] });
    for (const [command, text] of MODS) {
      let theirs = "taken";
      try {
        await ovs.ofctl(["-O", "OpenFlow15", `${command}-meter`, "br0", text]);
      } catch (error) {
        theirs = /OFPMMFC_[A-Z_]+/.exec(String(error))?.[0] ?? String(error);
      }
      let ours = "taken";
      try {
        meters.apply([parseMeterMod(text, COMMANDS[command])], 0);
      } catch (error) {
        assert.ok(error instanceof MegaflowError);
        ours = error.message;
      }
      assert.equal(ours, theirs, `${command} ${text}`);
    }
  } finally {
    await ovs.stop();
  }
});
