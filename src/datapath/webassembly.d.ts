// The part of the WebAssembly interface that the datapath uses; Node has it, its type package leaves it to the DOM's.
declare namespace WebAssembly {
  class Memory {
    constructor(descriptor: { initial: number; maximum?: number; shared?: boolean });
    readonly buffer: ArrayBuffer;
  }
  class Module {
    constructor(bytes: Uint8Array);
    static exports(module: Module): { readonly name: string; readonly kind: string }[];
  }
  class Instance {
    constructor(module: Module, imports: Record<string, Record<string, unknown>>);
    // biome-ignore lint/suspicious/noExplicitAny: an export is whatever the module says it is.
    readonly exports: Record<string, any>;
  }
}
