// Real Open vSwitch with its userspace datapath as a node of a lab: bridge br-phy has the cable and the node's address, br-int the tunnels.
import { ip, type Lab } from "./lab.ts";
import { ovsIn } from "./live-node.ts";
import type { Ovs } from "./oracle/ovs.ts";

/** In a namespace with one end of a cable, whose address 10.99.0.2 it takes over. To be stopped before the lab's end. */
export async function ovsNode(lab: Lab, netns: string): Promise<Ovs> {
  const { ovs } = await ovsIn(lab, netns);
  const netdev = "datapath_type=netdev";
  await ovs.vsctl(["add-br", "br-phy", "--", "set", "bridge", "br-phy", netdev]);
  await ovs.vsctl(["add-br", "br-int", "--", "set", "bridge", "br-int", netdev, "fail_mode=secure"]);
  await ovs.vsctl(["add-port", "br-phy", "under"]);
  ip("-n", netns, "addr", "flush", "dev", "under");
  ip("-n", netns, "addr", "add", "10.99.0.2/24", "dev", "br-phy");
  ip("-n", netns, "link", "set", "br-phy", "up");
  return ovs;
}
