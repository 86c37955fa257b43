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
    { pattern: /^terminate called recursively$/ },
    {
      pattern: /^ {2}what\(\): {2}(.{0,2000})$/,
      read: (match, draft) => {
        draft.message += `: ${match[1] ?? ''}`;
      },
    },
  ],
  maxForeignLines: 2,
};

/** Then std::terminate() speaks; libc++abi's has its own prefix. */
const pureVirtual: CrashGrammar = {
  name: 'pure-virtual',
  source: 'libstdc++ libsupc++/pure.cc, libcxxabi src/cxa_virtual.cpp',
  kind: 'panic',
  start:
    /^(?:(pure virtual method called|deleted virtual method called)|libc\+\+abi: (Pure virtual function called!|Deleted virtual function called!))$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? match[2] ?? '';
  },
  lines: [],
  maxForeignLines: 2,
  continuedBy: ['terminate'],
};

const libcxx: CrashGrammar = {
  name: 'libc++abi',
  source: 'libcxxabi src/cxa_default_handlers.cpp',
  kind: 'exception',
  start:
    /^libc\+\+abi(?:\.dylib)?: (terminat(?:ing|e_handler unexpectedly (?:returned|threw an exception)))(?: (?:due to|with) uncaught (?:foreign )?exception(?: of type (.{1,2000}))?)?$/,
  begin: (match, draft) => {
    draft.message = match[2] ?? `libc++abi: ${match[1] ?? ''}`;
    if (match[2] === undefined) draft.kind = 'abort';
    if (/\bbad_alloc\b/.test(draft.message)) draft.kind = 'out-of-memory';
  },
  lines: [],
  maxForeignLines: 2,
};

/** `vector:1393: assertion __n < size() failed: vector[] index out of bounds`, with the header's whole path. */
const hardening: CrashGrammar = {
  name: 'libc++-hardening',
  source: 'libcxx include/__assert, src/verbose_abort.cpp',
  kind: 'assert',
  start:
    /^([\w./+-]{1,1024}\/c\+\+\/v1\/[\w./+-]{1,256}):(\d{1,9}): (?:libc\+\+ Hardening )?assertion (.{1,1000}) failed(?:: .{0,1000})?$/,
  begin: (match, draft) => {
    draft.message = `Assertion failed: ${match[3] ?? ''}`;
    draft.location = { file: match[1] ?? '', line: Number(match[2]), function: null };
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
  crashes: [terminate, pureVirtual, libcxx, hardening],
  demangle,
  libraryFiles: [/^\/usr\/include\/c\+\+\//],
  crashMachinery: [
    /^(?:std::terminate(?:\(\))?|__cxa_(?:throw|rethrow|call_terminate|pure_virtual|deleted_virtual|bad_cast|throw_bad_array_new_length)|_Unwind_\w{1,40})$/,
    /^(?:__gnu_cxx::__verbose_terminate_handler|__cxxabiv1::|std::__terminate|std::__throw_\w{1,40}|std::__glibcxx_assert_fail|std::__(?:\w{1,8}::)?__libcpp_verbose_abort)/,
    /^operator (?:new|delete)(?:\[\])?(?:\(|$)/,
  ],
};
