// The OCaml probe beside Gc.counters, Gc.quick_stat and Gc.stat of a program that runs. Distributions strip the runtime's types, so this is
// also a program whose types come from a C stub of its own. Written for OCaml 4 and 5; UNIDBG_TEST_OCAMLOPT=/path/to/ocamlopt tries another.

import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ocaml } from '../../probes/agentless/ocaml.ts';
import { Scratch } from '../elf/scratch.ts';
import { type HostedProgram, startHosted } from '../support/hosted-process.ts';

/** Reads and prints without allocating in OCaml's heap. */
const STUBS = `
#include <stdio.h>
#include <unistd.h>
#include <caml/mlvalues.h>
#include <caml/memory.h>

value truth_print(value stat, value counters)
{
  CAMLparam2(stat, counters);
  static char line[512];
  int n = snprintf(line, sizeof line,
    "minor=%.0f promoted=%.0f major=%.0f minors=%ld majors=%ld heap=%ld chunks=%ld live=%ld free=%ld compactions=%ld top=%ld forced=%ld\\n",
    Double_val(Field(counters, 0)), Double_val(Field(counters, 1)), Double_val(Field(counters, 2)), Long_val(Field(stat, 3)),
    Long_val(Field(stat, 4)), Long_val(Field(stat, 5)), Long_val(Field(stat, 6)), Long_val(Field(stat, 7)), Long_val(Field(stat, 9)),
    Long_val(Field(stat, 13)), Long_val(Field(stat, 14)), Long_val(Field(stat, 16)));
  if (write(1, line, n) != n) _exit(1);
  CAMLreturn(Val_unit);
}

value truth_read(value unit)
{
  char text[16];
  ssize_t n = read(0, text, sizeof text);
  return n > 0 ? Val_int(text[0]) : unit;
}

value truth_done(value unit)
{
  if (write(1, "done\\n", 5) != 5) _exit(1);
  return unit;
}
`;

const PROGRAM = `
external print : Gc.stat -> float * float * float -> unit = "truth_print"
external read : unit -> char = "truth_read"
external finished : unit -> unit = "truth_done"

let keep = Array.make 64 Bytes.empty
let table : (int, string list) Hashtbl.t = Hashtbl.create 64
let rounds = ref 0

let work () =
  for i = 1 to 20 do
    incr rounds;
    keep.(!rounds land 63) <- Bytes.create (4096 * (i land 7) + 300);
    Hashtbl.replace table (!rounds land 255) (List.init 200 string_of_int)
  done

let rec loop () =
  match read () with
  | '\\000' -> ()
  | 's' -> let counters = Gc.counters () in print (Gc.quick_stat ()) counters; loop ()
  | 'S' -> let counters = Gc.counters () in print (Gc.stat ()) counters; loop ()
  | 'w' -> work (); finished (); loop ()
  | 'm' -> Gc.minor (); finished (); loop ()
  | 'g' -> Gc.full_major (); finished (); loop ()
  | 'c' -> Gc.compact (); finished (); loop ()
  | _ -> finished (); loop ()

let () = finished (); loop ()
`;

const WORD = 8;

/** What the program prints, the probe's name for it, and the size of its unit. */
const NAMES = [
  ['minor', 'ocaml.gc.minor.words', 1],
  ['promoted', 'ocaml.gc.promoted.words', 1],
  ['major', 'ocaml.gc.major.words', 1],
  ['minors', 'ocaml.gc.minor.collections', 1],
  ['majors', 'ocaml.gc.major.cycles', 1],
  ['compactions', 'ocaml.gc.compactions', 1],
  ['forced', 'ocaml.gc.major.forced', 1],
  ['heap', 'ocaml.gc.heap.size', WORD],
  ['top', 'ocaml.gc.heap.size.peak', WORD],
] as const;
const FREE = [
  ['live', 'ocaml.gc.heap.live', WORD],
  ['free', 'ocaml.gc.heap.free', WORD],
] as const;

const scratch = new Scratch();
let program: HostedProgram;

beforeAll(async () => {
  scratch.write('stubs.c', STUBS);
  scratch.write('truth.ml', PROGRAM);
  const compiler = process.env.UNIDBG_TEST_OCAMLOPT ?? 'ocamlopt';
  execFileSync(compiler, ['-g', '-ccopt', '-g -O1', 'stubs.c', 'truth.ml', '-o', 'truth'], { cwd: scratch.path });
  program = await startHosted([`${scratch.path}/truth`]);
}, 60_000);
afterAll(() => {
  program.close();
  scratch.remove();
});

type Names = readonly (readonly [string, string, number])[];

/** The probe's numbers in the program's words and units. */
function measure(names: Names): Readonly<Record<string, number>> {
  const readings: Readonly<Record<string, unknown>> = ocaml.sample(program.guest);
  return Object.fromEntries(names.map(([name, metric, unit]) => [name, Number(readings[metric]) / unit]));
}

async function ask(what: 's' | 'S', names: Names): Promise<Readonly<Record<string, number>>> {
  const fields = (await program.ask(what)).trim().split(' ');
  const all = new Map(fields.map((text) => [text.split('=')[0]!, Number(text.split('=')[1])]));
  return Object.fromEntries(names.map(([name]) => [name, all.get(name)!]));
}

describe('an OCaml program that runs', () => {
  it('is read as it reads itself, after work and after each kind of collection', async () => {
    expect(ocaml.missing(program.guest)).toBeNull();
    for (const step of ['w', 'm', 'w', 'w', 'g', 'w', 'c', 'w', 'm']) {
      await program.ask(step);
      // OCaml 5 prints of its heap what was so at the last minor collection.
      const now = step === 'w' ? NAMES.slice(0, 7) : NAMES;
      const ours = measure(now);
      expect(ours).toEqual(await ask('s', now));
    }
  });

  it('knows what is free and what is live, as a walk through the whole heap finds it', async () => {
    await program.ask('w');
    await program.ask('m');
    const ours = measure(FREE);
    expect(ours).toEqual(await ask('S', FREE));
    expect(ours.free).toBeGreaterThan(0);
  });

  it('has allocated what Gc.allocated_bytes says', async () => {
    await program.ask('w');
    const ours = ocaml.sample(program.guest)['ocaml.gc.allocated'];
    const { minor, promoted, major } = await ask('s', NAMES);
    expect(ours).toBe((minor! + major! - promoted!) * WORD);
  });
});
