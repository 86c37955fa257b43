// ClickOS: the Click modular router on Mini-OS. Read from sysml/clickos a092d40 (2017: minios/click.cc, lib/glue.cc) and
// sysml/mini-os 50cfef1, whose texts are Mini-OS' with `%p`: the numbers carry `0x`.

import type { CrashGrammar, Unikernel } from '../model/unikernel.ts';
import { MINIOS_OMENS, minios } from './minios.ts';

const assertion: CrashGrammar = {
  name: 'click-assert',
  source: 'lib/glue.cc __assert_fail',
  kind: 'assert',
  start: /^assertion failed (.{1,1000}) (\S{1,512}\.(?:cc|hh|c|h|cpp)) (\d{1,9}) (\S.{0,511})$/,
  begin: (match, draft) => {
    draft.message = `assertion failed: ${match[1] ?? ''}`;
    draft.location = { file: match[2] ?? '', line: Number(match[3]), function: match[4] ?? null };
  },
  lines: [],
};

/** ClickOS. */
export const clickos: Unikernel = {
  name: 'clickos',
  title: 'ClickOS',
  support: {
    levels: ['text'],
    tried: "as Mini-OS, which was run on Xen 4.17; Click's own texts are written from its source (2017)",
    silent: 'Why a router stopped: its state is in xenstore (data/clickos/0/status).',
  },
  recognise: {
    symbols: ['_Z13router_threadPv', '_Z9on_statusiPcPv'],
    sections: [],
    banner: /^\[router_thread:\d{1,4}\] Starting driver\.\.\.$/,
  },
  crashes: [assertion, ...minios.crashes],
  omens: MINIOS_OMENS,
  unwindRules: minios.unwindRules,
  deadIn: minios.deadIn,
  idleIn: minios.idleIn,
  crashMachinery: [...minios.crashMachinery, /^(?:__assert_fail|click_chatter)$/],
  explainExit: () => null,
};
