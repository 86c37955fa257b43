// C++: what std::terminate says before abort() (libstdc++ libsupc++/vterminate.cc, libc++abi cxa_default_handlers.cpp).

import type { CrashGrammar, Runtime } from '../model/unikernel.ts';

const terminate: CrashGrammar = {
  name: 'terminate',
  source: 'libstdc++ libsupc++/vterminate.cc',
  kind: 'exception',
  start: /^terminate called (?:after throwing an instance of '(.{1,1000})'|(recursively|without an active exception))$/,
  glued: 'terminate called after throwing an instance of ',
  begin: (match, draft) => {
    draft.message = match[1] ?? match[0];
    if (match[1] === undefined) draft.kind = 'abort';
    if (match[1] === 'std::bad_alloc') draft.kind = 'out-of-memory';
  },
  lines: [
    {
      pattern: /^ {2}what\(\): {2}(.{0,2000})$/,
      read: (match, draft) => {
        draft.message += `: ${match[1] ?? ''}`;
      },
    },
  ],
  maxForeignLines: 2,
};

const libcxx: CrashGrammar = {
  name: 'libc++abi',
  source: 'libcxxabi src/cxa_default_handlers.cpp',
  kind: 'exception',
  start: /^libc\+\+abi(?:\.dylib)?: terminating (?:due to|with) uncaught exception of type (.{1,2000})$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    if (/\bbad_alloc\b/.test(draft.message)) draft.kind = 'out-of-memory';
  },
  lines: [],
  maxForeignLines: 2,
};

/** C++. Its names are demangled elsewhere (Itanium ABI): this says only how it ends. */
export const cpp: Runtime = {
  name: 'cpp',
  title: 'C++',
  recognise: { symbols: ['_ZSt9terminatev', '__cxa_throw'], sections: [] },
  crashes: [terminate, libcxx],
  demangle: () => null,
  crashMachinery: [
    /^(?:std::terminate|_ZSt9terminatev|__cxa_throw|__cxa_rethrow|__cxa_call_terminate|abort|raise)$/,
    /__verbose_terminate_handler/,
    // The C library's own: what it does at the application's word is the application's doing.
    /^_*(?:pthread_kill(?:_implementation|_internal)?|raise|gsignal|abort|assert_fail(?:_base)?|libc_message|malloc_printerr)$/,
    /^_*(?:mem(?:set|cpy|move|cmp|chr)|str(?:n?len|n?cpy|n?cmp|n?cat|r?chr))(?:_[a-z0-9_]*)?$/,
  ],
};
