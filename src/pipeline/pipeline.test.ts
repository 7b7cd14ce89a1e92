// The pipeline as the datapath uses it: drops and who decided, limits, frozen states, statistics, staleness.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Miss, Translation } from "../datapath/upcall.ts";
import { KEY_WORDS } from "../flow/flow.ts";
import { parseFlow } from "../flow/flow-text.ts";
import { O_TCP_FLAGS } from "../flow/layout.ts";
import { parseMatch } from "../flow/match.ts";
import type { FlowMod } from "./action.ts";
import { parseActions } from "./action-text.ts";
import { BLANK_FLOW_MOD } from "./flow-mod.ts";
import { Pipeline } from "./pipeline.ts";
import { PortTable } from "./port-table.ts";

function flowMod(tableId: number, match: string, actions: string, cookie = 0n): FlowMod {
  return {
    ...BLANK_FLOW_MOD,
    tableId,
    priority: 10,
    match: parseMatch(match),
    actions: parseActions(actions),
    newCookie: cookie,
  };
}

function pipelineOf(...flows: FlowMod[]): Pipeline {
  const ports = new PortTable([1, 2, 3].map((no) => ({ no, name: `p${no}` })));
  const pipeline = new Pipeline({ ports, failMode: "secure", seed: 0 });
  pipeline.applyFlows(flows, 0);
  return pipeline;
}

function miss(text: string, nowMs = 1000): Miss {
  const flow = parseFlow(text);
  flow.words.fill(0, KEY_WORDS);
  return { flow, frame: new Uint8Array(60), wireLen: 60, nowMs };
}

const outputs = (t: Translation): number[] => t.actions.flatMap((a) => (a.type === "output" ? [a.port] : []));

test("a drop names the table and cookie that decided", () => {
  const pipeline = pipelineOf(flowMod(0, "", "resubmit(,5)", 1n), flowMod(5, "arp", "drop", 7n));
  const arp = pipeline.upcall(miss("in_port=1,arp"));
  assert.deepEqual(arp.drop, { reason: "drop_action_of_pipeline", table: 5, cookie: 7n });
  assert.deepEqual(pipeline.upcall(miss("in_port=1,ip")).drop, {
    reason: "drop_action_of_pipeline",
    table: 5,
    cookie: null,
  });
});

test("a loop of resubmits drops the frame with OVS's reason, whatever was sent before", () => {
  const deep = pipelineOf(flowMod(0, "", "output:2,resubmit(,0)")).upcall(miss("in_port=1,ip"));
  assert.equal(deep.drop?.reason, "drop_action_recursion_too_deep");
  assert.deepEqual(deep.actions, []);
  const wide = pipelineOf(flowMod(0, "", "resubmit(,0),resubmit(,0)")).upcall(miss("in_port=1,ip"));
  assert.equal(wide.drop?.reason, "drop_action_recursion_too_deep");
});

test("equal states share a recirculation id, others do not", () => {
  const pipeline = pipelineOf(flowMod(0, "ip", "move:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15],ct(table=1)"));
  const id = (t: Translation): number => t.actions.flatMap((a) => (a.type === "recirc" ? [a.id] : []))[0]!;
  assert.equal(id(pipeline.upcall(miss("in_port=1,ip,nw_src=1.1.1.1"))), 1);
  assert.equal(id(pipeline.upcall(miss("in_port=1,ip,nw_src=2.2.2.2"))), 1);
  assert.equal(id(pipeline.upcall(miss("in_port=2,ip"))), 2);
  const lost = miss("in_port=1,ip,recirc_id=9");
  assert.equal(pipeline.upcall(lost).drop?.reason, "drop_action_no_recirculation_context");
  assert.equal(pipeline.revalidate(lost.flow, 0), null);
});

test("credit counts every match", () => {
  const pipeline = pipelineOf(
    flowMod(0, "", "resubmit(,1),resubmit(,1),output:2"),
    flowMod(1, "", "load:1->NXM_NX_REG0[]"),
  );
  const t = pipeline.upcall(miss("in_port=1,ip"));
  assert.deepEqual(outputs(t), [2]);
  t.owner.credit({ packets: 3, bytes: 300, usedMs: 5, tcpFlags: 0 });
  assert.deepEqual(
    [...pipeline.tables.rules()].map((r) => [r.nPackets, r.nBytes]),
    [
      [3, 300],
      [6, 600],
    ],
  );
});

test("what changed is stale once", () => {
  const pipeline = pipelineOf(flowMod(0, "", "NORMAL"));
  assert.equal(pipeline.takeStale()!.rules.length, 1);
  assert.equal(pipeline.takeStale(), null);
  const t = pipeline.upcall(miss("in_port=1,ip,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02"));
  assert.deepEqual(outputs(t), [2, 3]);
  assert.notEqual(pipeline.takeStale(), null);
  const back = pipeline.upcall(miss("in_port=2,ip,dl_src=02:00:00:00:00:02,dl_dst=02:00:00:00:00:01"));
  assert.deepEqual(outputs(back), [1]);
  pipeline.runTimers(1000 + 300_001);
  assert.equal(pipeline.macs.size, 0);
});

test("a FIN that shortens timeouts is told at once: no megaflow takes it", () => {
  const pipeline = pipelineOf(flowMod(0, "tcp", "fin_timeout(idle_timeout=1),output:2"));
  const of = (flags: string) => pipeline.upcall(miss(`in_port=1,tcp,tcp_flags=${flags}`));
  const segment = of("ack");
  assert.equal(segment.cacheable, true);
  assert.equal(segment.wildcards.get16(O_TCP_FLAGS), 0x005);
  assert.equal(of("fin|ack").cacheable, false);
  assert.equal(of("rst").cacheable, false);
});
