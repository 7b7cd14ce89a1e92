// A configuration file's YAML as a tree whose every node knows where it stands, so that whatever is wrong with it can be
// said with file, line and column.
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import { MegaflowError, type Place } from "../../lib/errors.ts";

/** Nodes read from one file, an alias counting as what it stands for: a file that multiplies itself ends here. */
const NODES_MAX = 200_000;

/** Where the parser's own words speak of its own functions. */
const PLAIN_WORDS: Readonly<Record<string, string>> = {
  RESOURCE_EXHAUSTION: "the file is nested too deeply",
  MULTIPLE_DOCS: "the file holds more than one document",
};

interface Source {
  readonly file: string;
  readonly document: Document;
  readonly lines: LineCounter;
  count: number;
}

/** One value of the file. */
export class ConfigNode {
  /** What the value is called in errors: its key, or `item 3 of ports`. */
  readonly name: string;
  readonly #source: Source;
  readonly #node: Node | null;
  /** Where the value stands, or its key when it has none of its own; an alias is where it is used. */
  readonly #offset: number;

  private constructor(source: Source, node: Node | null, name: string, offset: number) {
    this.name = name;
    this.#source = source;
    this.#offset = node?.range?.[0] ?? offset;
    const anchored = isAlias(node) ? node.resolve(source.document) : node;
    if (isAlias(node) && anchored === undefined)
      throw this.error(`there is no anchor &${node.source} before this`);
    this.#node = anchored ?? null;
    source.count++;
    if (source.count > NODES_MAX) throw this.error(`the file has more than ${NODES_MAX} values`);
  }

  /** Throws MegaflowError ECONFIG for the first thing that is no YAML. */
  static parse(text: string, file: string): ConfigNode {
    const lines = new LineCounter();
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
    const bad = document.errors.at(0) ?? document.warnings.at(0);
    if (bad !== undefined) {
      const deep = bad.code === "RESOURCE_EXHAUSTION";
      throw new MegaflowError(
        "ECONFIG",
        PLAIN_WORDS[bad.code] ?? bad.message,
        placeAt(file, lines, deep ? 0 : bad.pos[0]),
      );
    }
    const source = { file, document, lines, count: 0 };
    return new ConfigNode(source, document.contents as Node | null, "the file", 0);
  }

  get place(): Place {
    return placeAt(this.#source.file, this.#source.lines, this.#offset);
  }

  error(message: string): MegaflowError {
    return new MegaflowError("ECONFIG", message, this.place);
  }

  /** Nothing stands after the key (or `null` or `~`). */
  get isEmpty(): boolean {
    return this.#node === null || (isScalar(this.#node) && this.#node.value === null);
  }

  /** A single value; undefined when it is a list or has keys. */
  get scalar(): unknown {
    return isScalar(this.#node) ? this.#node.value : undefined;
  }

  /** The items of a list; null when it is none. */
  get items(): ConfigNode[] | null {
    if (!isSeq(this.#node)) return null;
    return this.#node.items.map(
      (item, i) =>
        new ConfigNode(this.#source, item as Node | null, `item ${i + 1} of ${this.name}`, this.#offset),
    );
  }

  /** Keys and values; null when it is no mapping. */
  get entries(): { readonly key: string; readonly keyNode: ConfigNode; readonly value: ConfigNode }[] | null {
    if (!isMap(this.#node)) return null;
    return this.#node.items.map((pair) => {
      const keyNode = new ConfigNode(this.#source, pair.key as Node | null, "a key", this.#offset);
      const { scalar } = keyNode;
      if (typeof scalar !== "string" && typeof scalar !== "number") {
        throw keyNode.error(`a key of ${this.name} is text or a number, not ${keyNode.describe()}`);
      }
      const key = String(scalar);
      return {
        key,
        keyNode,
        value: new ConfigNode(this.#source, pair.value as Node | null, key, keyNode.#offset),
      };
    });
  }

  /** What stands there, for errors. */
  describe(): string {
    if (this.isEmpty) return "nothing";
    if (isSeq(this.#node)) return "a list";
    if (isMap(this.#node)) return "something with keys of its own";
    const { scalar } = this;
    if (typeof scalar === "string")
      return `"${scalar.length > SHOWN_MAX ? `${scalar.slice(0, SHOWN_MAX)}...` : scalar}"`;
    return String(scalar);
  }
}

const SHOWN_MAX = 40;

function placeAt(file: string, lines: LineCounter, offset: number): Place {
  const { line, col } = lines.linePos(offset);
  return { file, line: Math.max(1, line), column: Math.max(1, col) };
}
