import { describe, expect, it } from 'vitest';
import { RUNTIMES } from '../../src/runtimes/index.ts';

const MACHINERY = RUNTIMES.flatMap((runtime) => runtime.crashMachinery);

function isMachinery(name: string): boolean {
  return MACHINERY.some((pattern) => pattern.test(name));
}

describe('what only ends a program, or does what it was told', () => {
  it.each([
    ['C', ['abort', 'raise', '__assert_fail', '__pthread_kill_implementation', 'malloc_printerr', '_int_free', '__libc_free']],
    ['C, strings', ['memcpy', '__memmove_avx_unaligned_erms', 'strlen', '__strcpy_chk', 'strncasecmp', 'memmem']],
    [
      'C, guards',
      ['__stack_chk_fail', '__fortify_fail', '__interceptor_memcpy', '__asan_report_load4', '__asan::ReportGenericError'],
    ],
    ['C++', ['__cxa_throw', 'std::terminate()', '__gnu_cxx::__verbose_terminate_handler()', 'operator new(unsigned long)']],
    [
      'Rust',
      ['core::panicking::panic_fmt', '__rustc::rust_begin_unwind', 'core::option::Option<T>::unwrap', 'std::rt::lang_start'],
    ],
    ['Go', ['runtime.gopanic', 'runtime.mapassign_faststr', 'internal/runtime/maps.fatal', 'sync.(*Mutex).Unlock', 'panic']],
    [
      'OCaml',
      ['caml_raise_exn', 'Stdlib.failwith', 'Stdlib__Hashtbl.find', 'Stdlib.List.find', 'CamlinternalFormat.make_printf'],
    ],
    [
      'Java',
      ['java.util.Objects.requireNonNull', 'jdk.internal.reflect.NativeMethodAccessorImpl.invoke0', 'VMError::report_and_die'],
    ],
    ['Node', ['node::Abort()', 'v8::internal::Builtin_HandleApiCall', 'throwUnhandledRejectionsMode', 'Array.map']],
    ['Erlang', ['erlang:error/1', 'init:start_it/1', 'proc_lib:init_p_do_apply/3']],
  ])('%s', (_language, names) => {
    expect(names.filter((name) => !isMachinery(name))).toEqual([]);
  });

  it('is no name that programs give their own functions', () => {
    const names = [
      ...[
        'main',
        'get',
        'put',
        'head',
        'tail',
        'error',
        'fail',
        'parse',
        'freeze',
        'free_list',
        'my_malloc',
        'string_copy',
        'assert_valid',
      ],
      ...[
        'main.main',
        'main.(*T).Unlock',
        'app/runtime2.Run',
        'syncer.Run',
        'panicky',
        'App.find',
        'Stdlibrary.run',
        'Threads.create',
      ],
      ...[
        'core_loop',
        'std::vector<int>::at',
        'app::panicking::run',
        'com.acme.Server.main',
        'javaclass.Main.run',
        'kotliner.Main.run',
      ],
      ...[
        'node_free',
        'nodes::visit',
        'v8engine::start',
        'crash:bad/1',
        'initialize',
        'load',
        'Object.<anonymous>',
        'Object.get',
        '<module>',
        'run',
      ],
    ];
    expect(names.filter(isMachinery)).toEqual([]);
  });
});
