// A private OVS for tests of connection tracking: a bridge with the ports p1 and p2, and a clock that only the test moves.
import { type Ovs, requireOvs } from "./ovs.ts";

/** Gives it to `use`, with the flows of a file's text; it is gone afterwards. */
export async function withTwoPorts(flows: string, use: (ovs: Ovs) => Promise<void>): Promise<void> {
  const ovs = await requireOvs();
  try {
    await ovs.addBridge("br0", { ports: [{ no: 1 }, { no: 2 }] });
    await ovs.ofctl(["add-flows", "br0", "-"], { input: flows });
    await ovs.stopClock();
    await use(ovs);
  } finally {
    await ovs.stop();
  }
}
