// A switch with tunnel ports of every kind, ours and OVS's; OVS's has an underlay bridge, br-u, whose port pu sends what is
// encapsulated.
import { PortTable } from "../../src/pipeline/port-table.ts";
import { type TunnelType, tunnelOptions } from "../../src/pipeline/tunnel-options.ts";
import { type Ovs, requireOvs } from "./ovs.ts";

export const TUNNELS: readonly (readonly [no: number, type: TunnelType, options: Record<string, string>])[] =
  [
    [10, "geneve", { remote_ip: "1.2.3.4", key: "5" }],
    [11, "geneve", { remote_ip: "flow", key: "flow" }],
    [
      12,
      "vxlan",
      {
        remote_ip: "1.2.3.5",
        key: "flow",
        tos: "inherit",
        ttl: "inherit",
        df_default: "false",
        csum: "true",
      },
    ],
    [13, "gre", { remote_ip: "1.2.3.6", local_ip: "1.1.1.1" }],
    [14, "gre", { remote_ip: "1.2.3.6", key: "7", csum: "true", ttl: "9", tos: "0x20" }],
    [15, "vxlan", { remote_ip: "flow", dst_port: "4790", tos: "0xb8", csum: "false" }],
    [16, "geneve", { remote_ip: "1.2.3.4", key: "flow", local_ip: "1.1.1.1", egress_pkt_mark: "9" }],
    [17, "gre", { remote_ip: "flow", in_key: "flow", out_key: "0x99", ttl: "inherit" }],
    [18, "geneve", { remote_ip: "flow", local_ip: "flow", key: "flow" }],
    [20, "gre", { remote_ip: "1.2.3.4", egress_pkt_mark: "9" }],
    [19, "geneve", { remote_ip: "1.2.3.5", key: "5", local_ip: "1.1.1.1", csum: "true" }],
  ];
/** OVS finds no route from an address of its own choice that the kernel does not know: these leave it open. */
export const SENDING = TUNNELS.filter(([, , options]) => options.local_ip === undefined);
export const PLAIN = [1, 2];
export const REMOTES = ["1.2.3.4", "1.2.3.5", "1.2.3.6", "1.2.3.7"];
export const TLV_MAP =
  "{class=0xffff,type=0,len=4}->tun_metadata0,{class=0x104,type=0x80,len=8}->tun_metadata1";

export function ourPorts(): PortTable {
  return new PortTable([
    ...PLAIN.map((no) => ({ no, name: `p${no}` })),
    ...TUNNELS.map(([no, type, options]) => ({
      no,
      name: `t${no}`,
      tunnel: tunnelOptions(`t${no}`, type, options),
    })),
  ]);
}

export async function theirSwitch(): Promise<Ovs> {
  const ovs = await requireOvsWithTunnels();
  await ovs.addBridge("br0", {
    ports: [
      ...PLAIN.map((no) => ({ no })),
      ...TUNNELS.map(([no, type, options]) => ({ no, name: `t${no}`, type, options })),
    ],
  });
  await ovs.addBridge("br-u", {
    failMode: "standalone",
    set: ["other-config:hwaddr=aa:bb:cc:00:00:01"],
    ports: [{ no: 1, name: "pu" }],
  });
  await ovs.appctl("netdev-dummy/ip4addr", "br-u", "1.1.1.1/8");
  // Routes are looked up by mark too.
  for (const mark of [0, 6, 9]) await ovs.appctl("ovs/route/add", "1.0.0.0/8", "br-u", `pkt_mark=${mark}`);
  for (const remote of REMOTES) await ovs.appctl("tnl/neigh/set", "br-u", remote, "f8:bc:12:44:34:b6");
  await ovs.ofctl(["add-tlv-map", "br0", TLV_MAP]);
  return ovs;
}

function requireOvsWithTunnels(): Promise<Ovs> {
  // `override` would put dummies in the place of tunnels too.
  return requireOvs({ args: ["--enable-dummy=system", "--disable-system"] });
}
