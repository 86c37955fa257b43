// Answers as GNU addr2line gives them (binutils/addr2line.c, translate_addresses), line for line; docs/symbolize.md has the differences.

import { basename } from 'node:path';
import { padAddress } from '../../model/address.ts';
import type { SymbolizedLocation } from '../../model/frame.ts';

/** The options of addr2line that change what is printed. */
export interface AnswerForm {
  readonly functions: boolean;
  readonly inlines: boolean;
  readonly pretty: boolean;
  readonly addresses: boolean;
  readonly basenames: boolean;
}

/** Lines for one address; `digits` is how wide -a prints it, `nameOf` how a function is called. */
export function formatAnswer(
  address: bigint,
  locations: readonly SymbolizedLocation[],
  form: AnswerForm,
  options: { readonly digits: number; readonly nameOf: (linkerName: string) => string },
): string {
  const { functions, pretty } = form;
  const prefix = form.addresses ? `${padAddress(address, options.digits)}${pretty ? ': ' : '\n'}` : '';
  const known = locations.filter(({ status }) => status === 'symbolicated');
  if (known.length === 0) return `${prefix}${functions ? (pretty ? '?? ' : '??\n') : ''}??:0\n`;
  const frames = form.inlines ? known : known.slice(0, 1);
  const lines = frames.map(({ function: name, file, line }) => {
    const called = functions ? `${name === null ? '??' : printable(options.nameOf(name))}${pretty ? ' at ' : '\n'}` : '';
    const path = file === null ? '??' : printable(form.basenames ? basename(file) : file);
    return `${called}${path}:${line === null || line === 0 ? '?' : line}\n`;
  });
  return prefix + lines.join(pretty ? ' (inlined by) ' : '');
}

/** Names come from a file that anybody may have written: no control character of theirs reaches a terminal. */
export function printable(name: string): string {
  return name.replace(/\p{Cc}/gu, '?');
}

const HEX = /^\s*(?:0[xX])?([0-9a-fA-F]{1,16})(?![0-9a-fA-F])/;

/** The address that a line begins with, with or without `0x`, as strtoul reads it; null when it begins with none. */
export function findLeadingAddress(line: string): bigint | null {
  const digits = HEX.exec(line)?.[1];
  return digits === undefined ? null : BigInt(`0x${digits}`);
}
