// C++: what std::terminate says before abort() (libstdc++ libsupc++/vterminate.cc, libc++abi cxa_default_handlers.cpp), and
// linker names of the Itanium ABI.

import type { CrashGrammar, Runtime } from '../model/unikernel.ts';
import { demangleCompiled } from './compiled-names.ts';

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

/** How cpp_demangle writes what belongs to a class or a table, and how binutils does. */
const SPECIAL: readonly (readonly [RegExp, string])[] = [
  [/^\{vtable\((.+)\)\}$/, 'vtable for $1'],
  [/^\{vtt\((.+)\)\}$/i, 'VTT for $1'],
  [/^construction vtable for (.+)-in-(.+)$/, 'construction vtable for $2-in-$1'],
  [/^\{virtual override thunk\(\{offset\(-?\d+\)\}, (.+)\)\}/, 'non-virtual thunk to $1'],
  [/^\{virtual override thunk\(\{virtual offset\(-?\d+, -?\d+\)\}, (.+)\)\}/, 'virtual thunk to $1'],
];

/** Suffixes of integers in arguments of templates: `(unsigned long)8` is `8ul`. */
const SUFFIXES: Readonly<Record<string, string>> = {
  long: 'l',
  'long long': 'll',
  'unsigned int': 'u',
  'unsigned long': 'ul',
  'unsigned long long': 'ull',
};

/** `_ZN3foo3barEi` → `foo::bar(int)`, as c++filt writes it, but without the types that instances of templates return. */
function demangle(linkerName: string): string | null {
  const name = linkerName.startsWith('_Z') ? demangleCompiled(linkerName) : null;
  if (name === null) return null;
  const special = SPECIAL.reduce((text, [pattern, replacement]) => text.replace(pattern, replacement), name);
  return special
    .replace(/\(((?:unsigned )?(?:long long|long|int))\)(-?\d+)/g, (all, type: string, value: string) => {
      const suffix = SUFFIXES[type];
      return suffix === undefined ? all : value + suffix;
    })
    .replace(/\(\[abi:(\w+)\]\)/g, '[abi:$1]')
    .replace(/(^|[^\w:])_GLOBAL__N_1::/g, '$1(anonymous namespace)::');
}

/** C++. */
export const cpp: Runtime = {
  name: 'cpp',
  title: 'C++',
  recognise: { symbols: ['_ZSt9terminatev', '__cxa_throw'], sections: [] },
  crashes: [terminate, libcxx],
  demangle,
  crashMachinery: [
    /^(?:std::terminate(?:\(\))?|__cxa_throw|__cxa_rethrow|__cxa_call_terminate|abort|raise)$/,
    /^(?:__gnu_cxx::__verbose_terminate_handler|__cxxabiv1::)/,
    // The C library's own: what it does at the application's word is the application's doing.
    /^_*(?:pthread_kill(?:_implementation|_internal)?|raise|gsignal|abort|assert_fail(?:_base)?|libc_message|malloc_printerr)$/,
    /^_*(?:mem(?:set|cpy|move|cmp|chr)|str(?:n?len|n?cpy|n?cmp|n?cat|r?chr))(?:_[a-z0-9_]*)?$/,
  ],
};
