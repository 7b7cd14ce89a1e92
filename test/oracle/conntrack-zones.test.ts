// Limits and timeouts of zones, and flushing, against OVS's: after every step what is sent, ct-get-limits, the connections with
// their timeouts, and the timeout that a ct(commit) shows.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Bridge } from "../../src/bridge/bridge.ts";
import { megaflowLines } from "../../src/bridge/dump.ts";
import { parseFlowFile } from "../../src/control/openflow/flow-file.ts";
import { connections, formatConnection } from "../../src/datapath/conntrack-dump.ts";
import { ctStateText } from "../../src/datapath/conntrack-rig.ts";
import { CT_TIMEOUT_NAMES, formatLimits } from "../../src/datapath/conntrack-settings.ts";
import { icmpFrame, tcpFrame, udpFrame } from "../../src/packet/frame.ts";
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from "../../src/packet/tcp.ts";
import { PortTable } from "../../src/pipeline/port-table.ts";
import { ovsSkip, requireOvs } from "./ovs.ts";

const FLOWS = [5, 6, 7, 9, 10]
  .map(
    (zone) =>
      `table=0,ip,dl_dst=02:00:00:00:00:0${zone.toString(16)} actions=ct(table=1,zone=${zone})\n` +
      `table=1,priority=10,ct_state=+new,ct_zone=${zone},ip actions=ct(commit,table=2,zone=${zone},exec(set_field:0x${zone}->ct_mark))\n`,
  )
  .concat(
    "table=1,priority=1,ip actions=resubmit(,2)\n",
    "table=2,ip actions=move:NXM_NX_CT_STATE[0..7]->NXM_OF_ETH_SRC[0..7],output:2\n",
  )
  .join("");

const A = "10.1.1.1";
const B = "10.1.1.2";
/** All different: 101, 102, ... seconds. */
const TIMEOUTS = Object.fromEntries(CT_TIMEOUT_NAMES.map((name, i) => [name, 101 + i]));

