// Every console of a planned QEMU is copied to a file from its first byte by QEMU's own `logfile=`, and still goes where
// the user wanted it. The one-word forms (`-serial stdio`) cannot take a logfile: they are rewritten as the -chardev that
// QEMU itself makes of them (chardev/char.c, qemu_chr_parse_compat).

import { join } from 'node:path';
import { hasOption, type QemuOption } from '../discover/command-line.ts';
import { deviceOptions } from '../discover/devices.ts';
import { findOption, parseOptions } from '../discover/options.ts';

/** Flags that were added or replaced, and the sentence that says so. */
export interface Addition {
  readonly flags: readonly string[];
  readonly why: string;
}

/** A console and the file that has all of it. */
export interface PlannedConsole {
  readonly name: string;
  readonly path: string;
}

/** The command line with its consoles captured. `argv` is without the program. */
export interface CapturedConsoles {
  readonly argv: readonly string[];
  readonly additions: readonly Addition[];
  readonly consoles: readonly PlannedConsole[];
}

/** Rewrites `options` so that each console is in a file in `folder`. */
export function captureConsoles(options: readonly QemuOption[], folder: string, hasDefaultSerial: boolean): CapturedConsoles {
  const argv: string[] = [];
  const additions: Addition[] = [];
  const consoles: PlannedConsole[] = [];
  const add = (name: string, path: string, flags: readonly string[], why: string): void => {
    consoles.push({ name, path });
    additions.push({ flags, why });
    argv.push(...flags);
  };
  const logged = findLoggedChardevs(options);
  let serial = 0;
  for (const option of options) {
    if (option.name === 'serial') {
      const name = `serial${serial}`;
      const path = join(folder, `console-${serial}.log`);
      serial += 1;
      const own = /^file:(.+)$/.exec(option.value ?? '')?.[1];
      const flags = rewriteSerial(option.value ?? '', `unidbg-${name}`, path);
      if (own !== undefined) consoles.push({ name, path: own });
      if (flags === null) argv.push(...spell(option));
      else add(name, path, flags, `${name} (-serial ${option.value ?? ''}) is also written to ${path}`);
      continue;
    }
    const chardev = option.name === 'chardev' ? parseOptions(option.value ?? '', 'backend') : null;
    const id = chardev === null ? null : findOption(chardev, 'id');
    const name = id === null ? undefined : logged.get(id);
    if (chardev === null || id === null || name === undefined) {
      argv.push(...spell(option));
      continue;
    }
    const own =
      findOption(chardev, 'logfile') ?? (findOption(chardev, 'backend') === 'file' ? findOption(chardev, 'path') : null);
    if (own !== null) {
      consoles.push({ name, path: own });
      argv.push(...spell(option));
      continue;
    }
    const path = join(folder, `console-${id}.log`);
    add(
      name,
      path,
      ['-chardev', `${option.value ?? ''},logfile=${escapeCommas(path)}`],
      `${name} (chardev ${id}) is also written to ${path}`,
    );
  }
  if (serial === 0) captureImplied(options, folder, hasDefaultSerial, add);
  return { argv, additions, consoles };
}

/** Chardevs that a console uses, with that console's name. */
function findLoggedChardevs(options: readonly QemuOption[]): Map<string, string> {
  const serials = options
    .filter(({ name }) => name === 'serial')
    .map(({ value }, index): [string, string] => [value?.replace(/^chardev:/, '') ?? '', `serial${index}`]);
  const devices = deviceOptions(options)
    .filter(({ driver }) => /^(isa-serial|pci-serial|isa-debugcon|virtconsole)$/.test(driver))
    .map(({ driver, pairs }): [string, string] => [findOption(pairs, 'chardev') ?? '', driver]);
  return new Map([...devices, ...serials]);
}

/** `-serial WORD` as -chardev + -serial (+ -mon for `mon:`), or null where it must stay: no device, no output, or already a file. */
function rewriteSerial(value: string, id: string, path: string): string[] | null {
  const withMonitor = value.startsWith('mon:');
  const word = withMonitor ? value.slice(4) : value;
  const backend = rewriteBackend(word, withMonitor);
  if (backend === null) return null;
  const mux = withMonitor ? ',mux=on' : '';
  const chardev = `${backend.head},id=${id}${mux}${backend.rest},logfile=${escapeCommas(path)}`;
  return ['-chardev', chardev, '-serial', `chardev:${id}`, ...(withMonitor ? ['-mon', `chardev=${id}`] : [])];
}

function rewriteBackend(word: string, withMonitor: boolean): { head: string; rest: string } | null {
  if (word === 'null') return { head: 'null', rest: '' };
  if (word === 'pty') return { head: 'pty', rest: '' };
  // `mon:stdio` gives Ctrl-C to the guest, plain stdio leaves it to the terminal.
  if (/^stdio(,|$)/.test(word)) return { head: 'stdio', rest: `${withMonitor ? ',signal=off' : ''}${word.slice(5)}` };
  const socket = /^(unix|tcp|telnet|websocket):(.*)$/s.exec(word);
  if (socket === null) return null;
  const pairs = parseOptions(socket[2]!, 'address');
  const address = findOption(pairs, 'address') ?? '';
  const colon = address.lastIndexOf(':');
  const place: [string, string][] =
    socket[1] === 'unix'
      ? [['path', address]]
      : [
          ['host', address.slice(0, colon).replace(/^\[|\]$/g, '')],
          ['port', address.slice(colon + 1)],
        ];
  const kind: [string, string][] = socket[1] === 'telnet' || socket[1] === 'websocket' ? [[socket[1], 'on']] : [];
  const others = pairs.filter(([key]) => key !== 'address');
  return { head: 'socket', rest: [...place, ...kind, ...others].map(([key, text]) => `,${key}=${escapeCommas(text)}`).join('') };
}

/** Without -serial QEMU makes serial0 itself: on stdio under -nographic, else in its window, where nobody can read it. */
function captureImplied(
  options: readonly QemuOption[],
  folder: string,
  hasDefaultSerial: boolean,
  add: (name: string, path: string, flags: readonly string[], why: string) => void,
): void {
  if (!hasDefaultSerial || hasOption(options, 'nodefaults', 'readconfig')) return;
  const path = join(folder, 'console-0.log');
  const id = 'unidbg-serial0';
  if (!hasOption(options, 'nographic')) {
    const flags = ['-chardev', `file,id=${id},path=${escapeCommas(path)}`, '-serial', `chardev:${id}`];
    add('serial0', path, flags, `serial0, which would be invisible, is written to ${path}`);
    return;
  }
  const ownMonitor = hasOption(options, 'monitor', 'qmp', 'qmp-pretty', 'mon');
  const shared = ownMonitor ? '' : ',mux=on';
  const chardev = `stdio,id=${id}${shared},signal=off,logfile=${escapeCommas(path)}`;
  const flags = ['-chardev', chardev, '-serial', `chardev:${id}`, ...(ownMonitor ? [] : ['-mon', `chardev=${id}`])];
  add('serial0', path, flags, `serial0 (-nographic) is also written to ${path}`);
}

function spell({ name, value }: QemuOption): string[] {
  if (name === 'disk') return [value ?? ''];
  return value === null ? [`-${name}`] : [`-${name}`, value];
}

function escapeCommas(text: string): string {
  return text.replaceAll(',', ',,');
}
