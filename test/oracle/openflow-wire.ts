// OpenFlow on the wire, as much as the tests of text need of it: messages are bytes that ovs-ofctl has made and OVS answers.
//
// A RecordingSwitch takes what ovs-ofctl sends and says yes to all of it, so that thousands of lines are encoded by one
// process; an OpenFlowConnection then gives the messages to a real switch one by one, and finds the answer to each.
import { createConnection, createServer, type Server, type Socket } from "node:net";

const HELLO = 0;
const ECHO_REQUEST = 2;
const ECHO_REPLY = 3;
const VENDOR = 4;
const FLOW_MOD = 14;
const GROUP_MOD = 15;
const METER_MOD = 29;
const HEADER = 8;
const NX_FLOW_MOD = 13;
const NX_VENDOR = 0x2320;

export type WireVersion = 1 | 6;

/** The name of a version for ovs-ofctl's -O. */
export function versionName(version: WireVersion): string {
  return version === 1 ? "OpenFlow10" : "OpenFlow15";
}

function barrierRequest(version: number): number {
  return version === 1 ? 18 : 20;
}

export function message(
  version: number,
  type: number,
  xid: number,
  body: Uint8Array = new Uint8Array(0),
): Buffer {
  const bytes = Buffer.alloc(HEADER + body.length);
  bytes.writeUInt8(version, 0);
  bytes.writeUInt8(type, 1);
  bytes.writeUInt16BE(bytes.length, 2);
  bytes.writeUInt32BE(xid, 4);
  bytes.set(body, HEADER);
  return bytes;
}

/** Whether a message changes flows, groups or meters; the others prepare for one. */
export function isMod(bytes: Buffer): boolean {
  const type = bytes.readUInt8(1);
  if (type === VENDOR && bytes.length >= 16) {
    return bytes.readUInt32BE(8) === NX_VENDOR && bytes.readUInt32BE(12) === NX_FLOW_MOD;
  }
  return type === FLOW_MOD || type === GROUP_MOD || type === METER_MOD;
}

/** Calls `take` with every whole message that arrives. */
function onMessages(socket: Socket, take: (bytes: Buffer) => void): void {
  let waiting = Buffer.alloc(0);
  socket.on("data", (data) => {
    waiting = waiting.length === 0 ? data : Buffer.concat([waiting, data]);
    while (waiting.length >= HEADER) {
      const size = waiting.readUInt16BE(2);
      if (waiting.length < size) break;
      take(Buffer.from(waiting.subarray(0, size)));
      waiting = waiting.subarray(size);
    }
  });
  socket.on("error", () => {});
}

/** A switch that does nothing but note what it is sent; ovs-ofctl reaches it as `unix:PATH`. */
export class RecordingSwitch {
  #recorded: Buffer[][] = [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(path: string): Promise<RecordingSwitch> {
    const server = createServer();
    const sw = new RecordingSwitch(server);
    server.on("connection", (socket) => {
      const recorded: Buffer[] = [];
      sw.#recorded.push(recorded);
      onMessages(socket, (bytes) => {
        const version = bytes.readUInt8(0);
        const type = bytes.readUInt8(1);
        const xid = bytes.readUInt32BE(4);
        if (type === HELLO) socket.write(message(version, HELLO, xid));
        else if (type === ECHO_REQUEST) socket.write(message(version, ECHO_REPLY, xid));
        else if (type === barrierRequest(version)) socket.write(message(version, type + 1, xid));
        else recorded.push(bytes);
      });
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
    return sw;
  }

  /** The messages recorded since the last call, without hellos, echos and barriers. */
  take(): Buffer[] {
    return this.takeByConnection().flat();
  }

  /** The same, for each connection since the last call. */
  takeByConnection(): Buffer[][] {
    const recorded = this.#recorded;
    this.#recorded = [];
    return recorded;
  }

  close(): void {
    this.#server.close();
  }
}

/** A controller's connection to a switch. */
export class OpenFlowConnection {
  readonly version: WireVersion;
  readonly #socket: Socket;
  #xid = 0;
  #replies: Buffer[] = [];
  #done: (() => void) | null = null;
  #barrier = 0;

  private constructor(socket: Socket, version: WireVersion) {
    this.#socket = socket;
    this.version = version;
  }

  /** Connects to a switch's socket (`BRIDGE.mgmt` in its directory). */
  static open(path: string, version: WireVersion): Promise<OpenFlowConnection> {
    return new Promise((resolve, reject) => {
      const socket = createConnection(path);
      socket.once("error", reject);
      const connection = new OpenFlowConnection(socket, version);
      onMessages(socket, (bytes) => {
        const type = bytes.readUInt8(1);
        if (type === HELLO) resolve(connection);
        else connection.#receive(bytes, type);
      });
      socket.write(message(version, HELLO, 0));
    });
  }

  #receive(bytes: Buffer, type: number): void {
    const xid = bytes.readUInt32BE(4);
    if (type === ECHO_REQUEST) {
      this.#socket.write(message(this.version, ECHO_REPLY, xid));
    } else if (type === barrierRequest(this.version) + 1 && xid === this.#barrier) {
      this.#done?.();
    } else {
      this.#replies.push(bytes);
    }
  }

  /** Sends messages and gives what the switch said to them, once it has done them all. */
  async send(messages: readonly Buffer[]): Promise<Buffer[]> {
    this.#replies = [];
    const all = messages.map((bytes) => {
      bytes.writeUInt32BE(++this.#xid, 4);
      return bytes;
    });
    this.#barrier = ++this.#xid;
    const done = new Promise<void>((resolve) => {
      this.#done = resolve;
    });
    this.#socket.write(
      Buffer.concat([...all, message(this.version, barrierRequest(this.version), this.#barrier)]),
    );
    await done;
    return this.#replies;
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** OpenFlow 1.5: deletes every flow. */
export function deleteAllFlows(): Buffer {
  const body = Buffer.alloc(48);
  body.writeUInt8(0xff, 16); // table: all
  body.writeUInt8(3, 17); // delete
  body.writeUInt32BE(0xffffffff, 24); // no buffer
  body.writeUInt32BE(0xffffffff, 28); // any port
  body.writeUInt32BE(0xffffffff, 32); // any group
  body.writeUInt16BE(1, 40); // an OXM match...
  body.writeUInt16BE(4, 42); // ...of nothing
  return message(6, FLOW_MOD, 0, body);
}

/** OpenFlow 1.5: asks for every flow. */
export function dumpFlowsRequest(): Buffer {
  const body = Buffer.alloc(48);
  body.writeUInt16BE(1, 0); // OFPMP_FLOW
  body.writeUInt8(0xff, 8); // table: all
  body.writeUInt32BE(0xffffffff, 12); // any port
  body.writeUInt32BE(0xffffffff, 16); // any group
  body.writeUInt16BE(1, 40);
  body.writeUInt16BE(4, 42);
  return message(6, 18, 0, body);
}