test("zones' limits and timeouts, and flushes, do what OVS's do", { skip: ovsSkip }, async () => {
  const ovs = await requireOvs();
  try {
    await ovs.addBridge("br0", { ports: [{ no: 1 }, { no: 2 }] });
    await ovs.ofctl(["add-flows", "br0", "-"], { input: FLOWS });
    const datapath = ["--", "--id=@d", "create", "Datapath", "datapath_version=0"];
    await ovs.vsctl([...datapath, "--", "set", "Open_vSwitch", ".", "datapaths:dummy=@d"]);
    const policy = Object.entries(TIMEOUTS).map(([name, value]) => `${name}=${value}`);
    await ovs.vsctl(["add-zone-tp", "dummy", "zone=9", ...policy]);
    await ovs.stopClock();
    const bridge = new Bridge({
      ports: new PortTable([1, 2].map((no) => ({ no, name: `p${no}` }))),
      failMode: "secure",
      connectionsMax: 1000,
      megaflowsMax: 1000,
      conntrack: { zones: new Map([[9, { timeouts: TIMEOUTS }]]) },
    });
    let nowMs = 1_000_000;
    bridge.advance(nowMs);
    bridge.addFlows(parseFlowFile(FLOWS), nowMs);

    const send = async (zone: number, frame: Uint8Array) => {
      frame[5] = zone;
      const sent: string[] = [];
      bridge.datapath.stage(frame, 0, frame.length, frame.length, 1, nowMs);
      bridge.run({
        port: (_port, memory, offset) => void sent.push(ctStateText(memory[offset + 11]!)),
        userspace: () => {},
        verdict: () => {},
      });
      assert.equal(sent.length, 1);
      await ovs.receive("p1", frame);
      assert.deepEqual(
        sent,
        ovs.takeSent("p2").map((f) => ctStateText(f[11]!)),
      );
      await same(`zone ${zone}`);
    };
    const same = async (what: string) => {
      const options = { more: true, statistics: true };
      const ours = [...connections(bridge.datapath.kernel, nowMs)].map((c) => formatConnection(c, options));
      assert.deepEqual(ours.sort(), (await ovs.dumpConntrack("-m", "-s")).sort(), what);
      const limits = (await ovs.appctl("dpctl/ct-get-limits")).trim().split("\n");
      assert.deepEqual(
        formatLimits(bridge.conntrack.limits()).trim().split("\n").sort(),
        limits.sort(),
        what,
      );
    };
    const udp = (zone: number, srcPort: number, reply = false) =>
      send(
        zone,
        reply
          ? udpFrame({ src: B, dst: A, srcPort: 53, dstPort: srcPort })
          : udpFrame({ src: A, dst: B, srcPort, dstPort: 53 }),
      );
    const limit = async (zone: number | null, n: number) => {
      bridge.conntrack.setLimit(zone, n);
      await ovs.appctl("dpctl/ct-set-limits", zone === null ? `default=${n}` : `zone=${zone},limit=${n}`);
      await same(`limit ${zone} ${n}`);
    };
    const wait = async (ms: number) => {
      nowMs += ms;
      bridge.advance(nowMs);
      await ovs.warp(ms);
    };

    // Timeouts: each state of each protocol, in a zone with a policy and in one without.
    for (const zone of [9, 10]) {
      for (const reply of [false, false, true, false]) await udp(zone, 1, reply);
      const ping = { src: A, dst: B, rest: 0x10001 };
      await send(zone, icmpFrame(ping));
      await send(zone, icmpFrame({ ...ping, src: B, dst: A, type: 0 }));
      const tcp = (reply: boolean, flags: number, seq: number, ack: number) =>
        send(
          zone,
          tcpFrame({
            src: reply ? B : A,
            dst: reply ? A : B,
            srcPort: reply ? 80 : 4000,
            dstPort: reply ? 4000 : 80,
            flags,
            seq,
            ack,
          }),
        );
      await tcp(false, TCP_SYN, 100, 0);
      await tcp(true, TCP_SYN | TCP_ACK, 500, 101);
      await tcp(false, TCP_ACK, 101, 501);
      await wait(1500);
      await tcp(false, TCP_ACK | TCP_FIN, 101, 501);
      await tcp(true, TCP_ACK, 501, 102);
      await tcp(true, TCP_ACK | TCP_FIN, 501, 102);
      await tcp(false, TCP_ACK, 102, 502);
      await tcp(true, TCP_RST, 502, 0);
    }
    const commits = (lines: readonly string[]) =>
      [...lines].map((line) => /ct\(commit.*?\)/.exec(line)?.[0] ?? "").filter((text) => text !== "");
    assert.deepEqual(
      commits([...megaflowLines(bridge)]).sort(),
      commits(await ovs.dumpMegaflows()).sort(),
      "a commit shows its timeout policy",
    );

    // Limits: of what is committed from now on; one for a zone, one that the others share.
    await udp(5, 1);
    await udp(6, 1);
    await limit(null, 3);
    await limit(5, 2);
    for (const port of [1, 2, 3, 4, 4]) await udp(5, port);
    for (const port of [1, 2, 3]) await udp(6, port);
    for (const port of [1, 2, 3]) await udp(7, port);
    await limit(6, 9);
    for (const port of [6, 7]) await udp(6, port);
    await limit(5, 1);
    await udp(5, 9);
    await limit(5, 0);
    await udp(5, 9);
    bridge.conntrack.deleteLimit(5);
    await ovs.appctl("dpctl/ct-del-limits", "zone=5");
    await same("deleted");
    await udp(5, 10);
    await limit(5, 2);
    for (const port of [11, 12, 13]) await udp(5, port);

    // Flushes give the places back.
    assert.equal(
      bridge.conntrack.flush(
        { zone: 5, proto: 17, orig: { sport: 12, dport: 53, src: Uint8Array.of(10, 1, 1, 1) } },
        nowMs,
      ),
      1,
    );
    await ovs.appctl(
      "dpctl/flush-conntrack",
      "zone=5",
      "ct_nw_src=10.1.1.1,ct_nw_dst=10.1.1.2,ct_nw_proto=17,ct_tp_src=12,ct_tp_dst=53",
    );
    await same("one flushed");
    await udp(5, 14);
    await udp(5, 15);
    bridge.conntrack.flush({ zone: 6 }, nowMs);
    await ovs.appctl("dpctl/flush-conntrack", "zone=6");
    await same("a zone flushed");
    assert.ok(bridge.conntrack.flush({ mark: { value: 1, mask: 1 } }, nowMs) > 0);
    assert.equal(bridge.conntrack.flush({ mark: { value: 1, mask: 1 } }, nowMs), 0);
    bridge.conntrack.flush({}, nowMs);
    await ovs.appctl("dpctl/flush-conntrack");
    await same("all flushed");
  } finally {
    await ovs.stop();
  }
});
