// LING, Erlang on Xen (and as a process of a host). Read from cloudozer/ling bc97a26 (2015), core/ling.c. Erlang's own words
// (`=ERROR REPORT====`) are a language's.

import type { CrashGrammar, Unikernel } from '../model/unikernel.ts';

/** How its fatal errors begin: another program's `*** CRASH:` is not LING's. */
const KNOWN =
  /^(?:init phase \d|LING does not |not implemented|too many catches|bad literals blob|(?:bad )?subtag|unaligned ptr|not an? |\w{2,40}(?:\(\))?(?: failed)?: )/;

const crash: CrashGrammar = {
  name: 'crash',
  source: 'core/ling.c fatal_error, __assert_fail, abort',
  kind: 'panic',
  start: /^\*\*\* CRASH: (.{1,1000}?)\s{0,2}$/,
  glued: '*** CRASH: ',
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    const asserted = /^assertion (.{1,1000}) failed at (\S{1,512}):(\d{1,9}) \((\w{1,256})\)$/.exec(draft.message);
    if (asserted !== null) {
      draft.kind = 'assert';
      draft.message = `assertion ${asserted[1] ?? ''} failed`;
      draft.location = { file: asserted[2] ?? '', line: Number(asserted[3]), function: asserted[4] ?? null };
    } else if (draft.message === 'aborted') draft.kind = 'abort';
    else if (/no memory|failed to mmap|page allocation failed/.test(draft.message)) draft.kind = 'out-of-memory';
  },
  lines: [],
  confirmed: ({ kind, message }) => kind !== 'panic' || KNOWN.test(message),
};

/** LING. */
export const ling: Unikernel = {
  name: 'ling',
  title: 'LING (Erlang on Xen)',
  support: {
    levels: ['text'],
    tried: 'texts written from its source (bc97a26, 2015); no domain was run here',
    silent:
      "Faults: it has no trap handlers, so Xen's console alone tells them. After its last words the domain yields for ever and does not end.",
  },
  recognise: {
    symbols: ['start_ling', 'spawn_init_start', 'nalloc_no_memory'],
    sections: [],
    banner: null,
  },
  crashes: [crash],
  unwindRules: [],
  deadIn: ['fatal_error', 'gdb_break'],
  idleIn: ['events_poll'],
  crashMachinery: [/^(?:fatal_error|__assert_fail|abort|gdb_break|yield)$/],
  // The port to a host's processes.
  explainExit: (status) =>
    status === 42 ? { code: 42, how: 'LING on a POSIX host ends so after its last words: *** CRASH' } : null,
};
