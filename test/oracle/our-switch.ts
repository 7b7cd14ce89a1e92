// Our switch in this process, a frame at a time: two ports, p1 and p2, as the private OVS of a test has them.
import { Bridge } from "../../src/bridge/bridge.ts";
import { parseFlowFile } from "../../src/control/openflow/flow-file.ts";
import { connections, formatConnection } from "../../src/datapath/conntrack-dump.ts";
import { PortTable } from "../../src/pipeline/port-table.ts";

export interface Sent {
  readonly port: number;
  readonly frame: Uint8Array;
}

/** Our switch, a frame at a time. */
export class OurSwitch {
  readonly bridge: Bridge;
  nowMs = 1_000_000;

  constructor(text: string) {
    const ports = new PortTable([1, 2].map((no) => ({ no, name: `p${no}` })));
    this.bridge = new Bridge({ ports, failMode: "secure", connectionsMax: 10_000, megaflowsMax: 10_000 });
    this.bridge.advance(this.nowMs);
    this.bridge.addFlows(parseFlowFile(text), this.nowMs);
  }

  send(frame: Uint8Array, inPort: number): Sent[] {
    const sent: Sent[] = [];
    this.bridge.datapath.stage(frame, 0, frame.length, frame.length, inPort, this.nowMs);
    this.bridge.run({
      port: (port, memory, offset, length) =>
        void sent.push({ port, frame: memory.slice(offset, offset + length) }),
      userspace: () => {},
      verdict: () => {},
    });
    return sent;
  }

  /** As dpctl/dump-conntrack -m -s prints them. */
  dump(): string[] {
    this.bridge.advance(this.nowMs);
    const options = { more: true, statistics: true };
    return [...connections(this.bridge.datapath.kernel, this.nowMs)].map((c) => formatConnection(c, options));
  }
}
