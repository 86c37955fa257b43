// Addresses and frames as JSON, under the names of the report schema (DESIGN §6; docs/symbolize.md).

import { formatAddress } from '../../model/address.ts';
import type { SymbolizedLocation } from '../../model/frame.ts';

/** `{address, frames}` of one address: `pc` is the run-time address, null-less frames are left out where nothing is known. */
export function toJsonAddress(
  shown: bigint,
  pc: bigint | null,
  locations: readonly SymbolizedLocation[],
  nameOf: (linkerName: string) => string,
): unknown {
  const known = pc === null ? [] : locations;
  return { address: formatAddress(shown), frames: known.map((location, index) => toJsonFrame(location, index, pc!, nameOf)) };
}

function toJsonFrame(location: SymbolizedLocation, index: number, pc: bigint, nameOf: (linkerName: string) => string): unknown {
  const { function: name, functionOffset, file, line, column, inlined, module, status } = location;
  const called = name === null ? null : nameOf(name);
  return {
    index,
    pc: formatAddress(pc),
    function: called,
    functionOffset,
    file,
    line,
    column,
    inlined,
    module,
    trust: 'reported',
    status,
  };
}

/** A document `{schemaVersion, addresses: […]}` that is written while its elements come. */
export function openJsonList(): { readonly add: (element: unknown) => string; readonly close: () => string } {
  let begun = false;
  const begin = (): string => {
    const text = begun ? ',\n' : '{"schemaVersion":1,"addresses":[\n';
    begun = true;
    return text;
  };
  return {
    add: (element) => begin() + JSON.stringify(element),
    close: () => (begun ? '\n]}\n' : '{"schemaVersion":1,"addresses":[]}\n'),
  };
}
