// Datapath actions compared by what they do to the frames of one megaflow.
import type { DatapathAction } from "../../../src/datapath/action.ts";
import type { Flow } from "../../../src/flow/flow.ts";
import { KEY_SIZE, O_MPLS_LSE0 } from "../../../src/flow/layout.ts";

type Actions = readonly DatapathAction[];

/** Whether two lists are the same, bit for bit. Quick, and never wrong when it says yes. */
export function sameActions(a: Actions, b: Actions): boolean {
  return sameValue(a, b);
}

function sameValue(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (ArrayBuffer.isView(a)) return sameItems(a as Uint8Array, b as Uint8Array);
  const x = a as Record<string, unknown>;
  const y = b as Record<string, unknown>;
  let keys = 0;
  for (const key in x) {
    keys++;
    if (!sameValue(x[key], y[key])) return false;
  }
  for (const _ in y) keys--;
  return keys === 0;
}

function sameItems(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** What is known of a frame's bits on its way through the actions. */
interface Known {
  readonly mask: Uint8Array;
  readonly value: Uint8Array;
}

/**
 * The actions as text, for frames that match `key` in the bits of `mask`: a `set` is told without the bits that it sets to what they
 * are known to be.
 */
export function meaning(actions: Actions, key: Flow, mask: Flow): string {
  const known = { mask: mask.bytes.slice(0, KEY_SIZE), value: key.bytes.slice(0, KEY_SIZE) };
  return tell(actions, known);
}

function tell(actions: Actions, known: Known): string {
  const copy = () => ({ mask: known.mask.slice(), value: known.value.slice() });
  const out: string[] = [];
  for (const action of actions) {
    switch (action.type) {
      case "set": {
        const bits: string[] = [];
        for (let i = 0; i < KEY_SIZE; i++) {
          const set = action.mask[i]!;
          if (set === 0) continue;
          const value = action.value[i]! & set;
          const idle = known.mask[i]! & ~(known.value[i]! ^ value) & set;
          if (idle !== set) bits.push(`${i}:${value & ~idle}/${set & ~idle}`);
          known.mask[i]! |= set;
          known.value[i] = (known.value[i]! & ~set) | value;
        }
        if (bits.length > 0) out.push(`set(${action.header},${bits.join(",")})`);
        break;
      }
      case "clone":
      case "sample":
        out.push(`${action.type}(${tell(action.actions, copy())})`);
        break;
      case "check_pkt_len":
        out.push(
          `check_pkt_len(${action.length},${tell(action.greater, copy())},${tell(action.lessEqual, copy())})`,
        );
        break;
      case "push_mpls":
      case "pop_mpls":
        known.mask.fill(0, O_MPLS_LSE0, O_MPLS_LSE0 + 12);
        out.push(plain(action));
        break;
      case "ct":
        if (action.nat !== null) known.mask.fill(0);
        out.push(plain(action));
        break;
      case "add_mpls":
      case "push_eth":
      case "pop_eth":
      case "push_nsh":
      case "pop_nsh":
        known.mask.fill(0);
        out.push(plain(action));
        break;
      default:
        out.push(plain(action));
    }
  }
  return out.join();
}

function plain(action: DatapathAction): string {
  return JSON.stringify(action, (_, value: unknown) => {
    if (typeof value === "bigint") return `${value}`;
    return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value;
  });
}
