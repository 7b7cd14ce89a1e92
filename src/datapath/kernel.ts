// Loads the kernel: one WebAssembly instance over one linear memory. datapath/datapath.ts gives it meaning.
import { readFileSync } from "node:fs";
import { AssertionError } from "../lib/assert.ts";

/** What the kernel calls back for. Pointers are byte addresses in `memory`. */
export interface KernelImports {
  /** A megaflow miss for the frame in PKT with the flow key in KEY: a megaflow id, or UPCALL_DROP. */
  upcall(): number;
  /** The output descriptors or the output arena are full: take them all before returning. */
  flush(): void;
}

export interface Kernel {
  readonly memory: WebAssembly.Memory;
  // biome-ignore lint/suspicious/noExplicitAny: a WebAssembly export is untyped by nature; datapath.ts types each call.
  readonly exports: Record<string, any>;
  /** Views of `memory`; it never grows after the start, so they stay valid. */
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly view: DataView;
  /** True when it was in another thread that has failed: its memory is there, its exports throw. */
  readonly isLost?: boolean;
}

const PAGE = 65536;
let compiled: WebAssembly.Module | undefined;
let compiledShared: WebAssembly.Module | undefined;

/** Starts a kernel over `byteLength` bytes of memory; what `loadKernel` does, in another thread maybe. */
export type KernelLoader = (byteLength: number, imports: KernelImports) => Kernel;

/** The compiled kernel module, read and compiled once a process. */
export function kernelModule(): WebAssembly.Module {
  compiled ??= new WebAssembly.Module(readFileSync(new URL("../kernel/kernel.wasm", import.meta.url)));
  return compiled;
}

/** The same for memories that threads share. */
export function sharedKernelModule(): WebAssembly.Module {
  const file = new URL("../kernel/kernel.shared.wasm", import.meta.url);
  compiledShared ??= new WebAssembly.Module(readFileSync(file));
  return compiledShared;
}

/** A memory that threads share, of `byteLength` bytes (rounded up to whole pages). */
export function sharedMemory(byteLength: number): WebAssembly.Memory {
  const pages = Math.ceil(byteLength / PAGE);
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
}

/** Instantiates a kernel over `byteLength` bytes of memory (rounded up to whole pages). */
export function loadKernel(byteLength: number, imports: KernelImports): Kernel {
  const pages = Math.ceil(byteLength / PAGE);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  return instantiateKernel(kernelModule(), memory, imports);
}

/** Instantiates a kernel over a memory; the module says whether that must be a shared one. */
export function instantiateKernel(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  imports: KernelImports,
): Kernel {
  const abort = (): never => {
    throw new AssertionError("the kernel aborted");
  };
  // asc names an import's module after the file that declares it.
  const { upcall, flush } = imports;
  const modules = { env: { memory, abort }, execute: { upcall }, output: { flush } };
  const instance = new WebAssembly.Instance(module, modules);
  return {
    memory,
    exports: instance.exports,
    bytes: new Uint8Array(memory.buffer),
    words: new Uint32Array(memory.buffer),
    view: new DataView(memory.buffer),
  };
}
