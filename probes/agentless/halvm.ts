// HaLVM (rts/xen/memory.c): counts of pages and of megablocks taken and given back, and the pages Xen gave the domain. Its run time is
// built without debug information: `stats` is four ints, and its size is tested. What GHC itself keeps is in ghc.ts.

import { defineProbe, type ProbeGuest } from '../../src/model/probe.ts';
import { readWord } from './typed.ts';

const PAGE_SIZE = 4096;
/** A megablock: 256 pages. */
const MEGABLOCK = 256 * PAGE_SIZE;
const STATS_SIZE = 16;
const UNREADABLE = { absent: 'unreadable' };

export const halvm = defineProbe({
  name: 'halvm',
  doc: "HaLVM's pages and megablocks",
  systems: ['halvm'],
  missing: ({ symbols }) => {
    const absent = ['p2m_map', 'cur_pages', 'max_pages', 'stats'].filter((name) => symbols.findSymbol(name) === null);
    if (absent.length > 0) return `no symbol ${absent.join(', ')}: the image is no HaLVM, or is stripped`;
    return symbols.findSymbol('stats')?.size === STATS_SIZE ? null : "the symbol stats is not that of HaLVM's rts/xen/memory.c";
  },
  metrics: {
    'unikernel.memory.limit': { kind: 'gauge', unit: 'By', doc: 'pages that Xen gave the domain' },
    'unikernel.memory.used': { kind: 'gauge', unit: 'By', doc: 'pages mapped by the run time: heap and malloc' },
    'unikernel.memory.free': { kind: 'gauge', unit: 'By', doc: 'pages not mapped by it, the image itself among them' },
    'ghc.memory.megablocks': { kind: 'gauge', unit: 'By', doc: 'megablocks that the Haskell heap holds' },
  },
  sample: (guest) => {
    const counts = readCounts(guest);
    const pages = readWord(guest, 'cur_pages');
    const limit = pages === null ? null : Number(pages) * PAGE_SIZE;
    const used = counts === null ? null : (counts.pagesTaken - counts.pagesGiven) * PAGE_SIZE;
    return {
      'unikernel.memory.limit': limit ?? UNREADABLE,
      'unikernel.memory.used': used ?? UNREADABLE,
      'unikernel.memory.free': limit === null || used === null ? UNREADABLE : limit - used,
      'ghc.memory.megablocks': counts === null ? UNREADABLE : (counts.blocksTaken - counts.blocksGiven) * MEGABLOCK,
    };
  },
});

function readCounts({
  symbols,
  memory,
}: ProbeGuest): Record<'pagesTaken' | 'pagesGiven' | 'blocksTaken' | 'blocksGiven', number> | null {
  const symbol = symbols.findSymbol('stats');
  const bytes = symbol === null ? null : memory.read(symbol.address, STATS_SIZE);
  if (bytes === null) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, STATS_SIZE);
  const [pagesTaken, pagesGiven, blocksTaken, blocksGiven] = [0, 4, 8, 12].map((at) => view.getUint32(at, true));
  return {
    pagesTaken: pagesTaken ?? 0,
    pagesGiven: pagesGiven ?? 0,
    blocksTaken: blocksTaken ?? 0,
    blocksGiven: blocksGiven ?? 0,
  };
}
