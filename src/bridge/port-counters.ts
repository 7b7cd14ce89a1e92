// What the ports of a bridge at work have moved.

/** What a port has moved. */
export interface PortCounters {
  readonly no: number;
  readonly name: string;
  attached: boolean;
  rxFrames: number;
  rxBytes: number;
  txFrames: number;
  txBytes: number;
  /** Not sent: the device was gone, or its queue full, or the frame too long. */
  txDropped: number;
  /** Of these, longer than the interface takes. */
  txTooLong: number;
  /** What the system says of the interface: it is up. */
  up: boolean;
}

/** Those of a port that has moved nothing yet. */
export function newCounters(no: number, name: string): PortCounters {
  return {
    no,
    name,
    attached: false,
    rxFrames: 0,
    rxBytes: 0,
    txFrames: 0,
    txBytes: 0,
    txDropped: 0,
    txTooLong: 0,
    up: false,
  };
}
