// What a live port is attached to: something that gives frames and takes them, without waiting, in memory that the caller owns.

export interface Device {
  /** As the system calls it. */
  readonly name: string;
  /**
   * Reads waiting frames, as many as `lengths` has room for and at most DEVICE_FRAMES_MAX: frame i lies at `offset + i * slotSize`.
   * Gives how many. Throws MegaflowError EFILE when the device is gone.
   */
  read(memory: Uint8Array, offset: number, slotSize: number, lengths: Uint32Array): number;
  /** Sends frames; gives how many the device took: the others are lost. Throws MegaflowError EFILE when the device is gone. */
  write(memory: Uint8Array, offsets: Uint32Array, lengths: Uint32Array, count: number): number;
  /** Calls back whenever frames wait: once is not enough when more of them wait than one read takes, it calls again. */
  onReadable(callback: () => void): void;
  close(): void;
}

/** Frames one read or write moves at most. */
export const DEVICE_FRAMES_MAX = 64;
