import { describe, expect, it } from 'vitest';
import { go } from '../../src/runtimes/go.ts';
import { RUNTIMES } from '../../src/runtimes/index.ts';
import { ocaml } from '../../src/runtimes/ocaml.ts';

describe('OCaml linker names', () => {
  it.each([
    ['camlApp__deep_608', 'App.deep'],
    ['camlApp.deep_517', 'App.deep'],
    ['camlStdlib__List.init_319', 'Stdlib.List.init'],
    ['camlStdlib__List__init_319', 'Stdlib.List.init'],
    ['camlApp.entry', 'App.entry'],
    ['camlApp__entry', 'App.entry'],
    ['camlApp.fun_1024', 'App.fun'],
    ['camlStdlib.$2b$2b_12', 'Stdlib.++'],
    ['camlDune__exe__Main.run_3', 'Dune.exe.Main.run'],
    ['camlStdlib__$5e$5e_444', 'Stdlib.^^'],
    ['camlCamlinternalFormat__k$27_3451', "CamlinternalFormat.k'"],
    ['camlStdlib.$40_197', 'Stdlib.@'],
  ])('%s is %s', (linkerName, name) => {
    expect(ocaml.demangle(linkerName)).toBe(name);
  });

  it('are not C, Go or C++ names', () => {
    for (const name of ['caml_startup', 'main', 'camlp4', '_ZN3osv4haltEv', 'runtime.gopanic', ''])
      expect(ocaml.demangle(name)).toBeNull();
  });
});

describe('Go linker names', () => {
  it('are the names themselves but for escapes and shapes', () => {
    expect(go.demangle('gopkg.in/yaml%2ev3.Unmarshal')).toBe('gopkg.in/yaml.v3.Unmarshal');
    expect(go.demangle('main.Map[go.shape.int,go.shape.string]')).toBe('main.Map[int,string]');
    expect(go.demangle('main.(*T).Serve')).toBeNull();
  });
});

describe('the list', () => {
  it('names each runtime once', () => {
    expect(new Set(RUNTIMES.map((runtime) => runtime.name)).size).toBe(RUNTIMES.length);
  });
});
