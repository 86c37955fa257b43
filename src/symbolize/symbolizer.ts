// From guest addresses to names over all images of a guest, and the types in them: DWARF first, the symbol table where it is silent.

import { basename } from 'node:path';
import { type Address, toUnsigned64 } from '../model/address.ts';
import type { SymbolizedLocation } from '../model/frame.ts';
import type { Image, ImageMatch } from '../model/image.ts';
import type { TypeSource } from '../model/layout.ts';
import type { Symbolizer } from '../model/symbolizer.ts';
import { createVariableReader, type PlacedTypes, type VariableReader } from './frame-variables.ts';
import { type LinkLocation, type SymbolImage } from './image.ts';

export type { VariableReader } from './frame-variables.ts';
export { openImage, type SymbolImage } from './image.ts';

/** An image and where it lies: `loadBias` = run-time − link address; `match` and `placedBy` as in Image. */
export interface PlacedImage {
  readonly image: SymbolImage;
  readonly loadBias: bigint;
  readonly match: ImageMatch;
  readonly placedBy: string;
}

/** Names of code, types and variables. */
export type ImageSymbolizer = Symbolizer & { readonly types: TypeSource; readonly variables: VariableReader };

/** A symbolizer over `placed`. From an image with `match: 'mismatch'` it says no name, no address and no type. */
export function createSymbolizer(placed: readonly PlacedImage[]): ImageSymbolizer {
  const all = placed.map(placeImage);
  const trusted = all.filter(({ match }) => match !== 'mismatch');
  const places = [...trusted, ...all.filter(({ match }) => match === 'mismatch')];
  return {
    images: all.map(({ description }) => description),
    symbolize(address, options) {
      const looked = options?.isReturnAddress === true ? toUnsigned64(address - 1n) : address;
      const place = places.find(({ description }) => description.base <= looked && looked < description.end);
      if (place === undefined) return [unknown(null, 'no-image')];
      const found = place.match === 'mismatch' ? [] : place.image.locate(toUnsigned64(looked - place.loadBias));
      if (found.length === 0) return [unknown(place.module, 'no-symbol')];
      return found.map((location) => symbolized(location, place.module, toUnsigned64(address - place.loadBias)));
    },
    findSymbol: (name) => firstOf(trusted, (place) => findSymbolIn(place, name)),
    findObject: (address) => {
      const place = placeAt(trusted, address);
      const symbol = place?.image.findLinkObject(toUnsigned64(address - place.loadBias)) ?? null;
      return place === null || symbol === null
        ? null
        : { name: symbol.name, address: toUnsigned64(symbol.address + place.loadBias), size: symbol.size };
    },
    findCode: (location) => firstOf(trusted, (place) => atRunTime(place, place.image.findLinkCode(location))),
    types: {
      findVariable: (name, unit) => firstOf(trusted, (place) => findVariableIn(place, name, unit)),
      findType: (name) => firstOf(trusted, ({ image }) => image.findType(name)),
    },
    variables: createVariableReader({
      find: (address) => {
        const place = placeAt(trusted, address);
        return place === null ? null : placeTypes(place);
      },
      functionAt: (address) => {
        const place = placeAt(trusted, address);
        const found = place?.image.locate(toUnsigned64(address - place.loadBias)).at(-1);
        return place !== null && found?.entry === toUnsigned64(address - place.loadBias) ? found.function : null;
      },
    }),
  };
}

function placeAt(places: readonly Place[], address: Address): Place | null {
  return places.find(({ description }) => description.base <= address && address < description.end) ?? null;
}

function placeTypes({ image, loadBias }: Place): PlacedTypes {
  const findFunctionAddress = (name: string): bigint | null => image.findLinkSymbol(name)?.address ?? null;
  return { variables: image.variables, types: image.types, loadBias, findFunctionAddress, complain: image.complain };
}

/** An image with what look-ups need at hand. */
interface Place extends PlacedImage {
  readonly description: Image;
  readonly module: string;
}

function placeImage(placed: PlacedImage): Place {
  const { image, loadBias, match, placedBy } = placed;
  const { path, buildId, imageBase, imageEnd } = image.elf;
  const base = toUnsigned64(imageBase + loadBias);
  const end = base + (imageEnd - imageBase);
  return {
    ...placed,
    description: { path, machine: image.machine, buildId, base, end, loadBias, match, placedBy },
    module: basename(path),
  };
}

function unknown(module: string | null, status: 'no-symbol' | 'no-image'): SymbolizedLocation {
  return { function: null, functionOffset: null, file: null, line: null, column: null, inlined: false, module, status };
}

function symbolized(location: LinkLocation, module: string, address: Address): SymbolizedLocation {
  const { function: name, entry, file, line, column, inlined } = location;
  const functionOffset = name === null || entry === null ? null : Number(address - entry);
  return { function: name, functionOffset, file, line, column, inlined, module, status: 'symbolicated' };
}

function findSymbolIn(place: Place, name: string): { readonly address: Address; readonly size: number } | null {
  const symbol = place.image.findLinkSymbol(name);
  return symbol === null ? null : { address: toUnsigned64(symbol.address + place.loadBias), size: symbol.size };
}

function findVariableIn(place: Place, name: string, unit: string | undefined): ReturnType<TypeSource['findVariable']> {
  const found = place.image.findLinkVariable(name, unit);
  return found === null ? null : { ...found, address: toUnsigned64(found.address + place.loadBias) };
}

function atRunTime(place: Place, address: bigint | null): Address | null {
  return address === null ? null : toUnsigned64(address + place.loadBias);
}

function firstOf<T>(places: readonly Place[], find: (place: Place) => T | null): T | null {
  for (const place of places) {
    const found = find(place);
    if (found !== null) return found;
  }
  return null;
}
