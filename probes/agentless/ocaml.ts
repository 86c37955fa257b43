// OCaml's garbage collector from outside: what Gc.counters and Gc.quick_stat compute (runtime/gc_ctrl.c, gc_stats.c), from the runtime's
// own structures: OCaml 4 has one state and its memory management in globals (ocaml-single.ts), OCaml 5 a state for each domain
// (ocaml-domains.ts). Told apart by which of them the image has; offsets are DWARF's, never a version's.

import { defineProbe, type ProbeGuest, type Readings } from '../../src/model/probe.ts';
import { takeOcamlCensus } from './ocaml-census.ts';
import { readDomains } from './ocaml-domains.ts';
import { METRICS, type OcamlMetric } from './ocaml-metrics.ts';
import { findSingle, readSingle } from './ocaml-single.ts';

export const ocaml = defineProbe({
  name: 'ocaml',
  doc: "OCaml's garbage collector: words allocated, collections, heap, by domain",
  systems: ['ocaml'],
  missing: ({ types, symbols }) => {
    const root = ['Caml_state', 'all_domains'].find((name) => symbols.findSymbol(name) !== null);
    if (root === undefined) return 'the image has no OCaml runtime (neither Caml_state nor all_domains)';
    if (types.findVariable(root) !== null || (root === 'Caml_state' && types.findType('caml_domain_state') !== null)) return null;
    return `no type for ${root}: OCaml's runtime was built without -g`;
  },
  metrics: METRICS,
  sample: (guest: ProbeGuest): Readings<OcamlMetric> => {
    const single = findSingle(guest);
    return single === null ? readDomains(guest) : readSingle(guest, single);
  },
  census: takeOcamlCensus,
});
