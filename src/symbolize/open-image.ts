// Opens an image together with its debug info, wherever that is: in it, in a separate file on this machine, on a debuginfod server.

import { hasDebugInfo, readAlternateLink } from '../elf/debug-links.ts';
import { type ElfFile, openElf } from '../elf/file.ts';
import type { Diagnostic } from '../model/diagnostic.ts';
import { UnidbgError } from '../model/error.ts';
import type { CodeTableOpener } from './code-image.ts';
import { type DebugDirectories, type DebugFileSearch, findAlternateFile, findDebugFile, localCompanions } from './debug-files.ts';
import {
  type DebuginfodClient,
  debuginfodFromEnvironment,
  type FetchProgress,
  fetchFromDebuginfod,
  findCached,
} from './debuginfod.ts';
import { openImageFile, SymbolImage } from './image.ts';

/** Places named in a message. */
const MAX_PLACES_SHOWN = 12;

/** Where to look for debug info. `debuginfod`: null asks no server and no cache; left out, the environment says. */
export interface DebugSearch extends DebugDirectories {
  readonly debuginfod?: DebuginfodClient | null;
}

/**
 * Opens an image and its debug info, fetching what is not on this machine. What was tried in vain is among the image's
 * diagnostics (`no-debug-info`). Throws FILE_UNREADABLE, ELF_* for the image itself, and the reason of `signal` when it aborts.
 */
export async function openImageWithDebug(
  path: string,
  search: DebugSearch = {},
  options: {
    readonly signal?: AbortSignal;
    readonly onProgress?: (progress: FetchProgress) => void;
    readonly tables?: readonly CodeTableOpener[];
  } = {},
): Promise<SymbolImage> {
  const opening = new Opening(path, search);
  try {
    options.signal?.throwIfAborted();
    for (let wanted = opening.next(); wanted !== null; wanted = opening.next()) {
      const answer = await fetchFromDebuginfod(wanted.client, wanted.buildId, 'debuginfo', options);
      opening.fetched(answer.path, answer.tried);
    }
    return opening.finish(options.tables);
  } catch (error) {
    opening.abandon();
    throw error;
  }
}

/** As openImageWithDebug, at once and without asking a server: what its cache has already is used. Throws FILE_UNREADABLE, ELF_*. */
export function openImageWithLocalDebug(
  path: string,
  search: DebugSearch = {},
  options: { readonly tables?: readonly CodeTableOpener[] } = {},
): SymbolImage {
  const opening = new Opening(path, search);
  try {
    for (let wanted = opening.next(); wanted !== null; wanted = opening.next()) {
      const cached = findCached(wanted.client, wanted.buildId, 'debuginfo');
      opening.fetched(cached, cached === null ? [wanted.client.cache] : []);
    }
    return opening.finish(options.tables);
  } catch (error) {
    opening.abandon();
    throw error;
  }
}

/** A file that only a server may have. */
interface Wanted {
  readonly client: DebuginfodClient;
  readonly buildId: string;
}

/** The steps of opening, apart from how a file is fetched: the debug file first, then what dwz moved out of that. */
class Opening {
  private readonly search: DebugSearch;
  private readonly client: DebuginfodClient | null;
  private readonly image: ReturnType<typeof openImageFile>;
  private debug: ElfFile | null;
  private alternate: ElfFile | null = null;
  private step: 'debug' | 'alternate' | 'done' = 'debug';
  private readonly remarks: Diagnostic[] = [];
  private tried: readonly string[] = [];

  constructor(path: string, search: DebugSearch) {
    this.search = search;
    this.client = search.debuginfod === undefined ? debuginfodFromEnvironment(process.env) : search.debuginfod;
    this.image = openImageFile(path);
    this.debug = hasDebugInfo(this.image.elf) ? this.image.elf : null;
  }

  /** What has to be fetched next; null when all that can be had is there. `fetched` answers it. */
  next(): Wanted | null {
    if (this.step === 'debug') {
      const wanted =
        this.debug === null ? this.look(() => findDebugFile(this.image.elf, this.search), this.image.elf.buildId) : null;
      if (wanted !== null) return wanted;
      this.settle();
    }
    if (this.step === 'alternate') {
      const { debug } = this;
      const link = debug === null ? null : readAlternateLink(debug);
      const wanted =
        debug === null || link === null ? null : this.look(() => findAlternateFile(debug, link, this.search), link.buildId);
      if (wanted !== null) return wanted;
      this.settle();
    }
    return null;
  }

  /** The file that `next` asked for, or null and where it is not. */
  fetched(path: string | null, tried: readonly string[]): void {
    this.tried = [...this.tried, ...tried];
    if (path !== null) this.take(openElfOrNull(path));
    this.settle();
  }

  finish(tables: readonly CodeTableOpener[] = []): SymbolImage {
    const { elf, machine } = this.image;
    const debug = this.debug ?? elf;
    const companions = localCompanions(elf, debug, this.search, this.alternate);
    return new SymbolImage(elf, machine, debug, { companions, remarks: this.remarks, tables });
  }

  abandon(): void {
    for (const file of new Set([this.image.elf, this.debug, this.alternate])) file?.close();
  }

  private look(find: () => DebugFileSearch, buildId: string | null): Wanted | null {
    const { file, tried } = find();
    this.tried = tried;
    this.take(file);
    return file === null && buildId !== null && this.client !== null ? { client: this.client, buildId } : null;
  }

  private take(file: ElfFile | null): void {
    if (file === null) return;
    if (this.step === 'debug') this.debug = file;
    else this.alternate = file;
  }

  /** Ends the step, remarking what it looked for in vain. */
  private settle(): void {
    const { elf } = this.image;
    if (this.step === 'debug') {
      this.step = 'alternate';
      if (this.debug === null) this.remark('no-debug-info', `no debug info for ${elf.path} (build-id ${elf.buildId ?? 'none'})`);
    } else {
      this.step = 'done';
      const link = this.alternate === null && this.debug !== null ? readAlternateLink(this.debug) : null;
      if (link !== null) {
        this.remark(
          'debug-info-incomplete',
          `${this.debug!.path} shares debug info with ${link.path} (build-id ${link.buildId}), which was not found`,
        );
      }
    }
    this.tried = [];
  }

  private remark(code: string, what: string): void {
    const shown = this.tried.slice(0, MAX_PLACES_SHOWN);
    const more = this.tried.length - shown.length;
    const where = shown.length === 0 ? '' : `: looked in ${shown.join(', ')}${more > 0 ? ` and ${more} more places` : ''}`;
    this.remarks.push({ code, message: `${what}${where}; set DEBUGINFOD_URLS or --debug-dir` });
  }
}

function openElfOrNull(path: string): ElfFile | null {
  try {
    return openElf(path);
  } catch (error) {
    if (!(error instanceof UnidbgError)) throw error;
    return null;
  }
}
