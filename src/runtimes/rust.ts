// Rust: how panics are told (library/std/src/panicking.rs default_hook) is left to the system around it; this says what its linker
// names mean, legacy (`…17h<hash>E`) and v0 (RFC 2603), and which functions are the machinery of a panic.

import type { Runtime } from '../model/unikernel.ts';
import { demangleCompiled } from './compiled-names.ts';

/** Legacy names are names of the Itanium ABI with a hash as their last part; LLVM may append another. */
const LINKER_NAME = /^_(?:R[0-9A-Za-z]|ZN.{1,16000}17h[0-9a-f]{16}E(?:\.|$))/;

/** Rust. */
export const rust: Runtime = {
  name: 'rust',
  title: 'Rust',
  recognise: { symbols: ['rust_eh_personality', 'rust_begin_unwind', '__rust_alloc'], sections: [] },
  crashes: [],
  demangle: (linkerName) => (LINKER_NAME.test(linkerName) ? demangleCompiled(linkerName) : null),
  crashMachinery: [
    /^(?:core|std)::panicking::/,
    /^std::(?:sys::backtrace|sys_common::backtrace)::__rust_end_short_backtrace/,
    /^(?:core::(?:option::(?:unwrap|expect)_failed|result::unwrap_failed|slice::index::\w*_fail)|alloc::alloc::handle_alloc_error)/,
    /^(?:rust_panic|rust_begin_unwind|__rust_start_panic)$/,
  ],
};
