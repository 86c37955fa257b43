// The forms that Go's pclntab has had: cmd/link/internal/ld/pcln.go and runtime/symtab.go, runtime2.go (_func) of Go 1.2, 1.16,
// 1.18, 1.20 and 1.26. The magic number says which; fields that later releases moved are looked for, not assumed.

/** Offsets within a function's record, in bytes; its first field is the entry. */
interface RecordLayout {
  readonly name: number;
  readonly pcsp: number;
  readonly pcfile: number;
  readonly pcln: number;
  readonly npcdata: number;
  /** Start of the unit's part of the file index; null: file numbers are of the whole image. */
  readonly cuOffset: number | null;
  /** Flags (1.17+); null where there are none. */
  readonly flags: number | null;
  readonly nfuncdata: number;
  /** Where the offsets of the pcdata tables begin. */
  readonly pcdata: number;
}

/** Offsets within an entry of an inline tree. */
interface InlineLayout {
  readonly size: number;
  readonly name: number;
  readonly parentPc: number;
}

/** One form of the table. */
export interface Layout {
  readonly since: string;
  /** Bytes of an entry and of an offset in the function table. */
  readonly functabField: number;
  /** Entries in the function table and in records are offsets from the start of text; else addresses. */
  readonly entriesAreOffsets: boolean;
  /** Index of each of the header's words behind its first 8 bytes; null where the header has no such word. */
  readonly header: {
    readonly textStart: number | null;
    /** Offsets of the parts; null (1.2): one blob, all offsets from its start. */
    readonly names: number | null;
  };
  readonly record: RecordLayout;
  /** Funcdata are offsets from `go:func.*`; else pointers. */
  readonly funcdataAreOffsets: boolean;
  readonly inlineCall: InlineLayout;
  /** Index of the inline tree among a function's funcdata; several where releases of one form differ. */
  readonly inlineTreeIndices: readonly number[];
  /** Index of the table that says which entry of the tree holds. */
  readonly inlineIndexTable: number;
}

const EARLY_INLINE: InlineLayout = { size: 20, name: 12, parentPc: 16 };

/** Fields behind the entry, which takes `entry` bytes. */
function record(entry: number): Omit<RecordLayout, 'cuOffset' | 'flags' | 'nfuncdata' | 'pcdata'> {
  return { name: entry, pcsp: entry + 12, pcfile: entry + 16, pcln: entry + 20, npcdata: entry + 24 };
}

/** The form with this magic number, for words of `word` bytes; null for any other number. */
export function findLayout(magic: number, word: number): Layout | null {
  switch (magic) {
    case 0xfffffffb:
      return {
        since: '1.2',
        functabField: word,
        entriesAreOffsets: false,
        header: { textStart: null, names: null },
        record: { ...record(word), cuOffset: null, flags: null, nfuncdata: word + 31, pcdata: word + 32 },
        funcdataAreOffsets: false,
        inlineCall: EARLY_INLINE,
        inlineTreeIndices: [4, 3],
        inlineIndexTable: 2,
      };
    case 0xfffffffa:
      return {
        since: '1.16',
        functabField: word,
        entriesAreOffsets: false,
        header: { textStart: null, names: 2 },
        record: { ...record(word), cuOffset: word + 28, flags: word + 33, nfuncdata: word + 35, pcdata: word + 36 },
        funcdataAreOffsets: false,
        inlineCall: EARLY_INLINE,
        inlineTreeIndices: [3, 4],
        inlineIndexTable: 2,
      };
    case 0xfffffff0:
      return {
        since: '1.18',
        functabField: 4,
        entriesAreOffsets: true,
        header: { textStart: 2, names: 3 },
        record: { ...record(4), cuOffset: 32, flags: 37, nfuncdata: 39, pcdata: 40 },
        funcdataAreOffsets: true,
        inlineCall: EARLY_INLINE,
        inlineTreeIndices: [3],
        inlineIndexTable: 2,
      };
    case 0xfffffff1:
      return {
        since: '1.20',
        functabField: 4,
        entriesAreOffsets: true,
        header: { textStart: 2, names: 3 },
        record: { ...record(4), cuOffset: 32, flags: 41, nfuncdata: 43, pcdata: 44 },
        funcdataAreOffsets: true,
        inlineCall: { size: 16, name: 4, parentPc: 8 },
        inlineTreeIndices: [3],
        inlineIndexTable: 2,
      };
    default:
      return null;
  }
}

/** The magic numbers, newest form first. */
export const MAGICS = [0xfffffff1, 0xfffffff0, 0xfffffffa, 0xfffffffb] as const;
