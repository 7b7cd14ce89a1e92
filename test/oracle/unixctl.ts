// A client of OVS's control socket (what ovs-appctl speaks): JSON-RPC 1.0 over a Unix stream socket, the objects back
// to back with nothing between them. One connection kept open answers in tens of microseconds; starting ovs-appctl
// each time takes milliseconds.
import { createConnection, type Socket } from "node:net";

interface Waiting {
  readonly method: string;
  readonly resolve: (text: string) => void;
  readonly reject: (error: Error) => void;
}

/** Splits a stream of JSON objects that stand back to back. */
export class ObjectSplitter {
  #text = "";
  #scanned = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** Adds received text; returns the objects it completes, as text. */
  push(chunk: string): string[] {
    this.#text += chunk;
    const complete: string[] = [];
    for (; this.#scanned < this.#text.length; this.#scanned++) {
      const c = this.#text[this.#scanned];
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (c === "\\") this.#escaped = true;
        else if (c === '"') this.#inString = false;
      } else if (c === '"') this.#inString = true;
      else if (c === "{") this.#depth++;
      else if (c === "}" && --this.#depth === 0) {
        complete.push(this.#text.slice(0, this.#scanned + 1));
        this.#text = this.#text.slice(this.#scanned + 1);
        this.#scanned = -1;
      }
    }
    return complete;
  }
}

/** A connection to one control socket. Calls are answered in order. */
export class Unixctl {
  readonly #socket: Socket;
  readonly #waiting: Waiting[] = [];
  readonly #splitter = new ObjectSplitter();
  #nextId = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("utf8");
    socket.on("data", (chunk) => {
      for (const text of this.#splitter.push(String(chunk))) this.#answer(text);
    });
    const fail = (error: Error) => {
      for (const w of this.#waiting.splice(0)) w.reject(new Error(`${w.method}: ${error.message}`));
    };
    socket.on("error", fail);
    socket.on("close", () => fail(new Error("the control socket was closed")));
  }

  static connect(path: string): Promise<Unixctl> {
    return new Promise((resolve, reject) => {
      const socket = createConnection(path);
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new Unixctl(socket));
      });
    });
  }

  /** Calls a method; gives its text. Rejects with OVS's own error text. */
  call(method: string, ...params: string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) return reject(new Error(`${method}: the control socket was closed`));
      this.#waiting.push({ method, resolve, reject });
      this.#socket.write(JSON.stringify({ id: this.#nextId++, method, params }));
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #answer(text: string): void {
    const reply = JSON.parse(text) as { result: string | null; error: unknown };
    const waiting = this.#waiting.shift();
    if (waiting === undefined) return;
    if (reply.error === null || reply.error === undefined) waiting.resolve(reply.result ?? "");
    else waiting.reject(new Error(String(reply.error).trimEnd()));
  }
}
