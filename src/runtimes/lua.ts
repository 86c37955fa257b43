// Lua: what its stand-alone program says of an error nobody caught (lua.c l_message, msghandler; ldblib.c luaL_traceback).
//
// Programs that embed it print in words of their own, and handled tracebacks have no `lua: ` before them.

import { reportedFrame } from '../model/console-text.ts';
import type { CrashGrammar, Runtime } from '../model/unikernel.ts';

const MAX_MESSAGE_LINES = 20;
/** The compiler's errors have no traceback before 5.4. */
const COMPILER = /^.{1,1000} near (?:'.{1,500}'|<eof>)$/;

const uncaught: CrashGrammar = {
  name: 'uncaught-error',
  source: 'lua lua.c l_message, lauxlib.c luaL_traceback',
  kind: 'exception',
  start: /^lua(?:jit)?[\d.-]{0,16}: (.{1,4000})$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    const place = /^(\S{1,500}?):(\d{1,9}): (.{1,4000})$/.exec(draft.message);
    if (place !== null) {
      draft.location = { file: place[1] ?? '', line: Number(place[2]), function: null };
      draft.message = place[3] ?? '';
    }
    if (draft.message === 'not enough memory') draft.kind = 'out-of-memory';
  },
  lines: [
    {
      pattern: /^stack traceback:$/,
      in: '',
      to: 'trace',
      takesBetween: true,
      read: (_match, draft) => {
        draft.message = [draft.message, ...draft.between.slice(0, MAX_MESSAGE_LINES)].join('\n');
      },
    },
    {
      // `a.lua:3: in function 'parse'`, `in upvalue 'parse'`, `in main chunk`, `in function <f.lua:2>`, `[C]: in ?`
      pattern:
        /^ {8}(?:\[C\]|(\S{1,500}?):(\d{1,9})): in (?:(?:(?:local|upvalue|field|method|global|metamethod) |function )?['<](.{1,300})['>]|(main chunk)|.{1,300})$/,
      in: 'trace',
      read: (match, draft) => {
        const [, file, line, name, chunk] = match;
        // What raised it, in C (`error`, `require`), is no place of the program's; the C that called the program is none either.
        if (file === undefined && (name === undefined || draft.frames.length === 0)) return;
        draft.frames.push(
          reportedFrame({
            function: name ?? chunk ?? null,
            file: file ?? null,
            line: line === undefined ? null : Number(line),
          }),
        );
      },
    },
    { pattern: /^ {8}(?:\.\.\.|\(\.\.\.)/, in: 'trace' },
  ],
  maxForeignLines: MAX_MESSAGE_LINES,
  confirmed: (draft) =>
    draft.section === 'trace' ||
    (draft.location !== null && COMPILER.test(draft.message)) ||
    draft.message === 'not enough memory',
};

const unprotected: CrashGrammar = {
  name: 'unprotected-error',
  source: 'lua lauxlib.c panic',
  kind: 'panic',
  start: /^PANIC: unprotected error in call to Lua API \((.{1,4000})\)$/,
  glued: 'PANIC: unprotected error in call to Lua API ',
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    if (draft.message === 'not enough memory') draft.kind = 'out-of-memory';
  },
  lines: [],
  maxForeignLines: 2,
};

/** Lua. */
export const lua: Runtime = {
  name: 'lua',
  title: 'Lua',
  recognise: { symbols: ['lua_newstate', 'luaL_newstate', 'lua_pcallk'], sections: [] },
  crashes: [uncaught, unprotected],
  demangle: () => null,
  endsByExit: true,
  crashMachinery: [/^(?:luaD_throw|luaG_(?:errormsg|runerror|typeerror)|luaL_(?:error|argerror)|lua_error)$/],
};
