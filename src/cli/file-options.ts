// Options that say where a guest's files are: the same words and the same meaning in every verb that takes them.

import { Option } from 'commander';
import { collect } from './collect.ts';

/** `--symbols`: what the guest's code is in. */
export function symbolsOption(): Option {
  return manyTimes(
    '--symbols <elf>',
    'ELF file, source map or folder of maps; may be given many times; found from the VM without it',
  );
}

/** `--debug-dir`: where separate debug files are. */
export function debugDirOption(): Option {
  return manyTimes('--debug-dir <dir>', 'where separate debug files are, besides /usr/lib/debug; may be given many times');
}

/** `--source`: the roots that source is read under. */
export function sourceOption(): Option {
  return manyTimes('--source <dir>', 'where source files are; may be given many times; the current folder is always looked in');
}

function manyTimes(flags: string, description: string): Option {
  return new Option(flags, description).argParser<readonly string[]>(collect).default([]);
}
