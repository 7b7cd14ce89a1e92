// What a configuration may hold, as tables: a shape reads one value and says what it wants; a record is a table of keys with
// a shape each. A key is written in snake case in the file (`vlan_mode`) and in camel case here (`vlanMode`), so that what a
// record reads can be handed on as options.
import { MegaflowError } from "../../lib/errors.ts";
import { nearestWord } from "../../lib/nearest.ts";
import type { ConfigNode } from "./node.ts";

export interface Shape<T> {
  /** "a whole number from 0 to 4095": after "wants". */
  readonly want: string;
  /** Throws MegaflowError ECONFIG, with the place, when the value is not of this shape. */
  read(node: ConfigNode): T;
}

export type ShapeOf<S> = S extends Shape<infer T> ? T : never;

interface Field<T, R extends boolean> {
  readonly shape: Shape<T>;
  readonly required: R;
}

export const required = <T>(shape: Shape<T>): Field<T, true> => ({ shape, required: true });
export const optional = <T>(shape: Shape<T>): Field<T, false> => ({ shape, required: false });

export type Fields = Readonly<Record<string, Field<unknown, boolean>>>;

type ValueOf<F> = F extends Field<infer T, boolean> ? T : never;

/** What a record of these fields reads: an optional key that the file leaves out is left out here. */
export type RecordOf<F extends Fields> = {
  readonly [K in keyof F as F[K] extends Field<unknown, true> ? K : never]: ValueOf<F[K]>;
} & {
  readonly [K in keyof F as F[K] extends Field<unknown, true> ? never : K]?: ValueOf<F[K]>;
};

/** A shape of one value: `accept` gives undefined for what it does not take. */
export function scalar<T>(want: string, accept: (value: unknown) => T | undefined): Shape<T> {
  return {
    want,
    read: (node) => {
      const value = node.isEmpty ? undefined : accept(node.scalar);
      if (value === undefined) throw unwanted(node, want);
      return value;
    },
  };
}

export const text: Shape<string> = scalar("text", (v) => (typeof v === "string" && v !== "" ? v : undefined));

export const flag: Shape<boolean> = scalar("true or false", (v) => (typeof v === "boolean" ? v : undefined));

export function whole(min: number, max: number): Shape<number> {
  return scalar(`a whole number from ${min} to ${max}`, (v) =>
    typeof v === "number" && Number.isInteger(v) && v >= min && v <= max ? v : undefined,
  );
}

/** One of a few words. */
export function oneOf<const W extends string>(...words: readonly W[]): Shape<W> {
  const want = words.length === 1 ? words[0]! : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
  return {
    want,
    read: (node) => {
      const value = words.find((word) => word === node.scalar);
      if (value !== undefined) return value;
      const near = typeof node.scalar === "string" ? nearestWord(node.scalar, words) : null;
      throw unwanted(node, want, near);
    },
  };
}

/** With `single`, one item may stand without a list, as in OVS's database. */
export function listOf<T>(item: Shape<T>, options: { readonly single?: boolean } = {}): Shape<T[]> {
  const want = `a list, each item ${item.want}`;
  return {
    want,
    read: (node) => {
      const { items } = node;
      if (items !== null) return items.map((child) => item.read(child));
      if (options.single && node.scalar !== undefined && !node.isEmpty) return [item.read(node)];
      throw unwanted(node, want);
    },
  };
}

/** Keys of the user's choice, in the file's order. `key` turns a key into the map's, undefined when it is not wanted. */
export function mapOf<K, T>(
  wantedKey: string,
  key: (text: string) => K | undefined,
  value: Shape<T>,
): Shape<Map<K, T>> {
  const want = `keys (each ${wantedKey})`;
  return {
    want,
    read: (node) => {
      const { entries } = node;
      if (entries === null) throw unwanted(node, want);
      const result = new Map<K, T>();
      for (const entry of entries) {
        const k = key(entry.key);
        if (k === undefined)
          throw entry.keyNode.error(`${node.name} wants as a key ${wantedKey}, not "${entry.key}"`);
        result.set(k, value.read(entry.value));
      }
      return result;
    },
  };
}

/** A table of keys; `what` says in errors whose they are ("a port"). Nothing at all is a record without keys. */
export function record<const F extends Fields>(what: string, fields: F): Shape<RecordOf<F>> {
  const byKey = new Map(Object.entries(fields).map(([name, field]) => [snakeCase(name), { name, field }]));
  const want = `keys (of ${[...byKey.keys()].join(", ")})`;
  return {
    want,
    read: (node) => {
      const entries = node.isEmpty ? [] : node.entries;
      if (entries === null) throw unwanted(node, want);
      const result: Record<string, unknown> = {};
      const values = new Map<string, ConfigNode>();
      origins.set(result, { node, values });
      for (const { key, keyNode, value } of entries) {
        const known = byKey.get(key);
        if (known === undefined) throw keyNode.error(unknownKey(key, what, byKey.keys()));
        result[known.name] = known.field.shape.read(value);
        values.set(known.name, value);
      }
      for (const [key, { name, field }] of byKey) {
        if (field.required && !(name in result))
          throw node.error(`${what} wants ${key}: ${field.shape.want}`);
      }
      return result as RecordOf<F>;
    },
  };
}

const origins = new WeakMap<
  object,
  { readonly node: ConfigNode; readonly values: ReadonlyMap<string, ConfigNode> }
>();

/** An error about a record that was read, or one of its values: for what shows only beside the rest of the file. */
export function errorAt<T extends object>(read: T, key: keyof T & string, message: string): MegaflowError {
  const origin = origins.get(read);
  if (origin === undefined) return new MegaflowError("ECONFIG", message);
  return (origin.values.get(key) ?? origin.node).error(message);
}

/** The line of a value of a record that was read. */
export function lineOf<T extends object>(read: T, key: keyof T & string): number {
  const origin = origins.get(read);
  return (origin?.values.get(key) ?? origin?.node)?.place.line ?? 0;
}

function unknownKey(key: string, what: string, known: Iterable<string>): string {
  const keys = [...known];
  const near = nearestWord(key, keys);
  const help = near === null ? `there are ${keys.join(", ")}` : `did you mean "${near}"?`;
  return `unknown key "${key}" of ${what}; ${help}`;
}

function unwanted(node: ConfigNode, want: string, near: string | null = null) {
  const help = near === null ? "" : `; did you mean "${near}"?`;
  return node.error(`${node.name} wants ${want}, not ${node.describe()}${help}`);
}

/** `vlanMode` as it is written in a file. */
export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
