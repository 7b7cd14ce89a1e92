// The JavaScript heap under measurement: what it holds, and what its collector does meanwhile.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Collects all that is dead: buffers of what one collection found dead are given back by the next. */
export function settle(): void {
  for (let i = 0; i < 3; i++) collect();
}

/** Bytes of live and dead objects, and of the buffers they own. */
export function bytesHeld(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
