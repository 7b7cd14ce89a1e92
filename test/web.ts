// nginx in a namespace of a lab, serving a folder of random files, and their digests.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomFillSync } from "node:crypto";
import { chmodSync, closeSync, mkdirSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Lab, within } from "./lab.ts";

const TRIES = 200;

export class Web {
  readonly #root: string;
  readonly #nginx: ChildProcess;

  private constructor(root: string, nginx: ChildProcess) {
    this.#root = root;
    this.#nginx = nginx;
  }

  /** Listens on port 80 of every address. */
  static async start(lab: Lab, netns: string): Promise<Web> {
    const root = join(lab.dir, `web-${netns}`);
    mkdirSync(join(root, "logs"), { recursive: true });
    for (const path of [lab.dir, root]) chmodSync(path, 0o755); // its workers are nobody
    writeFileSync(join(root, "index.html"), `${netns}\n`);
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
      .map((name) => `${name}_temp_path ${root}/${name};`)
      .join(" ");
    writeFileSync(
      join(root, "nginx.conf"),
      `daemon off; pid ${root}/pid; error_log ${root}/logs/error.log; worker_processes 1; events {}
http { access_log off; sendfile on; server_tokens off; ${temporary} server { listen 80; root ${root}; } }\n`,
    );
    const options = ["-p", root, "-e", `${root}/logs/error.log`, "-c", `${root}/nginx.conf`];
    const nginx = spawn("ip", ["netns", "exec", netns, "nginx", ...options], { stdio: "ignore" });
    const web = new Web(root, nginx);
    for (let i = 0; i < TRIES; i++) {
      if (within(netns, "curl", "-s", "-o", "/dev/null", "http://127.0.0.1/").status === 0) return web;
      await sleep(20);
    }
    await web.stop();
    assert.fail("no HTTP server");
  }

  /** Makes a file; gives its path. */
  write(name: string, text: string): string {
    const path = join(this.#root, name);
    writeFileSync(path, text);
    return path;
  }

  /** Makes a file of random bytes; gives its SHA-256. */
  file(name: string, size: number): string {
    const hash = createHash("sha256");
    const piece = Buffer.alloc(1 << 20);
    const fd = openSync(join(this.#root, name), "w");
    for (let left = size; left > 0; left -= piece.length) {
      const data = randomFillSync(piece).subarray(0, Math.min(left, piece.length));
      hash.update(data);
      writeSync(fd, data);
    }
    closeSync(fd);
    return hash.digest("hex");
  }

  async stop(): Promise<void> {
    if (this.#nginx.exitCode !== null) return;
    const gone = new Promise((resolve) => this.#nginx.once("exit", resolve));
    this.#nginx.kill("SIGTERM");
    await gone;
  }
}

/** A transfer by curl under way. */
export class Fetch {
  /** Bytes that have come. */
  size = 0;
  /** Resolves with the SHA-256 of all that came, rejects when curl fails. */
  readonly done: Promise<string>;

  /** `rate` in bytes a second, as a limit. */
  constructor(netns: string, url: string, rate?: number) {
    const limit = rate === undefined ? [] : ["--limit-rate", String(rate)];
    const curl = spawn("ip", ["netns", "exec", netns, "curl", "-sS", ...limit, url], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const hash = createHash("sha256");
    let complaints = "";
    curl.stdout.on("data", (data: Buffer) => {
      this.size += data.length;
      hash.update(data);
    });
    curl.stderr.on("data", (data: Buffer) => (complaints += data.toString()));
    this.done = new Promise((resolve, reject) => {
      curl.once("close", (status) =>
        status === 0 ? resolve(hash.digest("hex")) : reject(new Error(`curl: ${status} ${complaints}`)),
      );
    });
    this.done.catch(() => {});
  }

  /** Resolves when so many bytes have come. */
  async until(size: number): Promise<void> {
    while (this.size < size) {
      await Promise.race([sleep(20), this.done]);
    }
  }
}
