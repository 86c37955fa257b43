// The language runtimes unidbg knows, one file each. To add one: write its file, add its line.
// The first that knows a linker name says what it means: Rust's legacy names are C++ names with a hash.

import type { Runtime } from '../model/unikernel.ts';
import { c } from './c.ts';
import { cpp } from './cpp.ts';
import { erlang } from './erlang.ts';
import { go } from './go.ts';
import { haskell } from './haskell.ts';
import { java } from './java.ts';
import { lua } from './lua.ts';
import { ocaml } from './ocaml.ts';
import { python } from './python.ts';
import { rust } from './rust.ts';
import { v8 } from './v8.ts';

export const RUNTIMES: readonly Runtime[] = [go, ocaml, v8, rust, java, python, erlang, haskell, lua, cpp, c];
