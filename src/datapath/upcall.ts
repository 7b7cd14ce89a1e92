// The upcall: what the datapath asks the pipeline on a megaflow miss. The datapath knows nothing else of OpenFlow.
import type { Flow } from "../flow/flow.ts";
import type { DatapathAction } from "./action.ts";

/** What to say of a frame whose way ends here: why the pipeline sends it nowhere, if so, and which flow decided last. */
export interface DropInfo {
  /** OVS's name for the drop, e.g. `drop_action_of_pipeline`; null when the pipeline sends the frame somewhere. */
  readonly reason: string | null;
  readonly table: number;
  /** The cookie of the flow that decided, null when no flow matched. */
  readonly cookie: bigint | null;
}

/** What the datapath found: the flow's key (below O_REGS) and the frame as it stands at this point of its way. */
export interface Miss {
  readonly flow: Flow;
  /** The frame's bytes; valid during the call only. */
  readonly frame: Uint8Array;
  readonly wireLen: number;
  readonly nowMs: number;
}

/** Statistics of a megaflow since they were last pushed. `tcpFlags` is the OR of all flags seen. */
export interface FlowStats {
  readonly packets: number;
  readonly bytes: number;
  readonly usedMs: number;
  readonly tcpFlags: number;
}

/** What the pipeline keeps with a megaflow: whom its statistics belong to. */
export interface MegaflowOwner {
  /** Called with what the megaflow counted since the last call; also for the frame that missed. */
  credit(stats: FlowStats): void;
  /** Whether the translation asked this table. */
  asked(tableId: number): boolean;
  /** Whether any rule that comes or goes may concern it, asked for or not. */
  readonly dependsOnRules: boolean;
  /** Numbers of the key's words that tables were asked with other values than the frame's; null for none. */
  readonly rewritten: readonly number[] | null;
  /** Whether `other` is told of and asked for the same things, so that one may stand for both; false where that is not sure. */
  equals(other: MegaflowOwner): boolean;
  /** Equal for equal owners. */
  hash(): number;
}

/** The answer: actions, and the bits of the key they depend on (DESIGN D4). */
export interface Translation {
  readonly actions: readonly DatapathAction[];
  /** The mask: a set bit was looked at. Datapath blocks only (below KEY_SIZE). Valid until the pipeline is asked again. */
  readonly wildcards: Flow;
  readonly owner: MegaflowOwner;
  /** Names of facts outside the tables that it read, such as a learned MAC: revalidate() finds megaflows by them. Null for none. */
  readonly dependencies: readonly string[] | null;
  /** For the verdict on a frame that ends here; a meter may drop one that the pipeline would send on. Null for no words. */
  readonly drop: DropInfo | null;
  /** False: valid for this frame alone (a side effect per frame), so nothing is installed. */
  readonly cacheable: boolean;
}

/** Implemented by the pipeline, called by the datapath. Never throws for any frame. */
export interface UpcallHandler {
  upcall(miss: Miss): Translation;
}
