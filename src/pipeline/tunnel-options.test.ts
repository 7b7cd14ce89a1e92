import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFlow } from "../flow/flow-text.ts";
import { PortTable } from "./port-table.ts";
import { tunnelOptions } from "./tunnel-options.ts";
import { checkTunnelPorts, TunnelPorts } from "./tunnel-ports.ts";

test("a tunnel port has OVS's defaults", () => {
  assert.deepEqual(tunnelOptions("t", "geneve", { remote_ip: "10.0.0.2" }), {
    type: "geneve",
    remoteIp: Uint8Array.of(10, 0, 0, 2),
    localIp: null,
    inKey: null,
    outKey: null,
    dstPort: 6081,
    tos: 0,
    ttl: 64,
    dfDefault: true,
    csum: false,
    egressPktMark: null,
  });
  const all = tunnelOptions("t", "vxlan", {
    remote_ip: "flow",
    local_ip: "flow",
    key: "flow",
    out_key: 7,
    dst_port: 8472,
    tos: "inherit",
    ttl: 9,
    df_default: false,
    csum: true,
    egress_pkt_mark: "0x10",
  });
  assert.equal(all.remoteIp, "flow");
  assert.equal(all.localIp, "flow");
  assert.equal(all.inKey, "flow");
  assert.equal(all.outKey, 7n);
  assert.deepEqual([all.dstPort, all.tos, all.ttl, all.egressPktMark], [8472, "inherit", 9, 16]);
  assert.deepEqual([all.dfDefault, all.csum], [false, true]);
  assert.equal(tunnelOptions("t", "gre", { remote_ip: "1.2.3.4", key: "none" }).outKey, null);
  assert.equal((tunnelOptions("t", "gre", { remote_ip: "fc00::1" }).remoteIp as Uint8Array).length, 16);
});

test("bad options are refused with the port's name and theirs", () => {
  for (const [options, message] of [
    [{}, "t: geneve type requires valid 'remote_ip' argument"],
    [{ remote_ip: "nowhere" }, "t: bad geneve 'remote_ip' nowhere"],
    [{ remote_ip: "0.0.0.0" }, "t: bad geneve 'remote_ip' 0.0.0.0"],
    [
      { remote_ip: "1.2.3.4", local_ip: "flow" },
      "t: geneve type requires 'remote_ip=flow' with 'local_ip=flow'",
    ],
    [
      { remote_ip: "1.2.3.4", local_ip: "fc00::1" },
      "t: 'remote_ip' and 'local_ip' have to be of the same address family",
    ],
    [{ remote_ip: "1.2.3.4", key: "x" }, 't: in_key is a number, flow or none, not "x"'],
    [{ remote_ip: "1.2.3.4", key: "0x1000000" }, "t: in_key 0x1000000 has more than 24 bits"],
    [{ remote_ip: "1.2.3.4", ttl: 256 }, 't: ttl is a number of at most 255, not "256"'],
    [
      { remote_ip: "1.2.3.4", tos: 3 },
      "t: tos is a DSCP in the upper six bits, not 3: ECN is the inner header's",
    ],
    [{ remote_ip: "1.2.3.4", csum: "yes" }, 't: csum is true or false, not "yes"'],
    [{ remote_ip: "1.2.3.4", packet_type: "ptap" }, "t: packet_type ptap is not supported"],
    [{ remote_ip: "1.2.3.4", exts: "gbp" }, 't: unknown geneve option "exts"'],
  ] as const) {
    assert.throws(() => tunnelOptions("t", "geneve", options), { code: "ECONFIG", message });
  }
});

test("two ports that would take the same frames are refused", () => {
  const tunnel = tunnelOptions("a", "gre", { remote_ip: "1.2.3.4", out_key: 5 });
  const other = tunnelOptions("b", "gre", { remote_ip: "1.2.3.4", key: 0 });
  assert.throws(
    () =>
      checkTunnelPorts([
        { name: "a", tunnel },
        { name: "b", tunnel: other },
      ]),
    { message: "b: a tunnel with the same configuration as port 'a'" },
  );
  checkTunnelPorts([{ name: "a", tunnel }, { name: "c" }]);
});

test("the most exact port takes a frame", () => {
  const ports = new PortTable();
  const tunnels = new TunnelPorts(ports);
  const flow = parseFlow("tun_id=5,tun_src=1.2.3.4,tun_dst=1.1.1.1");
  const receive = (): number | null => tunnels.receive("geneve", 6081, flow)?.no ?? null;
  assert.equal(receive(), null);
  for (const [no, options, found] of [
    [1, { remote_ip: "flow", key: "flow", local_ip: "flow" }, 1],
    [2, { remote_ip: "flow", key: "flow" }, 2],
    [3, { remote_ip: "1.2.3.4", key: "flow" }, 3],
    [4, { remote_ip: "flow", key: 5 }, 4],
    [5, { remote_ip: "1.2.3.4", key: 5 }, 5],
    [6, { remote_ip: "1.2.3.4", key: 5, local_ip: "1.1.1.1" }, 6],
    [7, { remote_ip: "1.2.3.4", key: 5, local_ip: "1.1.1.2" }, 6],
  ] as const) {
    ports.add({ no, name: `t${no}`, tunnel: tunnelOptions("t", "geneve", options) });
    assert.equal(receive(), found);
  }
  assert.equal(tunnels.receive("vxlan", 4789, flow), null);
  assert.equal(tunnels.receive("geneve", 6082, flow), null);
  ports.remove(6);
  assert.equal(receive(), 5);
});
