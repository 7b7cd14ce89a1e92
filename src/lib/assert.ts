/** A broken invariant: a bug of ours, never a property of the input. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/** Throws when `condition` is false. `what` names the thing that must hold. */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new AssertionError(what);
}

/** For the default of a switch over a union: the compiler proves that it is not reached. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`);
}
