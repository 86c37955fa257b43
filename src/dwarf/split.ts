// Split DWARF (DWARF 5 section 7.3.2, and GNU's form of it for DWARF 4): the unit whose entries are in a split object (.dwo) or in
// a package of them (.dwp), for the skeleton unit in the image that stands for it.

import type { ElfFile } from '../elf/file.ts';
import { UnidbgError } from '../model/error.ts';
import { LruCache } from './cache.ts';
import type { DebugCompanions } from './companions.ts';
import { type Contribution, PackageIndex } from './package-index.ts';
import { DebugSections } from './section.ts';
import type { Unit } from './unit.ts';

/** Bytes of split objects kept open. */
const OBJECT_BYTES = 256 * 1024 * 1024;
/** What the sections of a unit in a package keep, about: pages of them. */
const PACKAGED_BYTES = 256 * 1024;

/** What reads the units of a split object. `typeSections`: where the package has the type unit of a signature. */
export type OpenSplit<I> = (
  sections: DebugSections,
  skeleton: Unit,
  typeSections: (signature: bigint) => DebugSections | null,
) => I;

/** The split objects of one image. */
export class SplitObjects<I extends { readonly findSplitUnit: (id: bigint) => Unit | null }> {
  private readonly image: DebugSections;
  private readonly companions: DebugCompanions;
  private readonly open: OpenSplit<I>;
  private readonly found = new LruCache<number, { readonly unit: Unit | null; readonly bytes: number }>(
    OBJECT_BYTES,
    (o) => o.bytes,
  );
  private readonly failed = new Set<number>();
  private packaged: { readonly file: ElfFile; readonly units: PackageIndex | null; readonly types: PackageIndex | null } | null =
    null;
  private isPackageSought = false;

  constructor(image: DebugSections, companions: DebugCompanions, open: OpenSplit<I>) {
    this.image = image;
    this.companions = companions;
    this.open = open;
  }

  /**
   * The unit that `skeleton` stands for. Null when it stands for none, or when a look before this one failed.
   * Throws DEBUG_FILE_MISSING, DWARF_*, ELF_*, the first time.
   */
  find(skeleton: Unit): Unit | null {
    const key = skeleton.header.offset;
    if (skeleton.skeleton !== null || skeleton.root.splitName === null || this.failed.has(key)) return null;
    this.failed.add(key);
    const { unit } = this.found.get(key, () => this.read(skeleton));
    this.failed.delete(key);
    return unit;
  }

  private read(skeleton: Unit): { unit: Unit | null; bytes: number } {
    const id = skeleton.splitId;
    const { splitName: name, directory } = skeleton.root;
    if (id === null || name === null) return { unit: null, bytes: 0 };
    const contribution = this.inPackage(id);
    if (contribution !== null) return { unit: this.openUnit(contribution, skeleton, id), bytes: PACKAGED_BYTES };
    const file = this.companions.splitObject(name, directory);
    if (file === null) throw missing(skeleton, name, directory);
    const sections = new DebugSections(file, undefined, { image: this.image, windows: null });
    const unit = this.openUnit(sections, skeleton, id);
    if (unit !== null) return { unit, bytes: file.sections.reduce((sum, { size }) => sum + size, 0) };
    throw new UnidbgError(
      'DWARF_MALFORMED',
      `${file.path} is not what ${skeleton.describe()} was split into: its id is another`,
      {
        facts: { path: file.path, id },
      },
    );
  }

  private openUnit(sections: DebugSections, skeleton: Unit, id: bigint): Unit | null {
    return this.open(sections, skeleton, (signature) => this.typesInPackage(signature)).findSplitUnit(id);
  }

  private inPackage(id: bigint): DebugSections | null {
    const found = this.package();
    return found === null ? null : this.sectionsOf(found.file, found.units?.find(id) ?? null);
  }

  private typesInPackage(signature: bigint): DebugSections | null {
    const found = this.package();
    return found === null ? null : this.sectionsOf(found.file, found.types?.find(signature) ?? null);
  }

  private sectionsOf(file: ElfFile, windows: Contribution | null): DebugSections | null {
    return windows === null ? null : new DebugSections(file, undefined, { image: this.image, windows });
  }

  private package(): typeof this.packaged {
    if (this.isPackageSought) return this.packaged;
    this.isPackageSought = true;
    const file = this.companions.package();
    if (file === null) return null;
    const units = PackageIndex.open(file, '.debug_cu_index');
    this.packaged = { file, units, types: PackageIndex.open(file, '.debug_tu_index') };
    return this.packaged;
  }
}

function missing(skeleton: Unit, name: string, directory: string | null): UnidbgError {
  const where = directory === null || name.startsWith('/') ? name : `${directory}/${name}`;
  return new UnidbgError(
    'DEBUG_FILE_MISSING',
    `${skeleton.sections.file.path}: the debug info of ${skeleton.root.name ?? 'a unit'} was split into ${where}, which is not there`,
    { facts: { path: where } },
  );
}
