// Files that benches read, found from the compiled place of this file (dist/bench).
import { fileURLToPath } from "node:url";

/** The flows of one node of a current Antrea. */
export const ANTREA_FLOWS = fileURLToPath(
  new URL("../../test/fixtures/antrea/antrea-v2-node1.flows", import.meta.url),
);

/** Its groups. */
export const ANTREA_GROUPS = fileURLToPath(
  new URL("../../test/fixtures/antrea/antrea-v2-node1.groups", import.meta.url),
);

/** Its meters. */
export const ANTREA_METERS = fileURLToPath(
  new URL("../../test/fixtures/antrea/antrea-v2-node1.meters", import.meta.url),
);

/** The flows of one node of Antrea v0.6 with a NetworkPolicy applied. */
export const ANTREA_V06_FLOWS = fileURLToPath(
  new URL("../../pcap-fixtures/antrea/antrea-v0.6-node1.flows", import.meta.url),
);
