// The part of the WebAssembly JavaScript interface (W3C, "WebAssembly JavaScript Interface") that is used here: the types of Node leave
// it to those of browsers, which this project does without.

declare namespace WebAssembly {
  interface Module {
    readonly [Symbol.toStringTag]: string;
  }
  interface Instance {
    readonly exports: Readonly<Record<string, unknown>>;
  }
  interface Memory {
    readonly buffer: ArrayBuffer;
  }
  const Module: new (bytes: Uint8Array<ArrayBuffer>) => Module;
  const Instance: new (module: Module, imports: Readonly<Record<string, Readonly<Record<string, () => void>>>>) => Instance;
  class RuntimeError extends Error {}
}
