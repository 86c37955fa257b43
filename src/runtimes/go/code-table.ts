// Go's tables as a CodeTable: functions, files, lines, inlined calls and frame sizes of any Go binary, stripped or not.

import type { CodeImage, CodeLocation, CodeTable, SpecialCaller } from '../../model/code-table.ts';
import { findTable } from './find-table.ts';
import { findInlineTrees, type InlineTrees, locateInFunction } from './inline-tree.ts';
import type { ModuleData } from './moduledata.ts';
import { type FunctionRecord, Pclntab } from './pclntab.ts';
import { StackSwitches } from './stack-switches.ts';

/** The function writes the stack pointer in ways that its table cannot say (runtime/symtab.go, funcFlag_SPWRITE). */
const WRITES_SP = 2;
const SEARCH_BYTES = 1024 * 1024;

/** Go's tables in `image`; null when it is no Go image or they do not hold together. Throws GO_TABLE_MALFORMED and what the image throws. */
export function openGoCodeTable(image: CodeImage): CodeTable | null {
  const found = findTable(image);
  if (found === null) return null;
  const { window, header, module } = found;
  // Where the C linker moved text, moduledata was told and the table was not.
  const text = module === null || !header.layout.entriesAreOffsets ? header.text : module.text;
  if (text === null) return null;
  const table = new Pclntab(window, header, text);
  // Text in several sections that were moved apart (very large programs for ARM and PowerPC) is not described by one base.
  if (module !== null && module.highest !== text + BigInt(table.end)) return null;
  return new GoCodeTable(table, module);
}

/** See CodeTable. */
class GoCodeTable implements CodeTable {
  /** The register that holds `g` since 1.17. */
  readonly keptRegisters: readonly string[];
  private readonly table: Pclntab;
  private readonly module: ModuleData | null;
  private readonly switches: StackSwitches;
  private inlineTrees: InlineTrees | null | undefined;

  constructor(table: Pclntab, module: ModuleData | null) {
    this.table = table;
    this.module = module;
    this.keptRegisters = { x86_64: ['r14'], aarch64: ['x28'], riscv64: ['s11'], i386: [] }[table.window.image.machine];
    this.switches = new StackSwitches(table.window.image, this);
  }

  locate(address: bigint): readonly CodeLocation[] {
    const { table } = this;
    const pc = this.offsetOf(address);
    const fn = table.findFunction(pc);
    if (fn === null || !table.covers(fn, pc)) return [];
    return locateInFunction(table, this.trees(), fn, pc);
  }

  findSymbol(name: string): { readonly address: bigint; readonly size: number } | null {
    const bound = this.findBound(name);
    if (bound !== null) return { address: bound, size: 0 };
    const fn = this.findFunction(name);
    return fn === null ? null : { address: this.table.text + BigInt(fn.start), size: fn.end - fn.start };
  }

  startsAt(address: bigint): boolean {
    const pc = this.offsetOf(address);
    return this.table.findFunction(pc)?.start === pc;
  }

  stackDelta(address: bigint): number | null {
    const { table } = this;
    const pc = this.offsetOf(address);
    const fn = table.findFunction(pc);
    if (fn === null || (table.flagsOf(fn) & WRITES_SP) !== 0) return null;
    return this.deltaIn(fn, pc);
  }

  findSpecialCaller(
    frame: Parameters<CodeTable['findSpecialCaller']>[0],
    memory: Parameters<CodeTable['findSpecialCaller']>[1],
  ): SpecialCaller {
    const pc = this.offsetOf(frame.pc);
    const fn = this.table.findFunction(pc);
    if (fn === null) return null;
    return this.switches.findCaller(this.table.nameOf(fn), frame, () => this.deltaIn(fn, pc), memory);
  }

  *functions(): Generator<{ readonly name: string; readonly address: bigint; readonly size: number }> {
    const { table } = this;
    for (let index = 0; index < table.count; index += 1) {
      const fn = table.functionAt(index);
      yield { name: table.nameOf(fn), address: table.text + BigInt(fn.start), size: fn.end - fn.start };
    }
  }

  private offsetOf(address: bigint): number {
    return Number(address - this.table.text);
  }

  /** Calls push the return address on x86; elsewhere the function's own frame holds it. */
  private deltaIn(fn: FunctionRecord, pc: number): number | null {
    const { machine } = this.table.window.image;
    const pushed = machine === 'x86_64' ? 8 : machine === 'i386' ? 4 : 0;
    const delta = this.table.stackDelta(fn, pc);
    return delta === null ? null : delta + pushed;
  }

  private trees(): InlineTrees | null {
    if (this.inlineTrees === undefined) this.inlineTrees = findInlineTrees(this.table, this.module?.words ?? []);
    return this.inlineTrees;
  }

  private findBound(name: string): bigint | null {
    if (this.module === null) return null;
    if (name === 'runtime.firstmoduledata') return this.module.address;
    if (name === 'runtime.text') return this.module.text;
    if (name === 'runtime.etext') return this.module.textEnd;
    return this.module.bounds.get(name) ?? null;
  }

  /** Its name is searched among all names, then the function with that name: cheaper than an index until some tens were asked for. */
  private findFunction(name: string): FunctionRecord | null {
    const { table } = this;
    const { record } = table.layout;
    for (const offset of this.findNames(name)) {
      for (let index = 0; index < table.count; index += 1) {
        const fn = table.functionAt(index);
        if (table.window.i32(fn.at + record.name) === offset) return fn;
      }
    }
    return null;
  }

  /** Offsets at which the names hold exactly `name`. */
  private *findNames(name: string): Generator<number> {
    const { window, parts } = this.table;
    const wanted = Buffer.from(`\0${name}\0`);
    const size = parts.units > parts.names && parts.names > 0 ? parts.units - parts.names : window.remaining(parts.names);
    for (let from = 0; from < size; from += SEARCH_BYTES) {
      const bytes = window.bytes(parts.names + from, Math.min(SEARCH_BYTES + wanted.length, size - from));
      const found = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf(wanted);
      if (found >= 0) yield from + found + 1;
    }
  }
}
