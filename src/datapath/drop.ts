// Why a frame went nowhere: each reason's number is in abi.ts; here its name, OVS's own where OVS counts the same thing,
// and a sentence for people.
import {
  DROP_EXPLICIT,
  DROP_FRAGMENT,
  DROP_INVALID_PORT,
  DROP_METER,
  DROP_OUTPUT_MEMORY,
  DROP_PIPELINE,
  DROP_REASONS,
  DROP_RECIRC_DEPTH,
  DROP_RX_INVALID,
  DROP_SHARD_LOST,
  DROP_TOO_LONG,
  DROP_UPCALL,
} from "./abi.ts";

export interface DropReason {
  /** OVS's coverage counter of the same drop, or a name of that kind. */
  readonly name: string;
  readonly sentence: string;
}

const REASONS: (DropReason | undefined)[] = new Array(DROP_REASONS);
REASONS[DROP_PIPELINE] = {
  name: "drop_action_of_pipeline",
  sentence: "The flow tables send the frame nowhere.",
};
REASONS[DROP_RX_INVALID] = {
  name: "datapath_drop_rx_invalid_packet",
  sentence: "The frame is too short for an Ethernet header.",
};
REASONS[DROP_TOO_LONG] = {
  name: "datapath_drop_rx_too_long",
  sentence: "The frame is longer than 65,535 bytes.",
};
REASONS[DROP_RECIRC_DEPTH] = {
  name: "datapath_drop_recirc_error",
  sentence: "The frame was recirculated, or copied into copies, too many times.",
};
REASONS[DROP_UPCALL] = {
  name: "datapath_drop_upcall_error",
  sentence: "The pipeline gave no actions for the frame.",
};
REASONS[DROP_METER] = { name: "datapath_drop_meter", sentence: "The frame exceeds a meter's band." };
REASONS[DROP_OUTPUT_MEMORY] = {
  name: "datapath_drop_output_memory",
  sentence: "The copies of one frame exceed the output memory.",
};
REASONS[DROP_INVALID_PORT] = {
  name: "datapath_drop_invalid_port",
  sentence: "The port to send to does not exist.",
};
REASONS[DROP_FRAGMENT] = {
  name: "ct_fragment_held",
  sentence: "Connection tracking keeps the fragment until its datagram is whole; it goes on then.",
};
REASONS[DROP_EXPLICIT] = { name: "drop_action", sentence: "A datapath drop action was executed." };
REASONS[DROP_SHARD_LOST] = { name: "shard_lost", sentence: "The thread that had the frame has ended." };

/** The reason with a number of abi.ts; DROP_NONE has none. */
export function dropReason(number: number): DropReason {
  return REASONS[number] ?? { name: `drop_${number}`, sentence: "An unknown reason." };
}
