// gdb's MI output made fit for gdb-js's parser, a line at a time. GDB manual, "GDB/MI Output Syntax".
//
// Folklore, gdb-js 1.3.0 (gdbmi.pegjs): an octal escape below \020 becomes a percent escape of one digit, one that is not
// UTF-8 an invalid one, and decodeURIComponent throws; `\a \e \v`, which gdb writes too, are not in its grammar; an async record
// without the members it expects (`*stopped` without a frame) makes it throw likewise. Whatever throws, the parser is dead for
// good, and whoever waits waits for ever. So: escapes are resolved here, and of all records only results (`^…`), the ones that
// answer a command, are let through. Tests: test/gdb/sanitise.test.ts.

import { Transform } from 'node:stream';

const MAX_LINE = 1 << 22;

/** One line without its end; null when it is no result record. */
export function sanitiseLine(line: string): string | null {
  if (!/^[0-9]*\^/.test(line)) return null;
  const resolved = line.replace(/(?:\\[0-7]{3})+|\\./gs, (escape) =>
    /^\\[0-7]/.test(escape) ? decodeOctal(escape) : keepEscape(escape),
  );
  return resolved.replace(/[\x00-\x1f\x7f-\x9f]/g, '\u{fffd}');
}

/** Bytes from gdb in, sanitised lines out; chunk boundaries may fall anywhere, also inside a letter. */
export function openSanitiser(): Transform {
  let pending: Buffer = Buffer.alloc(0);
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
      for (let end = pending.indexOf(0x0a); end >= 0; end = pending.indexOf(0x0a)) {
        const line = sanitiseLine(pending.toString('utf8', 0, end).replace(/\r$/, ''));
        pending = pending.subarray(end + 1);
        if (line !== null) this.push(`${line}\n`);
      }
      done(pending.length > MAX_LINE ? new Error(`a line of gdb's is longer than ${MAX_LINE} bytes`) : null);
    },
  });
}

function decodeOctal(escapes: string): string {
  const bytes = Uint8Array.from(escapes.slice(1).split('\\'), (digits) => Number.parseInt(digits, 8) & 0xff);
  return new TextDecoder().decode(bytes).replace(/[\\"]/g, '\\$&');
}

function keepEscape(escape: string): string {
  return /^\\["\\bfnrt]$/.test(escape) ? escape : '\u{fffd}';
}
