// What a live port is attached to: something that gives frames and takes them, without waiting, in memory that the caller owns.
//
// A sender on the same machine may leave it to its network card to cut what it sends into segments: such a frame is as long as a frame
// can be and stands for several. It goes through the bridge in one piece, its checksum right for the whole, and beside its length
// stands how many bytes of payload each segment is to have. A device that can takes it so (`segmenting`); for others it is cut here.

/** What the system says of an interface. */
export interface Link {
  /** Up, and the other end there. */
  readonly up: boolean;
  /** The longest IP packet, bytes. */
  readonly mtu: number;
}

export interface Device {
  /** As the system calls it. */
  readonly name: string;
  /** Whether it takes frames that stand for several. */
  readonly segmenting?: boolean;
  /**
   * Reads waiting frames, as many as `lengths` has room for and at most DEVICE_FRAMES_MAX: frame i lies at `offset + i * slotSize`;
   * `segments[i]`, zero before, is the payload of a segment where the frame stands for several. Gives how many. Throws
   * MegaflowError EFILE when the device is gone.
   */
  read(
    memory: Uint8Array,
    offset: number,
    slotSize: number,
    lengths: Uint32Array,
    segments: Uint32Array,
  ): number;
  /** Sends frames; gives how many the device took: the others are lost. Throws MegaflowError EFILE when the device is gone. */
  write(
    memory: Uint8Array,
    offsets: Uint32Array,
    lengths: Uint32Array,
    count: number,
    segments: Uint32Array,
  ): number;
  /** Asks after the interface; null where nothing is known of it. Throws MegaflowError EFILE when the device is gone. */
  link?(): Link | null;
  /** Calls back whenever frames wait: once is not enough when more of them wait than one read takes, it calls again. */
  onReadable(callback: () => void): void;
  close(): void;
}

/** Frames one read or write moves at most. */
export const DEVICE_FRAMES_MAX = 64;
/** In place of a segment's payload, of a frame that may stand for several, nobody knows of what size. */
export const SEGMENT_UNKNOWN = 0xffff;
