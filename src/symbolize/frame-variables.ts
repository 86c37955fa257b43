// The arguments and locals of frames as text: joins what the unwinder recovered, where DWARF says that variables are, their
// types, and guest memory. Pure but for reads of memory; nothing of it runs for stacks that are only sampled.

import type { FrameState } from '../dwarf/frame-registers.ts';
import { type FrameValues, openFrameValues, type PlacedVariables, type ValueStack } from '../dwarf/frame-values.ts';
import type { DwarfTypes } from '../dwarf/types.ts';
import type { Variable } from '../dwarf/variables.ts';
import type { FrameVariable } from '../model/frame.ts';
import type { Memory } from '../model/target.ts';
import { sanitiseName } from './value-scalars.ts';
import { formatValue, type ValueGuest } from './values.ts';

/** The variables of one activation: an inlined call, or the real function. */
export interface ActivationVariables {
  readonly inlined: boolean;
  readonly arguments: readonly FrameVariable[];
  /** Innermost block first. */
  readonly locals: readonly FrameVariable[];
}

/** Reads the variables of frames. */
export interface VariableReader {
  /**
   * Activations of the real frame `frames[index]`, innermost inlined call first, the real function last; empty where no debug
   * info knows of it or the frame was only guessed. `frames` are those of the whole stack: what a function was called with its
   * callers know. `locals: true` reads those too.
   */
  read(
    frames: readonly FrameState[],
    index: number,
    memory: Memory,
    options?: { readonly locals?: boolean },
  ): readonly ActivationVariables[];
}

/** An image's variables and types, placed. */
export interface PlacedTypes extends PlacedVariables {
  readonly types: DwarfTypes;
}

/** Arguments and locals that are shown of one activation. */
const MAX_SHOWN = 64;

/** A reader over the images that `find` knows. */
export function createVariableReader(input: {
  readonly find: (address: bigint) => PlacedTypes | null;
  readonly functionAt: (address: bigint) => string | null;
}): VariableReader {
  const { find, functionAt } = input;
  return {
    read(frames, index, memory, options = {}) {
      const frame = frames[index];
      const stack: ValueStack = { frames, memory, find };
      const values = openFrameValues(stack, index);
      const placed = frame === undefined ? null : find(frame.exactPc ? frame.pc : frame.pc - 1n);
      if (frame === undefined || values === null || placed === null) return [];
      const guest: ValueGuest = { memory, machine: frame.registers.machine, functionAt };
      const describe = (variables: readonly Variable[]): FrameVariable[] =>
        variables.slice(0, MAX_SHOWN).map((variable) => describeVariable(variable, values, placed.types, guest));
      return values.activations.map(({ inlined, parameters, locals }) => ({
        inlined,
        arguments: describe(parameters),
        locals: options.locals === true ? describe(withoutShadowed(locals)) : [],
      }));
    },
  };
}

/** Of locals with one name the innermost is the one a programmer means. */
function withoutShadowed(locals: readonly Variable[]): readonly Variable[] {
  const seen = new Set<string>();
  return locals.filter(({ name }) => !seen.has(name) && seen.add(name).size > 0);
}

function describeVariable(variable: Variable, values: FrameValues, types: DwarfTypes, guest: ValueGuest): FrameVariable {
  const { name, type, artificial } = variable;
  const bounds = {
    evaluate: values.evaluate.bind(values),
    integerOf: values.integerAt.bind(values),
  };
  const layout = type === null ? null : types.layoutAt(type.unit, type.reference, bounds);
  const typeName = type === null ? null : types.nameAt(type.unit, type.reference);
  const { text, known } =
    layout === null ? { text: '<unknown type>', known: false } : formatValue(values.contentsOf(variable), layout, guest);
  return { name: sanitiseName(name), type: typeName === null ? null : sanitiseName(typeName), value: text, known, artificial };
}
