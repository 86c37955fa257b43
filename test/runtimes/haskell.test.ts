import { describe, expect, it } from 'vitest';
import { decodeZ, haskell } from '../../src/runtimes/haskell.ts';

describe('z-encoded words', () => {
  it.each([
    ['GHCziBase', 'GHC.Base'],
    ['ghczmprim', 'ghc-prim'],
    ['zgzgze', '>>='],
    ['ZMZN', '[]'],
    ['Z0T', '()'],
    ['Z3T', '(,,)'],
    ['Z1H', '(# #)'],
    ['Z2H', '(#,#)'],
    ['fooZZzzbar', 'fooZzbar'],
    ['z3bbU', 'λ'],
    ['z0e9U', 'é'],
  ])('%s is %s', (encoded, text) => {
    expect(decodeZ(encoded)).toBe(text);
  });

  it('are refused when an escape means nothing', () => {
    for (const encoded of ['z', 'zy', 'Zx', 'z110000U', 'Z99T', 'foozA', 'z0d800U']) expect(decodeZ(encoded), encoded).toBeNull();
  });
});

describe('Haskell linker names', () => {
  it.each([
    ['base_GHCziBase_map_info', 'base:GHC.Base.map'],
    ['base_GHCziBase_zgzgze_closure', 'base:GHC.Base.>>='],
    ['ghczmprim_GHCziTypes_ZC_con_info', 'ghc-prim:GHC.Types.:'],
    ['containerszm0zi6zi5zi1_DataziMapziInternal_insert_info', 'containers-0.6.5.1:Data.Map.Internal.insert'],
    ['Main_main_info', 'Main.main'],
    ['ZCMain_main_closure', ':Main.main'],
  ])('%s is %s', (linkerName, name) => {
    expect(haskell.demangle(linkerName)).toBe(name);
  });

  it('are not names of C', () => {
    for (const name of [
      'Foo_bar_info',
      'cpu_info',
      'kernel_Module_name_info',
      'Main_info',
      'main',
      'stg_ap_pp_info',
      'c1Xk_info',
    ])
      expect(haskell.demangle(name), name).toBeNull();
  });

  it('of any length cost little', () => {
    expect(haskell.demangle(`base_GHCziBase_${'z'.repeat(1e6)}_info`)).toBeNull();
  });
});
