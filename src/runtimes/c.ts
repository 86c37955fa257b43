// C: how a C library ends a program: assert() (glibc assert/assert.c, musl src/exit/assert.c, newlib libc/stdlib/assert.c), a heap
// or a stack found corrupt (glibc malloc/malloc.c, debug/; musl has no words for it). The sanitizers are in sanitizers.ts.
//
// musl's assert(), `Assertion failed: x (file.c: f: 12)`, is OSv's word for word. OSv itself is C++ and prints a backtrace behind
// it, which src/unikernels/osv.ts reads; so here it is only told of files of C.

import type { CrashDraft, CrashGrammar, Runtime } from '../model/unikernel.ts';
import { sanitizer } from './sanitizers.ts';

function readAssertion(
  draft: CrashDraft,
  said: { expression: string | undefined; file: string | undefined; line: string | undefined; function: string | undefined },
): void {
  draft.message = `Assertion failed: ${said.expression ?? ''}`;
  draft.location = { file: said.file ?? '', line: Number(said.line), function: said.function ?? null };
}

/** `prog: file.c:12: func: Assertion `x' failed.`; libstdc++'s own has no program and straight quotes. */
const glibcAssert: CrashGrammar = {
  name: 'assert',
  source: 'glibc assert/assert.c __assert_fail_base, libstdc++ src/c++11/assert_fail.cc',
  kind: 'assert',
  start: /^(?:[\w.+/-]{1,256}: )?([\w./+-]{1,1024}):(\d{1,9}): (?:(\S.{0,1500}?): )?Assertion [`'](.{1,1000})' failed\.$/,
  begin: (match, draft) => {
    readAssertion(draft, { file: match[1], line: match[2], function: match[3], expression: match[4] });
  },
  lines: [],
  maxForeignLines: 2,
};

const muslAssert: CrashGrammar = {
  name: 'musl-assert',
  source: 'musl src/exit/assert.c',
  kind: 'assert',
  start: /^Assertion failed: (.{1,1000}) \(([^\s:][^:]{0,509}\.c): ([A-Za-z_]\w{0,127}): (\d{1,9})\)$/,
  begin: (match, draft) => {
    readAssertion(draft, { expression: match[1], file: match[2], function: match[3], line: match[4] });
  },
  lines: [],
  maxForeignLines: 2,
};

const newlibAssert: CrashGrammar = {
  name: 'newlib-assert',
  source: 'newlib libc/stdlib/assert.c __assert_func',
  kind: 'assert',
  start: /^assertion "(.{1,1000})" failed: file "(.{1,1024})", line (\d{1,9})(?:, function: (.{1,512}))?$/,
  glued: 'assertion "',
  begin: (match, draft) => {
    readAssertion(draft, { expression: match[1], file: match[2], line: match[3], function: match[4] });
  },
  lines: [],
  maxForeignLines: 2,
};

/** Whole lines, word for word: what malloc_printerr is called with. */
const heap: CrashGrammar = {
  name: 'heap-corruption',
  source: 'glibc malloc/malloc.c malloc_printerr',
  kind: 'panic',
  start: new RegExp(
    `^(${[
      String.raw`(?:free\(\): |malloc\(\): |realloc\(\): |munmap_chunk\(\): |mremap_chunk\(\): )(?:invalid|corrupted|unaligned|double free|too many chunks|unsorted|mismatching|memory corruption|smallbin|largebin).{0,80}`,
      String.raw`malloc_consolidate\(\): .{1,60}`,
      String.raw`double free or corruption \((?:fasttop|top|out|!prev)\)`,
      String.raw`corrupted size vs\. prev_size.{0,60}`,
      String.raw`corrupted double-linked list.{0,60}`,
      'break adjusted to free malloc space',
      'malloc: top chunk is corrupt',
    ].join('|')})$`,
  ),
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
  },
  lines: [],
  maxForeignLines: 2,
};

/** glibc before 2.26 named the program and added a backtrace and a memory map. */
const oldHeap: CrashGrammar = {
  name: 'heap-corruption-2.25',
  source: 'glibc 2.25 malloc/malloc.c malloc_printerr',
  kind: 'panic',
  start: /^\*\*\* Error in `(.{1,512})': (.{1,200}): 0x[0-9a-f]{1,16} \*\*\*$/,
  glued: '*** Error in `',
  begin: (match, draft) => {
    draft.message = match[2] ?? '';
  },
  lines: [],
  maxForeignLines: 2,
};

const fortify: CrashGrammar = {
  name: 'fortify',
  source: 'glibc debug/fortify_fail.c, debug/stack_chk_fail.c, stdio-common/vfprintf-internal.c',
  kind: 'panic',
  start:
    /^\*\*\* (stack smashing detected|buffer overflow detected|bit out of range 0 - FD_SETSIZE on fd_set|longjmp causes uninitialized stack frame|%n in writable segment detected|invalid %N\$ use detected|invalid open(?:64|at)? call: .{1,60}) \*\*\*(?:: .{1,512}terminated| ?: ?terminated)?$/,
  glued: '*** stack smashing detected ***',
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
  },
  lines: [],
  maxForeignLines: 2,
};

/** C and its libraries. */
export const c: Runtime = {
  name: 'c',
  title: 'C',
  recognise: { symbols: ['__assert_fail', '__libc_start_main', '__asan_init', '__ubsan_handle_add_overflow'], sections: [] },
  crashes: [glibcAssert, muslAssert, newlibAssert, heap, oldHeap, fortify, sanitizer],
  demangle: () => null,
  // What the C library does at the application's word is the application's doing.
  crashMachinery: [
    /^_*(?:pthread_kill(?:_implementation|_internal)?|raise|gsignal|tgkill|abort(?:_msg)?|libc_message(?:_impl)?|libc_fatal|fortify_fail(?:_abort)?|chk_fail|stack_chk_fail(?:_local)?)$/,
    /^_*(?:assert|assert_fail(?:_base)?|assert_perror_fail|assert_func|malloc_printerr(?:_tail)?)$/,
    /^_*(?:mem(?:p?cpy|ccpy|move|set|cmp|r?chr|mem)|st[rp](?:n?len|n?cpy|n?cmp|n?casecmp|n?cat|r?chr(?:nul)?|str|c?spn|n?dup|tok(?:_r)?)|wcs\w{2,8})(?:_chk)?(?:_[a-z0-9_]*)?$/,
    /^(?:_*libc_|_int_|_*)(?:malloc|calloc|realloc(?:array)?|free(?:_merge_chunk|_create_chunk|_maybe_consolidate|_check)?|memalign|aligned_alloc|posix_memalign)$/,
    /^(?:unlink_chunk|sysmalloc|systrim|malloc_consolidate|munmap_chunk|tcache_(?:get|put)(?:_n)?)(?:\.\w{1,20})*$/,
    /^_*interceptor_|^__interception::|^(?:__asan|__lsan|__msan|__tsan|__ubsan|__hwasan|__sanitizer)(?:::|_)/,
    /^_*libc_start_(?:call_main|main(?:_impl|_stage2)?)(?:@.{1,32})?$|^_start(?:_c)?$/,
  ],
};
