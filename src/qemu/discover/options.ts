// QEMU's option grammar (util/qemu-option.c): `value,key=value,flag`. A comma inside a value is doubled; the first word
// without `=` belongs to the option's implied key; a bare word is a flag (`server` = server=on, `nowait` = wait=off).
// -device, -object and -blockdev may be one JSON object instead.

/** Keys with their values, in order. A key may come more than once; the last counts. */
export type OptionPairs = readonly (readonly [key: string, value: string])[];

/** Parses the value of a QEMU option. Never fails: what QEMU would refuse comes out as odd keys nobody asks for. */
export function parseOptions(text: string, impliedKey: string | null = null): OptionPairs {
  if (text.startsWith('{')) return parseJsonOptions(text);
  return splitCommas(text).map((part, index): [string, string] => {
    const equals = part.indexOf('=');
    if (equals > 0) return [part.slice(0, equals), part.slice(equals + 1)];
    if (index === 0 && impliedKey !== null) return [impliedKey, part];
    return part.startsWith('no') && part.length > 2 ? [part.slice(2), 'off'] : [part, 'on'];
  });
}

/** The last value of `key`, or null. */
export function findOption(pairs: OptionPairs, key: string): string | null {
  return pairs.findLast(([name]) => name === key)?.[1] ?? null;
}

/** True when `key` is set to `on`, `yes` or `true`. */
export function isOn(pairs: OptionPairs, key: string): boolean {
  return ['on', 'yes', 'true', 'y'].includes(findOption(pairs, key) ?? '');
}

function splitCommas(text: string): string[] {
  const parts: string[] = [];
  let part = '';
  for (let at = 0; at < text.length; at += 1) {
    const isComma = text[at] === ',';
    if (isComma && text[at + 1] !== ',') {
      parts.push(part);
      part = '';
      continue;
    }
    if (isComma) at += 1;
    part += text[at]!;
  }
  parts.push(part);
  return parts.filter((word, index) => index === 0 || word !== '');
}

function parseJsonOptions(text: string): OptionPairs {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) return [];
    return Object.entries(value).map(([key, item]): [string, string] => {
      if (typeof item === 'boolean') return [key, item ? 'on' : 'off'];
      return [key, typeof item === 'string' || typeof item === 'number' ? String(item) : JSON.stringify(item)];
    });
  } catch {
    return [];
  }
}

const UNITS: Readonly<Record<string, number>> = { B: 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4, P: 1024 ** 5 };

/** Bytes of a QEMU size: `512M`, `1.5G`, `0x10000`; a bare number counts `defaultUnit`s (`-m 128` is MiB). Null when it is none. */
export function parseOptionSize(text: string, defaultUnit: string): number | null {
  const match = /^(0x[0-9a-f]+|\d+(?:\.\d+)?)([BKMGTP]?)$/i.exec(text.trim());
  if (match === null) return null;
  const bytes = Number(match[1]) * (UNITS[(match[2] === '' ? defaultUnit : match[2]!).toUpperCase()] ?? 1);
  return Number.isSafeInteger(Math.floor(bytes)) ? Math.floor(bytes) : null;
}
